"""UnifiedSKG's tasks that OPT-IML tests on: DART (BLEU), Spider (exact match), MultiWoZ (joint goal accuracy).

A folder holds `{dart,spider,multiwoz}/{train,dev,test}.jsonl` as the authors of UnifiedSKG have them. DART and MultiWoZ are
scored on `test`, Spider, whose test queries are not public, on `dev`. Prompts are those of `flan_tune.tasks.opt_iml`.

- `dart`: corpus BLEU of sacrebleu over all references of a set of triples (and ROUGE-L of each answer).
- `spider`: the query as text, in one form of white space, quotes and letter case (`exact_match`); and, with Spider's own
  `tables.json` in its folder, the official `exact_set_match`, of clauses parsed with the schema of the data base that the
  structure names first. A query that cannot be parsed is wrong, and counted.
- `multiwoz`: whether all slots and values, and no others, are named.
"""

import functools
import logging
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation import metrics
from flan_tune.evaluation.sql.exact_set_match import exact_set_match
from flan_tune.evaluation.sql.queries import Schema, SqlError, parse_query, read_schemas
from flan_tune.evaluation.suites.definition import Extracted, Protocol, Question, SuiteDefinition
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask
from flan_tune.evaluation.suites.whole_set import Output

TABLES = 'tables.json'
_log = logging.getLogger(__name__)

_QUOTED = re.compile(r"""('[^']*'|"[^"]*")""")
_TIGHT = re.compile(r'\s*([(),;<>=!]+)\s*')


class DartTask(InstructionSuiteTask):
    """Sentences from triples."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.metrics, self.corpus_metrics = ('rougeL',), ('bleu',)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [metrics.rouge([self._references(question)], [answer])['rougeL'] / 100]

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        """BLEU; each set of triples counts once for each of its sentences, as the file has them."""
        asked = [question for question in self.questions if question.index in outputs]
        said = [outputs[question.index].text.strip() for question in asked]
        return metrics.bleu([self._references(question) for question in asked], said)

    def _references(self, question: Question) -> list[str]:
        return self._sentences[question.fields['structure']]

    @functools.cached_property
    def _sentences(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for question in self.questions:
            found.setdefault(question.fields['structure'], []).extend(question.answers)
        return found


class SpiderTask(InstructionSuiteTask):
    """Queries; `use_schemas` adds the exact set match."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.metrics = ('exact_match',)
        self._schemas: Mapping[str, Schema] = {}

    def use_schemas(self, schemas: Mapping[str, Schema]) -> None:
        """Scores the exact set match too, with the schemas of data bases by name."""
        self.metrics, self._schemas = ('exact_match', 'exact_set_match'), schemas

    def read(self) -> Iterator[Question | BadRecord]:
        unparsable = []
        for question in super().read():
            if isinstance(question, Question) and self._schemas:
                if self._schema(question) is None:
                    name = data_base(question.fields['structure'])
                    question = BadRecord(
                        f'{self.name}: {question.id}: {TABLES} has no data base {name!r}'
                    )
                elif not self._parses(question.answers[0], question):
                    unparsable.append(question.id)
            yield question
        if unparsable:
            _log.warning(
                '%s: %d queries of the file cannot be parsed, and are compared as text: %s',
                *(self.name, len(unparsable), ', '.join(unparsable[:10])),
            )

    def extract(
        self, text: str, question: Question, protocol: str, shots: int | None = None
    ) -> Extracted:
        """Returns the query; None for one that the schema's grammar does not parse."""
        found = super().extract(text, question, protocol, shots)
        if found.answer is None or not self._schemas or _same_text(found.answer, question):
            return found
        return found if self._parses(found.answer, question) else Extracted(None)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        same = _same_text(answer, question)
        if not self._schemas:
            return [same]
        try:
            matches = same or any(
                exact_set_match(answer, gold, self._schema(question)) for gold in question.answers
            )
        except SqlError:  # The file's own query.
            matches = same
        return [same, matches]

    def _schema(self, question: Question) -> Schema | None:
        return self._schemas.get(data_base(question.fields['structure']).lower())

    def _parses(self, query: str, question: Question) -> bool:
        try:
            parse_query(query, self._schema(question))
        except (SqlError, RecursionError):
            return False
        return True


class MultiwozTask(InstructionSuiteTask):
    """States of dialogues."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.metrics = ('joint_goal_accuracy', 'slot_f1')

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        said, right = slots(answer), slots(question.answers[0])
        total = len(said) + len(right)
        return [said == right, 2 * len(said & right) / total if total else 1.0]


def normalize_query(query: str) -> str:
    """Returns SQL in lower case but for quoted texts, with single quotes and spaces, and without a final semicolon."""
    parts = _QUOTED.split(query.strip().removesuffix(';').strip())
    return ''.join(
        f"'{part[1:-1]}'" if place % 2 else _TIGHT.sub(r' \1 ', ' '.join(_spaced(part)))
        for place, part in enumerate(parts)
    ).strip()


def data_base(structure: str) -> str:
    """Returns the data base that a schema in one line begins with: '| concert_singer | stadium : stadium_id , name'."""
    return structure.strip().lstrip('|').partition('|')[0].strip()


def slots(state: str) -> frozenset[str]:
    """Returns the slots of 'hotel area west, hotel stars 4', each with its value, in lower case; 'none' has none."""
    named = (' '.join(part.lower().split()) for part in state.split(','))
    return frozenset(part for part in named if part not in ('', 'none'))


def _same_text(query: str, question: Question) -> bool:
    return normalize_query(query) in map(normalize_query, question.answers)


def _spaced(part: str) -> list[str]:
    """Words of a part of a query; what is at its ends keeps one space between it and a quoted text."""
    words = part.lower().split()
    before = [''] if part[:1].isspace() else []
    return before + words + ([''] if part[-1:].isspace() else [])


def _open(
    folder: pathlib.Path, name: str, file: str, kind: type[InstructionSuiteTask]
) -> list[InstructionSuiteTask]:
    import dataclasses

    from flan_tune.data import mixtures
    from flan_tune.data.sources import JsonlSource
    from flan_tune.tasks.opt_iml import unifiedskg  # noqa: F401

    paths = {'train': folder / name / 'train.jsonl', 'test': folder / name / f'{file}.jsonl'}
    if not paths['test'].exists():
        return []
    renderer = mixtures.find(f'unifiedskg_{name}').renderer
    source = JsonlSource({split: path for split, path in paths.items() if path.exists()})
    definition = dataclasses.replace(renderer.definition, source=source)
    task = kind(name, {'': type(renderer)(definition, renderer.variant)}, split='test')
    if isinstance(task, SpiderTask):
        tables = folder / name / TABLES
        if tables.exists():
            task.use_schemas(read_schemas(tables))
        else:
            _log.warning('%s: no %s, so that exact_set_match is not scored', name, tables)
    return [task]


SUITES = [
    SuiteDefinition(
        name=name,
        folder='unifiedskg',
        protocols={'direct': Protocol(0, kind_metric)},
        chances={name: 0.0},
        open_tasks=functools.partial(_open, name=name, file=file, kind=kind),
    )
    for name, file, kind, kind_metric in (
        ('dart', 'test', DartTask, 'rougeL'),
        ('spider', 'dev', SpiderTask, 'exact_match'),
        ('multiwoz', 'test', MultiwozTask, 'joint_goal_accuracy'),
    )
]
