"""XQuAD (Artetxe et al. 2020) as cross-lingual question answering of XTREME-UP's kind, whose files few have at hand.

A folder holds `xquad.LANGUAGE.json` in SQuAD's layout, the same questions in each. Asked is a question of one language with
the passage and the answer of the English file; every fifth question gets the first passage of the next article, which does
not hold the answer, and is right with `No Answer`. Prompt and scores are XTREME-UP's. There are no exemplars.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_json, text_fields
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.xtreme_up import NO_ANSWER, XtremeUpTask

LANGUAGES = ('ar', 'de', 'el', 'es', 'hi', 'ro', 'ru', 'th', 'tr', 'vi', 'zh')
_ELSEWHERE = 5  # every so many questions gets another passage

# Title, passage, a passage of another article, and what is asked.
Record = tuple[str, str, str, Mapping[str, Any]]


def _walk(path: pathlib.Path) -> Iterator[Record]:
    try:
        articles = read_json(path)['data']
        for place, article in enumerate(articles):
            other = articles[(place + 1) % len(articles)]['paragraphs'][0]['context']
            for paragraph in article['paragraphs']:
                for asked in paragraph['qas']:
                    yield article.get('title') or '', paragraph['context'], other, asked
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(
            f'{path}: not in the layout of SQuAD ("data", "paragraphs", "qas")'
        ) from error


def _records(path: pathlib.Path, english: pathlib.Path) -> Iterator[Question | BadRecord]:
    known = {record[3].get('id'): record for record in _walk(english)}
    for index, (*_, asked) in enumerate(_walk(path)):
        where = f'{path}: question {index}'
        fields = text_fields(where, asked, 'id', 'question')
        if isinstance(fields, BadRecord):
            yield fields
        elif fields['id'] not in known:
            yield BadRecord(f'{where}: {english.name} has no question {fields["id"]!r}')
        else:
            yield _question(index, where, fields, known[fields['id']])


def _question(
    index: int, where: str, fields: Mapping[str, str], record: Record
) -> Question | BadRecord:
    title, passage, other, asked = record
    answers = [a.get('text') for a in asked.get('answers', ()) if isinstance(a, dict)]
    answers = tuple(dict.fromkeys(a for a in answers if isinstance(a, str) and a.strip()))
    # A file of one article has no passage of another one.
    elsewhere = index % _ELSEWHERE == _ELSEWHERE - 1 and other != passage
    if not answers:
        return BadRecord(f'{where}: the English question has no answer with a text')
    shown = {
        'question': fields['question'],
        'title': title.replace('_', ' '),
        'context': other if elsewhere else passage,
    }
    return Question(index, fields['id'], shown, (NO_ANSWER,) if elsewhere else answers)


def _open(folder: pathlib.Path) -> Sequence[XtremeUpTask]:
    english = folder / 'xquad.en.json'
    if not english.exists():
        return []
    files = {path.name.split('.')[1]: path for path in sorted(folder.glob('xquad.*.json'))}
    return [
        XtremeUpTask(language, functools.partial(_records, path, english))
        for language, path in files.items()
        if language in LANGUAGES
    ]


SUITES = [
    SuiteDefinition(
        name='xquad_cross_lingual',
        folder='xquad',
        protocols={'direct': Protocol(0, 'token_f1')},
        chances=dict.fromkeys(LANGUAGES, 0.0),
        open_tasks=_open,
    )
]
