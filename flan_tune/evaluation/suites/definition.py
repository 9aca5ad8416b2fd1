"""Evaluation suites: questions from the publishers' own files, prompts, extraction and scores, without a model."""

import abc
import dataclasses
import functools
import importlib
import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.extraction import match_option

PROTOCOLS = ('direct', 'cot', 'rank')
BUILT_IN = 'flan_tune.tasks.suites'
# What another verb does: name -> why it is no suite, and the command.
ELSEWHERE = {
    'real_toxicity_prompts': 'continuations are sampled, and a scorer judges them: '
    'flan_tune sample --gin_file=runs/toxicity.gin --gin_file=MODEL.gin --gin.SCORER=…',
    'open_ended': 'people or a judge compare what is sampled: '
    'flan_tune sample --gin_file=runs/open_ended.gin --gin_file=MODEL.gin, then flan_tune compare-pairs',
}
_NAMED = 10

OnBadRecord = Literal['refuse', 'skip']
CountTokens = Callable[[str], int]


@dataclasses.dataclass(frozen=True)
class Question:
    """One question of a task.

    Attributes:
        index: its position among the records of the publisher's file, from 0 on.
        id: the publisher's own id, or one made of task and index.
        fields: what the prompt shows, by name.
        answers: the references; any of them is right.
        options: what can be answered, as it would be written; empty for open questions.
    """

    index: int
    id: str
    fields: Mapping[str, str]
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether a reference is among the options; the files of some suites hold exceptions."""
        return not self.options or not set(self.options).isdisjoint(self.answers)


@dataclasses.dataclass(frozen=True)
class Extracted:
    """The answer in what a model wrote; None where it gives none, which is wrong and counted apart."""

    answer: str | None


class SuiteTask(abc.ABC):
    """One task of a suite: a subject, a language, a subtask.

    A suite implements `read`, `_prompt`, `_extract` and `_score`.

    Attributes:
        name: as in tables and as the name of a file of predictions.
        aliases: other names under which a file of predictions is found.
        metrics: what `score` returns, by name.
        max_prompt_tokens: longest prompt; exemplars are dropped from the end to keep to it.
        on_bad_record: what the first look at `questions` does with records that cannot be used.
    """

    metrics: tuple[str, ...] = ('exact_match',)
    max_prompt_tokens: int | None = None
    on_bad_record: OnBadRecord = 'refuse'

    def __init__(self, name: str, aliases: Sequence[str] = ()):
        self.name = name
        self.aliases = tuple(aliases)

    @abc.abstractmethod
    def read(self) -> Iterable[Question | BadRecord]:
        """Reads the publisher's file: a question, or what is wrong, for each record."""

    @abc.abstractmethod
    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        """The prompt with exactly so many exemplars, or a UserError from `too_few`."""

    @abc.abstractmethod
    def _extract(self, text: str, protocol: str) -> str | None:
        """The answer in a text that is not blank; not called for 'rank'."""

    def _extract_zero_shot(self, text: str, question: Question, protocol: str) -> str | None:
        """The same without exemplars, where that is read in another way."""
        return self._extract(text, protocol)

    @abc.abstractmethod
    def _score(self, question: Question, answer: str) -> Sequence[float]:
        """Scores of an answer, 0 to 1, in the order of `metrics`."""

    @property
    def questions(self) -> Sequence[Question]:
        """The questions, read at the first look.

        Raises:
            UserError: the file cannot be read; or, unless they are skipped, it holds bad records (all are named).
        """
        questions, bad = self._records
        if bad and self.on_bad_record == 'refuse':
            raise UserError(f'{named(list(map(str, bad)))}; correct them, or skip bad records')
        return questions

    @property
    def bad_records(self) -> list[str]:
        """What is wrong with the records that are left out, with file and line."""
        return list(map(str, self._records[1]))

    def scored(self, shots: int) -> Sequence[Question]:
        """The questions that count: all but those that serve as exemplars."""
        del shots
        return self.questions

    def prompt(
        self,
        question: Question,
        protocol: str,
        shots: int,
        *,
        count_tokens: CountTokens | None = None,
    ) -> str:
        """Returns the prompt of one question.

        Args:
            question: one of `questions`.
            protocol: one of the suite's.
            shots: exemplars ahead of the question.
            count_tokens: tokens of a text; with it, exemplars are dropped while the prompt exceeds `max_prompt_tokens`.

        Raises:
            UserError: there are fewer exemplars than shots.
        """
        if shots < 0:
            raise UserError(f'{self.name}: {shots} shots; ask for 0 or more')
        text = self._prompt(question, protocol, shots)
        if count_tokens and self.max_prompt_tokens:
            while shots and count_tokens(text) > self.max_prompt_tokens:
                shots -= 1
                text = self._prompt(question, protocol, shots)
        return text

    def choices(self, question: Question) -> tuple[str, ...]:
        """What protocol 'rank' scores behind the prompt (and one space, for decoder-only models), a text an option."""
        return question.options

    def extract(
        self, text: str, question: Question, protocol: str, shots: int | None = None
    ) -> Extracted:
        """Returns the answer that a generation gives, or the option that 'rank' chose.

        Args:
            text: what was written, or the option.
            question: one of `questions`.
            protocol: how it was asked.
            shots: exemplars that were asked for; 0 where nothing has shown how an answer is worded.
        """
        if not text.strip():
            return Extracted(None)
        if protocol == 'rank':
            return Extracted(match_option(text, question.options))
        if shots == 0:
            return Extracted(self._extract_zero_shot(text, question, protocol))
        return Extracted(self._extract(text, protocol))

    def score(self, question: Question, extracted: Extracted) -> dict[str, float]:
        """Returns metric -> 0 to 1; all are 0 where nothing could be extracted."""
        if extracted.answer is None:
            return dict.fromkeys(self.metrics, 0.0)
        values = self._score(question, extracted.answer)
        return dict(zip(self.metrics, map(float, values), strict=True))

    def too_few(self, found: int, shots: int) -> UserError:
        """The error to raise where `found` exemplars are fewer than `shots`."""
        return UserError(
            f'{self.name}: {shots} shots, but there are {found} exemplars; ask for at most {found}'
        )

    @functools.cached_property
    def _records(self) -> tuple[list[Question], list[BadRecord]]:
        records = list(self.read())
        questions = [record for record in records if isinstance(record, Question)]
        bad = [record for record in records if isinstance(record, BadRecord)]
        if not questions:
            raise UserError(f'{self.name}: no question can be read. {named(list(map(str, bad)))}')
        return questions, bad


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a suite is run when nothing else is said: exemplars, and the metric that its score is the mean of."""

    shots: int
    metric: str = 'exact_match'


@dataclasses.dataclass(frozen=True)
class SuiteDefinition:
    """What is known of a suite before its files are looked at.

    Attributes:
        name: as in `--suite=NAME` and in tables.
        folder: its folder in the data folder; empty where questions are made by code, and no file is read.
        protocols: those that it has, by name.
        chances: the tasks whose unweighted mean is the suite's score, with the score of guessing in percent.
        open_tasks: returns the tasks that a folder holds; found by looking, never by a list of files.
        groups: parts of the suite that are reported apart.
    """

    name: str
    folder: str
    protocols: Mapping[str, Protocol]
    chances: Mapping[str, float]
    open_tasks: Callable[[pathlib.Path], Sequence[SuiteTask]]
    groups: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def protocol(self, name: str) -> Protocol:
        """Returns one of the protocols; raises a UserError for one that the suite does not have."""
        if name not in self.protocols:
            raise UserError(
                f'suite {self.name!r} has no protocol {name!r}.{did_you_mean(name, self.protocols)}'
                f' Protocols: {", ".join(self.protocols)}'
            )
        return self.protocols[name]


class Suite:
    """A suite with its files.

    Attributes:
        definition: see SuiteDefinition.
        folder: where the files are.
        tasks: the tasks that are there, by name.
        missing: the tasks of the published suite that are not; averages without them are partial.
    """

    def __init__(
        self,
        definition: SuiteDefinition,
        folder: pathlib.Path,
        on_bad_record: OnBadRecord = 'refuse',
    ):
        if not folder.is_dir():
            raise UserError(
                f'suite {definition.name!r}: no folder {folder}'
            ) from FileNotFoundError(folder)
        self.definition = definition
        self.folder = folder
        self.tasks = {task.name: task for task in definition.open_tasks(folder)}
        if not self.tasks:
            raise UserError(f'suite {definition.name!r}: {folder} holds none of its tasks')
        for task in self.tasks.values():
            task.on_bad_record = on_bad_record
        self.missing = tuple(name for name in definition.chances if name not in self.tasks)

    def task(self, name: str) -> SuiteTask:
        """Returns a task by its name or an alias; raises a UserError for one that is not there."""
        for task in self.tasks.values():
            if name == task.name or name in task.aliases:
                return task
        if name in self.missing:
            raise UserError(f'suite {self.definition.name!r}: {self.folder} lacks task {name!r}')
        raise UserError(
            f'suite {self.definition.name!r} has no task {name!r} in {self.folder}.'
            f'{did_you_mean(name, [*self.tasks, *self.definition.chances])}'
        )

    def check(self, protocol: str | None = None, shots: int | None = None) -> None:
        """Reads all the questions, so that what is wrong with a file shows before a model runs.

        Args:
            protocol: one whose prompts and exemplars are tried too.
            shots: with how many exemplars; by default the suite's.

        Raises:
            UserError: names what is wrong in all tasks.
        """
        if protocol is not None and shots is None:
            shots = self.definition.protocol(protocol).shots
        wrong = []
        for task in self.tasks.values():
            try:
                questions = task.questions if protocol is None else task.scored(shots)
                if protocol is not None and questions:
                    task.prompt(questions[0], protocol, shots)
            except UserError as error:
                wrong.append(str(error))
        if wrong:
            raise UserError('\n'.join(wrong))


_definitions: dict[str, SuiteDefinition] = {}


def register_suite(definition: SuiteDefinition) -> SuiteDefinition:
    """Makes a suite known by its name; the same name again replaces it, as notebooks need."""
    for protocol in definition.protocols:
        if protocol not in PROTOCOLS:
            raise ValueError(f'{definition.name}: {protocol!r} is none of {", ".join(PROTOCOLS)}')
    _definitions[definition.name] = definition
    return definition


def suite_names() -> list[str]:
    """Returns the names of all suites."""
    _import_built_in()
    return sorted(_definitions)


def find_suite(name: str) -> SuiteDefinition:
    """Returns a suite's definition; raises a UserError for a name that no suite has.

    For what has a verb of its own, such as RealToxicityPrompts, the error names the command.
    """
    names = suite_names()
    if name not in _definitions and name in ELSEWHERE:
        raise UserError(f'{name} is not for `flan_tune evaluate`: {ELSEWHERE[name]}')
    if name not in _definitions:
        near = did_you_mean(name, [*names, *ELSEWHERE])
        raise UserError(f'no suite {name!r}.{near} Suites: {", ".join(names)}')
    return _definitions[name]


def open_suite(
    name: str, folder: str | pathlib.Path | None = None, *, on_bad_record: OnBadRecord = 'refuse'
) -> Suite:
    """Opens a suite by name.

    Args:
        name: a registered suite.
        folder: its files; by default its own folder in FLAN_TUNE_DATA_DIR.
        on_bad_record: 'refuse' records that cannot be used, or 'skip' (and count) them.

    Raises:
        UserError: no such suite, folder or task.
    """
    definition = find_suite(name)
    default = f'${{FLAN_TUNE_DATA_DIR}}/{definition.folder}' if definition.folder else '.'
    return Suite(definition, expand_path(str(folder or default)), on_bad_record)


def named(messages: Sequence[str], most: int = _NAMED) -> str:
    """Joins messages into one, the first ones in full."""
    rest = f'; and {len(messages) - most} more' if len(messages) > most else ''
    return '; '.join(messages[:most]) + rest


def _import_built_in() -> None:
    """Imports our suites alone: the package around them would bring SeqIO and TensorFlow."""
    if BUILT_IN in sys.modules:
        return
    parent = importlib.util.find_spec(BUILT_IN.rpartition('.')[0])
    spec = importlib.machinery.PathFinder.find_spec(BUILT_IN, parent.submodule_search_locations)
    module = importlib.util.module_from_spec(spec)
    sys.modules[BUILT_IN] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[BUILT_IN]
        raise
