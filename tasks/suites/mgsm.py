"""MGSM (Shi et al. 2022): 250 problems of GSM8K in 11 languages, solved step by step in the question's language.

A folder holds `mgsm_LANGUAGE.tsv` and `exemplars.json` (the authors' exemplars, 8 a language). English is
scored where it is there, but is no part of the suite's score (Chung et al. 2022).
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_json, read_lines
from flan_tune.evaluation.numbers import final_number, normalize_number
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

SHOTS = 8


@dataclasses.dataclass(frozen=True)
class Language:
    """How a language's prompts are worded, as the published exemplars are.

    Attributes:
        question: ahead of a question, with the space behind it if there is one.
        answer: ahead of an answer, without that space.
        marks: what an answer sentence begins with.
        decimal_comma: whether a comma parts the decimals, and points or spaces the thousands.
    """

    question: str
    answer: str
    marks: tuple[str, ...]
    decimal_comma: bool = False


LANGUAGES = {
    'bn': Language('প্রশ্ন: ', 'ধাপে ধাপে উত্তর:', ('উত্তর হল', 'উত্তর হলো')),
    'de': Language(
        'Frage: ', 'Schritt-für-Schritt-Antwort:', ('Die Antwort lautet', 'Die Antwort ist'), True
    ),
    'en': Language('Question: ', 'Step-by-Step Answer:', ('The answer is',)),
    'es': Language('Pregunta: ', 'Respuesta paso a paso:', ('La respuesta es',), True),
    'fr': Language('Question : ', 'Réponse étape par étape :', ('La réponse est',), True),
    'ja': Language('問題：', 'ステップごとの答え：', ('答えは',)),
    'ru': Language(
        'Задача: ', 'Пошаговое решение:', ('Ответ —', 'Ответ –', 'Ответ -', 'Ответ:'), True
    ),
    'sw': Language('Swali: ', 'Jibu la Hatua kwa Hatua:', ('Jibu ni',)),
    'te': Language('ప్రశ్న: ', 'దశలవారీగా సమాధానం:', ('సమాధానం',)),
    'th': Language('โจทย์: ', 'คำตอบทีละขั้นตอน:', ('คำตอบคือ',)),
    'zh': Language('问题：', '逐步解答：', ('答案是',)),
}
AVERAGED = tuple(language for language in LANGUAGES if language != 'en')


class MgsmTask(SuiteTask):
    """One language."""

    def __init__(self, path: pathlib.Path):
        code = path.stem.removeprefix('mgsm_')
        super().__init__(path.stem, aliases=[code])
        self._path = path
        self._code = code
        self._language = LANGUAGES[code]

    def read(self) -> Iterator[Question | BadRecord]:
        for index, (where, line) in enumerate(read_lines(self._path)):
            yield line if isinstance(line, BadRecord) else self._question(index, where, line)

    def _question(self, index: int, where: str, line: str) -> Question | BadRecord:
        cells = line.split('\t')
        if len(cells) != 2 or not cells[0].strip():
            return BadRecord(
                f'{where}: {len(cells)} columns; a line is a question, a tab and a number'
            )
        if not re.fullmatch(r'\s*-?[\d.,]*\d\s*', cells[1]):
            return BadRecord(f'{where}: the answer {cells[1]!r} is no number')
        answer = normalize_number(cells[1])
        return Question(index, f'{self.name}-{index}', {'question': cells[0]}, (answer,))

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots > len(self._exemplars):
            raise self.too_few(len(self._exemplars), shots)
        language = self._language
        last = f'{language.question}{question.fields["question"]}\n{language.answer}'
        return '\n\n'.join([*self._exemplars[:shots], last])

    def _extract(self, text: str, protocol: str) -> str | None:
        language = self._language
        # A model may repeat the prefix, which holds the mark in Telugu, and go on to questions of its own.
        said = text.strip().removeprefix(language.answer).split(f'\n{language.question}', 1)[0]
        return final_number(said, language.marks, decimal_comma=language.decimal_comma)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [answer in question.answers]

    @functools.cached_property
    def _exemplars(self) -> list[str]:
        path = self._path.with_name('exemplars.json')
        try:
            exemplars = read_json(path)['MGSM_EXEMPLARS'].get(self._code, {})
            ordered = sorted(exemplars.items(), key=lambda item: int(item[0]))
            return [f'{exemplar["q"]}\n{exemplar["a"]}' for _, exemplar in ordered]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f'{path}: MGSM_EXEMPLARS holds, by language and number, "q" and "a"'
            ) from error


def _open(folder: pathlib.Path) -> list[MgsmTask]:
    files = sorted(folder.glob('mgsm_*.tsv'))
    for path in files:
        if path.stem.removeprefix('mgsm_') not in LANGUAGES:
            raise UserError(f'{path}: not a language of MGSM: {", ".join(LANGUAGES)}')
    return [MgsmTask(path) for path in files]


SUITES = [
    SuiteDefinition(
        name='mgsm',
        folder='mgsm',
        protocols={'cot': Protocol(SHOTS)},
        chances={f'mgsm_{language}': 0.0 for language in AVERAGED},
        open_tasks=_open,
    )
]
