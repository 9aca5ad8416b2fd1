"""From a rendered example to token ids of bounded length."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import seqio

from flan_tune.data.batches import INPUTS_LOSS_WEIGHTS, check_feature_lengths
from flan_tune.data.rendering import Renderer
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError


class Tokens(NamedTuple):
    """An example: int32 token ids per feature, and how many tokens truncation cut off each feature.

    Where inputs are to be learnt too, `ids` also holds their float32 `inputs_loss_weights` (see `batches`).
    """

    ids: dict[str, np.ndarray]
    cut: dict[str, int]


def truncate(
    ids: Mapping[str, Sequence],
    lengths: Mapping[str, int],
    ends: Mapping[str, int | None],
    document_length: int | None = None,
) -> Tokens:
    """Cuts sequences to their lengths, keeping at its end the end of sequence (`ends`) that was there.

    Args:
      ids: `inputs` (absent: empty) and `targets`, perhaps `inputs_loss_weights`.
      lengths: of inputs and targets.
      ends: the end of sequence of inputs and targets.
      document_length: of the targets of an example without inputs; default the length of `targets`.
    """
    kept, cut = {}, {}
    for feature, length in lengths.items():
        sequence = np.array(ids.get(feature, ()), np.int32)
        if feature == 'targets' and not len(ids.get('inputs', ())):
            length = document_length or length
        cut[feature] = max(0, len(sequence) - length)
        if cut[feature]:
            end = sequence[-1]
            sequence = sequence[:length]
            if end == ends[feature]:
                sequence[-1] = end
        kept[feature] = sequence
    if INPUTS_LOSS_WEIGHTS in ids:
        weights = np.array(ids[INPUTS_LOSS_WEIGHTS], np.float32)
        kept[INPUTS_LOSS_WEIGHTS] = weights[: lengths['inputs']]
    return Tokens(kept, cut)


class Tokenization:
    """Records to token ids: tokenizer, length in tokens and end of sequence of `inputs` and `targets`."""

    def __init__(
        self,
        features: Mapping[str, seqio.Feature],
        lengths: Mapping[str, int],
        vocabulary: Tokenizer | None = None,
        document_length: int | None = None,
    ):
        """Takes the features of a task, and lengths as `truncate` does; `vocabulary`, if given, stands in for
        that of the features."""
        check_features(features, lengths)
        self.lengths = dict(lengths)
        self._document_length = document_length
        self.tokenizers = {f: vocabulary or Tokenizer(features[f].vocabulary) for f in lengths}
        self.ends = {
            f: tokenizer.eos_id if features[f].add_eos else None
            for f, tokenizer in self.tokenizers.items()
        }

    def __call__(
        self, renderer: Renderer, split: str, record: int, **rendering
    ) -> tuple[dict[str, Any], Tokens]:
        """Renders a record, its prompt to fit its length, and encodes it; returns the example and its tokens."""
        example = renderer.example(
            split,
            record,
            tokenizer=self.tokenizers['inputs'],
            max_input_tokens=self.lengths['inputs'],
            **rendering,
        )
        prompt = example.pop('input_tokens')
        # Where there is nothing to ask (a document), there is nothing to end.
        ids = {'inputs': self._ended('inputs', prompt) if prompt else []}
        if 'loss_start' in example:
            start = example.pop('loss_start')
            ids[INPUTS_LOSS_WEIGHTS] = np.arange(len(ids['inputs'])) >= start
        ids['targets'] = self._ended(
            'targets', self.tokenizers['targets'].encode(example['targets'])
        )
        return example, truncate(ids, self.lengths, self.ends, self._document_length)

    def _ended(self, feature: str, ids: list[int]) -> list[int]:
        return ids if self.ends[feature] is None else [*ids, self.ends[feature]]

    @property
    def fingerprint(self) -> list:
        """What the token ids depend on besides the texts and lengths."""
        return [(f, self.tokenizers[f].fingerprint, self.ends[f]) for f in sorted(self.lengths)]


def check_features(features: Mapping[str, seqio.Feature], lengths: Mapping[str, int]) -> None:
    """Raises a UserError unless a task has targets, perhaps inputs and their loss weights, and both lengths are
    there."""
    check_feature_lengths(lengths)
    if 'targets' not in features or set(features) - {*lengths, INPUTS_LOSS_WEIGHTS}:
        raise UserError(
            f'a task to train on has the features inputs (or none: a text of its own), targets and perhaps '
            f'{INPUTS_LOSS_WEIGHTS}, not {sorted(features)}'
        )
