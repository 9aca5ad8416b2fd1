"""A checkpoint as text in, text out."""

from flan_tune.data.config import check_vocabulary, open_tokenizer
from flan_tune.decoding.text_model import TextModel
from flan_tune.interchange.initial import config_at, initial_params, inputs_end_at
from flan_tune.models.functional import FunctionalModel, ModelConfig
from flan_tune.partitioning.rules import Layout


def open_text_model(
    config: ModelConfig,
    checkpoint: str,
    vocabulary: str,
    layout: Layout,
    *,
    max_input_tokens: int,
    batch_size: int,
    inputs_end: bool | None = None,
) -> TextModel:
    """Reads a checkpoint, with its soft prompt or adapters where it has some.

    Args:
        config: of the model that wrote the checkpoint.
        checkpoint: a run of ours, one of its steps, a Hugging Face folder or a T5X checkpoint.
        vocabulary: a SentencePiece model file, a Hugging Face tokenizer.json or a folder with one, or 'mini'.
        layout: mesh and rules.
        max_input_tokens: longest prompt; longer ones keep their end.
        batch_size: rows of a batch.
        inputs_end: whether an end of sequence stands behind prompts; None: as a run of ours was trained, and for other
            programs' models as is usual for their family.

    Raises:
        UserError: no such checkpoint or vocabulary, or one that does not fit the model.
    """
    tokenizer = open_tokenizer(vocabulary)
    check_vocabulary(tokenizer, config.vocab_size)
    model = FunctionalModel(config_at(checkpoint, config))
    return TextModel(
        model,
        initial_params(checkpoint, model, layout),
        layout,
        tokenizer,
        max_input_tokens=max_input_tokens,
        batch_size=batch_size,
        inputs_end=inputs_end_at(checkpoint) if inputs_end is None else inputs_end,
    )
