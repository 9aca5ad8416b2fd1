"""Scores recorded predictions of any system, without a model.

Predictions are JSONL files, one a task and named after it: each line an object with `prediction` (a text, or
a list of sampled chains that vote) and `index` (the position of the question in the publisher's file, from 0)
or `id` (the publisher's); also `template`, where each record is asked with several. For 'rank', `log_likelihoods` or
`ranked_by` (a number for each option, in the order of the file) may stand beside `prediction` or in its place;
areas under curves need them. Other keys do not matter. The files of a run of ours are read as they are.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from flan_tune.errors import UserError
from flan_tune.evaluation.protocol_names import plain_protocol
from flan_tune.evaluation.recorded.files import find_files, settings, split_checkpoint
from flan_tune.evaluation.recorded.rows import Recorded, Setting, read_recorded
from flan_tune.evaluation.resampling import mean_interval
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import OnBadRecord, Suite, named, open_suite
from flan_tune.evaluation.suites.rows import score_task
from flan_tune.evaluation.suites.scoring import TaskScores

RECORDED = 'recorded'


@dataclasses.dataclass(frozen=True)
class RecordedScores:
    """The scores of a suite's tasks, and what was read.

    Attributes:
        suite: the suite.
        protocol: its name in tables, such as 'cot' or 'cot_40_chains'.
        shots: exemplars in the prompts.
        checkpoint: what the table calls the system.
        tasks: scores, question by question.
        recorded: what was read.
        without_questions: tasks with predictions, but without questions.
        rows: of the table.
        lacking: task -> why metrics of its whole set could not be computed.
    """

    suite: Suite
    protocol: str
    shots: int
    checkpoint: str
    tasks: Mapping[str, TaskScores]
    recorded: Mapping[str, Recorded]
    without_questions: Sequence[str] = ()
    rows: Sequence[Score] = ()
    lacking: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def table(self) -> ScoreTable:
        """Returns the rows of all tasks."""
        return ScoreTable(self.rows)

    @property
    def _metric(self) -> str:
        return self.suite.definition.protocol(plain_protocol(self.protocol)).metric

    def columns(self, metric: str | None = None) -> dict[str, dict[int, float]]:
        """Returns task -> index of the question -> percent, as `resampling.compare` takes it."""
        metric = metric or self._metric
        return {name: scores.column(metric) for name, scores in self.tasks.items() if scores.values}

    def report(self) -> dict[str, Any]:
        """Returns counts, intervals and what is missing, for people and for JSON.

        `tasks` has for each task `n` (questions scored), `missing` (questions without a prediction; in no
        score), `unparsable` (no answer found; scored wrong), `duplicates` (the first counts), `malformed` and
        `bad_records` (lines of the predictions and of the suite that were skipped, by file and line),
        `gold_outside_options` (questions that no option answers, in the publisher's file), `lacking` (why metrics
        of the whole set could not be computed), and the bootstrap interval `low`, `high` of the suite's metric. `partial` says whether the mean lacks anything.
        """
        definition = self.suite.definition
        columns = self.columns()
        averaged = [columns[name] for name in definition.chances if name in columns]
        values = [list(column.values()) for column in averaged]
        low, high = mean_interval(values) if values else (None, None)
        tasks = {name: self._task_report(name, columns.get(name)) for name in self.tasks}
        without_predictions = [name for name in self.suite.tasks if name not in columns]
        absent = [name for name in definition.chances if name not in columns]
        return {
            'suite': definition.name,
            'protocol': self.protocol,
            'shots': self.shots,
            'metric': self._metric,
            'value': sum(sum(v) / len(v) for v in values) / len(values) if values else None,
            'low': low,
            'high': high,
            'averaged_tasks': len(values),
            'partial': bool(absent)
            or any(_lacks(tasks[t]) for t in definition.chances if t in tasks),
            'missing_tasks': list(self.suite.missing),
            'tasks_without_predictions': without_predictions,
            'predictions_without_questions': list(self.without_questions),
            'tasks': tasks,
        }

    def _task_report(self, name: str, column: Mapping[int, float] | None) -> dict[str, Any]:
        task, scores, recorded = self.suite.tasks[name], self.tasks[name], self.recorded[name]
        low, high = mean_interval([list(column.values())]) if column else (None, None)
        return {
            'n': len(scores.values),
            'missing': len(scores.missing),
            'unparsable': len(scores.unparsable),
            'duplicates': recorded.duplicates,
            'malformed': list(recorded.malformed),
            'bad_records': task.bad_records,
            'gold_outside_options': [q.id for q in task.questions if not q.answerable],
            'lacking': self.lacking.get(name, ''),
            'low': low,
            'high': high,
        }


def score_recorded(
    suite: str | Suite,
    protocol: str,
    shots: int | None,
    path: str | pathlib.Path,
    *,
    folder: str | pathlib.Path | None = None,
    checkpoint: str = RECORDED,
    on_bad_record: OnBadRecord = 'refuse',
) -> tuple[ScoreTable, dict[str, Any]]:
    """Scores recorded predictions: the rows of the tidy table, and `RecordedScores.report`.

    Takes what `recorded_scores` takes, and raises the same.
    """
    scores = recorded_scores(
        suite,
        protocol,
        shots,
        path,
        folder=folder,
        checkpoint=checkpoint,
        on_bad_record=on_bad_record,
    )
    return scores.table(), scores.report()


def recorded_scores(
    suite: str | Suite,
    protocol: str,
    shots: int | None,
    path: str | pathlib.Path,
    *,
    folder: str | pathlib.Path | None = None,
    checkpoint: str = RECORDED,
    on_bad_record: OnBadRecord = 'refuse',
) -> RecordedScores:
    """Scores recorded predictions of one setting, example by example.

    Args:
        suite: a suite's name, or an opened one.
        protocol: how the predictions were got; for 'rank' a prediction is the option chosen.
        shots: exemplars in their prompts; by default the suite's.
        path: a JSONL file named after its task, or a folder of such files; a run of ours or its folder of predictions, where
            FOLDER@CHECKPOINT names another checkpoint than the latest.
        folder: the suite's files; by default those in FLAN_TUNE_DATA_DIR.
        checkpoint: what the table calls the system; one of ours keeps its own name.
        on_bad_record: 'refuse' lines that cannot be used, in the predictions and in the suite's files, naming
            all of them; or 'skip', count and report them.

    Raises:
        UserError: no such suite, protocol or file; a file of no task; a line that cannot be used; or a run that has
            several settings of what is asked for.
    """
    if isinstance(suite, str):
        suite = open_suite(suite, folder, on_bad_record=on_bad_record)
    default = suite.definition.protocol(plain_protocol(protocol))
    found = all_recorded_scores(
        suite,
        [protocol],
        shots,
        path,
        default=Setting(protocol, default.shots if shots is None else shots, checkpoint),
        on_bad_record=on_bad_record,
    )
    if len(found) > 1:
        exact = [s for s in found if s.protocol == protocol and shots in (None, s.shots)]
        exact = [s for s in exact if s.shots == default.shots] or exact
        if len(exact) != 1:
            have = ', '.join(f'{s.protocol} {s.shots}-shot' for s in found)
            raise UserError(f'{path}: has {have} of {suite.definition.name}; say which')
        found = exact
    return found[0]


def all_recorded_scores(
    suite: Suite,
    protocols: Sequence[str],
    shots: int | None,
    path: str | pathlib.Path,
    *,
    default: Setting | None,
    on_bad_record: OnBadRecord = 'refuse',
) -> list[RecordedScores]:
    """Scores recorded predictions of all settings that are wanted: several only where a run of ours has them.

    Args:
        suite: an opened suite.
        protocols: those wanted, each with its variants; none: all.
        shots: the number of exemplars that is wanted; None: all.
        path: see `recorded_scores`.
        default: the setting of files of other systems, which do not say theirs; None: such files are refused.
        on_bad_record: see `recorded_scores`.

    Raises:
        UserError: see `recorded_scores`.
    """
    place, checkpoint = split_checkpoint(path)
    files = find_files(suite, place)
    chosen = settings(files, protocols, shots, checkpoint)
    if not chosen and default is None:
        has = ', '.join(suite.definition.protocols)
        raise UserError(
            f'{path}: these are not the predictions of a run of ours, which say what they are: name one suite, and '
            f'say by which one --protocol: {has}'
        )
    found = []
    for setting in chosen or [default]:
        recorded = {
            name: read_recorded(file, suite.tasks[name], setting)
            for name, file in files.files.items()
        }
        wrong = [line for one in recorded.values() for line in one.malformed]
        if wrong and on_bad_record == 'refuse':
            raise UserError(
                f'{len(wrong)} malformed predictions: {named(wrong)}; correct them, or skip bad records'
            )
        key = {'suite': suite.definition.name} | dataclasses.asdict(setting)
        scored = {
            name: score_task(suite.tasks[name], one.predictions, one.ranked_by, **key)
            for name, one in recorded.items()
        }
        found.append(
            RecordedScores(
                suite,
                setting.protocol,
                setting.shots,
                setting.checkpoint,
                {name: one.scores for name, one in scored.items()},
                recorded,
                files.without_questions,
                [row for one in scored.values() for row in one.rows],
                {name: one.lacking for name, one in scored.items()},
            )
        )
    return found


def _lacks(task: Mapping[str, Any]) -> bool:
    return bool(task['missing'] or task['malformed'] or task['bad_records'])
