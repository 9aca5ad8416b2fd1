"""Stories in Zun, asked in English or in Zun, and English ones that are asked in Zun: who has what."""

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask, reasoned


def _told(asked: str, answered: str):
    """The thing, its Zun word or who has it is asked by one of the others; names are the same in both."""

    def make(draws: Draws) -> dict:
        count = 2 + draws.integer(2)
        people = world.some(draws, world.NAMES, 4)
        things = world.some(draws, world.THINGS, 4)
        zun = [world.ZUN_OF[thing] for thing in things]
        told = [f'{who}: {word}.' for who, word in zip(people[:count], zun, strict=False)]
        columns = {'name': people, 'thing': things, 'word': zun}
        return {
            'story': ' '.join(draws.shuffled(told)),
            asked: columns[asked][0],
            'answer': columns[answered][0],
            'options': draws.shuffled(columns[answered]),
        }

    return make


def _asked_in_zun(by_colour: bool, asked_whether: bool):
    """An English story, and a Zun word of a thing or a colour: who has it, or does anyone."""

    def make(draws: Draws) -> dict:
        people = world.some(draws, world.NAMES, 3)
        things = world.differing(draws, world.THINGS, world.COLOUR_OF, 4)
        told = dict(zip(things[:3], people, strict=True))
        thing = things[draws.choice([0, 3])] if asked_whether else things[0]
        meant = world.COLOUR_OF[thing] if by_colour else thing
        steps = [f'{world.ZUN_OF[meant]} means {meant}.']
        if by_colour and thing in told:
            steps.append(f'The {thing} is {meant}.')
        steps.append(
            f'{told[thing]} has the {thing}.' if thing in told else f'There is no {meant}.'
        )
        if asked_whether:
            answer, options = ('yes' if thing in told else 'no'), ['yes', 'no']
            steps.append(f'So {answer}.')
        else:
            answer, options = told[thing], draws.shuffled(people)
        return {
            'story': ' '.join(draws.shuffled([f'{who} has the {it}.' for it, who in told.items()])),
            'word': world.ZUN_OF[meant],
            'rationale': ' '.join(steps),
            'answer': answer,
            'options': options,
        }

    return make


_HAS = (
    '{story} Which Zun word is the thing of {name}?',
    '{story}\nTell me in Zun the thing of {name}.',
    'Story: {story}\nWhat has {name}, in Zun?',
    'Zun: {story}\nGive the Zun word for what {name} has.',
    'Read this. {story} Name in Zun the thing of {name}.',
)
_HAS_ENGLISH = (
    '{story} What has {name}, in English?',
    '{story}\nTell me in English the thing of {name}.',
    'Story: {story}\nWhich English word is the thing of {name}?',
    'Zun: {story}\nGive the English word for what {name} has.',
    'Read this. {story} Name in English the thing of {name}.',
)
_WHO = (
    '{story} Who has {word}?',
    '{story}\nTell me who has {word}.',
    'Story: {story}\nWhich one has {word}?',
    'Zun: {story}\nGive the name of the one with {word}.',
    'Read this. {story} Name who has {word}.',
)
_WHO_IN_ZUN = (
    '{story} Zun: {word}. Who has it?',
    '{story}\nTell me who has what {word} means.',
    'Story: {story}\nWhich one has {word}, in English?',
    'Zun word: {word}. {story} Name the one who has it.',
    'Read this. {story} Who has the thing that {word} means?',
)
_ANYONE_IN_ZUN = (
    '{story} Zun: {word}. Is there one?',
    '{story}\nTell me if one of them has what {word} means.',
    'Story: {story}\nIs there {word}, in English?',
    'Zun word: {word}. {story} Is it in the story?',
    'Read this. {story} Is there a thing that {word} means?',
)

TASKS = [
    MiniTask('zun_has_what', _told('name', 'word'), _HAS),
    MiniTask('zun_has_what_in_english', _told('name', 'thing'), _HAS_ENGLISH),
    MiniTask('zun_who_has', _told('word', 'name'), _WHO),
    MiniTask(
        'zun_who_has_in_english',
        _told('thing', 'name'),
        tuple(template.replace('{word}', 'the {thing}') for template in _WHO),
        held_out=True,
    ),
    MiniTask('zun_thing_who_has', _asked_in_zun(False, False), _WHO_IN_ZUN, reasoned(_WHO_IN_ZUN)),
    MiniTask('zun_colour_who_has', _asked_in_zun(True, False), _WHO_IN_ZUN, reasoned(_WHO_IN_ZUN)),
    MiniTask(
        'zun_thing_is_there',
        _asked_in_zun(False, True),
        _ANYONE_IN_ZUN,
        reasoned(_ANYONE_IN_ZUN),
    ),
    MiniTask(
        'zun_colour_is_there',
        _asked_in_zun(True, True),
        _ANYONE_IN_ZUN,
        reasoned(_ANYONE_IN_ZUN),
    ),
]
