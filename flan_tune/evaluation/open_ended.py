"""Open-ended generation as in Flan 2022: sample some answers, drop the degenerate ones, keep the likeliest."""

import dataclasses
import functools
import math
import pathlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_jsonl, text_fields
from flan_tune.evaluation.sampled import CHUNK, Generator, Sampling, sample_to_file
from flan_tune.evaluation.suites.definition import OnBadRecord, named

# Of Flan 2022, but for the length, which it does not give.
SAMPLING = Sampling(samples=5, temperature=0.7, max_new_tokens=256)
_ROUNDING = 1e-3  # A sum of float32 logarithms may end so far above 0.


@dataclasses.dataclass(frozen=True)
class OpenEndedInput:
    """One thing to write about.

    Attributes:
        id: unique in its file; a record's further instances have '/1', '/2', … behind it.
        prompt: instruction, and below a blank line the input if there is one.
        references: what a person wrote; shown nowhere and scored by nothing.
    """

    id: str
    prompt: str
    references: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which of the candidates is kept.

    Attributes:
        best: index of the likeliest candidate that passed; None where no candidate has a finite score.
        kept: for each candidate, whether it passed.
        median: of the candidates' total log-probabilities, in nats; None like `best`.
    """

    best: int | None
    kept: tuple[bool, ...]
    median: float | None


def choose(log_probs: Sequence[float]) -> Choice:
    """Applies the filter of Flan 2022 (human evaluation of open-ended generation) and ranks what passes.

    The score of a candidate is its total log-probability, not divided by its length. A candidate whose score
    exceeds half of the median score is dropped: with a median of -20, one at -3 has most likely ended at once
    or repeats itself. The likeliest of the others is kept, the first one of equals.

    Never are all dropped: scores are at most 0, so that half of the median is no less than the median, and
    the candidates up to the median pass. A candidate whose score is not finite (a model that gave NaN) is out
    before the median is taken; where all are, there is no choice.

    Raises:
        ValueError: a score above 0, which is no log-probability.
    """
    finite = [score for score in log_probs if math.isfinite(score)]
    if any(score > _ROUNDING for score in finite):
        raise ValueError(f'{max(finite)} is no log-probability')
    if not finite:
        return Choice(None, (False,) * len(log_probs), None)
    log_probs = [min(score, 0.0) for score in log_probs]
    median = min(statistics.median(finite), 0.0)
    kept = tuple(math.isfinite(score) and score <= median / 2 for score in log_probs)
    passed = [i for i, passes in enumerate(kept) if passes]
    return Choice(max(passed, key=lambda i: log_probs[i]), kept, median)


def read_inputs(
    path: str | pathlib.Path, *, on_bad_record: OnBadRecord = 'refuse'
) -> list[OpenEndedInput]:
    """Reads JSON lines with `id`, `instruction` and, optionally, `instances`: a list of {"input", "output"}.

    Raises:
        UserError: no such file, no usable record, an id twice, or (unless skipped) records that cannot be used.
    """
    path = expand_path(str(path))
    inputs: dict[str, OpenEndedInput] = {}
    bad = []
    for where, record in read_jsonl(path):
        try:
            for one in _inputs(where, record):
                if one.id in inputs:
                    raise BadRecord(f'{where}: the id {one.id!r} was there before')
                inputs[one.id] = one
        except BadRecord as error:
            bad.append(str(error))
    if bad and on_bad_record == 'refuse':
        raise UserError(f'{named(bad)}; correct them, or skip bad records')
    if not inputs:
        raise UserError(f'{path}: no record that can be used')
    return list(inputs.values())


def write_generations(
    model: Generator,
    inputs: Sequence[OpenEndedInput],
    output: str | pathlib.Path,
    *,
    sampling: Sampling = SAMPLING,
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Appends one row for each input, in order, and goes on where an earlier call has stopped.

    A row is `id`, `inputs` (the prompt), `prediction` (the candidate that was kept, or null where none has a
    finite score), `log_prob` of it, `median`, `candidates` (`text`, `log_prob` or null, `num_tokens`, `ended`,
    `kept`), `cut` (tokens that the prompt lost) and `sampling`.

    Args:
        model: a `TextModel`, or what has its `generate`.
        inputs: see `read_inputs`.
        output: JSON lines.
        sampling: how candidates are drawn.
        chunk: inputs that are written at a time, see `sample_to_file`.
        progress: called with inputs done and inputs in all.

    Returns:
        Counts: `written`, `there_before`, `failed` (without a choice), `blank` (the choice is a blank text),
        `dropped` (candidates) and `cut` (prompts that lost tokens), the latter four over the whole file.

    Raises:
        UserError: the file holds rows of other inputs, or ones that were drawn in another way.
    """
    rows, before = sample_to_file(
        model,
        {one.id: one.prompt for one in inputs},
        output,
        _fields,
        sampling=sampling,
        chunk=chunk,
        progress=progress,
    )
    return {
        'written': len(rows) - before,
        'there_before': before,
        'failed': sum(row['prediction'] is None for row in rows),
        'blank': sum(
            row['prediction'] is not None and not row['prediction'].strip() for row in rows
        ),
        'dropped': sum(not one['kept'] for row in rows for one in row['candidates']),
        'cut': sum(row['cut'] > 0 for row in rows),
    }


