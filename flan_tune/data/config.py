"""What a run reads, as one configurable; TensorFlow and SeqIO are imported when it is opened, not before."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flan_tune.data.batches import (
    FeatureConverter,
    check_feature_lengths,
    check_row_length,
    feature_converter,
)
from flan_tune.errors import UserError

if TYPE_CHECKING:
    from flan_tune.data.loading import TrainLoader
    from flan_tune.data.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The stream of training batches.

    Attributes:
        mixture_or_task_name: a name in SeqIO's registries.
        mixture_or_task_module: the module, or modules, whose import registers it.
        feature_lengths: longest inputs and targets in tokens, e.g. {'inputs': 512, 'targets': 128}; for an
            encoder-decoder model also the rows of encoder and decoder.
        batch_size: rows of a global batch.
        vocabulary: a SentencePiece model file, a Hugging Face tokenizer.json or a folder with one, or 'mini' for
            the embedded collection's.
        split: the split to train on.
        packing: 'best_fit', or 'none' for one example a row.
        lookahead: examples that the packer chooses among; none waits for more than twice as many rows.
        num_workers: processes that render and tokenize; 0 does it in a thread of the trainer.
        row_length: tokens of a row for a decoder-only model, which inputs and targets share; None: as many as
            both may have.
        mixture: a MixtureConfig that `mixture_or_task_name` is to stand for; None: it is registered.
        on_bad_record: 'refuse' the first one, 'skip' them all, or skip as long as they are no more than a share.
        exclude_overlap: a list of records to leave out, as `flan_tune inspect overlap` writes it.
        use_prepared_data: a folder that `flan_tune prepare` wrote, to be read in place of rendering.
    """

    mixture_or_task_name: str
    mixture_or_task_module: str | Sequence[str]
    feature_lengths: Mapping[str, int]
    batch_size: int
    vocabulary: str
    split: str = 'train'
    packing: str = 'best_fit'
    lookahead: int = 512
    num_workers: int = 0
    row_length: int | None = None
    mixture: Any = None
    on_bad_record: float | str = 0.001
    exclude_overlap: str | None = None
    use_prepared_data: str | None = None

    def __post_init__(self):
        check_feature_lengths(self.feature_lengths)
        check_row_length(self.feature_lengths, self.row_length)
        if self.mixture is not None and not hasattr(self.mixture, 'register'):
            raise UserError(f'DataConfig.mixture must be @MixtureConfig(), not {self.mixture!r}.')
        if self.batch_size < 1:
            raise UserError(f'BATCH_SIZE: {self.batch_size} rows; use a positive number.')

    def register(self) -> None:
        """Registers the tasks, and the mixture that is described."""
        import_tasks(self.mixture_or_task_module)
        if self.mixture is not None:
            self.mixture.register(self.mixture_or_task_name)

    def converter(self, model: Any) -> FeatureConverter:
        """Returns what lays batches out for a model's configuration; see `feature_converter`."""
        return feature_converter(model, self.feature_lengths, self.row_length)

    def batch_shapes(self, model: Any) -> dict[str, Any]:
        """Returns name -> (shape, dtype) of the arrays of a model's batches."""
        return self.converter(model).shapes(self.batch_size)

    def inputs_end(self) -> bool:
        """Returns whether inputs of the tasks, registered by `train_loader`, end with an end of sequence."""
        from flan_tune.data.stream import ends_inputs

        return ends_inputs(self.mixture_or_task_name)

    def tokenizer(self) -> 'Tokenizer':
        return open_tokenizer(self.vocabulary)

    def train_loader(self, seed: int, model: Any) -> 'TrainLoader':
        """Registers the tasks and opens a model's stream; raises UserError for what it cannot find or read."""
        from flan_tune.data.loading import TrainLoader

        self.register()
        return TrainLoader(
            self.mixture_or_task_name,
            feature_lengths=self.feature_lengths,
            batch_size=self.batch_size,
            seed=seed,
            converter=self.converter(model),
            split=self.split,
            vocabulary=self.tokenizer(),
            packing=self.packing,
            lookahead=self.lookahead,
            num_workers=self.num_workers,
            on_bad_record=self.on_bad_record,
            exclude_overlap=self.exclude_overlap,
            use_prepared_data=self.use_prepared_data,
        )


def open_tokenizer(vocabulary: str) -> 'Tokenizer':
    """Opens the vocabulary at a path (see `Tokenizer`), or the packaged one of the embedded collection ('mini')."""
    from flan_tune.data.tokenizer import Tokenizer

    if vocabulary == 'mini':
        from importlib import resources

        return Tokenizer(str(resources.files('flan_tune.tasks.mini') / 'vocabulary.model'))
    return Tokenizer(vocabulary)


def import_tasks(modules: str | Sequence[str]) -> None:
    """Imports the modules that register tasks (MIXTURE_OR_TASK_MODULE)."""
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(f'{error.name}.')):
                raise UserError(
                    f'MIXTURE_OR_TASK_MODULE: no module {module!r}; it is looked for in the current '
                    'folder and among the installed packages (write it with dots, without .py).'
                ) from error
            raise


def check_vocabulary(tokenizer: 'Tokenizer', vocab_size: int) -> None:
    """Raises a UserError if the tokenizer has more pieces than the model has embeddings.

    On a device a token id outside the model would become NaN or another token without a word.
    """
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f'VOCABULARY has {tokenizer.vocab_size} pieces, but the model has embeddings for {vocab_size}; '
            "choose the vocabulary that belongs to the model, or raise the model's vocab_size."
        )
