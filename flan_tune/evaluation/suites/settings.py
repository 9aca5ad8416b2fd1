"""How a suite is asked of a model: which questions, and what there is to choose beside protocol and shots."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Question, SuiteTask
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask

RankBy = Literal['sum', 'token', 'character', 'unconditional']
MAX_NEW_TOKENS = {'direct': 128, 'cot': 512}


class TextModel(Protocol):
    """What a suite asks of a model; `flan_tune.decoding.text_model` has ours."""

    def count_tokens(self, text: str) -> int: ...
    def generate(self, prompts: Sequence[str], **options: Any) -> list[list[Any]]: ...
    def rank(
        self, prompts: Sequence[str], choices: Sequence[Sequence[str]], **options: Any
    ) -> list[list[Any]]: ...


@dataclasses.dataclass(frozen=True)
class Settings:
    """How answers are got, beside protocol and shots; see `run_suite`."""

    chains: int = 1
    temperature: float = 0.7
    max_new_tokens: int | None = None
    rank_by: RankBy = 'sum'
    seed: int = 0

    def __post_init__(self):
        if self.chains < 1:
            raise UserError(f'chains: {self.chains}; use a positive number')
        if self.chains > 1 and self.temperature <= 0:
            raise UserError(
                f'{self.chains} chains at temperature {self.temperature} are all the same; raise it'
            )
        if self.rank_by not in (ways := get_args(RankBy)):
            raise UserError(f'rank_by: {self.rank_by!r} is none of {", ".join(ways)}')


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a model is asked about one question.

    Attributes:
        question: the question.
        prompt: what the model reads.
        shown: the same without exemplars.
        shots: exemplars in it; fewer than asked for where it would be longer than the model reads.
        choices: what is ranked; empty for generation.
    """

    question: Question
    prompt: str
    shown: str
    shots: int
    choices: tuple[str, ...] = ()


def questions(task: SuiteTask, shots: int, most: int | None) -> list[Question]:
    """Returns the questions that count, of each template at most so many, the first ones."""
    found: list[Question] = []
    seen: collections.Counter[str] = collections.Counter()
    for question in task.scored(shots):
        template = task.template(question) if isinstance(task, InstructionSuiteTask) else ''
        if most is None or seen[template] < most:
            seen[template] += 1
            found.append(question)
    return found


def ranking_values(
    likelihoods: Sequence[Any], by: RankBy, unconditional: Sequence[Any] | None = None
) -> list[float]:
    """Returns what the options of one question are ranked by, the largest being the answer."""
    if by == 'token':
        return [one.log_likelihood / max(one.num_tokens, 1) for one in likelihoods]
    if by == 'character':
        return [one.log_likelihood / max(one.num_characters, 1) for one in likelihoods]
    if by == 'unconditional':
        pairs = zip(likelihoods, unconditional, strict=True)
        return [one.log_likelihood - alone.log_likelihood for one, alone in pairs]
    return [one.log_likelihood for one in likelihoods]
