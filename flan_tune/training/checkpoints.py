"""Orbax checkpoints that a run resumes from exactly, on any mesh.

A step holds three items: `params`, `optimizer_state` and `run` (JSON: the step, the loader's state,
a digest of each array, the fingerprint of what must not change when a run goes on, and whether inputs ended with an
end of sequence). Of a run that adapts a frozen base (LoRA, a soft prompt), `params` are what it trains, and `run` says
which base that belongs to.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers, options

from flan_tune.errors import RunError, UserError
from flan_tune.models.functional import Params, joined
from flan_tune.training.digests import array_digests
from flan_tune.training.step import TrainState

log = logging.getLogger(__name__)
_ITEMS = ('params', 'optimizer_state', 'run')


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When to save and what to keep.

    Attributes:
        every: steps between checkpoints; the last step is always saved.
        keep: how many of the newest checkpoints stay.
        keep_best: how many of those with the best held-out score stay besides.
    """

    every: int = 1000
    keep: int = 2
    keep_best: int = 1


@dataclasses.dataclass(frozen=True)
class Restored:
    """A train state and what was saved beside it."""

    state: TrainState
    data_state: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Base:
    """The frozen parameters that a run adapts and keeps no copy of.

    Attributes:
        path: the checkpoint they were read from; None: they were drawn from `seed`.
        seed: of the run.
        digest: of those parameters, as they were read.
        settings: of what is trained, arguments of its FrozenBaseConfig.
        part: what is trained, `FrozenBaseConfig.part`.
    """

    path: str | None
    seed: int
    digest: str
    settings: Mapping[str, Any]
    part: str = 'adapters'

    def __str__(self) -> str:
        origin = f'drawn from seed {self.seed}' if self.path is None else self.path
        return f'{origin} (digest {self.digest})'

    def check(self, params: Params, where: Any) -> None:
        """Raises a UserError unless what was trained at `where` belongs to these parameters."""
        if (digest := digest_of(params)) != self.digest:
            raise UserError(
                f'{where}: the base of its {self.part} is {self}, but the one given has digest {digest}. '
                'It was changed since, or is another: name the same base in INITIAL_CHECKPOINT_PATH.'
            )


