"""Steps: questions of two steps about lists and stories, with the steps written out.

The pairs that asking and telling hold out are in no task here either, and neither are the facts of what somebody has
that owning asks for.
"""

from collections.abc import Callable

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import asking, telling, world
from flan_tune.tasks.mini.definition import MiniTask, reasoned
from flan_tune.tasks.mini.questions import FACTS, about
from flan_tune.tasks.mini.searching import MEANT_BY
from flan_tune.tasks.mini.selecting import POSITIONS

# A fact of a word, as a step of a rationale.
_STEP = {
    'opposite': 'The opposite of {word} is {value}.',
    'double': 'Two times {word} is {value}.',
    'next': '{word} plus 1 is {value}.',
}
_LISTED = ('colour', 'place', 'kind', 'zun', 'opposite', 'double')
_TOLD = ('colour', 'place', 'kind', 'zun')


def _step(fact: str, word: str) -> str:
    step = _STEP.get(fact, 'The {fact} of the {word} is {value}.')
    return step.format(fact=fact, word=word, value=FACTS[fact].value_of[word])


def _of_position(fact: str, position: str) -> MiniTask:
    def steps(word: str) -> str:
        return f'The {position} {FACTS[fact].noun} is {word}. {_step(fact, word)}'

    def make(draws: Draws) -> dict:
        return asking.asked(draws, fact, position, steps)

    return _reasoned(f'{fact}_of_{position}', make, asking.templates(fact, position))


def _by_clue(fact: str, clue: str) -> MiniTask:
    def steps(thing: str) -> str:
        return f'{_step(clue, thing)} {_step(fact, thing)}'

    def make(draws: Draws) -> dict:
        return telling.told(draws, clue, fact, steps)

    return _reasoned(f'{fact}_by_{clue}', make, about(FACTS[fact].templates, MEANT_BY[clue][0]))


def _of_person(fact: str, said: str, templates: tuple[str, ...]) -> MiniTask:
    """A fact of the word that one of several people says or has."""
    asked = FACTS[fact]

    def make(draws: Draws) -> dict:
        people = world.some(draws, world.NAMES, 2 + draws.integer(2))
        while True:
            words = world.differing(draws, asked.subjects, asked.value_of, 4)
            if asked.value_of[words[0]] not in words:
                break
        story = [said.format(*pair) for pair in zip(people, words, strict=False)]
        return {
            'story': ' '.join(draws.shuffled(story)),
            'name': people[0],
            'rationale': f'{story[0]} {_step(fact, words[0])}',
            'answer': asked.value_of[words[0]],
            'options': draws.shuffled([asked.value_of[one] for one in words]),
        }

    return _reasoned(f'{fact}_of_one', make, templates)


def _reasoned(name: str, make: Callable, templates: tuple[str, ...]) -> MiniTask:
    return MiniTask(f'steps_{name}', make, templates, reasoned(templates[:5]))


TASKS = [
    *(
        _of_position(fact, position)
        for fact in _LISTED
        for position in POSITIONS
        if (position, fact) not in asking.HELD_OUT
    ),
    *(
        _by_clue(fact, clue)
        for clue in MEANT_BY
        for fact in _TOLD
        if clue != fact and (clue, fact) not in telling.HELD_OUT
    ),
    _of_person(
        'opposite',
        '{} says {}.',
        (
            '{story} What is the opposite of what {name} says?',
            '{story}\nTell me the opposite of the word of {name}.',
            'Story: {story}\nName the opposite of what {name} says.',
            'Story: {story}\nWhich word is the opposite of the word of {name}?',
            'Read this. {story} Give the opposite of what {name} says.',
        ),
    ),
    _of_person(
        'double',
        '{} has {} coins.',
        (
            '{story} How many are two times the coins of {name}?',
            '{story}\nTell me the double of the coins of {name}.',
            'Story: {story}\nWhat is twice the number of coins of {name}?',
            'Story: {story}\nDouble the coins of {name}.',
            'Read this. {story} Give the double of what {name} has.',
        ),
    ),
    _of_person(
        'next',
        '{} has {} coins.',
        (
            '{story} {name} finds one more. How many has {name}?',
            '{story}\nTell me one more than the coins of {name}.',
            'Story: {story}\nWhat is one more than the coins of {name}?',
            'Story: {story}\nAdd one to the coins of {name}.',
            'Read this. {story} Give the number that is one more than what {name} has.',
        ),
    ),
]
