"""The scores of a study: one tidy table, and measures that make numbers of it, seed by seed and task by task."""

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.scores import COLUMNS, Score, ScoreTable
from flan_tune.studies.grid import Axes, Job, Point, as_labels
from flan_tune.studies.plans import EFFORT
from flan_tune.studies.statistics import standard_error

# Seed (None: shared by all) and task ('': no single one) -> value.
Cells = dict[tuple[int | None, str], float]


class MissingError(Exception):
    """Runs without scores; `labels` says which."""

    def __init__(self, labels: Sequence[str]):
        super().__init__(', '.join(labels))
        self.labels = list(labels)


@dataclasses.dataclass(frozen=True)
class Measure:
    """Which rows of the runs' tables of scores make one number: their mean over tasks, or an average that papers report.

    Attributes:
        metric: such as 'exact_match'; None: whatever the rows have, as for 'rank' and 'generate' of a suite.
        suite: of the rows; None: any but 'run', which has what a run took (parameters, tokens, train_flops, seconds).
        protocol: 'direct', 'cot' or 'rank'; None: any.
        shots: exemplars; None: any.
        tasks: patterns of names, such as 'mini_owning_*'; empty: all.
        categories: of the tasks as they are registered; empty: all.
        tasks_module: registers them; needed for categories.
        checkpoint: 'after', 'before' or 'step_N'.
        aggregate: in place of all that: the name of an average ('normalized_average', 'cot_average',
            'non_cot_average') or mean ('bbh-cot-nlp') of `flan_tune.evaluation.averages.flan2022`.
        normalized: whether such a mean is set between guessing (0) and perfect (100).
        unit: of the number.
    """

    metric: str | None = 'exact_match'
    suite: str | None = None
    protocol: str | None = None
    shots: int | None = None
    tasks: str | Sequence[str] = ()
    categories: Sequence[str] = ()
    tasks_module: str | None = None
    checkpoint: str = 'after'
    aggregate: str | None = None
    normalized: bool = True
    unit: str = '% exact match'

    def cells(self, table: ScoreTable, checkpoint: str | None = None) -> dict[str, float]:
        """Returns task -> value, templates and other rows of a task averaged; empty where the table has none."""
        checkpoint = checkpoint or self.checkpoint
        if self.aggregate:
            return self._aggregate(table, checkpoint)
        wanted = {
            'checkpoint': checkpoint,
            'metric': self.metric,
            'suite': self.suite,
            'protocol': self.protocol,
            'shots': self.shots,
        }
        rows = table.select(**{name: value for name, value in wanted.items() if value is not None})
        by_task: dict[str, list[float]] = {}
        for row in rows:
            if self._counts(row.task) and (self.suite or row.suite != EFFORT):
                by_task.setdefault(row.task, []).append(row.value)
        return {task: float(np.mean(values)) for task, values in by_task.items()}

    def _counts(self, task: str) -> bool:
        patterns = [self.tasks] if isinstance(self.tasks, str) else self.tasks
        if patterns and not any(fnmatch.fnmatchcase(task, pattern) for pattern in patterns):
            return False
        return not self.categories or _category(task, self.tasks_module) in self.categories

    def _aggregate(self, table: ScoreTable, checkpoint: str) -> dict[str, float]:
        from flan_tune.evaluation.averages.flan2022 import aggregates

        found = aggregates(table, checkpoint=checkpoint)
        if one := found['averages'].get(self.aggregate):
            return {'': one['value' if self.normalized else 'raw']}
        if one := found['suites'].get(self.aggregate):
            return {'': one['normalized' if self.normalized else 'raw']}
        return {}


def _category(task: str, module: str | None) -> str:
    import seqio

    from flan_tune.data import mixtures
    from flan_tune.data.config import import_tasks

    if module is None:
        raise UserError('Measure.categories: name the module of the tasks: Measure.tasks_module.')
    import_tasks(module)
    return mixtures.describe(seqio.TaskRegistry.get(task), None).category


@dataclasses.dataclass(frozen=True)
class Summary:
    """The mean of a measure over seeds: `error` is its standard error, NaN for one seed."""

    mean: float
    error: float
    seeds: int
    tasks: int


