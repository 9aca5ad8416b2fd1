"""XTREME-UP's cross-lingual question answering (Ruder et al. 2023): a question, an English passage, a span or `No Answer`.

A folder holds the publisher's `{train,validation,test}/LANGUAGE.jsonl` (or the folder `qa_cross_lang` with them), with `question`,
`title`, `context` and `target`; a list as `target`, or `answers`, holds several right answers. `xtreme_up_qa` scores `test`,
`xtreme_up_qa_validation` `validation`. The score is the mean of the token F1 over the under-represented languages; those that
are not, such as Arabic and Russian, are scored where they are there. Groups: the Indic languages, and those of XOR-TyDi QA.
"""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from flan_tune.data.draws import Draws
from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.files import read_jsonl, text_fields
from flan_tune.evaluation.metrics import squad_example
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

Records = Callable[[], Iterable[Question | BadRecord]]

NO_ANSWER = 'No Answer'
PROMPT = 'question: {question} title: {title} context: {context}'
XOR_TYDI = ('ar', 'bn', 'fi', 'ko', 'ru', 'te')
_INDIC = 'as bho brx gbm gom gu hi hne kn mai ml mni mr mwr or pa ps sa ta ur'
INDIC = tuple(_INDIC.split())
HIGH_RESOURCE = ('ar', 'fi', 'hi', 'ko', 'ru')
UNDER_REPRESENTED = tuple(
    language for language in (*XOR_TYDI, *INDIC) if language not in HIGH_RESOURCE
)


class XtremeUpTask(SuiteTask):
    """One language; exemplars are of its training file."""

    metrics = ('token_f1', 'em')

    def __init__(self, name: str, records: Records, exemplars: Records | None = None):
        super().__init__(name)
        self._read, self._read_exemplars = records, exemplars

    def read(self) -> Iterable[Question | BadRecord]:
        return self._read()

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots > len(self._exemplars):
            raise self.too_few(len(self._exemplars), shots)
        solved = [
            f'{PROMPT.format_map(exemplar.fields)}\n{exemplar.answers[0]}\n\n'
            for exemplar in self._exemplars[:shots]
        ]
        return ''.join([*solved, PROMPT.format_map(question.fields)])

    def _extract(self, text: str, protocol: str) -> str | None:
        return text.strip().split('\n', 1)[0]

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        em, f1 = squad_example(question.answers, answer)
        return [f1, em]

    @functools.cached_property
    def _exemplars(self) -> list[Question]:
        records = self._read_exemplars() if self._read_exemplars else ()
        found = [record for record in records if isinstance(record, Question)]
        return Draws('exemplars', self.name).shuffled(found)


def _read(path: pathlib.Path) -> Iterator[Question | BadRecord]:
    for index, (where, record) in enumerate(read_jsonl(path)):
        if isinstance(record, BadRecord):
            yield record
        else:
            yield question(index, where, record, f'{path.stem}-{index}')


def question(index: int, where: str, record: Mapping, name: str) -> Question | BadRecord:
    """Returns what a record of the publisher's file asks, or what is wrong with it; `name` where it has no id."""
    fields = text_fields(where, record, 'question', 'title', 'context')
    answers = fields if isinstance(fields, BadRecord) else _answers(where, record)
    if isinstance(answers, BadRecord):
        return answers
    return Question(index, str(record.get('id', name)), fields, answers)


def _answers(where: str, record: Mapping) -> tuple[str, ...] | BadRecord:
    found = record.get('target', record.get('answers'))
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not found or not all(isinstance(a, str) for a in found):
        return BadRecord(f'{where}: "target" must be a text, {NO_ANSWER!r} where there is none')
    return tuple(dict.fromkeys(a.strip() or NO_ANSWER for a in found))


def _open(folder: pathlib.Path, split: str) -> Sequence[XtremeUpTask]:
    inner = folder / 'qa_cross_lang'
    data = inner if inner.is_dir() else folder
    tasks = []
    for path in sorted((data / split).glob('*.jsonl')):
        train = data / 'train' / path.name
        exemplars = functools.partial(_read, train) if train.exists() else None
        tasks.append(XtremeUpTask(path.stem, functools.partial(_read, path), exemplars))
    return tasks


SUITES = [
    SuiteDefinition(
        name=name,
        folder='xtreme_up',
        protocols={'direct': Protocol(0, 'token_f1')},
        chances=dict.fromkeys(UNDER_REPRESENTED, 0.0),
        open_tasks=functools.partial(_open, split=split),
        groups={
            group: tuple(language for language in languages if language in UNDER_REPRESENTED)
            for group, languages in (('indic', INDIC), ('xor_tydi', XOR_TYDI))
        },
    )
    for name, split in (('xtreme_up_qa', 'test'), ('xtreme_up_qa_validation', 'validation'))
]
