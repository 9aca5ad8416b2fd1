"""Two runs side by side, question by question, from their predictions: intervals and paired differences."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.prediction_files import FOLDER, read_rows
from flan_tune.evaluation.protocol_names import is_asked, plain_protocol
from flan_tune.evaluation.recorded.scoring import recorded_scores
from flan_tune.evaluation.resampling import Comparison, compare, mean_interval
from flan_tune.evaluation.suites.definition import find_suite, suite_names
from flan_tune.reporting.comparison import checkpoint_of, checkpoint_order

MEAN = ''

# (suite, protocol, shots, metric), and task -> question -> percent.
Setting = tuple[str, str, int, str]
Columns = Mapping[str, Mapping[Any, float]]


@dataclasses.dataclass(frozen=True)
class Side:
    """A score with its bootstrap interval, in percent."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two runs on the questions of one task that both have answered; the mean over tasks has the task ''."""

    suite: str
    protocol: str
    shots: int
    metric: str
    task: str
    first: Side
    second: Side
    comparison: Comparison


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run has answered.

    Attributes:
        name: as it was given.
        checkpoint: whose answers.
        columns: for each setting its tasks' scores by question, in percent.
    """

    name: str
    checkpoint: str
    columns: Mapping[Setting, Columns]


def open_run(
    name: str,
    suites: Sequence[str] = (),
    protocols: Sequence[str] = (),
    shots: int | None = None,
) -> Run:
    """Reads the predictions of a run, of its latest checkpoint or of the one behind '@'.

    Args:
        name: a run's folder, or FOLDER@CHECKPOINT, e.g. runs/a@step_500; or a file or folder of recorded predictions of
            any system, with exactly one suite and protocol.
        suites: those to compare; by default all.
        protocols: the same.
        shots: the same.

    Raises:
        UserError: no such folder or checkpoint, or no predictions in it.
    """
    path, checkpoint = _split(name)
    folder = epath.Path(path).expanduser()
    if (folder / FOLDER).is_dir():
        return _of_run(name, folder, checkpoint, (suites, protocols, shots))
    if not folder.exists():
        raise UserError(f'{path}: no such run')
    if len(suites) != 1 or len(protocols) != 1:
        raise UserError(
            f'{path}: no run, for it has no folder {FOLDER}; for recorded predictions name one --suite and one '
            '--protocol'
        )
    scores = recorded_scores(suites[0], protocols[0], shots, path)
    metric = scores.suite.definition.protocol(plain_protocol(protocols[0])).metric
    setting = (suites[0], scores.protocol, scores.shots, metric)
    return Run(name, scores.checkpoint, {setting: scores.columns()})


def compare_runs(first: Run, second: Run) -> list[Pair]:
    """Returns each task of each setting that both runs have, and the mean over tasks behind them.

    A suite's mean is over the tasks that its published score is the mean of.

    Raises:
        UserError: the runs have no setting, or no question, in common.
    """
    shared = [setting for setting in first.columns if setting in second.columns]
    if not shared:
        raise UserError(
            f'nothing to compare: {first.name} has {_settings(first)}; {second.name} has {_settings(second)}'
        )
    pairs = []
    for setting in shared:
        columns = first.columns[setting], second.columns[setting]
        tasks = [t for t in columns[0] if t in columns[1] and columns[0][t].keys() & columns[1][t]]
        pairs += [_pair(setting, task, [task], columns) for task in tasks]
        averaged = [task for task in tasks if _counts(setting[0], task)]
        if len(averaged) > 1:
            pairs.append(_pair(setting, MEAN, averaged, columns))
    if not pairs:
        raise UserError(
            f'nothing to compare: {first.name} and {second.name} have answered no question in common'
        )
    return pairs


def as_json(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Returns pairs as JSON can hold them."""
    return [dataclasses.asdict(pair) for pair in pairs]


def _pair(
    setting: Setting, task: str, tasks: Sequence[str], columns: tuple[Columns, Columns]
) -> Pair:
    chosen = [{name: side[name] for name in tasks} for side in columns]
    found = compare(*chosen)
    sides = []
    for side in chosen:
        values = [
            [side[name][index] for index in sorted(chosen[0][name].keys() & chosen[1][name].keys())]
            for name in sorted(tasks)
        ]
        mean = sum(sum(v) / len(v) for v in values) / len(values)
        sides.append(Side(mean, *mean_interval(values)))
    return Pair(*setting, task, *sides, found)


def _split(name: str) -> tuple[str, str]:
    """Splits FOLDER@CHECKPOINT, unless a folder is called so."""
    path, mark, checkpoint = name.rpartition('@')
    if not mark or epath.Path(name).expanduser().exists():
        return name, ''
    return path, checkpoint


def _of_run(
    name: str, folder: epath.Path, checkpoint: str, wanted: tuple[Sequence[str], Sequence[str], Any]
) -> Run:
    rows = [
        row
        for path in sorted((folder / FOLDER).glob('*.jsonl'))
        for row in read_rows(path)
        if _is_wanted(row, *wanted)
    ]
    names = sorted({checkpoint_of(row) for row in rows}, key=checkpoint_order)
    if not names:
        raise UserError(f'{name}: no predictions of what is to be compared in {folder / FOLDER}')
    checkpoint = checkpoint or names[-1]
    if checkpoint not in names:
        near = did_you_mean(checkpoint, names)
        raise UserError(f'{name}: no checkpoint {checkpoint!r}: {", ".join(names)}.{near}')
    columns: dict[Setting, dict[str, dict[Any, float]]] = {}
    for row in rows:
        if checkpoint_of(row) == checkpoint:
            setting, value = _score(row)
            of_task = columns.setdefault(setting, {}).setdefault(str(row.get('task', '')), {})
            of_task[row['index']] = 100 * value
    return Run(name, checkpoint, columns)


def _is_wanted(
    row: Mapping[str, Any], suites: Sequence[str], protocols: Sequence[str], shots: int | None
) -> bool:
    return (
        isinstance(row.get('index'), int)
        and ('scores' in row or 'correct' in row)
        and (not suites or row.get('suite') in suites)
        and is_asked(str(row.get('protocol', '')), protocols)
        and shots in (None, row.get('shots'))
    )


def _score(row: Mapping[str, Any]) -> tuple[Setting, float]:
    """The setting of a prediction, and its score in the suite's metric; that of a registered task is right or wrong."""
    suite, protocol = str(row.get('suite', '')), str(row.get('protocol', ''))
    shots = int(row.get('shots', 0))
    if 'scores' not in row:
        metric = 'accuracy' if protocol == 'rank' else 'exact_match'
        return (suite, protocol, shots, metric), float(row['correct'])
    protocols = find_suite(suite).protocols if suite in suite_names() else {}
    known = protocols.get(plain_protocol(protocol))
    metric = known.metric if known else next(iter(row['scores']))
    return (suite, protocol, shots, metric), float(row['scores'][metric])


def _counts(suite: str, task: str) -> bool:
    return suite not in suite_names() or task in find_suite(suite).chances


def _settings(run: Run) -> str:
    names = [
        f'{suite or "tasks"} {protocol} {shots}-shot' for suite, protocol, shots, _ in run.columns
    ]
    return ', '.join(names) or 'nothing'
