"""What the suites of the embedded world share: questions made by code instead of read from files.

They ask for compositions that no task of the embedded collection asks for, in the words of its vocabulary. All is
drawn from the names of suite and task, so that everybody has the same questions.
"""

import abc
import dataclasses
import functools
import importlib.util
import pathlib
import types
from collections.abc import Callable, Iterator, Sequence

from flan_tune.data.draws import Draws
from flan_tune.evaluation.suites.definition import Question, SuiteTask

QUESTIONS = 100
EXEMPLARS = 8
_MOST_DRAWS = 10_000
TRIGGER = 'Let us think step by step.'


@dataclasses.dataclass(frozen=True)
class Item:
    """A question as it is made.

    Attributes:
        question: what is asked.
        answer: the right answer.
        steps: what leads to it, in sentences.
        options: what can be answered, in the order in which it is shown; empty for open questions.
        passage: what the question is about, where a suite shows it apart.
    """

    question: str
    answer: str
    steps: str = ''
    options: tuple[str, ...] = ()
    passage: str = ''


Make = Callable[[Draws], Item]


class MiniSuiteTask(SuiteTask):
    """One task, of which `make` draws items; a suite says how one is shown, and solved."""

    def __init__(self, suite: str, name: str, make: Make):
        super().__init__(name)
        self._suite = suite
        self._make = make

    @abc.abstractmethod
    def _render(self, item: Item, protocol: str) -> str:
        """The question as it is shown, up to where its answer begins."""

    @abc.abstractmethod
    def _solution(self, item: Item, protocol: str) -> str:
        """The answer as an exemplar shows it."""

    def read(self) -> Iterator[Question]:
        for index, item in enumerate(self._items[EXEMPLARS:]):
            fields = {'question': item.question}
            if item.passage:
                fields['passage'] = item.passage
            yield Question(index, f'{self.name}-{index}', fields, (item.answer,), item.options)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots > EXEMPLARS:
            raise self.too_few(EXEMPLARS, shots)
        solved = [
            f'{self._render(item, protocol)} {self._solution(item, protocol)}'
            for item in self._items[:shots]
        ]
        asked = self._items[EXEMPLARS + question.index]
        return '\n\n'.join([*solved, self._render(asked, protocol)])

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [answer in question.answers]

    @functools.cached_property
    def _items(self) -> list[Item]:
        """The exemplars and then the questions, all different."""
        items: dict[tuple[str, str, str], Item] = {}
        for index in range(_MOST_DRAWS):
            item = self._make(Draws(self._suite, self.name, index))
            items.setdefault((item.passage, item.question, item.answer), item)
            if len(items) == EXEMPLARS + QUESTIONS:
                return list(items.values())
        raise ValueError(f'{self._suite}/{self.name}: only {len(items)} different questions')


def question_lines(item: Item) -> str:
    """Returns the question and the line with its options, as the embedded collection writes them."""
    listed = f'\nPossible answers: {"; ".join(item.options)}' if item.options else ''
    return f'Q: {item.question}{listed}\nA:'


def chain(item: Item) -> str:
    """Returns the steps and the answer, as an exemplar shows them."""
    return f'{item.steps} The answer is {item.answer}.'


def _load_world() -> types.ModuleType:
    """Loads the world alone: the package around it would bring SeqIO and TensorFlow."""
    path = pathlib.Path(__file__).parents[1] / 'mini' / 'world.py'
    spec = importlib.util.spec_from_file_location(f'{__name__}_world', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


world = _load_world()
