"""Who writes chains: a frozen model, whose texts are cached by content, or a file that any system has written."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax

from flan_tune.chains.cache import ChainCache
from flan_tune.data.config import check_vocabulary, open_tokenizer
from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.decoding.text_model import Generation, TextModel
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.files import read_jsonl
from flan_tune.evaluation.suites.definition import named
from flan_tune.interchange.configured import configured_model
from flan_tune.interchange.initial import initial_params, inputs_end_at
from flan_tune.models.functional import FunctionalModel, ModelConfig, Params
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout
from flan_tune.training.checkpoints import digest_of

CHUNK = 128
MISSING_FILE = 'missing_chains.jsonl'
# Fields of a model's configuration that change how it runs and, but for the dtype, nothing that it computes.
_UNSEEN = ('dropout_rate', 'attention', 'scan_layers', 'remat')
_MARKS = 2  # Positions of a start token and an end of sequence.


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a chain is asked for: the id of a question, and the prompt."""

    id: str
    prompt: str


class Writer(Protocol):
    """Writes chains; every process of a run calls it alike."""

    def write(self, asked: Sequence[Asked]) -> list[str]: ...


class CachedModel:
    """A TextModel whose greedy generations are read from a cache where they are there.

    Its parameters are read when the first text has to be written, or ranked.

    Args:
        text_model: without parameters.
        read: reads them.
        cache: where the generations are.
        parameters: finds out the digest of the parameters, if need be by reading them.
        settings: what else generations follow from.
        max_new_tokens: of what `write` writes.
        max_positions: of the model, where they are limited.
        chunk: prompts that are added to the cache at a time: so many are lost at most when the work is stopped.
    """

    def __init__(
        self,
        text_model: TextModel,
        read: Callable[[], Params],
        cache: ChainCache,
        *,
        parameters: Callable[['CachedModel'], str],
        settings: Mapping[str, Any],
        max_new_tokens: int,
        max_positions: int | None = None,
        chunk: int = CHUNK,
    ):
        self._model, self._read, self._cache = text_model, read, cache
        self._settings, self._chunk = dict(settings), chunk
        self.max_new_tokens, self.max_positions = max_new_tokens, max_positions
        self.parameters = parameters(self)

    @property
    def max_prompt_tokens(self) -> int:
        """See `TextModel`."""
        return self._model.max_prompt_tokens

    @property
    def longest_prompt(self) -> int:
        """The most tokens of a prompt that leaves room for a chain."""
        longest = self._model.max_prompt_tokens
        if self.max_positions is None:
            return longest
        return min(longest, self.max_positions - self.max_new_tokens - _MARKS)

    def count_tokens(self, text: str) -> int:
        """See `TextModel`."""
        return self._model.count_tokens(text)

    def load(self) -> Params:
        """Returns the parameters, read if they are not there."""
        if self._model.params is None:
            self._model.params = self._read()
        return self._model.params

    def release(self) -> None:
        """Lets go of the parameters."""
        self._model.params = None

    def write(
        self, asked: Sequence[Asked], progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        """Returns what is written behind each prompt."""
        written = self.generate(
            [one.prompt for one in asked], max_new_tokens=self.max_new_tokens, progress=progress
        )
        return [generations[0].text for generations in written]

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        samples: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[Generation]]:
        """See `TextModel`; greedy, so that one sample is all there is."""
        del seed
        if temperature > 0:
            raise ValueError('what is sampled is not cached')
        settings = self._settings | {'max_new_tokens': max_new_tokens}
        keys = [self._cache.key(self.parameters, settings, prompt) for prompt in prompts]
        known = self._cache.known(keys)
        missing = {
            key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known
        }
        there, todo = len(set(keys)) - len(missing), list(missing.items())
        for start in range(0, len(todo), self._chunk):
            some = todo[start : start + self._chunk]
            self.load()
            written = self._model.generate(
                [prompt for _, prompt in some], max_new_tokens=max_new_tokens
            )
            rows = [
                {'key': key, **dataclasses.asdict(generations[0])}
                for (key, _), generations in zip(some, written, strict=True)
            ]
            self._cache.add(rows)
            known |= {row['key']: row for row in rows}
            if progress:
                progress(there + start + len(some), there + len(todo))
        return [[_generation(known[key])] * samples for key in keys]

    def rank(
        self, prompts: Sequence[str], choices: Sequence[Sequence[str]], **options: Any
    ) -> list[list[Any]]:
        """See `TextModel`."""
        self.load()
        return self._model.rank(prompts, choices, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelChains:
    """Chains that a frozen model writes by greedy decoding.

    Attributes:
        checkpoint: a run of ours, one of its steps, a Hugging Face folder or a T5X checkpoint.
        gin_files: the model's file, such as models/t5_1_1/xl.gin; a run of ours and a Hugging Face folder need none.
        vocabulary: in the place of the one that these name.
        max_input_tokens: longest prompt; exemplars are dropped to keep to it.
        max_new_tokens: of a chain.
        batch_size: rows of a batch.
        inputs_end: see `EvaluationConfig`.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        cache_dir: a folder that runs share; by default that of the run.
    """

    checkpoint: str
    gin_files: str | Sequence[str] = ()
    vocabulary: str | None = None
    max_input_tokens: int = 2048
    max_new_tokens: int = 256
    batch_size: int = 32
    inputs_end: bool | None = None
    mesh: Mapping[str, int] | None = None
    cache_dir: str | None = None

    def writer(self, folder: pathlib.Path) -> CachedModel:
        """Opens the model, for a run in `folder`; its parameters are not read before they are needed."""
        gin_files = [self.gin_files] if isinstance(self.gin_files, str) else self.gin_files
        config, vocabulary = configured_model(self.checkpoint, [f for f in gin_files if f])
        if not (vocabulary := self.vocabulary or vocabulary):
            raise UserError(
                f'{self.checkpoint}: name the vocabulary of the model that writes the chains '
                '(ModelChains.vocabulary)'
            )
        return cached_model(
            config,
            self.checkpoint,
            ChainCache(expand_path(self.cache_dir) if self.cache_dir else folder),
            layout=Layout(make_mesh(self.mesh)),
            vocabulary=vocabulary,
            max_input_tokens=self.max_input_tokens,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            inputs_end=self.inputs_end,
        )


def cached_model(
    config: ModelConfig,
    checkpoint: str,
    cache: ChainCache,
    *,
    layout: Layout,
    vocabulary: str,
    max_input_tokens: int,
    max_new_tokens: int,
    batch_size: int,
    inputs_end: bool | None = None,
) -> CachedModel:
    """Opens a checkpoint as a CachedModel; the arguments are those of `ModelChains`."""
    model, tokenizer = FunctionalModel(config), open_tokenizer(vocabulary)
    check_vocabulary(tokenizer, config.vocab_size)
    if inputs_end is None:
        inputs_end = inputs_end_at(checkpoint)
    text_model = TextModel(
        model,
        None,
        layout,
        tokenizer,
        max_input_tokens=max_input_tokens,
        batch_size=batch_size,
        inputs_end=inputs_end,
    )
    shape = {k: v for k, v in dataclasses.asdict(config).items() if k not in _UNSEEN}
    return CachedModel(
        text_model,
        lambda: initial_params(checkpoint, model, layout),
        cache,
        parameters=lambda cached: cache.parameters(checkpoint, lambda: digest_of(cached.load())),
        settings={
            'model': json.loads(json.dumps({'family': type(config).__name__, **shape})),
            'vocabulary': tokenizer.fingerprint,
            'max_input_tokens': max_input_tokens,
            'inputs_end': inputs_end,
        },
        max_new_tokens=max_new_tokens,
        max_positions=getattr(config, 'max_positions', None),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedChains:
    """Chains of any system, from JSON lines with a `chain` and its question's `id`, or `index`.

    Attributes:
        path: a file, or a folder whose files end in .jsonl. With `index` (of the record, from 0) a file is named
            after the rest of the id: TASK.SPLIT.jsonl for a registered task, SUITE.TASK.jsonl for a suite.
    """

    path: str

    def writer(self, folder: pathlib.Path) -> 'RecordedWriter':
        """Reads the files; questions that they lack will be named in a file of `folder`."""
        return RecordedWriter(expand_path(self.path), folder)


class RecordedWriter:
    """The chains of some files, by id.

    Raises:
        UserError: lines that cannot be used, or two chains for one question; all are named by file and line.
    """

    def __init__(self, path: pathlib.Path, folder: pathlib.Path):
        self._path, self._folder = path, folder
        self._chains: dict[str, str] = {}
        lines: dict[str, str] = {}
        wrong = []
        for where, name, chain in _recorded(path):
            if name is None:
                wrong.append(chain)
            elif name in self._chains:
                wrong.append(f'{where}: {name!r} has a chain already, at {lines[name]}')
            else:
                self._chains[name], lines[name] = chain, where
        if wrong:
            raise UserError(
                f'{len(wrong)} lines cannot be used: {named(wrong)}; each line is an object with a text as '
                '"chain" and the question\'s "id" (or "index"), once: correct or delete the others'
            )

    def write(self, asked: Sequence[Asked], progress: Any = None) -> list[str]:
        """Returns the chains of some questions.

        Raises:
            UserError: questions without a chain; a file has their ids and prompts.
        """
        del progress
        missing = {one.id: one for one in asked if one.id not in self._chains}
        if missing:
            file = pathlib.Path(self._folder) / MISSING_FILE
            if jax.process_index() == 0:
                file.parent.mkdir(parents=True, exist_ok=True)
                lines = [json.dumps(vars(o), ensure_ascii=False) + '\n' for o in missing.values()]
                file.write_text(''.join(lines), encoding='utf-8')
            near = did_you_mean(next(iter(missing)), self._chains)
            raise UserError(
                f'{self._path}: no chain for {len(missing):,} of {len(asked):,} questions: '
                f'{named([repr(name) for name in missing])}.{near} {file} has their ids and prompts; '
                'write a line with id and chain for each'
            )
        return [self._chains[one.id] for one in asked]

    def release(self) -> None:
        """Nothing has to be let go of."""


def _recorded(path: pathlib.Path) -> Iterator[tuple[str, str | None, str]]:
    """Yields file:line, the id and the chain of each line; without an id what is wrong with the line."""
    files = sorted(path.glob('*.jsonl')) if path.is_dir() else [path]
    if not files:
        raise UserError(f'{path}: the folder has no files that end in .jsonl')
    for file in files:
        prefix = file.stem.rpartition('.')
        for where, record in read_jsonl(file):
            if isinstance(record, BadRecord):
                yield where, None, str(record)
                continue
            name, index, chain = (record.get(key) for key in ('id', 'index', 'chain'))
            if name is None and type(index) is int and prefix[1]:
                name = f'{prefix[0]}/{prefix[2]}/{index}'
            if not isinstance(name, str) or not name:
                yield (
                    where,
                    None,
                    f'{where}: no "id", nor an "index" in a file named TASK.SPLIT.jsonl',
                )
            elif not isinstance(chain, str):
                yield where, None, f'{where}: "chain" is {chain!r}, no text'
            else:
                yield where, name, chain


def _generation(row: Mapping[str, Any]) -> Generation:
    return Generation(**{field.name: row[field.name] for field in dataclasses.fields(Generation)})
