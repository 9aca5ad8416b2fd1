"""BIG-Bench Hard's counterpart over the embedded world: reasoning in several steps, 2 exemplars.

As there, a prompt begins with what the task is, direct answers count if equal as they stand, and those of chains of
thought behind 'answer is '.
"""

import pathlib
from collections.abc import Callable, Sequence

from flan_tune.data.draws import Draws
from flan_tune.evaluation.extraction import chain_answer
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.mini import (
    TRIGGER,
    Item,
    Make,
    MiniSuiteTask,
    chain,
    question_lines,
    world,
)

NAME = 'mini_bbh'
SHOTS = 2


class MiniBbhTask(MiniSuiteTask):
    """One subtask."""

    def __init__(self, name: str, description: str, make: Make):
        super().__init__(NAME, name, make)
        self._description = description

    def _render(self, item: Item, protocol: str) -> str:
        return question_lines(item) + (f' {TRIGGER}' if protocol == 'cot' else '')

    def _solution(self, item: Item, protocol: str) -> str:
        return chain(item) if protocol == 'cot' else item.answer

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        return f'{self._description}\n\n{super()._prompt(question, protocol, shots)}'

    def _extract(self, text: str, protocol: str) -> str | None:
        return (chain_answer(text) or None) if protocol == 'cot' else text.strip()


def _has(people: Sequence[str], things: Sequence[str]) -> str:
    return ' '.join(f'{who} has the {what}.' for who, what in zip(people, things, strict=True))


def _swaps(draws: Draws) -> Item:
    """Three people swap their things two times."""
    people, things = world.some(draws, world.NAMES, 3), world.some(draws, world.THINGS, 3)
    having = dict(zip(people, things, strict=True))
    told, steps = [], []
    for a, b in (draws.shuffled(people)[:2] for _ in range(2)):
        having[a], having[b] = having[b], having[a]
        told.append(f'{a} and {b} swapped.')
        steps.append(f'{a} has the {having[a]} and {b} has the {having[b]}.')
    asked = draws.choice(people)
    return Item(
        f'{_has(people, things)} {" ".join(told)} What does {asked} have now?',
        having[asked],
        ' '.join(steps),
        tuple(things),
    )


def _count_colours(draws: Draws) -> Item:
    one, other = world.some(draws, world.COLOURS, 2)
    counted = [word for word in world.THINGS if world.COLOUR_OF[word] in (one, other)]
    rest = [word for word in world.THINGS if word not in counted]
    count = draws.integer(5)
    words = draws.shuffled(
        [*world.some(draws, counted, count), *world.some(draws, rest, 5 - count)]
    )
    listed = ', '.join(f'{word} {world.COLOUR_OF[word]}' for word in words)
    return Item(
        f'How many of these things are {one} or {other}: {" ".join(words)}?',
        str(count),
        f'Here are all of them: {listed}.',
    )


def _arithmetic(draws: Draws) -> Item:
    a, b, c = (1 + draws.integer(9) for _ in range(3))
    d = 1 + draws.integer(a + b)
    one, two = a + b, a + b + c
    return Item(
        f'What is {a} plus {b} plus {c} minus {d}?',
        str(two - d),
        f'{a} plus {b} is {one}. {one} plus {c} is {two}. {two} minus {d} is {two - d}.',
    )


def _sort_down(draws: Draws) -> Item:
    numbers = world.some(draws, world.NUMBERS, 4)
    ordered = sorted(numbers, key=int, reverse=True)
    first, *others, last = ordered
    return Item(
        f'Write these numbers from the largest to the smallest: {" ".join(numbers)}.',
        ' '.join(ordered),
        f'The largest is {first}. Then there are {" and ".join(others)}. The smallest is {last}.',
    )


def _second_tallest(draws: Draws) -> Item:
    people = world.some(draws, world.NAMES, 4)
    facts = [f'{a} is taller than {b}.' for a, b in zip(people, people[1:], strict=False)]
    return Item(
        f'{" ".join(draws.shuffled(facts))} Who is the second from the tallest to the shortest?',
        people[1],
        f'In order from the tallest to the shortest: {" ".join(people)}.',
        tuple(draws.shuffled(people)),
    )


