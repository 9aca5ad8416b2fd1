"""lm-evaluation-harness on our checkpoints: its tasks, prompts and metrics, our models (extra `[lm_eval]`).

    python -m flan_tune.evaluation.lm_eval --tasks bbh_fewshot_navigate \
        --model_args checkpoint=runs/my_task --batch_size 32

takes the harness's own flags. In a program of one's own, `model_class()` makes the model known to the harness as
`flan_tune`, and `model_class()(text_model=...)` is one to hand to `lm_eval.simple_evaluate`.
"""

import collections
import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flan_tune.errors import RunError, UserError

NAME = 'flan_tune'
BATCH_SIZE = 32
MAX_INPUT_TOKENS = 2048
MAX_GEN_TOKS = 256  # The harness's own default.

# By falling precedence, as the harness has it.
_LIMITS = ('max_gen_toks', 'max_new_tokens', 'max_tokens', 'max_completion_tokens')
_WORD = re.compile(r'\s*\S+|\s+$')


class HarnessRequests:
    """Answers the harness's three kinds of requests with a TextModel; a request's arguments are in its `args`.

    Args:
        text_model: see `flan_tune.decoding.text_model.TextModel`.
        max_gen_toks: new tokens where a task does not say how many.
        choices_end: whether the end of sequence behind a continuation counts, as it does in our rank scoring with
            encoder-decoder models; the harness leaves it out.
        seed: of sampling, for tasks that ask for it.
    """

    def __init__(
        self,
        text_model: Any,
        *,
        max_gen_toks: int = MAX_GEN_TOKS,
        choices_end: bool = False,
        seed: int = 0,
    ):
        self._text_model = text_model
        self._max_gen_toks = max_gen_toks
        self._choices_end = choices_end
        self._seed = seed

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Returns, for each (context, continuation), the log-likelihood and whether greedy decoding writes it.

        The latter is looked at where a context has one continuation. Those of a multiple-choice question are not
        asked for it, and get False.
        """
        del disable_tqdm
        pairs = [_parted(*request.args) for request in requests]
        likelihoods = self._likelihoods(pairs)
        counts = collections.Counter(context for context, _ in set(pairs))
        lone: dict[int, list[int]] = collections.defaultdict(list)
        for number, (context, _) in enumerate(pairs):
            if counts[context] == 1:
                lone[likelihoods[number].num_tokens].append(number)
        greedy = set()
        for num_tokens, numbers in lone.items():
            written = self._text_model.generate(
                [pairs[number][0] for number in numbers], max_new_tokens=max(num_tokens, 1)
            )
            greedy |= {
                number
                for number, [one] in zip(numbers, written, strict=True)
                if one.text.strip() == pairs[number][1].strip()
            }
        return [(one.log_likelihood, n in greedy) for n, one in enumerate(likelihoods)]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Returns the log-likelihood of each text, from its beginning on.

        A text of more than half the longest prompt is taken in parts that end between words, each behind the part
        before it: every token is predicted once, with more context than in the harness's disjoint windows.
        """
        del disable_tqdm
        pairs, owners = [], []
        for number, request in enumerate(requests):
            parts = self._parts(request.args[0])
            pairs += zip(['', *parts], parts, strict=False)
            owners += [number] * len(parts)
        totals = [0.0] * len(requests)
        for number, one in zip(owners, self._likelihoods(pairs), strict=True):
            totals[number] += one.log_likelihood
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Returns what the model writes behind each context, up to the first of the texts in `until`."""
        del disable_tqdm
        alike: dict[tuple, list[int]] = collections.defaultdict(list)
        for number, request in enumerate(requests):
            alike[_settings(request.args[1], self._max_gen_toks)].append(number)
        texts = [''] * len(requests)
        for settings, numbers in alike.items():
            written = self._text_model.generate(
                [requests[number].args[0] for number in numbers], seed=self._seed, **dict(settings)
            )
            for number, [one] in zip(numbers, written, strict=True):
                texts[number] = cut_at(one.text, _until(requests[number].args[1]))
        return texts

    def _likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[Any]:
        """Ranks the continuations of each context together; a space ahead of them is the separator."""
        alike: dict[str, dict[str, dict[str, None]]] = {' ': {}, '': {}}
        for context, continuation in pairs:
            separator = ' ' if continuation.startswith(' ') else ''
            choices = alike[separator].setdefault(context, {})
            choices[continuation.removeprefix(' ')] = None
        found = {}
        for separator, offered in alike.items():
            if not offered:
                continue
            ranked = self._text_model.rank(
                list(offered),
                [list(choices) for choices in offered.values()],
                separator=separator,
                choices_end=self._choices_end,
            )
            for (context, choices), likelihoods in zip(offered.items(), ranked, strict=True):
                for choice, one in zip(choices, likelihoods, strict=True):
                    found[context, separator + choice] = one
        return [found[pair] for pair in pairs]

    def _parts(self, text: str) -> list[str]:
        """Splits a text between words into parts of at most half the tokens that a prompt may have."""
        if not text:
            return []
        longest = max(self._text_model.max_prompt_tokens // 2, 1)
        if self._text_model.count_tokens(text) <= longest:
            return [text]
        parts, room = [''], longest
        for word in _WORD.findall(text):
            count = self._text_model.count_tokens(word)
            if parts[-1] and count > room:
                parts.append('')
                room = longest
            parts[-1] += word
            room -= count
        return parts


def cut_at(text: str, until: Sequence[str]) -> str:
    """Returns what stands ahead of the first of the texts in `until`."""
    return text[: min((place for stop in until if (place := text.find(stop)) >= 0), default=None)]


@functools.cache
def model_class() -> type:
    """Registers the model with the harness as `flan_tune`, and returns its class.

    Raises:
        UserError: the harness is not installed.
    """
    try:
        from lm_eval.api.model import LM
        from lm_eval.api.registry import register_model
    except ImportError as error:
        raise UserError(
            f'lm-evaluation-harness is not there ({error}): pip install "flan_tune[lm_eval]"'
        ) from error

    # Its bootstrap would fork a process in which JAX has threads.
    os.environ.setdefault('DISABLE_MULTIPROC', '1')

    @register_model(NAME)
    class FlanTuneLM(HarnessRequests, LM):
        """A checkpoint, or a TextModel that is there already.

        Args:
            checkpoint: see `open_text_model`, as for `gin_file`, `vocabulary` and `max_input_tokens`.
            batch_size: rows of a batch; 'auto' is ours.
            text_model: in place of a checkpoint.
            max_batch_size, device: of the harness; what devices there are is used.
            settings: see HarnessRequests.
        """

        def __init__(
            self,
            checkpoint: str | None = None,
            *,
            gin_file: str = '',
            vocabulary: str | None = None,
            max_input_tokens: int = MAX_INPUT_TOKENS,
            batch_size: int | str = BATCH_SIZE,
            text_model: Any = None,
            max_batch_size: int | None = None,
            device: str | None = None,
            **settings: Any,
        ):
            LM.__init__(self)
            if text_model is None:
                if checkpoint is None:
                    raise UserError('name a checkpoint: --model_args checkpoint=runs/my_task')
                text_model = open_text_model(
                    checkpoint,
                    gin_file=gin_file,
                    vocabulary=vocabulary,
                    max_input_tokens=max_input_tokens,
                    batch_size=BATCH_SIZE if 'auto' in str(batch_size) else int(batch_size),
                )
            HarnessRequests.__init__(self, text_model, **settings)

    return FlanTuneLM


def open_text_model(
    checkpoint: str,
    *,
    gin_file: str = '',
    vocabulary: str | None = None,
    max_input_tokens: int = MAX_INPUT_TOKENS,
    batch_size: int = BATCH_SIZE,
) -> Any:
    """Reads a checkpoint onto all devices.

    Args:
        checkpoint: a run of ours, one of its steps, a Hugging Face folder or a T5X checkpoint.
        gin_file: the model's file, such as models/t5_1_1/small.gin; several are parted by ';'. A run of ours and a
            Hugging Face folder need none: they say what model and vocabulary they hold.
        vocabulary: in place of that one.
        max_input_tokens: longest prompt; of longer ones the end is kept, as the harness does.
        batch_size: rows of a batch.

    Returns:
        A TextModel.

    Raises:
        UserError: no such checkpoint or model.
    """
    from flan_tune.interchange.configured import configured_model
    from flan_tune.interchange.text_models import open_text_model
    from flan_tune.partitioning.mesh import make_mesh
    from flan_tune.partitioning.processes import join_processes
    from flan_tune.partitioning.rules import Layout
    from flan_tune.training.compilation import use_compilation_cache

    join_processes()
    use_compilation_cache()
    config, named = configured_model(checkpoint, [name for name in gin_file.split(';') if name])
    if not (vocabulary := vocabulary or named):
        raise UserError('name the vocabulary: --model_args …,vocabulary=flan-t5-small/spiece.model')
    return open_text_model(
        config,
        checkpoint,
        vocabulary,
        Layout(make_mesh(None)),
        max_input_tokens=max_input_tokens,
        batch_size=batch_size,
    )


def _parted(context: str, continuation: str) -> tuple[str, str]:
    """Moves the spaces that end a context to its continuation, as the harness does before it encodes them."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _settings(kwargs: Mapping[str, Any], max_gen_toks: int) -> tuple[tuple[str, Any], ...]:
    """Returns the arguments of `TextModel.generate` that a task's generation_kwargs ask for."""
    limits = [kwargs[name] for name in _LIMITS if kwargs.get(name) is not None]
    settings = {'max_new_tokens': int(limits[0]) if limits else max_gen_toks}
    temperature = float(kwargs.get('temperature') or 0.0)
    sampled = kwargs.get('do_sample')
    if sampled or (sampled is None and temperature > 0):
        settings |= {
            'temperature': temperature or 1.0,
            'top_k': int(kwargs.get('top_k') or 0),
            'top_p': float(kwargs.get('top_p') or 1.0),
        }
    return tuple(settings.items())


def _until(kwargs: Mapping[str, Any]) -> list[str]:
    until = kwargs.get('until') or []
    return [stop for stop in ([until] if isinstance(until, str) else until) if stop]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the harness's command line with our model; returns the exit status. Its flags are the harness's."""
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(f'flan_tune: error: {error}', file=sys.stderr)
        return 2
    except RunError as error:
        print(f'flan_tune: failed: {error}', file=sys.stderr)
        return 1
    return 0


def _run(argv: Sequence[str]) -> None:
    model_class()
    from lm_eval.__main__ import cli_evaluate

    verb = argv[:1] if argv[:1] == ['run'] else []
    flags = ['--model', NAME, '--batch_size', str(BATCH_SIZE)]
    sys.argv = ['lm_eval', *verb, *flags, *argv[len(verb) :]]
    cli_evaluate()


if __name__ == '__main__':
    sys.exit(main())
