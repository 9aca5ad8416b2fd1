"""Days: which comes after or before another one."""

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask, reasoned


def _day(step: int):
    def make(draws: Draws) -> dict:
        i = draws.integer(7)
        way = [world.DAYS[(i + k * (1 if step > 0 else -1)) % 7] for k in range(abs(step) + 1)]
        name, other = world.some(draws, world.NAMES, 2)
        side = 'after' if step > 0 else 'before'
        steps = (f'The day {side} {a} is {b}.' for a, b in zip(way, way[1:], strict=False))
        return {
            'name': name,
            'other': other,
            'day': way[0],
            'rationale': ' '.join(steps),
            'answer': way[-1],
            'options': world.options(draws, way[-1], [day for day in world.DAYS if day != way[0]]),
        }

    return make


def _templates(what: str) -> tuple[str, ...]:
    return (
        f'{{name}} comes on {{day}}, and {{other}} {what} that. On which day does {{other}} come?',
        f'{{name}} and {{other}} ask: which day is {what} {{day}}?',
        f'Name the day {what} {{day}} for {{name}} and {{other}}.',
        f'It is {{day}}. {{name}} asks {{other}} which day is {what} this.',
        f'Tell {{name}} and {{other}} the day that is {what} {{day}}.',
    )


def day_task(name: str, step: int, what: str, held_out: bool = False) -> MiniTask:
    """Returns the task of naming the day so many steps on; more than one are reasoned."""
    templates = _templates(what)
    steps = reasoned(templates) if abs(step) > 1 else ()
    return MiniTask(name, _day(step), templates, steps, held_out)


TASKS = [
    day_task('day_after', 1, 'one day after'),
    day_task('day_before', -1, 'one day before'),
    day_task('two_days_after', 2, 'two days after'),
    day_task('two_days_before', -2, 'two days before', held_out=True),
]