def digest_of(params: Params) -> str:
    """Returns one digest of a tree of arrays, whatever their sharding."""
    text = json.dumps(array_digests(params), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Checkpoints:
    """The checkpoints of one run, in `folder`.

    Args:
        folder: made if missing.
        config: see CheckpointConfig.
        fingerprint: names and values that decide the model and the stream of batches. Resuming with
            another value of one of them is refused by name.
        base: of a run that adapts a frozen one.
        trained: picks from the parameters what is saved; the rest is that of `base`.
        inputs_end: whether inputs end with an end of sequence, for those who ask the model later.
    """

    def __init__(
        self,
        folder: str,
        config: CheckpointConfig,
        fingerprint: Mapping[str, Any],
        *,
        base: Base | None = None,
        trained: Callable[[Params], Params] = lambda params: params,
        inputs_end: bool | None = None,
    ):
        self.folder = epath.Path(folder).resolve()  # Orbax wants it absolute.
        self._config = config
        self._base = base
        self._trained = trained
        self._inputs_end = inputs_end
        self._fingerprint = {name: _jsonable(value) for name, value in fingerprint.items()}
        self._manager = self._open()

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        data_state: Mapping[str, Any],
        score: float | None = None,
    ) -> None:
        """Saves in the background; a step that is there already is left as it is.

        Raises:
            RunError: this save or the one before could not be written.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        saved = {
            'params': self._trained(state.params),
            'optimizer_state': state.optimizer_state,
        }
        run = {
            'step': step,
            'data_state': dict(data_state),
            'digests': array_digests(saved),
            'fingerprint': self._fingerprint,
            'inputs_end': self._inputs_end,
        }
        if self._base is not None:
            run['base'] = dataclasses.asdict(self._base)
        try:
            self._manager.wait_until_finished()
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardSave(tree) for name, tree in saved.items()},
                    run=ocp.args.JsonSave(run),
                ),
                metrics=None if score is None else {'score': score},
            )
        except Exception as error:
            raise self._not_written(step, error) from error

    def wait(self) -> None:
        """Returns when all saves are on disk; raises RunError where one failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._not_written(None, error) from error

    def restore(self, abstract: TrainState, params: Params | None = None) -> Restored | None:
        """Restores the newest sound checkpoint onto the shardings of `abstract`, or returns None.

        A checkpoint that cannot be read, or whose arrays differ from their digests, is passed over
        with a warning for the one before it.

        Args:
            abstract: shapes, dtypes and shardings of the state.
            params: where not all parameters are saved: all those the run begins with.

        Raises:
            UserError: the checkpoint is of another model, another base, or another stream of batches.
            RunError: there are checkpoints, but none is sound.
        """
        damaged = []
        wanted = self._trained(abstract.params)
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                run = self._manager.restore(
                    step, args=ocp.args.Composite(run=ocp.args.JsonRestore())
                ).run
                self._check_fingerprint(run['fingerprint'])
                self._check_base(run.get('base'))
                check_shapes(self.folder / str(step) / 'params', wanted)
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        params=ocp.args.StandardRestore(wanted),
                        optimizer_state=ocp.args.StandardRestore(abstract.optimizer_state),
                    ),
                )
                step_array = jax.device_put(
                    jax.numpy.asarray(step, abstract.step.dtype), abstract.step.sharding
                )
                saved = {'params': restored.params, 'optimizer_state': restored.optimizer_state}
                _check_digests(run['digests'], saved)
                state = TrainState(
                    step_array, joined(params or {}, restored.params), restored.optimizer_state
                )
            except UserError:
                raise
            except Exception as error:  # Orbax raises bare Exceptions for truncated arrays.
                damaged.append(step)
                log.warning(
                    'checkpoint of step %d is damaged (%s); trying the one before',
                    step,
                    _first_line(error),
                )
                continue
            for bad in damaged:
                self._manager.delete(bad)
            return Restored(state, run['data_state'])
        if damaged:
            raise RunError(
                f'{self.folder}: no sound checkpoint among steps {sorted(damaged)}; '
                'move the folder away to start over, or restore it from a copy.'
            )
        return None

    def close(self) -> None:
        self.wait()
        self._manager.close()

    def _open(self) -> ocp.CheckpointManager:
        policies = checkpoint_managers
        keep = [policies.LatestN(n=self._config.keep)]
        if self._config.keep_best:
            keep.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics['score'],
                    n=self._config.keep_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        return ocp.CheckpointManager(
            self.folder,
            item_names=_ITEMS,
            options=ocp.CheckpointManagerOptions(
                cleanup_tmp_directories=True,
                preservation_policy=policies.AnyPreservationPolicy(keep),
                atomicity_options=options.AtomicityOptions(mode=options.AtomicityMode.COMMIT_FILE),
            ),
        )

    def _not_written(self, step: int | None, error: Exception) -> RunError:
        # After a failed save the manager's queue is not to be trusted: a new one reads the disk.
        self._manager = self._open()
        which = 'a checkpoint' if step is None else f'the checkpoint of step {step}'
        kept = self._manager.latest_step()
        last = 'none is on disk yet' if kept is None else f'the last sound one is step {kept}'
        return RunError(
            f'{self.folder}: {which} could not be written ({_first_line(error)}); {last}. '
            'Make room or choose another MODEL_DIR, then run the same command to go on.'
        )

    def _check_base(self, saved: Mapping[str, Any] | None) -> None:
        if saved and self._base and saved['digest'] != self._base.digest:
            raise UserError(
                f'{self.folder.parent} holds a run that adapts another base:\n  {Base(**saved)} then,\n'
                f'  {self._base} now.\nName the same in INITIAL_CHECKPOINT_PATH to resume, or give the new run its '
                'own MODEL_DIR.'
            )

    def _check_fingerprint(self, saved: Mapping[str, Any]) -> None:
        changed = [
            f'{name}: {saved.get(name)!r} then, {self._fingerprint.get(name)!r} now'
            for name in sorted({*saved, *self._fingerprint})
            if saved.get(name) != self._fingerprint.get(name)
        ]
        if changed:
            raise UserError(
                f'{self.folder.parent} holds a run with another model or another stream of data:\n  '
                + '\n  '.join(changed)
                + '\nGive the new run its own MODEL_DIR, or go back to those values to resume.'
            )


