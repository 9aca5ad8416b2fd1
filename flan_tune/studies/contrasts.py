"""Contrasts of scores: weighted sums over points of a study, paired by seed and held-out task, with their verdicts.

The mean of a contrast has a 95% interval over seeds and tasks (`two_way_interval`). Above the margin that a rule asks
for a finding held, below it it did not; where the interval has the margin inside, or rests on fewer seeds than the
rule wants, nothing is decided.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from flan_tune.errors import UserError
from flan_tune.studies.grid import Point
from flan_tune.studies.results import Cells, MissingError, Results
from flan_tune.studies.statistics import two_way_interval

Verdict = Literal['held', 'did not hold', 'inconclusive', 'missing']
Where = Mapping[str, Any]
# A measure's value at a point: weight, measure, point, checkpoint.
Term = tuple[float, str, Point, str | None]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a rule makes of the results.

    Attributes:
        verdict: 'held', 'did not hold', 'inconclusive' or 'missing'.
        estimate, low, high: the contrast and the ends of its interval, in `unit`; NaN where unknown.
        unit: of these.
        seeds, tasks: how many the interval rests on.
        details: what else a reader should know, a line each.
        parts: of a rule that is made of several, in the place of an estimate.
        missing: labels of runs without scores.
    """

    verdict: Verdict
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    unit: str = 'points'
    seeds: int = 0
    tasks: int = 0
    details: Sequence[str] = ()
    parts: Mapping[str, 'Outcome'] = dataclasses.field(default_factory=dict)
    missing: Sequence[str] = ()

    def text(self) -> str:
        """'+5.2 points (95% interval +3.1 to +7.3; 3 seeds, 30 tasks)', or that of each part."""
        if self.parts:
            return '; '.join(f'{name}: {one.text()}' for name, one in self.parts.items())
        if math.isnan(self.estimate):
            return '–'
        interval = 'no interval'
        if not math.isnan(self.low):
            interval = f'95% interval {self.low:+.1f} to {self.high:+.1f}'
        counts = f'{_count(self.seeds, "seed")}, {_count(self.tasks, "task")}'
        return f'{self.estimate:+.1f} {self.unit} ({interval}; {counts})'


class Contrast:
    """What the rules below share; a rule gives `terms`."""

    score: str
    margin: float = 0.0
    min_seeds: int = 2

    def terms(self, results: Results) -> list[list[Term]]:
        """Returns the contrast's terms, once for each place that it is averaged over."""
        raise NotImplementedError

    def check(self, results: Results) -> None:
        """Raises a UserError where the study has not the points and scores that the rule names."""
        for group in self.terms(results):
            for _, name, _, _ in group:
                results.measure(name)

    def __call__(self, results: Results) -> Outcome:
        groups, missing = [], []
        for terms in self.terms(results):
            groups.append([])
            for weight, name, point, checkpoint in terms:
                try:
                    groups[-1].append((weight, results.cells(name, point, checkpoint)))
                except MissingError as error:
                    missing += error.labels
        if missing:
            return Outcome('missing', missing=list(dict.fromkeys(missing)))
        values = np.mean([_paired(group) for group in _same_cells(groups)], axis=0)
        if values.size == 0:
            return Outcome('inconclusive', details=['no seed has all of the scores'])
        found = two_way_interval(values)
        verdict = _verdict(found.low, found.high, self.margin)
        seeds, tasks = values.shape
        if seeds < self.min_seeds:
            verdict = 'inconclusive'
        margin = [f'margin {self.margin:+g} points'] if self.margin else []
        return Outcome(verdict, found.mean, found.low, found.high, 'points', seeds, tasks, margin)


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return 'held'
    return 'did not hold' if high < margin else 'inconclusive'


def _same_cells(groups: Sequence[list[tuple[float, Cells]]]) -> list[list[tuple[float, Cells]]]:
    """The groups over the seeds that all of their terms have; over means where their tasks differ."""
    seeds = [{seed for seed, _ in cells} for group in groups for _, cells in group]
    seeded = [found for found in seeds if found != {None}]
    shared = sorted(set.intersection(*seeded)) if seeded else [None]
    spread = [
        [
            (
                weight,
                {
                    (seed, task): value
                    for (given, task), value in cells.items()
                    for seed in ([given] if given is not None else shared)
                    if seed in shared
                },
            )
            for weight, cells in group
        ]
        for group in groups
    ]
    keys = {frozenset(cells) for group in spread for _, cells in group}
    if len(keys) == 1:
        return spread
    return [
        [
            (
                weight,
                {
                    (seed, ''): float(np.mean([v for (s, _), v in cells.items() if s == seed]))
                    for seed in shared
                },
            )
            for weight, cells in group
        ]
        for group in spread
    ]


def _paired(group: Sequence[tuple[float, Cells]]) -> np.ndarray:
    """The weighted sum of terms with the same cells, as an array [seeds, tasks]."""
    seeds = list(dict.fromkeys(seed for seed, _ in group[0][1]))
    tasks = sorted({task for _, task in group[0][1]})
    return np.array(
        [
            [sum(weight * cells[seed, task] for weight, cells in group) for task in tasks]
            for seed in seeds
        ]
    )


def rest(point: Point, named: set[str]) -> tuple[tuple[str, str], ...]:
    """The labels of a point that a rule does not name: where it is paired."""
    return tuple((axis, label) for axis, label in point.labels if axis not in named)


def one_each(points: Sequence[Point], named: set[str], place: Where) -> Sequence[Point]:
    """Raises a UserError if two points differ in what is named only: an axis with several labels, or the run."""
    if len({rest(point, named) for point in points}) < len(points):
        shown = ', '.join(f'{p.run} {dict(p.labels)}' for p in points[:3])
        raise UserError(f'{dict(place)} is not one place: {shown}; say which (also run=NAME).')
    return points


def ladders(results: Results, axis: str, labels: Sequence[str], where: Where) -> list[list[Point]]:
    """The points along an axis in rising order, once for each place on the axes that are not named."""
    place = {name: label for name, label in where.items() if name != 'checkpoint'}
    labels = [str(label) for label in labels] or None
    results.check_axis(axis)
    points = results.select(place | ({axis: labels} if labels else {}))
    points = [point for point in points if axis in dict(point.labels)]
    # What lies on the axis only by `labels` of its run, such as the model before tuning, stands first.
    known = labels or [*dict.fromkeys(dict(p.labels)[axis] for p in points)]
    if labels is None:
        order = results.axes.get(axis, [])
        known.sort(key=lambda label: order.index(label) if label in order else -1)
    found: dict[tuple, list[Point]] = {}
    for point in sorted(points, key=lambda p: known.index(dict(p.labels)[axis])):
        found.setdefault(rest(point, {axis, *where}), []).append(point)
    for ladder in found.values():
        if [dict(p.labels)[axis] for p in ladder] != known or len(known) < 2:
            raise UserError(
                f'{axis!r} at {dict(where)}: every place needs one run for each of {", ".join(known)}; '
                'say in `where` or `labels` which are meant (also run=NAME).'
            )
    return [*found.values()]


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"" if number == 1 else "s"}'
