"""Instruction tasks as tasks of a suite: questions from one of their splits, prompts from their own templates.

The prompts are those of `Renderer.example` with a fixed seed, so that they are the same in every run, and the same as a
registered variant shows; the number of exemplars is the one asked for. A task is asked with templates drawn question by
question, with one of them, or with each: then each record makes a question for every template,
`flan_tune.evaluation.suites.rows` gives the score of each, and the task's own score is the mean over them.
`flan_tune.evaluation.suites.registered` opens what is registered.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flan_tune.data.definition import TRAIN, TaskDefinition, Variant
from flan_tune.data.few_shot import Between
from flan_tune.data.rendering import Renderer
from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation import metrics
from flan_tune.evaluation.extraction import extract_answer, match_option, normalize_answer
from flan_tune.evaluation.metrics import Metric
from flan_tune.evaluation.scores import Score
from flan_tune.evaluation.suites.definition import (
    CountTokens,
    Extracted,
    Question,
)
from flan_tune.evaluation.suites.whole_set import Output, WholeSetTask

# Metrics that are means over examples, with what they return; others look at all examples at once.
PER_EXAMPLE = {
    'accuracy': ('accuracy',),
    'exact_match': ('exact_match',),
    'rouge': ('rouge1', 'rouge2', 'rougeL', 'rougeLsum'),
    'squad': ('em', 'f1'),
    'token_f1': ('token_f1',),
}
# The field that holds further right answers.
REFERENCES = 'references'


class InstructionSuiteTask(WholeSetTask):
    """One task, asked with one or several renderers, each of which is a template or draws templates.

    Args:
        name: as in tables.
        renderers: name of the template, or '' where templates are drawn -> renderer of a zero-shot variant that ranks
            nothing.
        split: the split that is asked.
        limit: at most so many of its records, the first ones.
        metric_fns: names of metrics; by default the task's own. Exact match is always there, accuracy where there are
            options.
        seed: of the draws.
        aliases: see SuiteTask.
    """

    def __init__(
        self,
        name: str,
        renderers: Mapping[str, Renderer],
        *,
        split: str,
        limit: int | None = None,
        metric_fns: Sequence[str | Metric] | None = None,
        seed: int = 0,
        aliases: Sequence[str] = (),
    ):
        super().__init__(name, aliases)
        if not renderers:
            raise UserError(f'{name}: no template asks for its answer')
        self.templates = tuple(renderers)
        self.split = split
        self._renderers = tuple(renderers.values())
        self._limit, self._seed = limit, seed
        # Prompt and choices of a question are asked for one after the other.
        self._render = functools.cache(self._render)
        self._rendered = functools.lru_cache(maxsize=8)(self._rendered)
        self.definition = self._renderers[0].definition
        metric_fns = self.definition.metric_fns if metric_fns is None else metric_fns
        named = [m for m in metric_fns if m in PER_EXAMPLE]
        if self.definition.has_options:
            named.insert(0, 'accuracy')
        self._named = tuple(dict.fromkeys([*named, 'exact_match']))
        self.metrics = tuple(itertools.chain(*(PER_EXAMPLE[m] for m in self._named)))
        self._corpus = [m for m in metric_fns if m not in PER_EXAMPLE]
        self.corpus_metrics = tuple(m if isinstance(m, str) else m.__name__ for m in self._corpus)

    def read(self) -> Iterator[Question | BadRecord]:
        for index, (place, record) in enumerate(self._places):
            try:
                yield self._question(index, place, record)
            except BadRecord as error:
                yield error

    def check_there(self) -> None:
        """Raises a UserError if its records cannot be opened, such as those of a file that is absent."""
        _ = self._places

    def template(self, question: Question) -> str:
        """Returns the name of the template that a question is asked with, '' where it is drawn."""
        return self.templates[self._places[question.index][0]]

    def prompt(
        self,
        question: Question,
        protocol: str,
        shots: int,
        *,
        count_tokens: CountTokens | None = None,
    ) -> str:
        """Returns the prompt; exemplars that do not fit are dropped from the end, the others stay what they are."""
        if shots < 0:
            raise UserError(f'{self.name}: {shots} shots; ask for 0 or more')
        limit = self.max_prompt_tokens if count_tokens else None
        return self._example(question, protocol, shots, count_tokens, limit)['inputs']

    def choices(self, question: Question) -> tuple[str, ...]:
        """The target of each option, in the words of the template."""
        return self._example(question, 'rank', 0)['choices'] if question.options else ()

    def extract(
        self, text: str, question: Question, protocol: str, shots: int | None = None
    ) -> Extracted:
        """Returns the answer; one of several options if the text names one by its text, or by its letter where some
        style of the task's has letters."""
        if not text.strip():
            return Extracted(None)
        if protocol == 'rank':
            return Extracted(self._option(text, question, self.choices(question)))
        del shots  # A chain that does not say 'answer is' counts as a whole in any case.
        said = extract_answer(text, chain_of_thought=self._reasons(protocol))
        return Extracted(self._option(said, question) or said)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        asked = [question for question in self.questions if question.index in outputs]
        said = [self.extract(outputs[q.index].text, q, protocol).answer or '' for q in asked]
        values: dict[str, float] = {}
        for metric in self._corpus:
            values |= metrics.get(metric)([list(q.answers) for q in asked], said)
        return values

    def corpus_rows(self, outputs: Mapping[int, Output], **key: Any) -> list[Score]:
        """Returns the rows of each template, where there are several."""
        by_template: dict[str, dict[int, Output]] = {}
        for question in self.questions if self.corpus_metrics else ():
            if question.index in outputs:
                output = outputs[question.index]
                by_template.setdefault(self.template(question), {})[question.index] = output
        return [
            dataclasses.replace(row, template=template if len(self.templates) > 1 else '')
            for template, theirs in by_template.items()
            for row in super(InstructionSuiteTask, self).corpus_rows(theirs, **key)
        ]

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        return self._example(question, protocol, shots)['inputs']

    def _extract(self, text: str, protocol: str) -> str | None:
        return extract_answer(text, chain_of_thought=self._reasons(protocol))

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        values: dict[str, float] = {}
        for name in self._named:
            if name == 'accuracy':
                right = map(normalize_answer, question.answers)
                values['accuracy'] = 100.0 * (normalize_answer(answer) in right)
            else:
                values |= metrics.METRICS[name]([list(question.answers)], [answer])
        return [values[name] / 100 for name in self.metrics]

    def _question(self, index: int, place: int, record: int) -> Question:
        example = self._render(place, 'question', 0).example(self.split, record, seed=self._seed)
        answers = [example['answer']]
        if isinstance(others := example.get(REFERENCES), list | tuple):
            answers += [other for other in others if isinstance(other, str)]
        names = [self.name, self.templates[place], str(record)]
        return Question(
            index,
            '-'.join(filter(None, names)),
            {name: value for name, value in example.items() if isinstance(value, str)},
            tuple(dict.fromkeys(answers)),
            tuple(example['options']) if self.definition.has_options else (),
        )

    def _example(
        self,
        question: Question,
        protocol: str,
        shots: int,
        count_tokens: CountTokens | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:
        place, record = self._places[question.index]
        if shots and TRAIN not in self.definition.source.splits:
            raise self.too_few(0, shots)
        renderer = self._render(place, protocol, shots)
        example = self._rendered(place, record, protocol, shots)
        if len(example['exemplars']) < shots:
            raise self.too_few(len(example['exemplars']), shots)
        if limit and count_tokens(example['inputs']) > limit:
            # The renderer leaves room for an end of sequence, which this prompt does not have.
            fitting = {'tokenizer': _Counter(count_tokens), 'max_input_tokens': limit + 1}
            return renderer.example(self.split, record, seed=self._seed, **fitting)
        return example

    def _rendered(self, place: int, record: int, protocol: str, shots: int) -> dict[str, Any]:
        renderer = self._render(place, protocol, shots)
        return renderer.example(self.split, record, seed=self._seed)

    def _render(self, place: int, protocol: str, shots: int) -> Renderer:
        """Returns a renderer of the variant that a protocol needs; 'question' shows and draws no options."""
        base = self._renderers[place]
        variant = _variant(base, protocol, shots)
        return type(base)(base.definition, variant)

    def _reasons(self, protocol: str) -> bool:
        """Whether a chain of thought is asked for: also where a task has no other templates."""
        return protocol == 'cot' or not _asks_alone(self.definition)

    def _option(self, text: str, question: Question, choices: Sequence[str] = ()) -> str | None:
        if text in question.options:
            return text
        if text in choices:
            return question.options[choices.index(text)]
        if option := match_option(text, question.options):
            return option
        for style in self.definition.option_styles if question.options else ():
            answers = style.answers(question.options)
            letter = None if answers == question.options else match_option(text, answers)
            if letter is not None:
                return question.options[answers.index(letter)]
        return None

    @functools.cached_property
    def _places(self) -> list[tuple[int, int]]:
        """Which of the renderers asks a question, and of which record: all of the first record come first."""
        sizes = [renderer.size(self.split) for renderer in self._renderers]
        records = min(max(sizes), self._limit or max(sizes))
        return [
            (place, record)
            for record in range(records)
            for place, size in enumerate(sizes)
            if record < size
        ]


class _Counter:
    """Counts tokens where a renderer wants their ids."""

    def __init__(self, count_tokens: CountTokens):
        self._count = count_tokens

    def encode(self, text: str) -> range:
        return range(self._count(text))


def can_rank(definition: TaskDefinition) -> bool:
    """Whether a task can be ranked: it has options, and a template that asks for the answer alone."""
    return definition.has_options and _asks_alone(definition)


def _asks_alone(definition: TaskDefinition) -> bool:
    return any(not p.uses_rationale and not p.inverts for p in definition.prompts)


def _variant(base: Renderer, protocol: str, shots: int) -> Variant:
    """Returns the variant of a protocol, under the name by which it is registered: draws go by names."""
    definition, variant = base.definition, base.variant
    reasons = any(p.uses_rationale for p in definition.prompts)
    if variant.template is not None:
        suffix, rationale = f'_template_{variant.template}', variant.rationale
    else:
        direct = _asks_alone(definition)
        if protocol == 'cot' and not reasons or protocol == 'rank' and not direct:
            kind = 'asks for the answer alone' if reasons else 'reasons'
            raise UserError(f'{definition.name}: no template of it {kind}')
        rationale = protocol == 'cot' or not direct
        suffix = '_direct' if reasons and not rationale else ''
    if protocol == 'rank':
        suffix = f'{suffix}_rank' if variant.template is not None else '_rank'
    elif shots:
        suffix = f'_few_shot{suffix}'
    return dataclasses.replace(
        variant,
        suffix=suffix,
        few_shot=shots > 0,
        options=variant.options and protocol != 'question',
        rationale=rationale,
        rank=protocol == 'rank',
        shots=Between(shots, shots),
        loss='targets',
    )
