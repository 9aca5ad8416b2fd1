"""Suites asked with chains: any suite or registered task, its questions in FIAT's words, its own answers and scores."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from flan_tune.chains.examples import Example
from flan_tune.chains.prompts import concluded
from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.suites.definition import (
    Extracted,
    Protocol,
    Question,
    Suite,
    SuiteDefinition,
    SuiteTask,
    open_suite,
)
from flan_tune.evaluation.suites.instruction import can_rank
from flan_tune.evaluation.suites.settings import questions
from flan_tune.evaluation.suites.whole_set import Output, WholeSetTask, auc_pr

# Preferred metrics of a registered task; else its first.
_HEADLINES = ('token_f1', 'f1', 'accuracy', 'exact_match')

AskedBy = Callable[[str, int], str]
Solve = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True)
class TestSet:
    """A suite with one of its protocols, and the questions of each of its tasks that are asked.

    Attributes:
        name: of the suite.
        protocol: 'direct' or 'rank'.
        metric: what the suite's score is the mean of.
        tasks: those of the suite, by name.
        examples: task -> index of the question -> the question, as the suite asks it zero-shot.
        definition: of the suite.
        limit: at most so many questions of a task.
    """

    name: str
    protocol: str
    metric: str
    tasks: Mapping[str, SuiteTask]
    examples: Mapping[str, Mapping[int, Example]]
    definition: SuiteDefinition
    limit: int | None = None

    @property
    def all_examples(self) -> list[Example]:
        """The questions of all tasks."""
        return [one for some in self.examples.values() for one in some.values()]


class ChainedTask(WholeSetTask):
    """A task of a suite in other words.

    Args:
        inner: the task.
        protocol: of the inner task, 'direct' or 'rank'.
        examples: index of a question -> its text.
        ask: makes the prompt of a question's id and a number of exemplars.
        cut: what of a generation is the answer.
        solve: makes what is ranked of a question's id and an option; None: the inner task's choices.
        positive: the option whose probability the area under the precision-recall curve is of; for tasks without one.
    """

    def __init__(
        self,
        inner: SuiteTask,
        protocol: str,
        examples: Mapping[int, Example],
        *,
        ask: AskedBy,
        cut: Callable[[str], str],
        solve: Solve | None = None,
        positive: str | None = None,
    ):
        super().__init__(inner.name, inner.aliases)
        self.metrics = inner.metrics
        theirs = inner.corpus_metrics if isinstance(inner, WholeSetTask) else ()
        self._positive = None if 'auc_pr' in theirs or protocol != 'rank' else positive
        self.corpus_metrics = (*theirs, *(['auc_pr'] if self._positive else []))
        self._inner, self._protocol, self._examples = inner, protocol, examples
        self._ask, self._cut, self._solve = ask, cut, solve

    def read(self) -> Iterable[Question | BadRecord]:
        return [q for q in self._inner.questions if q.index in self._examples]

    def choices(self, question: Question) -> tuple[str, ...]:
        if self._solve is None:
            return self._inner.choices(question)
        name = self._examples[question.index].id
        return tuple(self._solve(name, option) for option in question.options)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        if not isinstance(self._inner, WholeSetTask):
            values = {}
        else:
            ranked = protocol == 'rank'
            said = {
                index: output
                if ranked
                else dataclasses.replace(output, text=self._cut(output.text))
                for index, output in outputs.items()
            }
            values = self._inner.corpus_score(said, self._protocol, 0)
        if self._positive is not None:
            values |= auc_pr(*self.label_scores(outputs, self._positive))
        return values

    def extract(
        self, text: str, question: Question, protocol: str, shots: int | None = None
    ) -> Extracted:
        del shots  # Tuning or exemplars have shown how an answer is worded.
        said = text if protocol == 'rank' else self._cut(text)
        return self._inner.extract(said, question, self._protocol)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        return self._ask(self._examples[question.index].id, shots)

    def _extract(self, text: str, protocol: str) -> str | None:
        raise NotImplementedError('`extract` asks the inner task')

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        values = self._inner.score(question, Extracted(answer))
        return [values[metric] for metric in self.metrics]


def open_test_sets(
    suites: Sequence[str],
    name: str,
    *,
    split: str = 'test',
    protocols: Sequence[str] = (),
    limit: int | None = None,
) -> list[TestSet]:
    """Opens what is to be scored.

    Args:
        suites: suites by name; without any the registered task or mixture `name` is one.
        name: see `training_set`.
        split: of the registered task.
        protocols: of 'direct' and 'rank' those that are wanted; by default all that a suite has, and for a
            registered task 'rank' if it has options, else 'direct'.
        limit: at most so many questions of a task, the first ones.

    Raises:
        UserError: there is no such suite, task or split, or it has none of the protocols.
    """
    found = []
    for one in suites or [None]:
        suite, there = _registered(name, split) if one is None else _published(one)
        chosen = [p for p in there if p in protocols] if protocols else list(there)
        if one is None and not protocols:
            chosen = chosen[:1]
        if not chosen:
            raise UserError(
                f'{suite.definition.name}: it is asked as {" or ".join(there)}, not {" or ".join(protocols)}'
            )
        for protocol in chosen:
            suite.check(protocol, 0)
            found.append(_test_set(suite, protocol, there[protocol], limit))
    return found


def chained_suite(
    test: TestSet,
    protocol: str,
    shots: int,
    *,
    ask: AskedBy,
    cut: Callable[[str], str] = concluded,
    solve: Solve | None = None,
    positive: str | None = None,
) -> Suite:
    """Returns a suite of the same name and tasks that asks in other words; see `ChainedTask`.

    Args:
        test: the suite.
        protocol: what the table calls it: 'direct', 'cot' or 'rank'.
        shots: exemplars that prompts have.
    """
    tasks = [
        ChainedTask(
            task,
            test.protocol,
            test.examples[name],
            ask=ask,
            cut=cut,
            solve=solve,
            positive=_checked(positive, name, test) if test.protocol == 'rank' else None,
        )
        for name, task in test.tasks.items()
        if test.examples[name]
    ]
    definition = SuiteDefinition(
        name=test.name,
        folder='',
        protocols={protocol: Protocol(shots, test.metric)},
        chances=test.definition.chances,
        open_tasks=lambda folder: tasks,
        groups=test.definition.groups,
    )
    return Suite(definition, pathlib.Path('.'))


def _published(name: str) -> tuple[Suite, dict[str, str]]:
    suite = open_suite(name)
    protocols = {p: one.metric for p, one in suite.definition.protocols.items() if p != 'cot'}
    if not protocols:
        raise UserError(
            f'suite {name!r} only asks for chains of thought, not for answers behind them'
        )
    return suite, protocols


def _registered(name: str, split: str) -> tuple[Suite, dict[str, str]]:
    from flan_tune.evaluation.suites.registered import task_suite

    definition = task_suite(name, name, protocols={}, split=split)
    suite = Suite(definition, pathlib.Path('.'))
    tasks = list(suite.tasks.values())
    shared = [m for m in tasks[0].metrics if all(m in task.metrics for task in tasks)]
    metric = next((m for m in _HEADLINES if m in shared), shared[0])
    ranked = all(can_rank(task.definition) for task in tasks)
    protocols = {'rank': metric} if ranked else {}
    return suite, protocols | {'direct': metric}


def _test_set(suite: Suite, protocol: str, metric: str, limit: int | None) -> TestSet:
    name = suite.definition.name
    examples = {
        task.name: {
            question.index: Example(
                f'{name}/{task.name}/{question.index}',
                task.prompt(question, protocol, 0),
                question.answers[0],
            )
            for question in questions(task, 0, limit)
        }
        for task in suite.tasks.values()
    }
    return TestSet(name, protocol, metric, suite.tasks, examples, suite.definition, limit)


def _checked(positive: str | None, name: str, test: TestSet) -> str | None:
    """Returns the positive label if all questions of a task have it among two options."""
    if positive is None:
        return None
    for question in test.tasks[name].questions:
        if len(question.options) != 2 or positive not in question.options:
            raise UserError(
                f'POSITIVE_LABEL: {positive!r} is none of two options of {question.id} ({name}): '
                f'{", ".join(question.options)}.{did_you_mean(positive, question.options)}'
            )
    return positive