class Results:
    """What a study has found so far.

    Attributes:
        axes: axis -> labels.
        points: all places of the grid.
        seeds: of the study.
        measures: by name.
        missing: labels of the jobs that have no scores.
    """

    def __init__(
        self,
        axes: Axes,
        jobs: Sequence[Job],
        seeds: Sequence[int],
        measures: Mapping[str, Measure],
        tables: Mapping[str, ScoreTable],
        without_scores: Iterable[str] = (),
    ):
        """`tables` has those of the jobs that are done, by label; runs `without_scores` are to have none."""
        self.axes = {axis: [str(label) for label in points] for axis, points in axes.items()}
        self.seeds, self.measures = list(seeds), measures
        silent = {*without_scores}
        self._jobs = [job for job in jobs if job.point.run not in silent]
        self._tables = tables
        self.points = list(dict.fromkeys(job.point for job in self._jobs))
        self.missing = [job.label for job in self._jobs if job.label not in tables]

    def select(self, where: Mapping[str, Any]) -> list[Point]:
        """Returns the points at `where` (axis, or 'run', -> a label or several), never none.

        Raises:
            UserError: there is no such axis or point.
        """
        runs = {point.run for point in self.points}
        for axis, labels in where.items():
            self.check_axis(axis)
            known = sorted(runs) if axis == 'run' else [*self.axes.get(axis, ())]
            known += [label for p in self.points for a, label in p.labels if a == axis]
            for label in as_labels(labels):
                if label not in known:
                    near = did_you_mean(label, known)
                    raise UserError(f'no run of the study has {axis}={label}.{near}')
        found = [point for point in self.points if point.matches(where)]
        if not found:
            raise UserError(f'no run of the study lies at {dict(where)}')
        return found

    def check_axis(self, axis: str) -> None:
        """Raises a UserError where neither the study nor a run's labels have such an axis."""
        known = ['run', *self.axes, *(axis for point in self.points for axis, _ in point.labels)]
        if axis not in known:
            raise UserError(f'the study has no axis {axis!r}.{did_you_mean(axis, known)}')

    def measure(self, name: str) -> Measure:
        if name not in self.measures:
            raise UserError(f'the study has no score {name!r}.{did_you_mean(name, self.measures)}')
        return self.measures[name]

    def cells(self, name: str, point: Point, checkpoint: str | None = None) -> Cells:
        """Returns (seed, task) -> value of a measure at a point, for the seeds that are there.

        Raises:
            MissingError: no seed is.
        """
        measure, absent, found = self.measure(name), [], {}
        for job in (job for job in self._jobs if job.point == point):
            cells = measure.cells(self._tables.get(job.label, ScoreTable()), checkpoint)
            found |= {(job.seed, task): value for task, value in cells.items()}
            absent += [] if cells else [job.label]
        if not found:
            raise MissingError(absent)
        return found

    def summary(self, name: str, point: Point, checkpoint: str | None = None) -> Summary:
        """Returns a measure at a point: the mean over tasks, then over seeds."""
        cells = self.cells(name, point, checkpoint)
        seeds = dict.fromkeys(seed for seed, _ in cells)
        means = [np.mean([v for (s, _), v in cells.items() if s == seed]) for seed in seeds]
        tasks = len({task for _, task in cells})
        return Summary(float(np.mean(means)), standard_error(np.array(means)), len(means), tasks)

    def rows(self) -> list[dict[str, Any]]:
        """Returns the tidy table: run, axes, seed, then the columns of the tables of scores."""
        rows = []
        for job in self._jobs:
            place = {axis: '' for axis in self.axes} | dict(job.point.labels)
            for score in self._tables.get(job.label, ()):
                seed = '' if job.seed is None else job.seed
                rows.append({'run': job.point.run, **place, 'seed': seed, **_columns(score)})
        return rows

    def measured(self) -> list[dict[str, Any]]:
        """Returns a row for each point and measure that it has: mean, standard error, n_seeds, n_tasks."""
        rows = []
        for point in self.points:
            for name in self.measures:
                try:
                    found = self.summary(name, point)
                except MissingError:
                    continue
                error = None if math.isnan(found.error) else found.error
                rows.append(
                    {
                        'run': point.run,
                        **{axis: '' for axis in self.axes},
                        **dict(point.labels),
                        'score': name,
                        'mean': found.mean,
                        'standard_error': error,
                        'n_seeds': found.seeds,
                        'n_tasks': found.tasks,
                    }
                )
        return rows


def read_tables(
    jobs: Iterable[Job], efforts: Mapping[str, Iterable[Score]]
) -> dict[str, ScoreTable]:
    """Returns label -> table of scores of the jobs that are done: what its folder has, and its row in `efforts`."""
    tables = {}
    for job in jobs:
        if job.label in efforts:
            path = epath.Path(job.folder) / 'scores.json'
            table = ScoreTable.read(path) if path.exists() else ScoreTable()
            tables[job.label] = table.merge(efforts[job.label])
    return tables


def _columns(score: Score) -> dict[str, Any]:
    return {name: getattr(score, name) for name in COLUMNS}
