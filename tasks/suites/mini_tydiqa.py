"""TyDiQA's counterpart over the embedded world: the answer is a span of a passage; 1 exemplar, exact match and F1.

Its languages are English, which is scored but is no part of the suite's score, as there; `both`, English sentences
with Zun words for what things are; and `zun`, where a sentence is its words in order, without articles and verbs.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

from flan_tune.data.draws import Draws
from flan_tune.evaluation.metrics import squad_example
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.mini import Item, MiniSuiteTask, world

NAME = 'mini_tydiqa'
SHOTS = 1


@dataclasses.dataclass(frozen=True)
class Language:
    """How a language says that {name} has {what}, and asks what {name} has, and who has {what}."""

    sentence: str
    what: str
    who: str
    zun: bool


LANGUAGES = {
    'english': Language(
        '{name} has the {what}.', 'What does {name} have?', 'Who has {what}?', False
    ),
    'both': Language('{name} has the {what}.', 'What does {name} have?', 'Who has {what}?', True),
    'zun': Language('{name}: {what}.', '{name}?', '{what}?', True),
}
AVERAGED = tuple(name for name, language in LANGUAGES.items() if language.zun)


class MiniTydiqaTask(MiniSuiteTask):
    """One language."""

    metrics = ('em', 'f1')

    def _render(self, item: Item, protocol: str) -> str:
        return f'Story: {item.passage}\nQuestion: {item.question}\nAnswer:'

    def _solution(self, item: Item, protocol: str) -> str:
        return item.answer

    def _extract(self, text: str, protocol: str) -> str | None:
        return text.strip().split('\n', 1)[0]

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return squad_example(question.answers, answer)


def _make(draws: Draws, language: Language) -> Item:
    count = 3 + draws.integer(2)
    people = world.some(draws, world.NAMES, count)
    things = [
        f'{language_word(adjective, language.zun)} {language_word(thing, language.zun)}'
        for adjective, thing in zip(
            world.some(draws, world.ADJECTIVES, count),
            world.some(draws, world.THINGS, count),
            strict=True,
        )
    ]
    passage = ' '.join(
        language.sentence.format(name=name, what=what)
        for name, what in zip(people, things, strict=True)
    )
    asked = draws.integer(count)
    name, what = people[asked], things[asked]
    if draws.integer(4):
        return Item(language.what.format(name=name), what, passage=passage)
    return Item(language.who.format(what=what), name, passage=passage)


def language_word(word: str, zun: bool) -> str:
    """Returns a word of the dictionary in English or in Zun."""
    return world.ZUN_OF[word] if zun else word


def _open(folder: pathlib.Path | None) -> Sequence[MiniTydiqaTask]:
    return [
        MiniTydiqaTask(NAME, name, functools.partial(_make, language=language))
        for name, language in LANGUAGES.items()
    ]


SUITES = [
    SuiteDefinition(
        name=NAME,
        folder='',
        protocols={'direct': Protocol(SHOTS, 'em')},
        chances=dict.fromkeys(AVERAGED, 0.0),
        open_tasks=_open,
    )
]
