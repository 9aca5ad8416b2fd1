"""`flan_tune train`: finetunes a model on a mixture of instruction tasks, and goes on where it stopped."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import optax

from flan_tune import cli, configuration
from flan_tune.data.config import DataConfig, check_vocabulary
from flan_tune.errors import UserError
from flan_tune.evaluation.config import EvaluationConfig
from flan_tune.interchange.initial import exact_path, initial_params, inputs_end_at
from flan_tune.models.config import RUN_FIELDS
from flan_tune.models.functional import FunctionalModel, ModelConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout, rule_table
from flan_tune.reporting.console import print_run_scores
from flan_tune.reporting.html import write_report
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.reporting.run_log import RunLog
from flan_tune.reporting.sample_table import write_sample_table
from flan_tune.training.checkpoints import Base, CheckpointConfig, Checkpoints, digest_of
from flan_tune.training.compilation import compile_step, in_background, use_compilation_cache
from flan_tune.training.loop import Every, MetricsWindow, train_loop
from flan_tune.training.schedules import constant
from flan_tune.training.step import Trainer, TrainState

if TYPE_CHECKING:
    from flan_tune.data.loading import TrainLoader


def train(
    *,
    model: ModelConfig,
    data: DataConfig,
    optimizer: Callable[..., optax.GradientTransformation],
    learning_rate: float | Callable[[Any], Any],
    steps: int,
    model_dir: str,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    partitioning: str = 'standard',
    initial_checkpoint: str | None = None,
    checkpoints: CheckpointConfig = CheckpointConfig(),
    evaluation: EvaluationConfig | None = None,
    z_loss: float = 1e-4,
    microbatches: int = 1,
    loss_chunks: int = 2,
    log_every: int = 10,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Trains up to `steps`, evaluates, and leaves everything in `model_dir`.

    Args:
        model: the configuration of a model family, e.g. T5Config, or LoRAConfig or SoftPromptConfig around one.
        data: the mixture, its lengths and its vocabulary.
        optimizer: adafactor or adam, still to be given the learning rate.
        learning_rate: a number, or a schedule from step to learning rate.
        steps: the total, those before a resumption included.
        model_dir: the run's folder; a run that is there already goes on.
        seed: of parameters, dropout and the order and prompts of the examples.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        partitioning: the rules that lay arrays over the mesh: 'standard', or 'sequence' to lay the residual stream
            over 'model' too.
        initial_checkpoint: a run of ours or a Hugging Face folder to start from.
        checkpoints: when to save.
        evaluation: held-out tasks, scored before, during and after training.
        z_loss: weight of log(Z)^2 (T5X: 1e-4).
        microbatches: parts of a batch whose gradients are accumulated.
        loss_chunks: parts of the length whose logits exist one after the other.
        log_every: steps between two lines of the console and the event files.
        dry_run: print the plan of the run and stop.

    Returns:
        What `run.json` holds, or the plan.
    """
    _check_rows(model, data)
    join_processes()
    use_compilation_cache()
    schedule = learning_rate if callable(learning_rate) else constant(learning_rate)
    layout = Layout(make_mesh(mesh), rule_table(partitioning))
    trainer = Trainer(
        FunctionalModel(model),
        optimizer(schedule),
        layout,
        seed,
        z_loss=z_loss,
        microbatches=microbatches,
        loss_chunks=loss_chunks,
    )
    if dry_run:
        return _plan(trainer, data, steps)
    compiling = in_background(compile_step, trainer, data.batch_shapes(model))
    folder = RunFolder(model_dir)

    with folder.stage('setup'):
        batches = data.train_loader(seed, model)
        check_vocabulary(data.tokenizer(), model.vocab_size)
        inputs_end = trainer.model.base.config.architecture != 'decoder_only' or data.inputs_end()
        evaluator = evaluation and evaluation.evaluator(
            trainer.model,
            layout,
            vocabulary=data.vocabulary,
            feature_lengths=data.feature_lengths,
            folder=folder,
            seed=seed,
        )
        if evaluator:
            evaluator.check_headline()
        state = base = None
        if trainer.model.base is not trainer.model:
            # Such a run has saved what it trains alone, and reads the base again.
            state, base = _first_state(trainer, initial_checkpoint)
        store = Checkpoints(
            folder.path / 'checkpoints',
            checkpoints,
            _fingerprint(model, batches, seed),
            base=base,
            trained=trainer.model.trained,
            inputs_end=inputs_end,
        )
        restored = store.restore(trainer.abstract_state(), state and state.params)
        if restored:
            state = restored.state
            batches.set_state(restored.data_state)
        elif state is None:
            state, _ = _first_state(trainer, initial_checkpoint)
        start = int(state.step)
        if jax.process_index() == 0 and (active := configuration.active()):
            active.write(folder.path)
        folder.begin(
            mesh=dict(layout.mesh.shape),
            parameter_count=trainer.model.parameter_count,
            trained_parameter_count=trainer.model.trained_count,
            data_fingerprint=batches.fingerprint,
            steps=start,
        )

    # Whatever ends the run, saves that are on their way arrive first.
    with RunLog(folder.path, steps, start) as log, contextlib.closing(store):

        def report(step, metrics):
            log.step(step, metrics | {'learning_rate': float(schedule(step - 1))})

        def save(step, state, data_state, score=None):
            store.save(state, data_state, score)
            folder.record(steps=step, data_statistics=batches.statistics())

        def evaluate(name, params, inputs_end=inputs_end):
            with folder.stage('evaluate'):
                table = evaluator.evaluate(params, name, inputs_end=inputs_end)
                score = evaluator.headline(table)
                write_sample_table(folder)
            log.note(f'{name}: held-out {evaluation.best_metric} {score:.1f}')
            return score

        def evaluate_and_save(step, state, data_state):
            score = evaluate('after' if step == steps else f'step_{step}', state.params)
            log.scalars(step, {'held_out': score})
            save(step, state, data_state, score)
            return ended_early(step)

        def ended_early(step):
            if ended := step < steps and evaluator.exhausted(step):
                log.note(
                    f'the last {evaluation.patience} evaluations were no better: ended at step {step}'
                )
            return ended

        hooks = [Every(checkpoints.every, save, last=True)]
        if evaluator:
            hooks.insert(0, Every(evaluation.every, evaluate_and_save, last=True))
            if start == 0 and evaluation.before:
                evaluate('before', state.params, inputs_end_at(initial_checkpoint))
        with folder.stage('compile'):
            step_function = compiling.result()
        ended = evaluator and start and ended_early(start)
        with folder.stage('train'):
            train_loop(
                step_function,
                state,
                batches,
                layout,
                total_steps=start if ended else steps,
                window=MetricsWindow(report, log_every),
                hooks=hooks,
                save=save,
            )

    statistics = batches.statistics()
    batches.close()
    folder.finish()
    if jax.process_index() == 0:
        for warning in _warnings(statistics, data.feature_lengths):
            print(f'warning: {warning}', file=sys.stderr)
        if evaluator:
            print_run_scores(folder.path)
        print(f'run folder: {folder.path}\nreport: {write_report(folder.path)}')
    return folder.facts