@dataclasses.dataclass(frozen=True)
class OpenEnded:
    """Open-ended generation, for `flan_tune sample`.

    Attributes:
        input_file: see `read_inputs`.
        output_file: its name in the folder of the results; see `write_generations`.
        samples: candidates for each input.
        temperature: of sampling.
        max_new_tokens: of a candidate.
        max_examples: at most so many inputs, the first ones.
        on_bad_record: 'refuse' records that cannot be used, or 'skip' them.
    """

    input_file: str
    output_file: str = 'open_ended.jsonl'
    samples: int = SAMPLING.samples
    temperature: float = SAMPLING.temperature
    max_new_tokens: int = SAMPLING.max_new_tokens
    max_examples: int | None = None
    on_bad_record: OnBadRecord = 'refuse'

    def plan(self) -> dict[str, Any]:
        """Returns how many inputs there are, and the first prompt."""
        inputs = self._inputs()
        return {'inputs': len(inputs), 'first': inputs[0].prompt}

    def run(
        self,
        model: Generator,
        folder: pathlib.Path,
        seed: int,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Writes the generations into `folder`; returns the counts of `write_generations`."""
        sampling = Sampling(
            self.samples, self.temperature, max_new_tokens=self.max_new_tokens, seed=seed
        )
        return write_generations(
            model,
            self._inputs(),
            folder / self.output_file,
            sampling=sampling,
            progress=progress and functools.partial(progress, 'sampled'),
        )

    def _inputs(self) -> list[OpenEndedInput]:
        return read_inputs(self.input_file, on_bad_record=self.on_bad_record)[: self.max_examples]


def _inputs(where: str, record: Mapping[str, Any] | BadRecord) -> Iterator[OpenEndedInput]:
    if isinstance(record, BadRecord):
        raise record
    fields = text_fields(where, record, 'id', 'instruction')
    if isinstance(fields, BadRecord):
        raise fields
    instances = record.get('instances') or [{}]
    if not isinstance(instances, list) or not all(isinstance(one, dict) for one in instances):
        raise BadRecord(f'{where}: `instances` is a list of objects with "input" and "output"')
    for number, instance in enumerate(instances):
        texts = [instance.get(name) or '' for name in ('input', 'output')]
        if not all(isinstance(text, str) for text in texts):
            raise BadRecord(f'{where}: "input" and "output" of an instance are texts')
        prompt = '\n\n'.join(text for text in (fields['instruction'], texts[0]) if text.strip())
        suffix = f'/{number}' if number else ''
        yield OpenEndedInput(fields['id'] + suffix, prompt, tuple(filter(None, texts[1:])))


def _fields(name: str, candidates: Sequence[Any]) -> dict[str, Any]:
    del name
    scores = [candidate.log_prob for candidate in candidates]
    choice = choose(scores)
    chosen = None if choice.best is None else candidates[choice.best]
    return {
        'prediction': chosen and chosen.text,
        'log_prob': chosen and chosen.log_prob,
        'median': choice.median,
        'candidates': [
            {
                'text': candidate.text,
                'log_prob': score if math.isfinite(score) else None,
                'num_tokens': candidate.num_tokens,
                'ended': candidate.ended,
                'kept': kept,
            }
            for candidate, score, kept in zip(candidates, scores, choice.kept, strict=True)
        ],
    }
