"""Text in, text out: generation and ranking over any number of prompts, on whatever devices there are.

Prompts are sorted by length and cut into batches of equal numbers of rows, each as long as the bucket of its longest
row: one program for each bucket (and number of new tokens), little padding, and no batch but the last with rows to spare.
In generation, batches of a bucket are one queue, whose rows come into a running batch as others end.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from flan_tune.data.batches import EncoderDecoder
from flan_tune.decoding.buckets import batches, bucket, filled_up, queues
from flan_tune.decoding.generation import generate
from flan_tune.decoding.prefix import (
    common_prefix,
    prefix_batch,
    prompt_batch,
    read_prefix,
    shared_tokens,
)
from flan_tune.decoding.ranking import (
    Choice,
    decoder_only_batch,
    decoder_only_scores,
    encoder_decoder_batch,
    encoder_decoder_scores,
    rows_of,
)
from flan_tune.decoding.slots import Slots
from flan_tune.errors import UserError
from flan_tune.models.functional import FunctionalModel, Params
from flan_tune.models.past import Past
from flan_tune.partitioning.arrays import put_batch, to_host
from flan_tune.partitioning.rules import Layout

Progress = Callable[[int, int], None]
# Batches of a queue: what is left over at its end, rows that end one by one, is a small part of it.
_BATCHES_OF_QUEUE = 8
# Parts of a batch that have to end before others come in.
_PARTS = 4


@dataclasses.dataclass(frozen=True)
class Generation:
    """What a model wrote behind a prompt.

    Attributes:
        text: without the end of sequence.
        log_prob: the sum over all tokens written, end of sequence included, under the model itself.
        num_tokens: of these tokens.
        ended: whether the model ended the sequence, rather than reached the limit.
        cut: tokens that the prompt lost at its beginning.
    """

    text: str
    log_prob: float
    num_tokens: int
    ended: bool
    cut: int = 0


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """How likely a choice is behind its prompt.

    Attributes:
        log_likelihood: the sum over the choice's tokens.
        num_tokens: of these tokens.
        num_characters: of the choice.
        cut: tokens that the prompt lost at its beginning.
    """

    log_likelihood: float
    num_tokens: int
    num_characters: int
    cut: int = 0


class TextModel:
    """A model with its vocabulary. Every process of a run calls it alike, and each gets all results.

    Results depend on neither batch size, bucket, order of the prompts nor devices, up to the rounding of sums.

    Args:
        model: the model, without parameters.
        params: its parameters; they may be replaced (`params`) without compiling anew.
        layout: mesh and rules; rows are spread over it.
        tokenizer: see `flan_tune.data.tokenizer.Tokenizer`.
        max_input_tokens: of a prompt, its end of sequence (encoder-decoder) or start token (decoder-only) included.
            Longer prompts keep their end.
        batch_size: rows of a batch, rounded up to what the mesh divides.
        inputs_end: whether an end of sequence stands behind a prompt, so that what follows is encoded by itself; None:
            for encoder-decoder models. Decoder-only models need it if they were tuned on inputs with one
            (`flan_tune.interchange.initial.inputs_end_at`). It may be changed with the parameters.
    """

    def __init__(
        self,
        model: FunctionalModel,
        params: Params,
        layout: Layout,
        tokenizer: Any,
        *,
        max_input_tokens: int,
        batch_size: int = 32,
        inputs_end: bool | None = None,
    ):
        base = model.base.config
        self.params = params
        self._model, self._layout, self._tokenizer = model, layout, tokenizer
        self._decoder_only = base.architecture == 'decoder_only'
        self.inputs_end = inputs_end
        self._shares_prefix = self._decoder_only and not base.prefix_lm
        self._start_id = base.start_id
        self._longest = max_input_tokens
        self._max_positions = getattr(model.config, 'max_positions', None)
        axes = layout.spec(('batch',))[0] or ()
        axes = (axes,) if isinstance(axes, str) else axes
        self._ways = math.prod(layout.mesh.shape[axis] for axis in axes)
        self._batch_size = -(-batch_size // self._ways) * self._ways
        self._read_prefix = model.jit(read_prefix, layout)
        scores = decoder_only_scores if self._decoder_only else encoder_decoder_scores
        self._score = model.jit(scores, layout)
        self._writers: dict[tuple, Callable] = {}

    @property
    def inputs_end(self) -> bool:
        return self._inputs_end

    @inputs_end.setter
    def inputs_end(self, inputs_end: bool | None) -> None:
        self._inputs_end = not self._decoder_only if inputs_end is None else inputs_end

    @property
    def max_prompt_tokens(self) -> int:
        """The most tokens, as `count_tokens` has it, of a prompt that loses none (see also `generate`)."""
        return self._longest - self._decoder_only - self._inputs_end

    def count_tokens(self, text: str) -> int:
        """Returns the number of tokens of a text, without an end of sequence or a start token."""
        return len(self._tokenizer.encode(text))

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        samples: int = 1,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        first_prompt: int = 0,
        progress: Progress | None = None,
    ) -> list[list[Generation]]:
        """Writes `samples` continuations of each prompt; with `temperature` 0, the likeliest tokens.

        What is drawn depends on `seed`, the place of the prompt among `prompts` and the number of the sample alone.
        Sampling is that of `flan_tune.decoding.generation.generate`. Rows that have ended make room for those that
        wait (see `flan_tune.decoding.slots`). Where the model has a limited number of positions, prompts leave room for
        `max_new_tokens` in it.

        Args:
            first_prompt: the place of the first prompt in a longer list, of which these are a part: what is drawn for
                them is what the whole list would get.
            progress: called after each queue with the number of rows done, and of all rows.

        Returns:
            For each prompt, in their order, its continuations.

        Raises:
            UserError: the model has too few positions for `max_new_tokens`.
        """
        inputs, cuts = self._inputs(prompts, max_new_tokens - 1)
        draws = samples if temperature > 0 else 1
        rows = [(prompt, sample) for prompt in range(len(prompts)) for sample in range(draws)]
        shared, prefix = self._prefix([inputs[prompt] for prompt, _ in rows])
        write = self._writer(max_new_tokens, temperature, top_k, top_p)
        most = self._batch_size * (_BATCHES_OF_QUEUE if len(rows) > self._batch_size else 1)

        def run(some: Sequence[tuple[int, int]]):
            count = np.int32(len(some))
            some = filled_up(some, most)
            batch = self._prompts([inputs[prompt] for prompt, _ in some], shared)
            numbers = np.array(some, np.uint32) + np.array([first_prompt, 0], np.uint32)
            return write(
                self.params,
                put_batch({**batch, 'draws': numbers}, self._layout),
                prefix,
                np.uint32(seed % 2**32),
                count,
            )

        found: list[list[Generation]] = [[None] * draws for _ in prompts]
        sizes = [bucket(len(inputs[prompt]) - shared, self._longest) for prompt, _ in rows]
        numbers = queues(sizes, self._batch_size, most)
        for (prompt, sample), written in self._each(rows, numbers, run, progress):
            found[prompt][sample] = self._generation(written, cuts[prompt])
        return [one * (samples // draws) for one in found]

    def rank(
        self,
        prompts: Sequence[str],
        choices: Sequence[Sequence[str]],
        *,
        separator: str = ' ',
        choices_end: bool | None = None,
        progress: Progress | None = None,
    ) -> list[list[Likelihood]]:
        """Returns the log-likelihood of each choice behind its prompt, which is read once for all of its choices.

        Encoder-decoder models, and others with an end of sequence behind inputs (`inputs_end`), have a choice encoded
        by itself. Else prompt, `separator` and choice are encoded as one text, and the choice's tokens are those behind the beginning
        that this text's tokens and the prompt's have in common: a token that spans both belongs to the choice.

        Args:
            prompts: texts.
            choices: for each prompt its choices.
            separator: see above.
            choices_end: whether the end of sequence behind a choice counts; by default where there is one behind inputs.
            progress: called after each batch with the number of rows done, and of all rows.

        Raises:
            ValueError: there are not as many lists of choices as prompts.
            UserError: the model has too few positions for a choice.
        """
        if choices_end is None:
            choices_end = self._inputs_end
        end = [self._tokenizer.eos_id] * choices_end
        rows, cuts = [], []
        for number, (prompt, texts) in enumerate(zip(prompts, choices, strict=True)):
            ids, offered = self._split(prompt, texts, separator, end)
            room = max((len(choice.tokens) for choice in offered), default=1) - 1
            inputs, cut = self._fitted(ids, room)
            cuts.append(cut)
            rows += rows_of(number, inputs, offered)
        shared, prefix = self._prefix([row.inputs for row in rows])

        def run(some):
            batch = self._choices(some, shared)
            return self._score(self.params, put_batch(batch, self._layout), prefix)

        found: list[list[Likelihood]] = [[None] * len(texts) for texts in choices]
        sizes = [
            (bucket(n - shared, self._longest), bucket(m), n) for n, m in (r.size for r in rows)
        ]
        numbers = batches(sizes, self._batch_size)
        for row, scores in self._each(rows, numbers, run, progress):
            for number, places in row.sums:
                found[row.prompt][number] = Likelihood(
                    float(np.sum(scores[places], dtype=np.float64)),
                    places.stop - places.start,
                    len(choices[row.prompt][number]),
                    cuts[row.prompt],
                )
        return found

    def _inputs(self, prompts: Sequence[str], room: int) -> tuple[list[list[int]], list[int]]:
        """Returns what the model is fed for each prompt, `room` positions left, and how many tokens each lost."""
        fitted = [self._fitted(self._tokenizer.encode(prompt), room) for prompt in prompts]
        return [inputs for inputs, _ in fitted], [cut for _, cut in fitted]

    def _fitted(self, ids: Sequence[int], room: int) -> tuple[list[int], int]:
        """Adds start token or end of sequence to a prompt's tokens, of which the last that fit are kept."""
        start = [self._start_id] * self._decoder_only
        end = [self._tokenizer.eos_id] * self._inputs_end
        longest = self._longest
        if self._max_positions is not None:
            longest = min(longest, self._max_positions - room)
        most = longest - len(start) - len(end)
        if most < 1:
            raise UserError(
                f'{room + 1:,} new tokens leave no room for a prompt in the {self._max_positions or longest:,} '
                'positions of the model; ask for fewer, or shorten the choices'
            )
        kept = ids[-most:]
        return [*start, *kept, *end], len(ids) - len(kept)

    def _split(
        self, prompt: str, texts: Sequence[str], separator: str, end: list[int]
    ) -> tuple[list[int], list[Choice]]:
        """Returns the tokens of a prompt that all its choices share, and the tokens of each behind these."""
        ids = self._tokenizer.encode(prompt)
        if self._inputs_end:
            encoded = [(*self._tokenizer.encode(text), *end) for text in texts]
            return ids, [Choice(number, tokens) for number, tokens in enumerate(encoded)]
        wholes = [self._tokenizer.encode(prompt + separator + text) for text in texts]
        splits = [common_prefix(ids, whole) for whole in wholes]
        first = min(splits, default=len(ids))
        return ids[:first], [
            Choice(number, (*whole[first:], *end), split - first)
            for number, (whole, split) in enumerate(zip(wholes, splits, strict=True))
        ]

    def _prefix(self, sequences: Sequence[Sequence[int]]) -> tuple[int, Past | None]:
        """Reads the beginning that all sequences share, if that is worth it; returns its length, and what it leaves."""
        shared = shared_tokens(sequences) if self._shares_prefix else 0
        if not shared:
            return 0, None
        batch = put_batch(prefix_batch(sequences[0][:shared], self._ways), self._layout)
        return shared, self._read_prefix(self.params, batch)

    def _prompts(self, inputs: Sequence[list[int]], shared: int) -> dict[str, np.ndarray]:
        if self._decoder_only:
            rest = [sequence[shared:] for sequence in inputs]
            return prompt_batch(rest, bucket(max(map(len, rest)), self._longest), shared)
        length = bucket(max(map(len, inputs)), self._longest)
        converter = EncoderDecoder({'inputs': length, 'targets': 2}, self._start_id)
        return converter.prompts([{'inputs': ids} for ids in inputs], len(inputs))

    def _choices(self, rows: Sequence, shared: int) -> dict[str, np.ndarray]:
        size, longest = self._batch_size, self._longest
        if self._decoder_only:
            return decoder_only_batch(rows, size, longest=longest, shared=shared)
        return encoder_decoder_batch(rows, size, longest=longest, start_id=self._start_id)

    def _writer(self, max_new_tokens: int, temperature: float, top_k: int, top_p: float):
        """Returns the program for these settings."""
        settings = max_new_tokens, temperature, top_k, top_p
        refill = -(-self._batch_size // _PARTS)
        if settings not in self._writers:
            written = functools.partial(
                _write,
                max_new_tokens=max_new_tokens,
                eos_id=self._tokenizer.eos_id,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                slots=Slots(self._batch_size, -(-refill // self._ways) * self._ways),
            )
            self._writers[settings] = self._model.jit(written, self._layout)
        return self._writers[settings]

    def _each(
        self,
        rows: Sequence,
        batches: Sequence[Sequence[int]],
        run: Callable[[Sequence], Any],
        progress: Progress | None,
    ) -> Iterator[tuple[Any, Any]]:
        """Runs batches of rows, given by their numbers; yields each row with its part of the results, in any order.

        While a batch is computed, the next one is laid out.
        """
        waiting = None
        done = 0
        for numbers in [*batches, None]:
            some = [rows[number] for number in numbers or ()]
            launched = (some, run(some)) if some else None
            if waiting is not None:
                finished, results = waiting
                results = to_host(results)
                for place, row in enumerate(finished):
                    yield row, jax.tree.map(lambda x, place=place: x[place], results)
                done += len(finished)
                if progress is not None:
                    progress(done, len(rows))
            waiting = launched

    def _generation(self, written: dict[str, np.ndarray], cut: int) -> Generation:
        tokens = written['tokens'].tolist()
        eos_id = self._tokenizer.eos_id
        ended = eos_id in tokens
        if ended:
            tokens = tokens[: tokens.index(eos_id) + 1]
        return Generation(
            text=self._tokenizer.decode(tokens),
            log_prob=float(written['log_probs']),
            num_tokens=len(tokens),
            ended=ended,
            cut=cut,
        )


def _write(module, batch, prefix, seed, count, *, temperature: float, **settings):
    """Generates with a key for each row, drawn from the seed and the row's number of prompt and sample."""
    prompts = {name: x for name, x in batch.items() if name != 'draws'}
    keys = None
    if temperature > 0:

        def row_key(draw):
            return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), draw[0]), draw[1])

        keys = jax.vmap(row_key)(batch['draws'])
    return generate(
        module,
        prompts,
        key=keys,
        prefix=prefix,
        count=count,
        temperature=temperature,
        **settings,
    )
