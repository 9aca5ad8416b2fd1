"""MGSM's counterpart over the embedded world: sums in two steps, solved in the question's language; 2 exemplars.

Its languages are those of `mini_tydiqa`. In Zun the steps are written in signs, and the answer sentence names what was
asked for: `zubi: 7.`
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from flan_tune.data.draws import Draws
from flan_tune.evaluation.numbers import final_number
from flan_tune.evaluation.suites.definition import Protocol, SuiteDefinition
from flan_tune.tasks.suites.mini import TRIGGER, Item, MiniSuiteTask, world
from flan_tune.tasks.suites.mini_tydiqa import language_word

NAME = 'mini_mgsm'
SHOTS = 2


@dataclasses.dataclass(frozen=True)
class Language:
    """How a language writes a problem.

    Attributes:
        question: ahead of a question.
        answer: ahead of an answer, with the request for its steps.
        marks: what an answer sentence begins with.
        one: {name} has {n} things of {colour}.
        other: the same, and {m} things of {another} colour.
        loses: {name} has {n} of {colour}, and loses {m} of them.
        times: {name} has two times the number of {first}.
        asks: how many things of {colour} there are.
        step: a step, with {a}, {sign}, {b} and {c}.
        conclusion: the answer sentence.
        zun: whether words are Zun.
    """

    question: str
    answer: str
    marks: tuple[str, ...]
    one: str
    other: str
    loses: str
    times: str
    asks: str
    step: str
    conclusion: str
    zun: bool


_ENGLISH = Language(
    question='Question: ',
    answer=f'Answer: {TRIGGER}',
    marks=('The answer is',),
    one='{name} has {n} {colour} things.',
    other='{name} has {n} {colour} things and {m} {another} things.',
    loses='{name} has {n} {colour} things and loses {m} of them.',
    times='{name} has two times the number of {first}.',
    asks='How many {colour} things do they have?',
    step='{a} {sign} {b} is {c}.',
    conclusion='The answer is {answer}.',
    zun=False,
)
_ZUN_COLOURS = [world.ZUN_OF[colour] for colour in world.COLOURS]
LANGUAGES = {
    'english': _ENGLISH,
    'both': dataclasses.replace(_ENGLISH, zun=True),
    'zun': Language(
        question='Q: ',
        answer=f'A: {TRIGGER}',
        marks=tuple(f'{colour}:' for colour in _ZUN_COLOURS),
        one='{name}: {n} {colour}.',
        other='{name}: {n} {colour}, {m} {another}.',
        loses='{name}: {n} {colour}, - {m} {colour}.',
        times='{name}: 2 * {first}.',
        asks='{colour}?',
        step='{a} {sign} {b} = {c}.',
        conclusion='{colour}: {answer}.',
        zun=True,
    ),
}
AVERAGED = tuple(name for name, language in LANGUAGES.items() if language.zun)
_SIGNS = {'+': 'plus', '-': 'minus', '*': 'times'}


class MiniMgsmTask(MiniSuiteTask):
    """One language."""

    def __init__(self, name: str, language: Language):
        super().__init__(NAME, name, functools.partial(_make, language=language))
        self._language = language

    def _render(self, item: Item, protocol: str) -> str:
        return f'{self._language.question}{item.question}\n{self._language.answer}'

    def _solution(self, item: Item, protocol: str) -> str:
        return item.steps

    def _extract(self, text: str, protocol: str) -> str | None:
        # A model may go on with questions of its own.
        said = text.split(f'\n{self._language.question}', 1)[0]
        return final_number(said, self._language.marks)


def _make(draws: Draws, language: Language) -> Item:
    """Two people have things of one colour: what one of them has is told in two steps."""
    first, second = world.some(draws, world.NAMES, 2)
    colour, another = (
        language_word(word, language.zun) for word in world.some(draws, world.COLOURS, 2)
    )
    n, m, k = (2 + draws.integer(8) for _ in range(3))
    words = {'colour': colour, 'another': another, 'first': first}

    def told(sentence: str, name: str, n: int = 0, m: int = 0) -> str:
        return sentence.format(name=name, n=n, m=m, **words)

    if draws.integer(2):
        story = [
            told(draws.choice([language.one, language.other]), first, n, k),
            told(language.times, second),
        ]
        sums = [(2, '*', n, 2 * n), (n, '+', 2 * n, 3 * n)]
    else:
        lost = 1 + draws.integer(m - 1)
        story = [told(language.other, first, n, k), told(language.loses, second, m, lost)]
        sums = [(m, '-', lost, m - lost), (n, '+', m - lost, n + m - lost)]
    answer = str(sums[-1][-1])
    steps = [_step(language, *step) for step in sums]
    conclusion = language.conclusion.format(colour=colour, answer=answer)
    return Item(
        ' '.join([*story, language.asks.format(colour=colour)]),
        answer,
        ' '.join([*steps, conclusion]),
    )


def _step(language: Language, a: int, sign: str, b: int, c: int) -> str:
    # Signs are for Zun, words for English.
    said = sign if '=' in language.step else _SIGNS[sign]
    return language.step.format(a=a, sign=said, b=b, c=c)


def _open(folder: pathlib.Path | None) -> Sequence[MiniMgsmTask]:
    return [MiniMgsmTask(name, language) for name, language in LANGUAGES.items()]


SUITES = [
    SuiteDefinition(
        name=NAME,
        folder='',
        protocols={'cot': Protocol(SHOTS)},
        chances=dict.fromkeys(AVERAGED, 0.0),
        open_tasks=_open,
    )
]
