"""TyDiQA's gold passage task (Clark et al. 2020): the answer is a span of one passage; exact match and F1 as for SQuAD.

A folder holds SQuAD's layout in files with `dev` in their names, and `train` for exemplars: one a language, or
all languages in one as published; a question's id begins with its language. Where a language has no training
file, the first questions of `dev` serve as exemplars and are left out of scoring. English is scored where it is
there, but is no part of the suite's score (Chung et al. 2022). The authors of Flan 2022 did not publish their
prompt: the layout here is ours.
"""

import collections
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_json, text_fields
from flan_tune.evaluation.metrics import squad_example
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

SHOTS = 1
CODES = {
    'arabic': 'ar',
    'bengali': 'bn',
    'english': 'en',
    'finnish': 'fi',
    'indonesian': 'id',
    'korean': 'ko',
    'russian': 'ru',
    'swahili': 'sw',
    'telugu': 'te',
}
AVERAGED = tuple(language for language in CODES if language != 'english')

Record = tuple[str, object, object]  # where, passage, question and answers
Records = dict[str, list[Record]]


class TydiqaTask(SuiteTask):
    """One language."""

    metrics = ('em', 'f1')

    def __init__(self, language: str, dev: Sequence[Record], train: Callable[[], Records]):
        code = [CODES[language]] if language in CODES else []
        super().__init__(language, aliases=[*code, f'{language}_tydiqa_dev'])
        self._dev = dev
        self._train = train

    def read(self) -> Iterator[Question | BadRecord]:
        seen: set[str] = set()
        for index, record in enumerate(self._dev):
            question = _question(index, *record)
            if isinstance(question, Question):
                if question.id in seen:
                    question = BadRecord(f'{record[0]}: the id is there twice')
                else:
                    seen.add(question.id)
            yield question

    def scored(self, shots: int) -> Sequence[Question]:
        return self.questions if self._trained else self.questions[shots:]

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        exemplars = [q for q in self._trained or self.questions if q.id != question.id][:shots]
        if len(exemplars) < shots:
            raise self.too_few(len(exemplars), shots)
        solved = [f'{_render(exemplar)} {exemplar.answers[0]}' for exemplar in exemplars]
        return '\n\n'.join([*solved, _render(question)])

    def _extract(self, text: str, protocol: str) -> str | None:
        return text.strip().split('\n', 1)[0]

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return squad_example(question.answers, answer)

    @functools.cached_property
    def _trained(self) -> list[Question]:
        questions = [
            _question(i, *record) for i, record in enumerate(self._train().get(self.name, []))
        ]
        return [question for question in questions if isinstance(question, Question)]


def _render(question: Question) -> str:
    fields = question.fields
    return f'Passage: {fields["passage"]}\nQuestion: {fields["question"]}\nAnswer:'


def _question(index: int, where: str, passage: object, asked: object) -> Question | BadRecord:
    fields = text_fields(where, asked, 'id', 'question')
    if isinstance(fields, BadRecord):
        return fields
    if not isinstance(passage, str) or not passage.strip():
        return BadRecord(f'{where}: no passage ("context")')
    answers = asked.get('answers')
    texts = (
        [a.get('text') if isinstance(a, dict) else None for a in answers]
        if isinstance(answers, list)
        else []
    )
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        return BadRecord(f'{where}: no answer with a text')
    if not all(text in passage for text in texts):
        return BadRecord(f'{where}: an answer is not in the passage')
    shown = {'question': fields['question'], 'passage': passage}
    return Question(index, fields['id'], shown, tuple(dict.fromkeys(texts)))


def _read(paths: Sequence[pathlib.Path]) -> Records:
    """The records of SQuAD files by language, in order."""
    records: Records = collections.defaultdict(list)
    for path in paths:
        for number, (passage, asked) in enumerate(_walk(path)):
            name = asked.get('id') if isinstance(asked, dict) else None
            if isinstance(name, str) and name:
                language, where = name.split('-', 1)[0], f'{path}: {name}'
            else:
                language, where = path.stem.split('_')[0], f'{path}: question {number}'
            records[language].append((where, passage, asked))
    return dict(records)


def _walk(path: pathlib.Path) -> Iterator[tuple[object, object]]:
    try:
        for article in read_json(path)['data']:
            for paragraph in article['paragraphs']:
                for asked in paragraph['qas']:
                    yield paragraph.get('context'), asked
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'{path}: not in the layout of SQuAD ("data", "paragraphs", "qas")'
        ) from error


def _open(folder: pathlib.Path) -> list[TydiqaTask]:
    files = sorted(folder.glob('*.json'))
    dev = _read([path for path in files if 'dev' in path.name])
    train = functools.cache(
        functools.partial(_read, [path for path in files if 'train' in path.name])
    )
    return [TydiqaTask(language, records, train) for language, records in sorted(dev.items())]


SUITES = [
    SuiteDefinition(
        name='tydiqa',
        folder='tydiqa_goldp',
        protocols={'direct': Protocol(SHOTS, 'em')},
        chances=dict.fromkeys(AVERAGED, 0.0),
        open_tasks=_open,
    )
]
