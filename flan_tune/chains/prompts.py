"""FIAT's two instructions (Wang et al. 2023): I_beta asks the large model to reason, I_tau the tuned one to answer."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

from flan_tune.data.prompts import Prompt, Template
from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError
from flan_tune.evaluation.extraction import ANSWER_MARK, chain_answer
from flan_tune.evaluation.files import read_jsonl, text_fields
from flan_tune.evaluation.suites.definition import named

# What begins the sentence that gives the answer.
_CONCLUSION = re.compile(r'(?:\b(?:So|Thus|Hence|Therefore),? )?\b[Tt]he (?:final )?$')
CHAIN = 'chain'
FIELDS = ('question', CHAIN, 'answer')


@dataclasses.dataclass(frozen=True)
class Exemplar:
    """A question with the reasoning that leads to its answer."""

    question: str
    chain: str
    answer: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reasoning:
    """I_beta: what the large model is shown ahead of a question, and how it is asked.

    Attributes:
        instruction: stands ahead of all where a chain is asked for.
        question: how a question is asked that is to be reasoned about; {question} is its text.
        solution: what stands behind the question of an exemplar, {chain} and {answer}. 'answer is ' marks the answer.
        exemplars: solved questions: a list of {'question', 'chain', 'answer'}; a JSONL file of such objects; or so
            many records of the training split, whose field `rationale` is the chain. These are not trained on.
        separator: between exemplars; a chain that the model writes ends where it writes one.
    """

    instruction: str = ''
    question: str = '{question}\nThink step by step.'
    solution: str = '{chain} The answer is {answer}.'
    exemplars: int | str | Sequence[Mapping[str, str]] = 0
    separator: str = '\n\n'

    def __post_init__(self):
        _check_fields('Reasoning.question', self.question, 'question')
        _check_fields('Reasoning.solution', self.solution, CHAIN, 'answer')
        if ANSWER_MARK not in self.solution:
            raise UserError(
                f'Reasoning.solution: {self.solution!r} must say {ANSWER_MARK!r} ahead of {{answer}}, '
                'by which answers are found'
            )

    def given_exemplars(self) -> list[Exemplar]:
        """Returns the exemplars of the list or the file; none where they come from the training split.

        Raises:
            UserError: one lacks a field; all are named.
        """
        if isinstance(self.exemplars, int):
            return []
        if isinstance(self.exemplars, str):
            records = list(read_jsonl(expand_path(self.exemplars)))
        else:
            records = [
                (f'Reasoning.exemplars, place {place}', record)
                for place, record in enumerate(self.exemplars)
            ]
        found, bad = [], []
        for where, record in records:
            broken = isinstance(record, BadRecord)
            fields = record if broken else text_fields(where, record, *FIELDS)
            if isinstance(fields, BadRecord):
                bad.append(str(fields))
            else:
                found.append(Exemplar(**fields))
        if bad:
            raise UserError(f'{named(bad)}; an exemplar has {", ".join(FIELDS)}')
        return found

    def prompt(self, question: str, exemplars: Sequence[Exemplar]) -> str:
        """Returns what the model reads to reason about a question."""
        solved = [
            f'{self._asked(one.question)}\n{self._solution(dataclasses.asdict(one))}'
            for one in exemplars
        ]
        head = f'{self.instruction}{self.separator}' if self.instruction else ''
        return head + self.separator.join([*solved, self._asked(question)])

    def solved(self, chain: str, answer: str) -> str:
        """Returns a solution: the reasons of a chain, and an answer in the place of the chain's own."""
        return self._solution({CHAIN: reasons(chain), 'answer': answer}).strip()

    def own(self, text: str) -> str:
        """Returns the chain in what the model wrote: questions of its own behind it are left out."""
        return text.strip().split(self.separator, 1)[0].strip()

    def _asked(self, question: str) -> str:
        return self._question({'question': question})

    @functools.cached_property
    def _question(self) -> Template:
        return Template(self.question)

    @functools.cached_property
    def _solution(self) -> Template:
        return Template(self.solution)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskPrompt:
    """I_tau: how the tuned model is asked.

    Attributes:
        instruction: what the task is; stands ahead of all, also in in-context learning without chains.
        question: how a question is shown without a chain.
        chained: the same with one.
        explain: how the chain is asked for where it is a second target.
        separator: between exemplars of in-context learning without chains.
    """

    instruction: str = ''
    question: str = '{question}'
    chained: str = '{question}\nReasons: {chain}'
    explain: str = '{question}\nExplain.'
    separator: str = '\n\n'

    def __post_init__(self):
        _check_fields('TaskPrompt.question', self.question, 'question')
        _check_fields('TaskPrompt.chained', self.chained, 'question', CHAIN)
        _check_fields('TaskPrompt.explain', self.explain, 'question')

    def seqio_prompts(self, chains_in: str | None, instructed: bool) -> list[Prompt]:
        """Returns the templates that tau is tuned with, for the records of `tuning_task`; the first asks for the answer.

        Args:
            chains_in: 'inputs', 'targets', 'auxiliary', or None for no chains.
            instructed: whether the instruction stands ahead.
        """
        instruction = self.instruction if instructed else ''
        inputs = self.chained if chains_in == 'inputs' else self.question
        targets = '{solved}' if chains_in == 'targets' else '{answer}'
        prompts = [Prompt(inputs, targets, name='answer', instruction=instruction)]
        if chains_in == 'auxiliary':
            explain = Prompt(self.explain, '{explained}', 'explain', True, instruction)
            prompts.append(explain)
        return prompts

    def in_context(self, question: str, exemplars: Sequence[Exemplar]) -> str:
        """Returns a prompt for in-context learning without chains."""
        template = Template(self.question)
        solved = [f'{template({"question": one.question})}\n{one.answer}' for one in exemplars]
        head = f'{self.instruction}{self.separator}' if self.instruction else ''
        return head + self.separator.join([*solved, template({'question': question})])


def rendered(prompt: Prompt, fields: Mapping[str, str]) -> str:
    """Returns the inputs of a template, as the task that has it renders them."""
    return prompt.render_instruction(fields) + prompt.render_without_options(fields)


def reasons(chain: str) -> str:
    """Returns a chain without the sentence that concludes it, 'So the answer is …'."""
    before, mark, _ = chain.partition(ANSWER_MARK)
    return _CONCLUSION.sub('', before).strip() if mark else chain.strip()


def concluded(text: str) -> str:
    """Returns the answer that a chain gives; a chain that does not say so is an answer as a whole."""
    answer = chain_answer(text)
    return text if answer is None else answer


def fitted(
    render: Callable[[int], str], shots: int, count_tokens: Callable[[str], int], longest: int
) -> str:
    """Returns `render(shots)`, with exemplars dropped from the end until it has at most `longest` tokens."""
    text = render(shots)
    while shots and count_tokens(text) > longest:
        shots -= 1
        text = render(shots)
    return text


def _check_fields(what: str, template: str, *needed: str) -> None:
    fields = Template(template).fields
    if fields != set(needed):
        shown = ', '.join(f'{{{name}}}' for name in needed)
        raise UserError(f'{what}: {template!r} must show {shown}, each of them and nothing else')
