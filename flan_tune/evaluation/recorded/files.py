"""Which files of recorded predictions there are, and what was asked: TASK.jsonl of any system, SUITE.TASK.jsonl of ours."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.files import read_jsonl
from flan_tune.evaluation.prediction_files import FOLDER
from flan_tune.evaluation.protocol_names import is_asked
from flan_tune.evaluation.suites.definition import Suite, SuiteTask, suite_names
from flan_tune.reporting.comparison import checkpoint_order

# What every line of our own files has.
_MARKS = ('checkpoint', 'suite', 'protocol', 'shots', 'run')


@dataclasses.dataclass(frozen=True)
class Found:
    """The files of predictions for a suite.

    Attributes:
        files: of each task, in the suite's order.
        without_questions: tasks of the suite that have a file, but no questions here.
    """

    files: Mapping[str, pathlib.Path]
    without_questions: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What one run of ours was asked: protocol as tables name it, exemplars, and of which checkpoint."""

    protocol: str
    shots: int
    checkpoint: str

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a line belongs to it; those of other systems say nothing, and do."""
        return not is_marked(row) or self == _setting(row)


def split_checkpoint(path: str | pathlib.Path) -> tuple[pathlib.Path, str]:
    """Splits PATH@CHECKPOINT, unless something is called so; a run's folder stands for its predictions."""
    name, mark, checkpoint = str(path).rpartition('@')
    if not mark or pathlib.Path(path).expanduser().exists():
        name, checkpoint = str(path), ''
    found = pathlib.Path(name).expanduser()
    inner = found / FOLDER
    return (inner if inner.is_dir() and not any(found.glob('*.jsonl')) else found), checkpoint


def is_marked(row: Any) -> bool:
    """Whether a line is one that a run of ours has written."""
    return isinstance(row, dict) and all(name in row for name in _MARKS)


def find_files(suite: Suite, path: pathlib.Path) -> Found:
    """Finds the file of each task.

    Raises:
        UserError: nothing is there, a file is of no task of the suite, or two are of one.
    """
    if path.is_dir():
        there = sorted(path.glob('*.jsonl'))
        if not there:
            raise UserError(f'{path}: no file of predictions; they are named TASK.jsonl')
    elif path.is_file():
        there = [path]
    else:
        raise UserError(f'{path}: no such file or folder of predictions')
    files: dict[str, pathlib.Path] = {}
    without_questions = []
    name = suite.definition.name
    for file in there:
        stem = file.stem.removeprefix(f'{name}.')
        task = _task(suite, file.stem) or _task(suite, stem)
        if task is None and path.is_file() and len(suite.tasks) == 1 and not _is_elses(file, suite):
            (task,) = suite.tasks.values()
        if task is not None:
            if task.name in files:
                raise UserError(f'{file} and {files[task.name]} are both of task {task.name!r}')
            files[task.name] = file
        elif stem in suite.definition.chances:
            without_questions.append(stem)
        elif path.is_file() or not _is_elses(file, suite):
            known = [*suite.tasks, *suite.definition.chances]
            raise UserError(
                f'{file}: no task {stem!r} in suite {name!r}.{did_you_mean(stem, known)} A file of predictions is '
                'named after its task.'
            )
    if not files and without_questions:
        raise UserError(
            f'{path}: the questions of {", ".join(without_questions)} are not in {suite.folder}'
        )
    if not files:
        raise UserError(f'{path}: no predictions for suite {name!r}')
    ordered = {name: files[name] for name in suite.tasks if name in files}
    return Found(ordered, without_questions)


def settings(
    found: Found, protocols: Sequence[str], shots: int | None, checkpoint: str = ''
) -> list[Setting]:
    """Returns what runs of ours were asked in these files, of one checkpoint; none for files of other systems.

    Args:
        found: the files.
        protocols: those wanted, each with its variants; none: all.
        shots: the number that is wanted; None: all.
        checkpoint: by default the latest.

    Raises:
        UserError: these files are a run's, and have nothing of what is wanted.
    """
    rows = (row for file in found.files.values() for _, row in read_jsonl(file))
    there = list(dict.fromkeys(_setting(row) for row in rows if is_marked(row)))
    if not there:
        if checkpoint:
            raise UserError(f'no checkpoint {checkpoint!r}: these are no predictions of a run')
        return []
    wanted = [s for s in there if is_asked(s.protocol, protocols) and shots in (None, s.shots)]
    names = sorted({s.checkpoint for s in wanted}, key=checkpoint_order)
    checkpoint = checkpoint or (names[-1] if names else '')
    chosen = [s for s in wanted if s.checkpoint == checkpoint]
    if not chosen:
        have = ', '.join(f'{s.protocol} {s.shots}-shot of {s.checkpoint}' for s in there)
        raise UserError(f'no such predictions: the files have {have}')
    return chosen


def _setting(row: Mapping[str, Any]) -> Setting:
    return Setting(row['protocol'], row['shots'], row['checkpoint'])


def _task(suite: Suite, name: str) -> SuiteTask | None:
    return next((t for t in suite.tasks.values() if name == t.name or name in t.aliases), None)


def _is_elses(file: pathlib.Path, suite: Suite) -> bool:
    """Whether a run of ours has written a file for another suite, or for a registered task."""
    other = file.stem.partition('.')[0]
    if other != file.stem and other != suite.definition.name and other in suite_names():
        return True
    first = next(_rows(file), None)
    return (
        isinstance(first, dict)
        and {'checkpoint', 'task', 'said', 'correct'} <= first.keys()
        and ('suite' not in first)
    )


def _rows(file: pathlib.Path) -> Iterator[Any]:
    try:
        yield from (row for _, row in read_jsonl(file))
    except UserError:
        return
