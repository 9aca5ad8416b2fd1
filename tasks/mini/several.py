"""Several: chains of up to four steps, which an answer given at once can hardly hold.

One, two and four steps are trained, three are held out.
"""

from collections.abc import Callable

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.days import day_task
from flan_tune.tasks.mini.definition import MiniTask, reasoned
from flan_tune.tasks.mini.gifts import WHO
from flan_tune.tasks.mini.numbers import near

TRAINED, HELD_OUT = (1, 2, 4), 3


def _coins(steps: int):
    """Coins that are found and lost."""

    def make(draws: Draws) -> dict:
        name, total = draws.choice(world.NAMES), 4 + draws.integer(9)
        story, rationale = [f'{name} has {total} coins.'], []
        for _ in range(steps):
            change = 1 + draws.integer(3)
            finds = change > total or draws.integer(2)
            story.append(f'{name} {"finds" if finds else "loses"} {change}.')
            after = total + change if finds else total - change
            rationale.append(f'{total} {"plus" if finds else "minus"} {change} is {after}.')
            total = after
        return {
            'story': ' '.join(story),
            'name': name,
            'rationale': ' '.join(rationale),
            'answer': str(total),
            'options': near(draws, total),
        }

    return make


def _numbers(steps: int):
    """A number that is doubled, or has one added, again and again."""

    def make(draws: Draws) -> dict:
        number = 1 + draws.integer(4)
        story, rationale = [f'The number is {number}.'], []
        for _ in range(steps):
            if doubled := draws.integer(2):
                story.append('Double it.')
            else:
                story.append('Add one to it.')
            after = 2 * number if doubled else number + 1
            said = f'Two times {number}' if doubled else f'{number} plus 1'
            rationale.append(f'{said} is {after}.')
            number = after
        return {
            'story': ' '.join(story),
            'name': draws.choice(world.NAMES),
            'rationale': ' '.join(rationale),
            'answer': str(number),
            'options': near(draws, number),
        }

    return make


def _swapped(steps: int):
    """Two of three people swap what they have, again and again."""

    def make(draws: Draws) -> dict:
        people, things = world.some(draws, world.NAMES, 3), world.some(draws, world.THINGS, 3)
        story = [f'{who} has the {what}.' for who, what in zip(people, things, strict=True)]
        holder = draws.choice(people)
        thing = things[people.index(holder)]
        rationale = [f'{holder} has the {thing}.']
        for _ in range(steps):
            a, b = world.some(draws, people, 2)
            story.append(f'{a} and {b} swapped.')
            holder = {a: b, b: a}.get(holder, holder)
            rationale.append(f'{holder} has the {thing}.')
        return {
            'story': ' '.join(story),
            'thing': thing,
            'rationale': ' '.join(rationale),
            'answer': holder,
            'options': draws.shuffled(people),
        }

    return make


def _after(steps: int):
    """People in a row, told in any order."""

    def make(draws: Draws) -> dict:
        people = world.some(draws, world.NAMES, steps + 2)
        links = [f'{b} is after {a}.' for a, b in zip(people, people[1:], strict=False)]
        return {
            'story': ' '.join(draws.shuffled(links)),
            'name': people[0],
            'number': str(steps),
            'rationale': ' '.join(links[:steps]),
            'answer': people[steps],
            'options': draws.shuffled(people[1:]),
        }

    return make


_COINS = (
    '{story} How many coins has {name} now?',
    'Story: {story}\nTell me how many coins {name} has in the end.',
    '{story}\nSay how many coins are left.',
    'Story: {story}\nHow many coins are there, all in all?',
    'Read this. {story} Give the number of coins of {name}.',
)
_NUMBERS = (
    '{story} What is the number now? {name} asks.',
    'Tell {name} the number in the end.\n{story}',
    '{name} says: {story} Which number is it after all?',
    '{story}\nGive {name} the number that it is now.',
    'Read this. {story} Name the number for {name}.',
)
_AFTER = (
    '{story} Who is {number} steps after {name}?',
    'Story: {story}\nName the one that is {number} steps after {name}.',
    '{story}\nWhich one of them is {number} after {name}?',
    'Story: {story}\nTell me who comes {number} steps after {name}.',
    'Read this. {story} Give the name of the one {number} steps after {name}.',
)


def _tasks(name: str, make: Callable, templates: tuple[str, ...]) -> list[MiniTask]:
    return [
        MiniTask(f'{name}_{n}', make(n), templates, reasoned(templates), n == HELD_OUT)
        for n in (*TRAINED, HELD_OUT)
    ]


TASKS = [
    *_tasks('coins', _coins, _COINS),
    *_tasks('numbers', _numbers, _NUMBERS),
    *_tasks('swapped', _swapped, WHO),
    *_tasks('after', _after, _AFTER),
    day_task('days_after_4', 4, '4 days after'),
    day_task('days_after_3', 3, '3 days after', held_out=True),
]
