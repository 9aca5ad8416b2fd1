"""Hugging Face folders, in and out: `config.json`, safetensors, and one table per family."""

import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import jax

from flan_tune.errors import UserError
from flan_tune.interchange import huggingface_opt, huggingface_t5
from flan_tune.interchange.tables import Params, by_path, check_fields, read_params, tensors_of
from flan_tune.interchange.tensor_folder import (
    CONFIG_FILE,
    TensorFolder,
    check_tensors,
    listed,
    read_json,
    write_json,
    write_tensors,
)
from flan_tune.models.functional import ModelConfig

# Each module has MODEL_TYPES, CONFIG (our class) and TOKEN_IDS, and the functions
#   architecture(folder, theirs) -> our fields that a folder with the config.json `theirs` decides
#   fields(config) -> the same and more of our fields, of a configuration
#   table(config) -> an entry for every parameter
#   sources(tensors, config, theirs, where) -> the tensor to read for each name of the table
#   their_config(config) -> what config.json says besides TOKEN_IDS.
FAMILIES = (huggingface_t5, huggingface_opt)
INPUTS_END = 'inputs_end'  # Of config.json; ours.
SAVED_DTYPES = {'float32': 'F32', 'bfloat16': 'BF16', 'float16': 'F16'}


def read_config(folder: str | pathlib.Path) -> ModelConfig:
    """Returns the architecture of a folder, as its `config.json` tells it.

    (Of a T5, the tensors tell too: models that transformers 5 built untied have a token table for
    each side.) Dropout, compute dtype and the execution of layers keep their defaults: they belong
    to a run.

    Raises:
        UserError: no readable `config.json`, another kind of model, or one that is not built here.
    """
    family, architecture = _architecture(pathlib.Path(folder).expanduser())
    return family.CONFIG(**architecture)


def load_params(
    folder: str | pathlib.Path,
    config: ModelConfig,
    *,
    shardings: Params | None = None,
    dtype: str = 'float32',
) -> Params:
    """Reads weights parameter by parameter; see `read_params` for what memory holds meanwhile.

    Args:
        folder: holds `config.json` and `model.safetensors`, or shards with their index, in float32,
            bfloat16 or float16.
        config: of the same architecture; see `read_config`.
        shardings: nested dict of shardings by our names; None returns numpy arrays.
        dtype: of the result.

    Returns:
        Nested dict of arrays by our parameter names, layers stacked on axis 0.

    Raises:
        UserError: another architecture than `config`, no safetensors, or tensors that are missing,
            extra, or of another shape, each by name.
    """
    folder = pathlib.Path(folder).expanduser()
    family, theirs = _architecture(folder)
    if type(config) is not family.CONFIG:
        raise UserError(
            f'{folder}: holds a model for {family.CONFIG.__name__}; the run configures '
            f'{type(config).__name__}. Choose a gin file of its family.'
        )
    check_fields(theirs, family.fields(config), folder)
    entries = list(family.table(config))
    tensors = TensorFolder(folder)
    sources = family.sources(tensors, config, read_json(folder / CONFIG_FILE), folder)
    check_tensors(
        {name: entry.shape for entry in entries for name in entry.names},
        {name: tensors.shapes[source] for name, source in sources.items()},
        f'{folder}: the tensors are not those that {CONFIG_FILE} describes',
    )

    def view(name: str):
        return tensors.view(sources[name])

    return read_params({entry.path: entry.source(view) for entry in entries}, shardings, dtype)


def save_params(
    folder: str | pathlib.Path,
    params: Params,
    config: ModelConfig,
    *,
    dtype: str = 'float32',
    max_shard_bytes: int = 5 * 10**9,
    token_ids: Mapping[str, int] | None = None,
    inputs_end: bool | None = None,
) -> None:
    """Writes a folder that `transformers` (4 and 5) loads: safetensors and their configs.

    Every process that shares `params` must call it; the first one writes.

    Args:
        folder: made if absent; must not hold a model yet.
        params: nested dict of arrays by our parameter names, layers stacked on axis 0.
        config: their architecture.
        dtype: of the tensors: 'float32', 'bfloat16' or 'float16'.
        max_shard_bytes: where one file would be larger, there are several and an index.
        token_ids: 'eos_token_id' and 'pad_token_id' of the vocabulary, where they are not the family's own.
        inputs_end: what `read_inputs_end` is to find; None: nothing is said.

    Raises:
        UserError: no such family in transformers, the folder holds a model, or `params` are not
            those of `config`.
        RunError: a file cannot be written.
    """
    folder = pathlib.Path(folder).expanduser()
    family = check_can_save(folder, config, dtype)
    entries = list(family.table(config))
    check_tensors(
        {entry.path: entry.our_shape for entry in entries},
        {path: tuple(leaf.shape) for path, leaf in by_path(params).items()},
        f'{folder}: the parameters are not those of the model',
    )
    shapes, tensor = tensors_of(entries, params)
    write = jax.process_index() == 0
    if write:
        folder.mkdir(parents=True, exist_ok=True)
    write_tensors(
        folder,
        shapes,
        tensor,
        dtype=SAVED_DTYPES[dtype],
        max_shard_bytes=max_shard_bytes,
        write=write,
    )
    if write:
        token_ids = family.TOKEN_IDS | dict(token_ids or {})
        write_json(folder / 'generation_config.json', token_ids)
        # Last: a folder with a config.json is complete.
        theirs = family.their_config(config) | token_ids | {'torch_dtype': dtype}
        if inputs_end is not None:
            theirs[INPUTS_END] = inputs_end
        write_json(folder / CONFIG_FILE, theirs)


def read_inputs_end(folder: str | pathlib.Path) -> bool | None:
    """Returns whether inputs ended with an end of sequence when a model was tuned here; None for other folders.

    It is a field of ours in `config.json`, which transformers keeps and does nothing with.
    """
    return read_json(pathlib.Path(folder).expanduser() / CONFIG_FILE).get(INPUTS_END)


def check_can_save(folder: pathlib.Path, config: ModelConfig, dtype: str) -> ModuleType:
    """Returns the family of `config`; raises the UserErrors of `save_params` that need no parameters."""
    family = next((f for f in FAMILIES if f.CONFIG is type(config)), None)
    if family is None:
        known = ' and '.join(f.CONFIG.__name__ for f in FAMILIES)
        raise UserError(
            f'{type(config).__name__} has no counterpart in Hugging Face transformers: only {known} '
            'can be written as a folder of theirs.'
        )
    family.their_config(config)
    if dtype not in SAVED_DTYPES:
        raise UserError(f'dtype {dtype!r}: use {", ".join(SAVED_DTYPES)}.')
    if jax.process_index() == 0:  # The others may come when this one is writing already.
        _check_is_free(folder)
    return family


def _check_is_free(folder: pathlib.Path) -> None:
    held = [p.name for p in folder.glob('*') if p.suffix == '.safetensors' or p.name == CONFIG_FILE]
    if held:
        raise UserError(
            f'{folder}: holds a model already ({listed(sorted(held))}); name another folder.'
        )


def _architecture(folder: pathlib.Path) -> tuple[ModuleType, dict[str, Any]]:
    path = folder / CONFIG_FILE
    theirs = read_json(path)
    model_type = theirs.get('model_type')
    for family in FAMILIES:
        if model_type in family.MODEL_TYPES:
            return family, family.architecture(folder, theirs)
    known = ', '.join(name for family in FAMILIES for name in family.MODEL_TYPES)
    raise UserError(f'{path}: model_type is {model_type!r}; read here are {known}.')