def _coloured_things(draws: Draws) -> Item:
    """Who has the thing of a colour, which is not told but known."""
    people = world.some(draws, world.NAMES, 3)
    things = world.differing(draws, world.THINGS, world.COLOUR_OF, 3)
    place = draws.integer(3)
    who, thing, colour = people[place], things[place], world.COLOUR_OF[things[place]]
    return Item(
        f'{_has(people, things)} Who has the {colour} thing?',
        who,
        f'The colour of the {thing} is {colour}. {who} has the {thing}.',
        tuple(people),
    )


def _places_before(draws: Draws) -> Item:
    """Where a thing was before, while another thing goes its own way."""
    thing, other = world.some(draws, world.THINGS, 2)
    a, b, c = world.some(draws, world.NAMES, 3)
    one, two, three, far = world.some(draws, world.PLACES, 4)
    moves = [
        f'{a} takes the {thing} to the {two}.',
        f'{b} takes the {thing} to the {three}.',
    ]
    moves.insert(draws.integer(3), f'{c} takes the {other} to the {far}.')
    before = {two: one, three: two}
    asked = draws.choice(list(before))
    return Item(
        f'The {thing} is in the {one}. {" ".join(moves)} '
        f'In which place was the {thing} before the {asked}?',
        before[asked],
        f'The {thing} was in the {one} and then in the {two} and then in the {three}.',
        tuple(draws.shuffled([one, two, three])),
    )


def _two_facts(draws: Draws) -> Item:
    """Whether one thing has a colour and another one a place; one of the two may be wrong."""
    one, two = world.some(draws, world.THINGS, 2)
    colour, place = world.COLOUR_OF[one], world.PLACE_OF[two]
    told = [colour, place]
    right = bool(draws.integer(2))
    if not right:
        wrong = draws.integer(2)
        values = (world.COLOURS, world.PLACES)[wrong]
        told[wrong] = draws.choice([value for value in values if value != told[wrong]])
    return Item(
        f'Is the {one} {told[0]} and is the {two} from the {told[1]}?',
        'yes' if right else 'no',
        f'The {one} is {colour} and the {two} is from the {place}.',
        ('yes', 'no'),
    )


def _odd_colour(draws: Draws) -> Item:
    colour, other = world.some(draws, world.COLOURS, 2)
    of = {
        value: [word for word in world.THINGS if world.COLOUR_OF[word] == value]
        for value in (colour, other)
    }
    odd = draws.choice(of[other])
    words = draws.shuffled([odd, *world.some(draws, of[colour], 3)])
    return Item(
        f'Which of these things is not of the same colour as all others: {" ".join(words)}?',
        odd,
        f'The {odd} is {other} and all others are {colour}.',
        tuple(words),
    )


_Subtasks = dict[str, tuple[float, str, Callable[[Draws], Item]]]

# Chance in percent, description, maker.
_ALGORITHMIC: _Subtasks = {
    'swapped_things': (100 / 3, 'Name the thing that one has after all is swapped.', _swaps),
    'counting_colours': (
        0.0,
        'Count the things that are of one colour or another.',
        _count_colours,
    ),
    'arithmetic': (0.0, 'Give the number that is left.', _arithmetic),
    'sorting_down': (0.0, 'Sort the numbers.', _sort_down),
    'second_tallest': (25.0, 'Put all in order.', _second_tallest),
}
_LANGUAGE: _Subtasks = {
    'coloured_things': (
        100 / 3,
        'Name the one that has the thing of this colour.',
        _coloured_things,
    ),
    'places_before': (100 / 3, 'Name the place of the thing before another place.', _places_before),
    'two_facts': (50.0, 'Answer yes or no.', _two_facts),
    'odd_colour': (25.0, 'Name the odd thing.', _odd_colour),
}
_SUBTASKS = _LANGUAGE | _ALGORITHMIC


def _open(folder: pathlib.Path | None) -> Sequence[MiniBbhTask]:
    return [
        MiniBbhTask(name, description, make) for name, (_, description, make) in _SUBTASKS.items()
    ]


SUITES = [
    SuiteDefinition(
        name=NAME,
        folder='',
        protocols={'direct': Protocol(SHOTS), 'cot': Protocol(SHOTS)},
        chances={name: chance for name, (chance, *_) in _SUBTASKS.items()},
        open_tasks=_open,
        groups={'nlp': tuple(_LANGUAGE), 'alg': tuple(_ALGORITHMIC)},
    )
]
