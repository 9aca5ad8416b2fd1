"""All rows of the tidy table that a task of any suite makes: means over questions, by template, and of the whole set."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flan_tune.errors import UserError
from flan_tune.evaluation.extraction import majority
from flan_tune.evaluation.protocol_names import plain_protocol
from flan_tune.evaluation.scores import Score
from flan_tune.evaluation.suites.definition import Question, SuiteTask
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask
from flan_tune.evaluation.suites.scoring import Prediction, TaskScores, score_predictions
from flan_tune.evaluation.suites.whole_set import Output, WholeSetTask

_log = logging.getLogger(__name__)


class ScoredTask(NamedTuple):
    """What predictions for a task score.

    Attributes:
        scores: question by question.
        rows: of the tidy table.
        lacking: why metrics of the whole set could not be computed; '' if they could.
    """

    scores: TaskScores
    rows: list[Score]
    lacking: str


def score_task(
    task: SuiteTask,
    predictions: Mapping[int, Prediction],
    ranked_by: Mapping[int, Sequence[float]],
    **key: Any,
) -> ScoredTask:
    """Scores the predictions for a task, of a model or recorded.

    Args:
        task: an opened task.
        predictions: by the index of the question; see `score_predictions`.
        ranked_by: for 'rank' what the options of a question were ranked by, where that is known.
        key: suite, protocol (its name in tables), shots and checkpoint of the rows.
    """
    protocol = plain_protocol(key['protocol'])
    scores = score_predictions(task, protocol, key['shots'], predictions)
    outputs = {
        question.index: Output(
            _text(task, question, protocol, key['shots'], predictions[question.index]),
            tuple(ranked_by.get(question.index, ())),
        )
        for question in task.questions
        if question.index in predictions
    }
    corpus, lacking = _corpus_rows(task, outputs, **key)
    return ScoredTask(scores, _mean_rows(task, scores, **key) + corpus, lacking)


def template_rows(
    task: InstructionSuiteTask,
    scores: TaskScores,
    *,
    suite: str,
    protocol: str,
    shots: int,
    checkpoint: str,
) -> list[Score]:
    """Returns rows of the tidy table with a template each, to stand in the place of those of `TaskScores.rows`."""
    by_template: dict[str, list[Sequence[float]]] = {}
    for question in task.questions:
        if question.index in scores.values:
            values = scores.values[question.index]
            by_template.setdefault(task.template(question), []).append(values)
    return [
        Score(checkpoint, suite, task.name, protocol, shots, template, metric, value, len(values))
        for template, values in by_template.items()
        for metric, value in zip(scores.metrics, 100 * np.mean(values, axis=0), strict=True)
    ]


def task_rows(
    task: SuiteTask, scores: TaskScores, outputs: Mapping[int, Output], **key: Any
) -> list[Score]:
    """Returns all rows of a task of any suite: means over questions, for each template where there are several, and
    metrics of the whole set. Of those, one that cannot be computed (an area where all examples have one label) is left
    out, with a warning: a run does not end for it.

    Args:
        task: the task.
        scores: those of its questions.
        outputs: what they were got from, by the index of the question.
        key: suite, protocol, shots and checkpoint of the rows.
    """
    return _mean_rows(task, scores, **key) + _corpus_rows(task, outputs, **key)[0]


def has_templates(task: SuiteTask) -> bool:
    """Whether each record of a task is asked with several templates."""
    return isinstance(task, InstructionSuiteTask) and len(task.templates) > 1


def _mean_rows(task: SuiteTask, scores: TaskScores, **key: Any) -> list[Score]:
    return template_rows(task, scores, **key) if has_templates(task) else scores.rows(**key)


def _corpus_rows(
    task: SuiteTask, outputs: Mapping[int, Output], **key: Any
) -> tuple[list[Score], str]:
    """Rows of metrics of the whole set, or why there are none."""
    if not isinstance(task, WholeSetTask):
        return [], ''
    name = key['protocol']
    try:
        rows = task.corpus_rows(outputs, **key | {'protocol': plain_protocol(name)})
    except UserError as error:
        lacking = f'{", ".join(task.corpus_metrics)} cannot be computed: {error}'
        _log.warning('%s: %s', task.name, lacking)
        return [], lacking
    return [dataclasses.replace(row, protocol=name) for row in rows], ''


def _text(
    task: SuiteTask, question: Question, protocol: str, shots: int, prediction: Prediction
) -> str:
    """What metrics of the whole set look at: of several chains the first with the answer that counts."""
    if isinstance(prediction, str):
        return prediction
    said = [task.extract(text, question, protocol, shots).answer for text in prediction]
    return prediction[said.index(majority(said))]
