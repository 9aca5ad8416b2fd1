"""OPT-IML's averages (Iyer et al. 2022, section 4) by level of generalization, from the one tidy table.

Each step is an unweighted mean: templates of a subtask; subtasks of a task in one collection; that task over the collections
that have it; tasks of a category; and, for a level, all its category scores at all numbers of shots (0 and 5). By collection
instead of by category, tasks are averaged within each collection. What an average lacks is named in it.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.scores import Score, ScoreTable

SHOTS = (0, 5)
# Those of `flan_tune.tasks.opt_iml.bench`, which need TensorFlow to be imported.
LEVELS = ('fully_held_out', 'partially_supervised', 'fully_supervised')
BY = ('category', 'collection')
# What is reported of a task that does not say so.
METRICS = ('accuracy', 'rougeL', 'exact_match')


@dataclasses.dataclass(frozen=True)
class Described:
    """What a row of the table is a score of.

    Attributes:
        task: what it is a subtask of, such as 'COPA'; the same name in several collections is one task.
        category, collection, level: see `flan_tune.tasks.opt_iml.bench`.
        metric: the metric that counts; '' for the first of METRICS that it has.
    """

    task: str
    category: str
    collection: str
    level: str
    metric: str = ''


@dataclasses.dataclass(frozen=True)
class LevelScores:
    """The scores of one level of generalization.

    Attributes:
        level: its name.
        average: the mean over all groups and numbers of shots.
        by_shots: shots -> mean over the groups.
        groups: category or collection -> shots -> mean over its tasks.
        tasks: group -> task -> shots -> score.
        missing: what has no score: a subtask, or a subtask at some number of shots.
    """

    level: str
    average: float
    by_shots: Mapping[int, float]
    groups: Mapping[str, Mapping[int, float]]
    tasks: Mapping[str, Mapping[str, Mapping[int, float]]]
    missing: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        return bool(self.missing)


def bench_descriptions(split: str = 'validation') -> dict[str, Described]:
    """Returns name -> description of the tasks of OPT-IML Bench that are registered and evaluated.

    Those of the paper's validation rows are named and measured as it prints them.

    Args:
        split: 'validation' or 'test'.
    """
    from flan_tune.tasks.opt_iml import bench

    if split not in ('validation', 'test'):
        raise UserError(f'OPT-IML evaluates on validation and test, not on {split!r}')
    tasks = {task.name: task for task in bench.bench_tasks() if task.split == split}
    rows = {name: row for row, names in bench.validation_rows().items() for name in names}
    return {
        name: Described(
            task=rows[name].task if name in rows else name,
            category=task.category,
            collection=task.collection,
            level=task.level,
            metric=rows[name].metric if name in rows else '',
        )
        for name, task in tasks.items()
    }


def opt_iml_averages(
    table: ScoreTable,
    described: Mapping[str, Described],
    *,
    by: str = 'category',
    shots: Sequence[int] = SHOTS,
    checkpoint: str | None = None,
) -> dict[str, LevelScores]:
    """Returns level -> its scores, for the levels that the table has scores of.

    Args:
        table: rows of the tasks that `described` names; other rows do not matter.
        described: what each task is, such as `bench_descriptions()`.
        by: what tasks are averaged in: 'category' or 'collection'.
        shots: numbers of exemplars that count.
        checkpoint: whose scores; needed where the table has those of several.

    Raises:
        UserError: the table has no score of these tasks, or those of several checkpoints or protocols.
    """
    if by not in BY:
        raise UserError(
            f'tasks are averaged by {" or ".join(BY)}, not {by!r}.{did_you_mean(by, BY)}'
        )
    rows = [
        row
        for row in table
        if row.task in described and row.shots in shots and checkpoint in (None, row.checkpoint)
    ]
    if not rows:
        raise UserError(
            f'the table has no score of the {len(described)} tasks at {" or ".join(map(str, shots))} shots'
        )
    _check_one(rows, 'checkpoint')
    levels: dict[str, dict[str, Described]] = {}
    for name, what in described.items():
        levels.setdefault(what.level, {})[name] = what
    found = {}
    for level, members in levels.items():
        theirs = [row for row in rows if row.task in members]
        if theirs:
            found[level] = _level(level, members, _subtasks(theirs, members), by, shots)
    return found


def as_json(levels: Mapping[str, LevelScores]) -> dict[str, Any]:
    """Returns what JSON can hold, with `partial`."""
    return {
        name: dataclasses.asdict(scores) | {'partial': scores.partial}
        for name, scores in levels.items()
    }


def _subtasks(
    rows: Iterable[Score], members: Mapping[str, Described]
) -> dict[tuple[str, int], float]:
    """The score of each subtask at each number of shots: the mean over its templates."""
    by_subtask: dict[tuple[str, int], list[Score]] = {}
    for row in rows:
        by_subtask.setdefault((row.task, row.shots), []).append(row)
    found = {}
    for (name, shots), theirs in by_subtask.items():
        there = {row.metric for row in theirs}
        wanted = members[name].metric
        metric = wanted or next((m for m in METRICS if m in there), None)
        if metric in there:
            counted = [row for row in theirs if row.metric == metric]
            _check_one(counted, 'protocol')
            found[name, shots] = _mean(row.value for row in counted)
    return found


def _level(
    level: str,
    members: Mapping[str, Described],
    subtasks: Mapping[tuple[str, int], float],
    by: str,
    shots: Sequence[int],
) -> LevelScores:
    if not subtasks:
        raise UserError(f'{level}: no row of the table is in a metric that counts for its task')
    # Group -> task -> collection -> shots -> scores of subtasks.
    nested: dict[str, dict[str, dict[str, dict[int, list[float]]]]] = {}
    for (name, count), value in subtasks.items():
        what = members[name]
        collections = nested.setdefault(getattr(what, by), {}).setdefault(what.task, {})
        collections.setdefault(what.collection, {}).setdefault(count, []).append(value)
    tasks = {
        group: {task: _over_collections(found) for task, found in sorted(theirs.items())}
        for group, theirs in sorted(nested.items())
    }
    groups = {
        group: {
            count: _mean(scores[count] for scores in theirs.values() if count in scores)
            for count in sorted({count for scores in theirs.values() for count in scores})
        }
        for group, theirs in tasks.items()
    }
    counts = sorted({count for scores in groups.values() for count in scores})
    lacking = [
        f'{name} at {count} shots'
        for name in sorted(members)
        for count in shots
        if (name, count) not in subtasks
    ]
    return LevelScores(
        level=level,
        average=_mean(value for scores in groups.values() for value in scores.values()),
        by_shots={
            count: _mean(scores[count] for scores in groups.values() if count in scores)
            for count in counts
        },
        groups=groups,
        tasks=tasks,
        missing=tuple(lacking),
    )


def _over_collections(found: Mapping[str, Mapping[int, Sequence[float]]]) -> dict[int, float]:
    """The score of a task at each number of shots: the mean over collections of the means over subtasks."""
    return {
        count: _mean(_mean(scores[count]) for scores in found.values() if count in scores)
        for count in sorted({count for scores in found.values() for count in scores})
    }


def _check_one(rows: Sequence[Score], column: str) -> None:
    values = sorted({getattr(row, column) for row in rows})
    if len(values) > 1:
        raise UserError(
            f'the table has {column} {", ".join(values)} of {rows[0].task}; say which, or select the rows first'
        )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
