"""Tasks whose answers are ranked among options, from files of labelled records."""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from flan_tune.data.draws import Draws
from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.extraction import match_option
from flan_tune.evaluation.files import read_csv
from flan_tune.evaluation.suites.definition import Question
from flan_tune.evaluation.suites.whole_set import Output, WholeSetTask

Records = Callable[[], Iterable[Question | BadRecord]]


class LabelledTask(WholeSetTask):
    """Records with options: `prompt` of their fields asks, and `after`, if it is there, follows whatever is answered.

    Exemplars are the same for all questions of a task, in an order drawn once. Where there are no others they are taken from
    the questions, which do not count then.

    Args:
        name: as in tables.
        records: reads what is scored.
        exemplars: reads what exemplars are taken from.
        instruction: stands ahead of all.
        separator: between exemplars.
        balanced: exemplars take turns in what they answer.
        aliases: see SuiteTask.
    """

    metrics = ('accuracy',)

    def __init__(
        self,
        name: str,
        records: Records,
        exemplars: Records | None = None,
        *,
        instruction: str = '',
        separator: str = '\n\n',
        balanced: bool = False,
        aliases: Sequence[str] = (),
    ):
        super().__init__(name, aliases)
        self._read, self._read_exemplars = records, exemplars
        self._instruction, self._separator, self._balanced = instruction, separator, balanced

    def read(self) -> Iterable[Question | BadRecord]:
        return self._read()

    def scored(self, shots: int) -> Sequence[Question]:
        if self._others:
            return self.questions
        shown = {question.index for question in self._exemplars[:shots]}
        return [question for question in self.questions if question.index not in shown]

    def choices(self, question: Question) -> tuple[str, ...]:
        after = question.fields.get('after', '')
        return tuple(option + after for option in question.options)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        return {}

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots > len(self._exemplars):
            raise self.too_few(len(self._exemplars), shots)
        solved = [self._solved(exemplar) for exemplar in self._exemplars[:shots]]
        return self._instruction + self._separator.join([*solved, question.fields['prompt']])

    def _extract(self, text: str, protocol: str) -> str | None:
        return text.strip().split('\n', 1)[0]

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [(match_option(answer, question.options) or answer) in question.answers]

    @staticmethod
    def _solved(exemplar: Question) -> str:
        fields = exemplar.fields
        return f'{fields["prompt"]} {exemplar.answers[0]}{fields.get("after", "")}'

    @functools.cached_property
    def _others(self) -> list[Question]:
        """The records that only serve as exemplars; those that cannot be used are left out."""
        if self._read_exemplars is None:
            return []
        return [record for record in self._read_exemplars() if isinstance(record, Question)]

    @functools.cached_property
    def _exemplars(self) -> list[Question]:
        drawn = Draws('exemplars', self.name).shuffled(self._others or self.questions)
        if not self._balanced:
            return drawn
        by_answer: dict[str, list[Question]] = {}
        for question in drawn:
            by_answer.setdefault(question.answers[0], []).append(question)
        longest = max(map(len, by_answer.values()))
        groups = [by_answer[answer] for answer in sorted(by_answer)]
        return [group[k] for k in range(longest) for group in groups if k < len(group)]


def csv_records(
    path: pathlib.Path, *needed: str
) -> Iterator[tuple[str, dict[str, str] | BadRecord]]:
    """Yields 'file:line' and a record by the names of the first row, or what is wrong with it.

    Args:
        path: the file.
        needed: columns that every record has to fill.
    """
    rows = read_csv(path)
    _, names = next(rows, ('', []))
    names = [name.strip() for name in names]
    for where, cells in rows:
        if len(cells) != len(names):
            yield (
                where,
                BadRecord(f'{where}: {len(cells)} columns, but the first row has {len(names)}'),
            )
            continue
        record = dict(zip(names, cells, strict=True))
        lacking = next((name for name in needed if not record.get(name, '').strip()), None)
        if lacking is not None:
            yield where, BadRecord(f'{where}: the column {lacking!r} is missing or blank')
        else:
            yield where, record


def label_number(where: str, value: Any, names: Sequence[str]) -> int | BadRecord:
    """Returns which of `names` a label is: by its name in any letter case, its number, or as true or false."""
    number = value
    if isinstance(value, str):
        lower = value.strip().lower()
        known = {name.lower(): place for place, name in enumerate(names)}
        number = known.get(lower, int(lower) if lower.isdecimal() else None)
    if not isinstance(number, int) or not 0 <= number < len(names):
        return BadRecord(f'{where}: the label {value!r} is none of {", ".join(names)}')
    return int(number)


def labelled(
    index: int, name: str, prompt: str, options: Sequence[str], label: int, after: str = ''
) -> Question:
    """Returns a question that is asked with `prompt`."""
    options = tuple(options)
    fields = {'prompt': prompt} | ({'after': after} if after else {})
    return Question(index, f'{name}-{index}', fields, (options[label],), options)
