"""`flan_tune export`: a checkpoint as a Hugging Face folder, which transformers loads."""

import functools
import importlib.util
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax

from flan_tune import cli
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError
from flan_tune.interchange.huggingface import check_can_save, save_params
from flan_tune.interchange.initial import holds_adapters, initial_params, inputs_end_at
from flan_tune.models.functional import FunctionalModel, ModelConfig
from flan_tune.models.opt import OPTConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout

# The files of a tokenizer in a Hugging Face folder.
SENTENCEPIECE_FILE = 'spiece.model'
TOKENIZER_FILES = (
    SENTENCEPIECE_FILE,
    'tokenizer.json',
    'vocab.json',
    'merges.txt',
    'tokenizer_config.json',
    'special_tokens_map.json',
)
_NO_TOKENIZER = (
    f'note: transformers has no tokenizer for an OPT with {SENTENCEPIECE_FILE}, and AutoTokenizer would load one '
    'without pieces: encode with the package sentencepiece, and put token {start} first.'
)
_INPUTS_END = (
    'note: it was tuned with an end of sequence behind inputs; other programs have to put one behind a prompt '
    '(what reads the folder here does).'
)


def export(
    *,
    model: ModelConfig,
    checkpoint: str,
    output_dir: str,
    vocabulary: str | None = None,
    dtype: str = 'float32',
    mesh: Mapping[str, int] | None = None,
    merge: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Writes config.json, generation_config.json, safetensors (files of 5 GB at most) and the vocabulary.

    Args:
        model: the configuration of the model that wrote the checkpoint.
        checkpoint: a run of ours, one of its steps, a Hugging Face folder or a T5X checkpoint.
        output_dir: made if absent; must not hold a model yet.
        vocabulary: a SentencePiece model file, Hugging Face's tokenizer.json or a folder with one, or
            'mini'. Its files are copied as they are; those of a remote one, or None, are not.
        dtype: of the tensors: 'float32', 'bfloat16' or 'float16'.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        merge: of a run that trained LoRA adapters, write their sum with the base.
        dry_run: check what can be checked without reading the weights, and write nothing.

    Returns:
        The folder, the number of parameters, their dtype and the files.
    """
    join_processes()
    folder = pathlib.Path(output_dir).expanduser()
    check_can_save(folder, model, dtype)
    tokenizer = _tokenizer_files(vocabulary)
    token_ids = _token_ids(tokenizer)
    functional = FunctionalModel(model)
    layout = Layout(make_mesh(mesh))
    facts = {
        'folder': str(folder),
        'parameters': functional.parameter_count,
        'dtype': dtype,
    }
    summary = f'{facts["parameters"]:,} parameters of {checkpoint} to {folder}, {dtype}'
    if dry_run:
        print(f'would write {summary}')
        return facts
    if not merge and holds_adapters(checkpoint):
        raise UserError(
            f'{checkpoint}: holds LoRA adapters, which a Hugging Face folder of the model has no place for; '
            'add --merge to write their sum with the base.'
        )
    params = initial_params(checkpoint, functional, layout)
    # An encoder's inputs end anyway.
    inputs_end = inputs_end_at(checkpoint) if model.architecture == 'decoder_only' else None
    save_params(folder, params, model, dtype=dtype, token_ids=token_ids, inputs_end=inputs_end)
    if jax.process_index() == 0:
        for name, file in tokenizer.items():
            shutil.copyfile(file, folder / name)
        facts['files'] = {p.name: p.stat().st_size for p in sorted(folder.iterdir())}
        print(f'wrote {summary}: {", ".join(facts["files"])}')
        if SENTENCEPIECE_FILE in tokenizer and isinstance(model, OPTConfig):
            print(_NO_TOKENIZER.format(start=model.start_id), file=sys.stderr)
        if inputs_end:
            print(_INPUTS_END, file=sys.stderr)
    return facts


def _token_ids(tokenizer: Mapping[str, pathlib.Path]) -> dict[str, int]:
    """Returns the special ids of a vocabulary, given by its files; none where there are none."""
    if not tokenizer:
        return {}
    file = tokenizer.get(SENTENCEPIECE_FILE)
    opened = Tokenizer(str(file or next(iter(tokenizer.values())).parent))
    return {'eos_token_id': opened.eos_id, 'pad_token_id': opened.pad_id}


def _tokenizer_files(vocabulary: str | None) -> dict[str, pathlib.Path]:
    """Returns the local files of a vocabulary by the names that a Hugging Face folder gives them."""
    if vocabulary is None or '://' in vocabulary:
        return {}
    if vocabulary == 'mini':
        # Found without importing the tasks, which brings TensorFlow.
        (tasks,) = importlib.util.find_spec('flan_tune.tasks').submodule_search_locations
        return {SENTENCEPIECE_FILE: pathlib.Path(tasks) / 'mini' / 'vocabulary.model'}
    path = pathlib.Path(vocabulary).expanduser()
    if path.is_file() and path.suffix != '.json':
        return {SENTENCEPIECE_FILE: path}
    folder = path if path.is_dir() else path.parent
    files = {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}
    if not path.exists() or not files:
        raise UserError(
            f'VOCABULARY: {vocabulary} is no file of a vocabulary, and no folder with one.'
        )
    return files


main = functools.partial(cli.run_verb, 'export')

if __name__ == '__main__':
    sys.exit(main())
