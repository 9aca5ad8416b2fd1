"""The two halves of FIAT: who writes chains for which questions, and suites that ask with them or in context."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from flan_tune.chains.examples import Example
from flan_tune.chains.prompts import Exemplar, Reasoning, TaskPrompt, concluded, fitted, rendered
from flan_tune.chains.suites import AskedBy, TestSet, chained_suite
from flan_tune.chains.writers import Asked, CachedModel, Writer
from flan_tune.evaluation.suites.definition import Suite
from flan_tune.reporting.progress import EvaluationProgress


@dataclasses.dataclass(frozen=True)
class AskedSuite:
    """A suite in FIAT's words, and how it is run."""

    suite: Suite
    protocol: str
    shots: int


def write_chains(
    writer: Writer,
    examples: Sequence[Example],
    reasoning: Reasoning,
    exemplars: Sequence[Exemplar],
) -> dict[Example, str]:
    """Returns the chain of each question: argmax P(chain | question; beta, I_beta), found greedily.

    Exemplars are dropped from the end where a prompt would be longer than the model reads.
    """
    asked = [
        Asked(one.id, _reasoned(writer, reasoning, one.question, exemplars)) for one in examples
    ]
    progress = EvaluationProgress()
    progress.begin('chains', len(asked))
    texts = writer.write(asked, lambda done, of: progress.update('written', done))
    return {one: reasoning.own(text) for one, text in zip(examples, texts, strict=True)}


def tuned_suites(
    tests: Sequence[TestSet],
    prompt: TaskPrompt,
    reasoning: Reasoning,
    tau: CachedModel,
    *,
    chains: Mapping[Example, str] | None,
    chains_in: str | None,
    instructed: bool,
    positive: str | None,
) -> Iterator[AskedSuite]:
    """Yields what is asked of a tuned model (Algorithm 2), in the words that it was tuned on.

    Args:
        tests: what is scored.
        prompt: I_tau.
        reasoning: gives the form in which a model that was tuned on chains answers.
        tau: the model.
        chains: of the questions, where they stand in the inputs.
        chains_in: see `Ingredients`.
        instructed: see `Ingredients.instruction_augmented`.
        positive: see `FiatTest.positive_label`.
    """
    template = prompt.seqio_prompts(chains_in, instructed)[0]
    reasons = chains_in == 'targets'
    for test in tests:
        asked = {one.id: one for one in test.all_examples}

        def ask(name: str, shots: int, asked=asked) -> str:
            chain = {} if chains is None else {'chain': chains[asked[name]]}
            return rendered(template, {'question': asked[name].question, **chain})

        yield _asked_suite(test, ask, 0, reasoning, tau if reasons else None, positive)


def in_context_suites(
    tests: Sequence[TestSet],
    prompt: TaskPrompt,
    reasoning: Reasoning,
    exemplars: Sequence[Exemplar],
    beta: CachedModel,
    *,
    reasons: bool,
    positive: str | None,
) -> Iterator[AskedSuite]:
    """Yields what is asked of the large model in context, with chains or without; see `tuned_suites`."""
    for test in tests:
        questions = {one.id: one.question for one in test.all_examples}

        def ask(name: str, shots: int, questions=questions) -> str:
            shown = exemplars[:shots]
            if reasons:
                return reasoning.prompt(questions[name], shown)
            return prompt.in_context(questions[name], shown)

        yield _asked_suite(
            test, ask, len(exemplars), reasoning, beta if reasons else None, positive
        )


def _asked_suite(
    test: TestSet,
    ask: AskedBy,
    shots: int,
    reasoning: Reasoning,
    reasoner: CachedModel | None,
    positive: str | None,
) -> AskedSuite:
    """Makes a suite; of a model that reasons by itself, options are ranked behind its own chain."""

    def cut(text: str) -> str:
        # Without exemplars nothing shows where an answer ends.
        text = reasoning.own(text) if shots else text
        return concluded(text) if reasoner else text

    solve = None
    if reasoner and test.protocol == 'rank':
        asked = [
            Asked(one.id, _fitted(reasoner, lambda k, name=one.id: ask(name, k), shots))
            for one in test.all_examples
        ]
        chains = dict(zip([one.id for one in asked], reasoner.write(asked), strict=True))

        def solve(name: str, option: str) -> str:
            return reasoning.solved(reasoning.own(chains[name]), option)

    protocol = 'cot' if reasoner and test.protocol == 'direct' else test.protocol
    suite = chained_suite(test, protocol, shots, ask=ask, cut=cut, solve=solve, positive=positive)
    return AskedSuite(suite, protocol, shots)


def _reasoned(
    writer: Writer, reasoning: Reasoning, question: str, exemplars: Sequence[Exemplar]
) -> str:
    return _fitted(writer, lambda k: reasoning.prompt(question, exemplars[:k]), len(exemplars))


def _fitted(writer: Writer, render, shots: int) -> str:
    if not isinstance(writer, CachedModel):
        return render(shots)
    return fitted(render, shots, writer.count_tokens, writer.longest_prompt)
