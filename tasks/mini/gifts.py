"""Gifts: who has a thing after it went from hand to hand."""

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask, reasoned


def _given(gifts: int):
    """A thing is given on, and another one stays where it is."""

    def make(draws: Draws) -> dict:
        *people, other = world.some(draws, world.NAMES, gifts + 2)
        thing, rest = world.some(draws, world.THINGS, 2)
        story = draws.shuffled([f'{people[0]} has the {thing}.', f'{other} has the {rest}.'])
        for a, b in zip(people, people[1:], strict=False):
            story.append(f'{a} gives the {thing} to {b}.')
        return {
            'story': ' '.join(story),
            'thing': thing,
            'rationale': ' '.join(f'{who} has the {thing}.' for who in people),
            'answer': people[-1],
            'options': draws.shuffled([*people, other][-4:]),
        }

    return make


def _exchanged(draws: Draws) -> dict:
    """Two people give each other their things."""
    a, b, c = world.some(draws, world.NAMES, 3)
    things = world.some(draws, world.THINGS, 3)
    having = dict(zip((a, b, c), things, strict=True))
    story = [f'{who} has the {what}.' for who, what in draws.shuffled(list(having.items()))]
    having[a], having[b] = having[b], having[a]
    asked = draws.choice([a, b, c])
    steps = f'{a} has the {having[a]} and {b} has the {having[b]}.'
    return {
        'story': f'{" ".join(story)} {a} and {b} swapped.',
        'name': asked,
        'rationale': steps if asked != c else f'{c} has the {having[c]}.',
        'answer': having[asked],
        'options': draws.shuffled(things),
    }


WHO = (
    '{story} Who has the {thing} in the end?',
    'Story: {story}\nName the one that has the {thing} in the end.',
    '{story}\nWhich one of them has the {thing} after all?',
    'Story: {story}\nTell me who has the {thing} after all that.',
    '{story} Give the name of the one that has the {thing} now.',
)
_WHAT = (
    '{story} Which thing has {name} in the end?',
    'Story: {story}\nName the thing that {name} has in the end.',
    '{story}\nWhich one of the things has {name} after all?',
    'Story: {story}\nTell me which thing {name} has after all that.',
    '{story} Give the name of the thing that {name} has now.',
)

TASKS = [
    MiniTask('given_once', _given(1), WHO, reasoned(WHO)),
    MiniTask('given_twice', _given(2), WHO, reasoned(WHO)),
    MiniTask('given_three_times', _given(3), WHO, reasoned(WHO), held_out=True),
    MiniTask('exchanged', _exchanged, _WHAT, reasoned(_WHAT)),
]
