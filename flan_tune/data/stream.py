"""The stream: position -> token ids of one example, at random access, as a function of the seed alone.

A position names a member of the mixture and an occurrence (`interleave`), the occurrence an epoch and a record
(a permutation per epoch), and the member renders the record.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import seqio

from flan_tune.data import mixtures
from flan_tune.data.batches import INPUTS_LOSS_WEIGHTS
from flan_tune.data.definition import TRAIN
from flan_tune.data.draws import Draws
from flan_tune.data.interleave import Interleaver
from flan_tune.data.materialized import check_vocabulary, materialize
from flan_tune.data.rendering import Renderer
from flan_tune.data.shuffling import shuffled
from flan_tune.data.sources import BadRecord, source_fingerprint
from flan_tune.data.tasks import InstructionTask
from flan_tune.data.token_files import TokenFolder
from flan_tune.data.tokenization import Tokenization, Tokens, check_features, truncate
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError

if TYPE_CHECKING:
    from flan_tune.data.exclusions import Exclusions
    from flan_tune.data.prepared.folder import PreparedFolder


class Member(Protocol):
    """A finite set of examples at random access."""

    @property
    def fingerprint(self) -> object:
        """What its tokens depend on, JSON-able."""

    def __len__(self) -> int: ...

    def tokens(self, record: int, epoch: int) -> Tokens:
        """Returns the tokens of a record as it appears in an epoch."""

    def describe(self, record: int) -> str:
        """Names a record in messages."""


class RenderedTask:
    """An instruction task's split, rendered and tokenized on access, less the records that are left out."""

    def __init__(
        self,
        renderer: Renderer,
        split: str,
        tokenization: Tokenization,
        seed: int,
        excluded: Mapping[str, frozenset[int]] | None = None,
    ):
        """Takes the records to leave out by split; those of the train split are no exemplars either."""
        self._renderer, self._split, self._seed = renderer, split, seed
        self._tokenization = tokenization
        self._kept = None
        if excluded := {s: records for s, records in (excluded or {}).items() if records}:
            self._renderer = renderer.without(excluded)
            left_out = list(excluded.get(split, ()))
            self._kept = np.setdiff1d(np.arange(renderer.size(split)), left_out)

    def __len__(self) -> int:
        return self._renderer.size(self._split) if self._kept is None else len(self._kept)

    @property
    def fingerprint(self) -> list:
        """Definition, variant, content of the files that are read, vocabulary, what is left out."""
        renderer = self._renderer
        splits = {self._split, TRAIN} if renderer.variant.few_shot else {self._split}
        content = [
            source_fingerprint(renderer.definition.source, split) for split in sorted(splits)
        ]
        excluded = {s: sorted(records) for s, records in renderer.excluded.items() if s in splits}
        return [
            renderer.definition.fingerprint,
            repr(renderer.variant),
            content,
            self._tokenization.fingerprint,
            *([excluded] if excluded else []),
        ]

    def rendered(self, record: int, epoch: int) -> tuple[dict[str, Any], Tokens]:
        """Renders a record with the draws of the epoch; returns the example (see `Renderer.example`) and its tokens."""
        return self._tokenization(
            self._renderer, self._split, self._place(record), seed=self._seed, epoch=epoch
        )

    def tokens(self, record: int, epoch: int) -> Tokens:
        """Renders a record with the draws of the epoch."""
        return self.rendered(record, epoch)[1]

    def describe(self, record: int) -> str:
        """Returns file and line of a record, or its number."""
        return self._renderer.definition.source.where(self._split, self._place(record))

    def _place(self, record: int) -> int:
        return record if self._kept is None else int(self._kept[record])


class MaterializedTask:
    """A plain SeqIO task's split, read from token files: the same in every epoch."""

    def __init__(
        self,
        files: TokenFolder,
        features: Mapping[str, seqio.Feature],
        lengths: Mapping[str, int],
        document_length: int | None = None,
    ):
        check_features(features, lengths)
        self._files, self._lengths = files, dict(lengths)
        self._document_length = document_length
        self._ends = {
            name: feature.vocabulary.eos_id if feature.add_eos else None
            for name, feature in features.items()
        }
        self.fingerprint = files.manifest['fingerprint']

    def __len__(self) -> int:
        return len(self._files)

    def tokens(self, record: int, epoch: int) -> Tokens:
        """Reads a record; raises BadRecord if it has not one loss weight for each of its inputs."""
        del epoch
        ids = self._files[record]
        inputs, weights = len(ids.get('inputs', ())), ids.get(INPUTS_LOSS_WEIGHTS)
        if weights is not None and len(weights) != inputs:
            raise BadRecord(
                f'{self.describe(record)}: {len(weights)} {INPUTS_LOSS_WEIGHTS} for {inputs} inputs'
            )
        return truncate(ids, self._lengths, self._ends, self._document_length)

    def describe(self, record: int) -> str:
        """Returns the number of a record."""
        return f'record {record} (from 0) of {self._files.folder.name}'


