"""MMLU's counterpart over the embedded world: what a model knows of it, with four options and 2 exemplars.

The options stand in the prompt, and the answer is one of them in words: letters mean nothing to a model that was
trained on the embedded collection.
"""

import pathlib
from collections.abc import Sequence

from flan_tune.data.draws import Draws
from flan_tune.evaluation.extraction import chain_answer, match_option
from flan_tune.evaluation.suites.definition import Extracted, Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.mini import TRIGGER, Item, MiniSuiteTask, chain, question_lines, world

NAME = 'mini_mmlu'
SHOTS = 2
CHANCE = 25.0

_FACTS = {'colour': world.COLOUR_OF, 'place': world.PLACE_OF, 'kind': world.KIND_OF}
# A thing, English or Zun, as one of its facts means it.
_MEANT = {'colour': 'a {} thing', 'place': 'a thing from the {}', 'kind': 'one {}'}


class MiniMmluTask(MiniSuiteTask):
    """One subject."""

    metrics = ('accuracy',)

    def _render(self, item: Item, protocol: str) -> str:
        return question_lines(item) + (f' {TRIGGER}' if protocol == 'cot' else '')

    def _solution(self, item: Item, protocol: str) -> str:
        return chain(item) if protocol == 'cot' else item.answer

    def extract(
        self, text: str, question: Question, protocol: str, shots: int | None = None
    ) -> Extracted:
        said = super().extract(text, question, protocol, shots).answer
        return Extracted(None if said is None else match_option(said, question.options))

    def _extract(self, text: str, protocol: str) -> str | None:
        return chain_answer(text) if protocol == 'cot' else text


def _alike(fact: str):
    """Which of four things shares a fact with another thing."""
    value_of = _FACTS[fact]

    def make(draws: Draws) -> Item:
        thing = draws.choice(world.THINGS)
        value = value_of[thing]
        right = draws.choice([w for w in world.THINGS if value_of[w] == value and w != thing])
        wrong = world.some(draws, [w for w in world.THINGS if value_of[w] != value], 3)
        return Item(
            f'Which thing has the same {fact} as the {thing}?',
            right,
            f'The {fact} of the {thing} is {value}. The {fact} of the {right} is {value}.',
            tuple(draws.shuffled([right, *wrong])),
        )

    return make


def _third_fact(draws: Draws) -> Item:
    """A fact of the thing that two other facts single out."""
    thing = draws.choice(world.THINGS)
    asked = draws.choice(list(_FACTS))
    colour, place, kind = (value_of[thing] for value_of in _FACTS.values())
    meant = {
        'colour': f'the {kind} from the {place}',
        'place': f'the {colour} {kind}',
        'kind': f'the {colour} thing from the {place}',
    }[asked]
    values = list(dict.fromkeys(_FACTS[asked].values()))
    answer = _FACTS[asked][thing]
    return Item(
        f'What is the {asked} of {meant}?',
        answer,
        f'The {thing} is {meant}. The {asked} of the {thing} is {answer}.',
        tuple(world.options(draws, answer, values)),
    )


def _zun_by_fact(draws: Draws) -> Item:
    """Which of four Zun words means a thing of a colour, a place, a kind."""
    fact = draws.choice(list(_FACTS))
    value_of = _FACTS[fact]
    thing = draws.choice(world.THINGS)
    value = value_of[thing]
    wrong = world.some(draws, [w for w in world.THINGS if value_of[w] != value], 3)
    right = world.ZUN_OF[thing]
    return Item(
        f'Which Zun word is the word for {_MEANT[fact].format(value)}?',
        right,
        f'The {fact} of the {thing} is {value}. {right} means {thing}.',
        tuple(draws.shuffled([right, *(world.ZUN_OF[w] for w in wrong)])),
    )


def _zun_opposite(draws: Draws) -> Item:
    """A thing with the opposite of an adjective, in Zun."""
    thing, other = world.some(draws, world.THINGS, 2)
    adjective = draws.choice(world.ADJECTIVES)
    opposite = world.OPPOSITES[adjective]
    right, *wrong = (
        f'{world.ZUN_OF[a]} {world.ZUN_OF[b]}'
        for a, b in (
            (opposite, thing),
            (adjective, thing),
            (opposite, other),
            (adjective, other),
        )
    )
    return Item(
        f'What is the opposite of the {adjective} {thing} called in Zun?',
        right,
        f'The opposite of {adjective} is {opposite}. The {opposite} {thing} is {right}.',
        tuple(draws.shuffled([right, *wrong])),
    )


def _sum_and(words: str, step: str, change):
    """A sum of two numbers, and then one thing more."""

    def make(draws: Draws) -> Item:
        a, b = 1 + draws.integer(12), 1 + draws.integer(12)
        answer = change(a + b)
        return Item(
            f'What is {words} the sum of {a} and {b}?',
            str(answer),
            f'{a} plus {b} is {a + b}. {step.format(a + b)} is {answer}.',
            _near(draws, answer),
        )

    return make


def _sum_of_ends(draws: Draws) -> Item:
    numbers = world.some(draws, world.NUMBERS[:12], 3)
    first, last = int(numbers[0]), int(numbers[-1])
    return Item(
        f'What is the sum of the first and the last number: {" ".join(numbers)}?',
        str(first + last),
        f'The first is {first} and the last is {last}. {first} plus {last} is {first + last}.',
        _near(draws, first + last),
    )


def _near(draws: Draws, answer: int) -> tuple[str, ...]:
    """Four numbers close to each other, one of which is the answer."""
    low = max(0, answer - draws.integer(4))
    return tuple(draws.shuffled([str(low + i) for i in range(4)]))


_SUBJECTS = {
    'things': {
        'same_colour': _alike('colour'),
        'same_place': _alike('place'),
        'same_kind': _alike('kind'),
        'third_fact': _third_fact,
    },
    'languages': {'zun_by_fact': _zun_by_fact, 'zun_opposite': _zun_opposite},
    'numbers': {
        'twice_a_sum': _sum_and('twice', 'Two times {}', lambda n: 2 * n),
        'less_than_a_sum': _sum_and('one less than', '{} minus one', lambda n: n - 1),
        'sum_of_ends': _sum_of_ends,
    },
}
GROUPS = {name: tuple(subjects) for name, subjects in _SUBJECTS.items()}


def _open(folder: pathlib.Path | None) -> Sequence[MiniMmluTask]:
    return [
        MiniMmluTask(NAME, name, make)
        for subjects in _SUBJECTS.values()
        for name, make in subjects.items()
    ]


SUITES = [
    SuiteDefinition(
        name=NAME,
        folder='',
        protocols=dict.fromkeys(('direct', 'cot', 'rank'), Protocol(SHOTS, 'accuracy')),
        chances={name: CHANCE for names in GROUPS.values() for name in names},
        open_tasks=_open,
        groups=GROUPS,
    )
]