def _first_state(
    trainer: Trainer, initial_checkpoint: str | None
) -> tuple[TrainState, Base | None]:
    """Returns the state before step 0 and, where it adapts a frozen base, what it belongs to."""
    model, layout = trainer.model, trainer.layout
    dtype = getattr(model.config, 'base_dtype', None)
    params = initial_params(initial_checkpoint, model.base, layout, dtype=dtype)
    if model.base is model:
        return trainer.init_state(params), None
    if params is None:
        params = model.base.init(trainer.seed, layout)
    path = initial_checkpoint and exact_path(initial_checkpoint)
    config = model.config
    base = Base(path, trainer.seed, digest_of(params), config.settings, config.part)
    return trainer.init_state(params), base


def _check_rows(model: ModelConfig, data: DataConfig) -> None:
    """Raises a UserError where rows are packed for a model that takes one example a row."""
    if getattr(model, 'one_example_per_row', False) and data.packing != 'none':
        raise UserError(
            f'DataConfig.packing is {data.packing!r}, but a row has one {model.part}, which its first example alone '
            "would see; set it to 'none', as runs/prompt_tuning.gin does (name that file last)."
        )


def _fingerprint(model: ModelConfig, batches: 'TrainLoader', seed: int) -> dict[str, Any]:
    """What must stay as it is when a run goes on: the model's shape, the stream of batches, the seed."""
    return (
        _shape('model', dataclasses.asdict(model))
        | {f'data.{name}': value for name, value in batches.fingerprint.items()}
        | {'seed': seed}
    )


def _shape(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model's configuration, and of the one within, that decide what it computes."""
    shape = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            shape |= _shape(f'{prefix}.{name}', value)
        elif name not in RUN_FIELDS:
            shape[f'{prefix}.{name}'] = value
    return shape


def _warnings(statistics: Mapping[str, Any], lengths: Mapping[str, int]) -> list[str]:
    """What happened to the data that its owner should know."""
    warnings = [
        f'{count} of {statistics["examples"]} examples had {feature} cut to {lengths[feature]} tokens (the end of '
        'sequence is kept); raise TASK_FEATURE_LENGTHS if that is too many'
        for feature, count in statistics['truncated'].items()
        if count
    ]
    if statistics['skipped']:
        warnings.append(f'{statistics["skipped"]} records could not be used and were skipped')
    return warnings


def _plan(trainer: Trainer, data: DataConfig, steps: int) -> dict[str, Any]:
    """Prints and returns the plan of the run: sizes, layout, mixture, one example with its loss mask."""
    from flan_tune.data import mixtures
    from flan_tune.reporting.dry_run import plan_of_run, render

    batches = data.train_loader(trainer.seed, trainer.model.config)
    tokenizer = data.tokenizer()
    check_vocabulary(tokenizer, trainer.model.config.vocab_size)
    weights = mixtures.weight_table(data.mixture_or_task_name, data.split)
    heaviest = mixtures.find(max(weights, key=lambda row: row.weight).task)
    state = trainer.abstract_state()
    plan = plan_of_run(
        parameters=state.params,
        trained_count=trainer.model.trained_count,
        optimizer_state=state.optimizer_state,
        mesh=dict(trainer.layout.mesh.shape),
        steps=steps,
        batch=next(batches),
        piece=tokenizer.piece,
        example=heaviest.example(data.split, 0, seed=trainer.seed)
        if hasattr(heaviest, 'example')
        else {},
        mixture={row.task: row.weight for row in weights},
    )
    batches.close()
    print(render(plan, terminal=sys.stdout.isatty()))
    return plan


main = functools.partial(cli.run_verb, 'train')

if __name__ == '__main__':
    cli.leave(main())
