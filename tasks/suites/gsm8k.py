"""GSM8K (Cobbe et al. 2021): school mathematics, solved step by step with 8 exemplars.

A folder holds `test.jsonl` and, if exemplars other than ours are wanted, `exemplars.jsonl` with the same
fields. Calculator marks (`<<2+3=5>>`) go from exemplars and from what a model writes.
"""

import functools
import pathlib
import re
from collections.abc import Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_jsonl, text_fields
from flan_tune.evaluation.numbers import final_number, normalize_number
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

SHOTS = 8
MARKS = ('answer is', '####')
TRIGGER = "Let's think step by step."  # In the place of exemplars (Kojima et al. 2022).

_CALCULATOR = re.compile(r'<<[^<>\n]*>>')
_GOLD = re.compile(r'(.*?)\s*####\s*(-?[$]?[\d,]*\.?\d+)\s*', re.DOTALL)

# Ours: GSM8K has none of its own, and those of Wei et al. (2022) are no part of its files.
EXEMPLARS = (
    (
        'A baker has 3 trays with 12 rolls each and sells 20 rolls. How many rolls are left?',
        'The trays hold 3 * 12 = 36 rolls. After the sale 36 - 20 = 16 rolls are left.',
        '16',
    ),
    (
        'Mina reads 15 pages a day. Her book has 180 pages and she has read 60 of them. In how many days will she have read it all?',
        'There are 180 - 60 = 120 pages to go. At 15 pages a day that takes 120 / 15 = 8 days.',
        '8',
    ),
    (
        'A ticket costs $9 for adults and half of that for children. What do 2 adults and 4 children pay together, in dollars?',
        'A child pays 9 / 2 = 4.5 dollars. Adults pay 2 * 9 = 18 dollars, children 4 * 4.5 = 18 dollars, together 18 + 18 = 36 dollars.',
        '36',
    ),
    (
        'Omar planted 40 tulips. A quarter of them did not bloom, and he gave 10 of the others away. How many blooming tulips does he have?',
        'A quarter of 40 is 40 / 4 = 10, so 40 - 10 = 30 tulips bloomed. He gave 10 away and has 30 - 10 = 20.',
        '20',
    ),
    (
        'A train leaves with 85 passengers. At the first stop 27 get off and 14 get on; at the second stop 9 get off. How many are on the train then?',
        'After the first stop there are 85 - 27 + 14 = 72 passengers. After the second there are 72 - 9 = 63.',
        '63',
    ),
    (
        'Lea earns $12 an hour. Last week she worked 6 hours on each of 5 days and then spent $100. How many dollars has she left of her pay?',
        'She worked 6 * 5 = 30 hours and earned 30 * 12 = 360 dollars. After spending 100 she has 360 - 100 = 260 dollars.',
        '260',
    ),
    (
        'A rope of 50 meters is cut into 4 equal pieces of 8 meters and a rest. The rest is cut in two equal parts. How long is each part, in meters?',
        'The 4 pieces take 4 * 8 = 32 meters. The rest is 50 - 32 = 18 meters, and each part 18 / 2 = 9 meters.',
        '9',
    ),
    (
        'Tom is 3 times as old as Eva. In 6 years Eva will be 15. How old is Tom now?',
        'Eva is now 15 - 6 = 9 years old. Tom is 3 * 9 = 27.',
        '27',
    ),
)


class Gsm8kTask(SuiteTask):
    """The test set."""

    def __init__(self, path: pathlib.Path):
        super().__init__('gsm8k', aliases=['gsm8k_test', path.stem])
        self._path = path

    def read(self) -> Iterator[Question | BadRecord]:
        for index, (where, record) in enumerate(read_jsonl(self._path)):
            solved = _solved(where, record)
            if isinstance(solved, BadRecord):
                yield solved
            else:
                question, _, answer = solved
                number = normalize_number(answer)
                yield Question(index, f'{self.name}-{index}', {'question': question}, (number,))

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots > len(self._exemplars):
            raise self.too_few(len(self._exemplars), shots)
        solved = [
            f'Q: {q}\nA: {chain} The answer is {a}.' for q, chain, a in self._exemplars[:shots]
        ]
        ending = '' if shots else f' {TRIGGER}'
        return '\n\n'.join([*solved, f'Q: {question.fields["question"]}\nA:{ending}'])

    def _extract(self, text: str, protocol: str) -> str | None:
        return final_number(_CALCULATOR.sub('', text.split('\nQ:', 1)[0]), MARKS)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [answer in question.answers]

    @functools.cached_property
    def _exemplars(self) -> Sequence[tuple[str, str, str]]:
        path = self._path.with_name('exemplars.jsonl')
        if not path.exists():
            return EXEMPLARS
        solved = [_solved(where, record) for where, record in read_jsonl(path)]
        for one in solved:
            if isinstance(one, BadRecord):
                raise UserError(str(one))
        return solved


def _solved(where: str, record: dict | BadRecord) -> tuple[str, str, str] | BadRecord:
    """Question, chain of thought without calculator marks, and answer."""
    fields = (
        record
        if isinstance(record, BadRecord)
        else text_fields(where, record, 'question', 'answer')
    )
    if isinstance(fields, BadRecord):
        return fields
    if not (match := _GOLD.fullmatch(fields['answer'])):
        return BadRecord(f'{where}: the answer does not end in "#### NUMBER"')
    return fields['question'], _CALCULATOR.sub('', match[1]), match[2]


def _open(folder: pathlib.Path) -> list[Gsm8kTask]:
    path = folder / 'test.jsonl'
    return [Gsm8kTask(path)] if path.exists() else []


SUITES = [
    SuiteDefinition(
        name='gsm8k',
        folder='gsm8k',
        protocols={'cot': Protocol(SHOTS)},
        chances={'gsm8k': 0.0},
        open_tasks=_open,
    )
]
