"""Reads one file of recorded predictions: which question each line answers, and with what."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.files import read_jsonl
from flan_tune.evaluation.protocol_names import plain_protocol
from flan_tune.evaluation.recorded.files import Setting
from flan_tune.evaluation.suites.definition import Question, SuiteTask
from flan_tune.evaluation.suites.rows import has_templates
from flan_tune.evaluation.suites.scoring import Prediction

# What options were ranked by; the first that a line has counts.
_LIKELIHOODS = ('ranked_by', 'log_likelihoods')


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What a file of predictions holds for one task.

    Attributes:
        predictions: by the index of the question; of several for one question the first.
        duplicates: further predictions for a question that has one.
        malformed: what is wrong with the lines that cannot be used, with file and line.
        ranked_by: a value for each option, by the index of the question, where they are recorded.
    """

    predictions: Mapping[int, Prediction]
    duplicates: int
    malformed: Sequence[str]
    ranked_by: Mapping[int, tuple[float, ...]] = dataclasses.field(default_factory=dict)


def read_recorded(path: pathlib.Path, task: SuiteTask, setting: Setting) -> Recorded:
    """Reads the file of a task; of a file of ours the lines of one setting.

    Raises:
        UserError: the file cannot be read; lines that cannot be used are in `malformed`.
    """
    reader = _Reader(task, plain_protocol(setting.protocol))
    for where, row in read_jsonl(path):
        if isinstance(row, BadRecord) or setting.has(row):
            reader.add(where, row)
    return Recorded(reader.predictions, reader.duplicates, reader.malformed, reader.ranked_by)


class _Reader:
    """Takes lines one by one."""

    def __init__(self, task: SuiteTask, protocol: str):
        self._task = task
        self._protocol = protocol
        self._questions = {question.index: question for question in task.questions}
        self._by_id = {question.id: question.index for question in task.questions}
        self._records = len(task.questions) + len(task.bad_records)
        self.predictions: dict[int, Prediction] = {}
        self.ranked_by: dict[int, tuple[float, ...]] = {}
        self.duplicates = 0
        self.malformed: list[str] = []

    def add(self, where: str, row: Mapping[str, Any] | BadRecord) -> None:
        try:
            if isinstance(row, BadRecord):
                raise row
            index = self._index(where, row)
            values, prediction = self._answer(where, row, self._questions.get(index))
        except BadRecord as error:
            self.malformed.append(str(error))
            return
        if index in self.predictions:
            self.duplicates += 1
            return
        self.predictions[index] = prediction
        if values:
            self.ranked_by[index] = values

    def _index(self, where: str, row: Mapping[str, Any]) -> int:
        """The question's index, by the publisher's id if the row has one that is known, else by `index`."""
        index, name = row.get('index'), row.get('id')
        known = self._by_id.get(str(name)) if name is not None else None
        if index is None:
            if known is None:
                what = 'neither `index` nor `id`'
                what = what if name is None else f'no question has the id {name!r}'
                raise BadRecord(f'{where}: {what}')
            return known
        if not isinstance(index, int) or isinstance(index, bool):
            raise BadRecord(f'{where}: the index {index!r} is no integer')
        if known is None and has_templates(self._task):
            return self._index_with_template(where, index, row.get('template'))
        if not 0 <= index < self._records:
            raise BadRecord(
                f'{where}: index {index}, but the task has {self._records} questions, from 0 on'
            )
        if known is not None and known != index:
            raise BadRecord(
                f'{where}: index {index}, but the id {name!r} is that of question {known}'
            )
        return index

    def _index_with_template(self, where: str, record: int, template: Any) -> int:
        """The question that a record makes with a template."""
        templates = self._task.templates
        if template not in templates:
            what = 'no `template`' if template is None else f'template {template!r}'
            raise BadRecord(
                f'{where}: {what}; each record is asked with {", ".join(map(repr, templates))}'
            )
        name = '-'.join(filter(None, (self._task.name, template, str(record))))
        if name not in self._by_id:
            raise BadRecord(f'{where}: no record {record} is asked with template {template!r}')
        return self._by_id[name]

    def _answer(
        self, where: str, row: Mapping[str, Any], question: Question | None
    ) -> tuple[tuple[float, ...], Prediction]:
        """What the options were ranked by, if that is recorded, and the prediction: if it is not, the best of them."""
        values: tuple[float, ...] = ()
        name = next((n for n in _LIKELIHOODS if row.get(n) is not None), '')
        if self._protocol == 'rank' and name and question is not None:
            values = _likelihoods(where, name, row[name], question)
        prediction = row.get('prediction')
        if prediction is None and values:
            return values, question.options[int(np.argmax(values))]
        texts = prediction if isinstance(prediction, list) and prediction else [prediction]
        if not all(isinstance(text, str) for text in texts):
            instead = ', and so are `log_likelihoods`' if self._protocol == 'rank' else ''
            raise BadRecord(
                f'{where}: `prediction` is missing, or is neither a text nor a list of texts{instead}'
            )
        return values, prediction


def _likelihoods(where: str, name: str, values: Any, question: Question) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != len(question.options):
        count = len(values) if isinstance(values, list) else 'no list'
        raise BadRecord(
            f'{where}: `{name}` needs a number for each of the {len(question.options)} options, and has {count}'
        )
    for value in values:
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise BadRecord(f'{where}: `{name}` holds {value!r}, not a finite number')
    return tuple(map(float, values))