def restore_params(path: str, abstract: Any) -> Any:
    """Reads only the parameters from a run's folder, its `checkpoints` folder or one step's folder.

    Args:
        path: where to look; of several steps the newest is taken.
        abstract: nested dict of ShapeDtypeStructs with shardings.

    Raises:
        UserError: there is no checkpoint at `path`, or it is of another model.
    """
    folder = find_params(path)
    check_shapes(folder, abstract)
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder, abstract)


def find_params(path: str) -> epath.Path:
    """Returns the folder of the newest parameters at or below `path`; see `restore_params`."""
    root = epath.Path(path).expanduser()
    for folder in (root, root / 'checkpoints'):
        if (folder / 'params').is_dir():
            return (folder / 'params').resolve()
        steps = [d for d in folder.iterdir() if d.name.isdigit()] if folder.is_dir() else []
        for step in sorted(steps, key=lambda d: int(d.name), reverse=True):
            if (step / 'params').is_dir() and (step / 'commit_success.txt').exists():
                return (step / 'params').resolve()
    raise UserError(
        f'{path}: no checkpoint here; name a run folder (with checkpoints/STEP/params), '
        'one step of it, or a Hugging Face folder (with config.json and *.safetensors).'
    )


def find_base(path: str) -> Base | None:
    """Returns the base of the run whose newest parameters `find_params` finds; None where it trained all of them."""
    base = _run_item(path).get('base')
    return base and Base(**base)


def find_inputs_end(path: str) -> bool | None:
    """Returns whether the run whose newest parameters `find_params` finds had an end of sequence behind its inputs."""
    return _run_item(path).get('inputs_end')


def _run_item(path: str) -> Mapping[str, Any]:
    """What is saved beside the newest parameters at `path`; empty for parameters alone."""
    run = find_params(path).parent / 'run'
    if not run.is_dir():
        return {}
    try:
        with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as checkpointer:
            return checkpointer.restore(run)
    except (OSError, ValueError) as error:
        raise UserError(f'{run}: cannot be read ({_first_line(error)}).') from error


def check_shapes(params_folder: epath.Path, abstract: Any) -> None:
    """Raises a UserError that lists what is missing, extra or of another shape in a checkpoint."""
    # A checkpointer would warn that an item has no metadata of a step.
    metadata = ocp.StandardCheckpointHandler().metadata(params_folder)
    there = _shapes_by_path(getattr(metadata, 'tree', metadata))
    wanted = _shapes_by_path(abstract)
    problems = [f'missing: {name} {shape}' for name, shape in wanted.items() if name not in there]
    problems += [f'extra: {name} {shape}' for name, shape in there.items() if name not in wanted]
    problems += [
        f'shape: {name} is {there[name]} there, {shape} in the model'
        for name, shape in wanted.items()
        if name in there and there[name] != shape
    ]
    if problems:
        more = f'\n  … and {len(problems) - 10} more' if len(problems) > 10 else ''
        raise UserError(
            f'{params_folder.parent} is a checkpoint of another model:\n  '
            + '\n  '.join(problems[:10])
            + more
            + '\nChoose the gin file of the model that wrote it.'
        )


def _shapes_by_path(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, 'shape'))
    return {
        jax.tree_util.keystr(path, simple=True, separator='/'): tuple(x.shape) for path, x in leaves
    }


def _check_digests(saved: Mapping[str, int], tree: Any) -> None:
    changed = [name for name, value in array_digests(tree).items() if saved.get(name) != value]
    if changed:
        raise ValueError(
            f'{changed[0]} and {len(changed) - 1} more arrays differ from their digests'
        )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
