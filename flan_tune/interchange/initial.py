"""Parameters to start from: a run of ours, a Hugging Face folder, or a T5X checkpoint."""

import jax
from etils import epath

from flan_tune.errors import UserError
from flan_tune.interchange import huggingface, t5x
from flan_tune.interchange.tensor_folder import CONFIG_FILE
from flan_tune.models.functional import FunctionalModel, ModelConfig, Params, joined
from flan_tune.models.lora import LoRAConfig, merge
from flan_tune.models.soft_prompt import SoftPromptConfig
from flan_tune.partitioning.rules import Layout
from flan_tune.training.checkpoints import (
    Base,
    find_base,
    find_inputs_end,
    find_params,
    restore_params,
)


def initial_params(
    path: str | None, model: FunctionalModel, layout: Layout, *, dtype: str | None = None
) -> Params | None:
    """Reads the parameters at `path` onto the mesh; returns None for no path.

    Of a run that trained adapters, its base is read too, and merged with them; of one that trained a soft prompt, the
    base is read beside it, for the model of `config_at`.

    Args:
        path: a run of ours or one of its steps; a folder with `config.json` and safetensors; a T5X
            checkpoint, or a folder of some, of which the newest is taken.
        model: what the parameters are for.
        layout: where they go; each process reads only what its devices hold.
        dtype: of the result, such as 'bfloat16' for weights that are not trained; None: as in `model`.

    Raises:
        UserError: nothing to read at `path`, or the weights of another model.
    """
    if path is None:
        return None
    shardings = model.shardings(layout)
    foreign = {'shardings': shardings, 'dtype': dtype or 'float32'}
    root = epath.Path(path).expanduser()
    if (root / CONFIG_FILE).exists():
        if '://' in str(path):
            raise UserError(f'{path}: Hugging Face folders are read from a disk; copy it to one.')
        return huggingface.load_params(path, model.config, **foreign)
    if checkpoint := t5x.find_checkpoint(path):
        return t5x.load_params(checkpoint, model, **foreign)
    _check_not_half_copied(root)
    if base := find_base(path):
        if base.part == SoftPromptConfig.part:
            return _prompted(path, base, model, layout)
        return _merged(path, base, model, layout, dtype or 'float32')
    return restore_params(path, _abstract(model.shapes, shardings, dtype))


def exact_path(path: str) -> str:
    """Returns the absolute path of the very checkpoint that `initial_params` reads at `path`."""
    root = epath.Path(path).expanduser()
    if (root / CONFIG_FILE).exists():
        return str(root.resolve())
    found = t5x.find_checkpoint(path) or find_params(path).parent
    return str(found.resolve())


def config_at(path: str, config: ModelConfig) -> ModelConfig:
    """Returns the configuration whose parameters `initial_params` reads: `config`, or a SoftPromptConfig around it.

    Args:
        path: as for `initial_params`.
        config: of the model itself.
    """
    base = _base_at(path)
    if base and base.part == SoftPromptConfig.part:
        return SoftPromptConfig(base=config, **base.settings)
    return config


def holds_adapters(path: str) -> bool:
    """Returns whether `path` is a run of ours that trained LoRA adapters."""
    base = _base_at(path)
    return base is not None and base.part == LoRAConfig.part


def inputs_end_at(path: str | None) -> bool | None:
    """Returns whether the model at `path` was tuned with an end of sequence behind its inputs, for `TextModel`.

    Runs of ours say so, and folders that they were exported to. None (as is usual for the family of the model) for other
    programs' checkpoints, and for no path.
    """
    if not path:
        return None
    if (root := epath.Path(path).expanduser() / CONFIG_FILE).exists():
        return huggingface.read_inputs_end(root.parent)
    return find_inputs_end(path) if _is_ours(path) else None


def _base_at(path: str) -> Base | None:
    """Returns the base of a run of ours that has a frozen one; None for all else that `initial_params` reads."""
    return find_base(path) if _is_ours(path) else None


def _is_ours(path: str) -> bool:
    root = epath.Path(path).expanduser()
    if (root / CONFIG_FILE).exists() or t5x.find_checkpoint(path):
        return False
    _check_not_half_copied(root)
    return True


def _prompted(path: str, base: Base, model: FunctionalModel, layout: Layout) -> Params:
    """Reads the soft prompt at `path` and its base."""
    if model.base is model:
        raise UserError(
            f"{path}: holds a soft prompt, which stands in front of a model's inputs and is no part of its weights. "
            '`flan_tune evaluate` and `infer` take the run as it is; to start from its base or export that, name '
            f'{base}.'
        )
    return _with_base(path, base, model, layout)


def _merged(path: str, base: Base, model: FunctionalModel, layout: Layout, dtype: str) -> Params:
    """Reads the adapters at `path` and their base, as training had them, and merges the two."""
    adapted = FunctionalModel(LoRAConfig(base=model.config, **base.settings))
    merging = jax.jit(
        lambda params: merge(params, adapted.config, dtype), out_shardings=model.shardings(layout)
    )
    return merging(_with_base(path, base, adapted, layout))


def _with_base(path: str, base: Base, adapted: FunctionalModel, layout: Layout) -> Params:
    """Reads what a run with a frozen base has trained, and the base, both as training had them."""
    try:
        params = initial_params(base.path, adapted.base, layout, dtype=adapted.config.base_dtype)
    except UserError as error:
        raise UserError(f'{path}: the base of its {base.part} is {base}: {error}') from error
    if params is None:
        params = adapted.base.init(base.seed, layout)
    base.check(params, path)
    parts = (adapted.trained(tree) for tree in (adapted.shapes, adapted.shardings(layout)))
    trained = restore_params(path, _abstract(*parts))
    return joined(adapted.around(params, base.seed, layout), trained)


def _abstract(shapes: Params, shardings: Params, dtype: str | None = None) -> Params:
    """Returns shapes with their places on the mesh, and their dtype if it is another."""
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, dtype or x.dtype, sharding=s), shapes, shardings
    )


def _check_not_half_copied(root: epath.Path) -> None:
    """Raises a UserError for a folder of another program that lacks the file by which it is known."""
    lacks = {'*.safetensors': CONFIG_FILE, 'target.*': t5x.INDEX_FILE}
    for pattern, file in lacks.items():
        if root.is_dir() and any(root.glob(pattern)):
            raise UserError(f'{root}: holds weights ({pattern}) but no {file}; copy it whole.')