def open_member(
    task: seqio.Task,
    split: str,
    feature_lengths: Mapping[str, int],
    vocabulary: Tokenizer | None,
    seed: int,
    cache_dir: str | os.PathLike | None = None,
    document_length: int | None = None,
    exclusions: 'Exclusions | None' = None,
) -> Member:
    """Opens a task for random access.

    A task with a method `open_member` (see `corpora`) opens itself; a plain SeqIO task is materialized first (see
    `materialize`). `exclusions` names records of instruction tasks that are left out.
    """
    if hasattr(task, 'open_member'):
        return task.open_member(
            split, feature_lengths, vocabulary, seed, cache_dir, document_length
        )
    if isinstance(task, InstructionTask):
        tokenization = Tokenization(
            task.output_features, feature_lengths, vocabulary, document_length
        )
        excluded = {split: exclusions.of(task.definition, split)} if exclusions else None
        return RenderedTask(task.renderer, split, tokenization, seed, excluded)
    check_features(task.output_features, feature_lengths)
    check_vocabulary(task, vocabulary)
    files = materialize(task, split, feature_lengths, cache_dir, seed)
    return MaterializedTask(files, task.output_features, feature_lengths, document_length)


def ends_inputs(name: str) -> bool:
    """Returns whether what is trained on has an end of sequence behind inputs.

    Instruction tasks and plain SeqIO tasks have one, unless their feature has none; corpora are texts to go on with.
    """
    return any(
        'inputs' in task.output_features and task.output_features['inputs'].add_eos
        for task in map(seqio.TaskRegistry.get, mixtures.leaf_names(name))
        if not hasattr(task, 'open_member')
    )


class Stream:
    """The endless sequence of a mixture's examples.

    Attributes:
      names: of the tasks, in the order of the members.
      members: what is read.
    """

    def __init__(
        self, names: Sequence[str], members: Sequence[Member], weights: Sequence[float], seed: int
    ):
        """Takes the members with their names (for errors and draws) and weights."""
        for name, member, weight in zip(names, members, weights, strict=True):
            if weight and not len(member):
                raise UserError(f'task {name!r} has no examples')
        self.names, self.members = list(names), list(members)
        self._sizes = [len(member) for member in members]
        self._interleaver = Interleaver(weights, seed)
        self._keys = [Draws(seed, 'shuffle', name).integer(2**63) for name in names]

    def locate(self, position: int) -> tuple[int, int, int]:
        """Returns (member, epoch, record) at a position."""
        member, occurrence = self._interleaver[position]
        size = self._sizes[member]
        epoch, place = divmod(occurrence, size)
        record = shuffled(place, size, self._keys[member] + epoch)
        return member, epoch, record

    def __getitem__(self, position: int) -> Tokens | BadRecord:
        """Returns the example at a position, or what is wrong with its record."""
        member, epoch, record = self.locate(position)
        try:
            tokens = self.members[member].tokens(record, epoch)
        except BadRecord as error:
            return error
        if not len(tokens.ids['targets']):
            where = self.members[member].describe(record)
            return BadRecord(f'{where}: task {self.names[member]!r} gives it empty targets')
        return tokens


def open_stream(
    name: str,
    *,
    split: str,
    feature_lengths: Mapping[str, int],
    vocabulary: Tokenizer | None,
    seed: int,
    cache_dir: str | os.PathLike | None = None,
    document_length: int | None = None,
    exclusions: 'Exclusions | None' = None,
    prepared: 'PreparedFolder | None' = None,
) -> tuple[Stream, dict[str, str]]:
    """Opens the stream of a registered task or mixture; see `truncate` for the lengths, `open_member` for the rest.

    With `prepared`, tokens are read from the files of `flan_tune prepare` instead of being made.

    Returns:
      The stream, and what it depends on as name -> text: `seed`, `split`, `feature_lengths`, `mixture` (digest
      of the weights) and `tasks` (digest of definitions, data and vocabularies).
    """
    sizes = _prepared_sizes(prepared) if prepared else None
    rows = [row for row in mixtures.weight_table(name, split, sizes) if row.weight > 0]
    tasks = [seqio.TaskRegistry.get(row.task) for row in rows]
    reading = (split, feature_lengths, vocabulary, seed)
    members = [
        prepared.member(task, *reading, document_length)
        if prepared
        else open_member(task, *reading, cache_dir, document_length, exclusions)
        for task in tasks
    ]
    weights = [row.weight for row in rows]
    fingerprint = {
        'seed': str(seed),
        'split': split,
        'feature_lengths': str(dict(sorted(feature_lengths.items()))),
        'mixture': digest([(row.task, row.size, row.weight) for row in rows]),
        'tasks': digest([(row.task, m.fingerprint) for row, m in zip(rows, members, strict=True)]),
    }
    return Stream([row.task for row in rows], members, weights, seed), fingerprint


def _prepared_sizes(prepared: 'PreparedFolder') -> dict[str, int]:
    """Returns task, without variant -> size: the raw data need not be here any more."""
    known = seqio.TaskRegistry._REGISTRY
    return {
        mixtures.base_name(known[name]): size
        for name, size in prepared.sizes.items()
        if name in known and size is not None
    }


def digest(value: object) -> str:
    """Returns 16 hexadecimal digits of a JSON-able value."""
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
