"""`flan_tune fiat`: a large model reasons, a small one is tuned on its chains; and what that is compared with.

FIAT (Wang et al. 2023): Algorithm 1 builds, Algorithm 2 infers.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from flan_tune import cli, configuration
from flan_tune.chains.answering import (
    AskedSuite,
    in_context_suites,
    tuned_suites,
    write_chains,
)
from flan_tune.chains.cache import ChainCache
from flan_tune.chains.config import FiatTest, Ingredients
from flan_tune.chains.examples import Example, TrainingSet, training_set
from flan_tune.chains.prompts import Exemplar, Reasoning, TaskPrompt
from flan_tune.chains.suites import TestSet
from flan_tune.chains.tuning_task import register_tuning_task, write_joined
from flan_tune.chains.writers import CachedModel, ModelChains, RecordedChains, cached_model
from flan_tune.data.config import DataConfig
from flan_tune.errors import UserError
from flan_tune.evaluation.averages.flan import fiat_averages
from flan_tune.evaluation.held_out import suite_summary
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.export import export
from flan_tune.interchange.tensor_folder import CONFIG_FILE
from flan_tune.models.functional import ModelConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.html import write_report
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.reporting.suite_table import print_reports
from flan_tune.training.compilation import use_compilation_cache

CHECKPOINT = 'after'  # What the table calls the scores.


def fiat(
    *,
    model: ModelConfig,
    data: DataConfig,
    chains: ModelChains | RecordedChains | None,
    reasoning: Reasoning,
    prompt: TaskPrompt,
    ingredients: Ingredients,
    test: FiatTest,
    tune_adapters: Callable[..., Any],
    tune_all: Callable[..., Any],
    model_dir: str,
    initial_checkpoint: str | None = None,
    pretrained_checkpoint: str | None = None,
    train_examples: int | None = None,
    in_context: bool = False,
    export_dir: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Builds and scores; the same command goes on where it was stopped.

    Args:
        model: the configuration of tau, the model that is tuned.
        data: the task, whose training split is tuned on; lengths and vocabulary of tau.
        chains: who writes chains: beta, or a file. None where nobody needs to.
        reasoning: I_beta.
        prompt: I_tau.
        ingredients: which of FIAT's four are in it.
        test: what is scored.
        tune_adapters, tune_all: `train`, as it is to tune adapters, or all parameters; data, model_dir,
            initial_checkpoint and seed are given by this function.
        model_dir: the run's folder.
        initial_checkpoint: the instruction-tuned model that tau begins as.
        pretrained_checkpoint: what that one was made from; for the ablation of the instruction-tuned base.
        train_examples: so many, the first of a permutation; None: all.
        in_context: nothing is tuned: beta answers behind exemplars, with chains if `chains_in` is 'targets'.
        export_dir: a new folder for the merged model in Hugging Face's layout.
        batch_size: rows of a batch in which tau answers.
        seed: of the permutation, of templates, and of training.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        dry_run: print counts and prompts, and stop.

    Returns:
        `scores`, the rows of the table; `reports` and `averages` of the suites.
    """
    _check(ingredients, chains, in_context, model_dir)
    join_processes()
    use_compilation_cache()
    data.register()
    shown = reasoning.exemplars if isinstance(reasoning.exemplars, int) else 0
    training = training_set(
        data.mixture_or_task_name,
        split=data.split,
        count=train_examples,
        exemplars=shown,
        seed=seed,
    )
    exemplars = [*training.exemplars, *reasoning.given_exemplars()]
    tests = test.open(data.mixture_or_task_name)
    if dry_run:
        return _plan(training, tests, exemplars, reasoning, prompt, ingredients, in_context)

    folder = RunFolder(model_dir)
    beta = chains and chains.writer(folder.path / 'beta')
    layout = Layout(make_mesh(mesh))
    if in_context:
        _begin(folder, layout, tests=[test.name for test in tests])
        asked = in_context_suites(
            tests,
            prompt,
            reasoning,
            exemplars,
            beta,
            reasons=ingredients.chains_in == 'targets',
            positive=test.positive_label,
        )
        return _score(asked, beta, folder, data.feature_lengths['targets'])

    # Algorithm 1.
    written = None
    if ingredients.chains_in:
        with folder.stage('chains'):
            asked = _asked_for_chains(training, tests, ingredients)
            written = write_chains(beta, asked, reasoning, exemplars)
        beta.release()
        folder.record()
    name = _tuning_task(folder, training, tests, written, reasoning, prompt, ingredients)
    tune = tune_adapters if ingredients.parameter_efficient else tune_all
    tune(
        data=dataclasses.replace(
            data, mixture_or_task_name=name, mixture_or_task_module=(), mixture=None, split='train'
        ),
        model_dir=model_dir,
        initial_checkpoint=(
            initial_checkpoint if ingredients.instruction_tuned_base else pretrained_checkpoint
        ),
        seed=seed,
    )
    if export_dir and not (epath.Path(export_dir).expanduser() / CONFIG_FILE).exists():
        export(
            model=model,
            checkpoint=model_dir,
            output_dir=export_dir,
            vocabulary=data.vocabulary,
            merge=True,
        )

    # Algorithm 2. Adapters are merged with their base as they are read.
    folder = RunFolder(model_dir)
    folder.record(finished=None)
    tau = cached_model(
        model,
        model_dir,
        ChainCache(folder.path / 'tau'),
        layout=layout,
        vocabulary=data.vocabulary,
        max_input_tokens=data.feature_lengths['inputs'],
        max_new_tokens=data.feature_lengths['targets'],
        batch_size=batch_size,
        inputs_end=True,
    )
    asked = tuned_suites(
        tests,
        prompt,
        reasoning,
        tau,
        chains=written if ingredients.chains_in == 'inputs' else None,
        chains_in=ingredients.chains_in,
        instructed=ingredients.instruction_augmented,
        positive=test.positive_label,
    )
    return _score(asked, tau, folder, data.feature_lengths['targets'])


def _asked_for_chains(
    training: TrainingSet, tests: Sequence[TestSet], ingredients: Ingredients
) -> list[Example]:
    """Returns what is tuned on, and where chains stand in the inputs what is asked too."""
    tested = tests if ingredients.chains_in == 'inputs' else ()
    return [*training.examples, *(one for test in tested for one in test.all_examples)]


def _tuning_task(
    folder: RunFolder,
    training: TrainingSet,
    tests: Sequence[TestSet],
    chains: Mapping[Example, str] | None,
    reasoning: Reasoning,
    prompt: TaskPrompt,
    ingredients: Ingredients,
) -> str:
    """Joins questions with their chains in the run's folder, and registers what is tuned on; returns its name."""

    def join(name: str, examples: Sequence[Example]) -> pathlib.Path:
        theirs = None if chains is None else [chains[one] for one in examples]
        return write_joined(folder, name, examples, theirs, reasoning)

    path = join('train', training.examples)
    for test in tests if ingredients.chains_in == 'inputs' else ():
        join(f'test.{test.name}.{test.protocol}', test.all_examples)
    return register_tuning_task(
        path,
        prompt,
        chains_in=ingredients.chains_in,
        instructed=ingredients.instruction_augmented,
        chain_weight=ingredients.chain_weight,
    )


def _check(
    ingredients: Ingredients,
    chains: ModelChains | RecordedChains | None,
    in_context: bool,
    model_dir: str,
) -> None:
    if '://' in model_dir:
        raise UserError(
            f'MODEL_DIR: {model_dir} is remote, and chains are appended to files: name a folder of a disk, or mount it'
        )
    if in_context and ingredients.chains_in not in ('targets', None):
        raise UserError(
            f'IN_CONTEXT: the model that answers writes its own chains (CHAINS_IN="targets") or none '
            f'(CHAINS_IN=None), not {ingredients.chains_in!r}'
        )
    if in_context and not isinstance(chains, ModelChains):
        raise UserError(
            'IN_CONTEXT asks a model: CHAINS=@ModelChains(). What another system has answered is scored by '
            '`flan_tune evaluate --predictions`'
        )
    if ingredients.chains_in and chains is None:
        raise UserError(
            f'CHAINS_IN={ingredients.chains_in!r} needs chains: CHAINS=@ModelChains() or @RecordedChains()'
        )


def _begin(folder: RunFolder, layout: Layout, **facts: Any) -> None:
    if active := configuration.active():
        active.write(folder.path)
    folder.begin(mesh=dict(layout.mesh.shape), **facts)


def _score(
    asked: Iterable[AskedSuite], answers: CachedModel, folder: RunFolder, max_new_tokens: int
) -> dict[str, Any]:
    """Asks the suites, keeps their scores in the run's folder, and prints them."""
    rows = ScoreTable()
    with folder.stage('evaluate'):
        for one in asked:
            longest = answers.max_new_tokens if one.protocol == 'cot' else max_new_tokens
            table = run_suite(
                one.suite,
                one.protocol,
                one.shots,
                answers,
                folder,
                CHECKPOINT,
                max_new_tokens=longest,
                parameters=answers.parameters,
                max_positions=answers.max_positions,
            )
            rows = rows.merge(table)
    folder.finish()
    summary = suite_summary(folder, rows, CHECKPOINT)
    shots = {row.shots for row in rows}
    languages = {
        name: mean.value
        for count in shots
        for name, mean in fiat_averages(rows, checkpoint=CHECKPOINT, shots=count).items()
    }
    if jax.process_index() == 0:
        print_reports(summary['reports'])
        for name, value in languages.items():
            print(f'{name.replace("_", " ")}: {value:.1f}')
        print(f'run folder: {folder.path}\nreport: {write_report(folder.path)}')
    scores = [dataclasses.asdict(score) for score in rows]
    return {'scores': scores, **summary, 'languages': languages}


def _plan(
    training: TrainingSet,
    tests: Sequence[TestSet],
    exemplars: Sequence[Exemplar],
    reasoning: Reasoning,
    prompt: TaskPrompt,
    ingredients: Ingredients,
    in_context: bool,
) -> dict[str, Any]:
    """Prints and returns how much there is to do, and how the two models are asked."""
    first = training.examples[0]
    templates = prompt.seqio_prompts(ingredients.chains_in, ingredients.instruction_augmented)
    plan: dict[str, Any] = {
        'train_examples': len(training.examples),
        'exemplars': len(exemplars),
        'questions': {f'{one.name} {one.protocol}': len(one.all_examples) for one in tests},
        'prompts': {},
    }
    if ingredients.chains_in:
        plan['prompts']['beta'] = reasoning.prompt(first.question, exemplars)
    elif in_context:
        plan['prompts']['beta'] = prompt.in_context(first.question, exemplars)
    if not in_context:
        for template in templates:
            head = f'{template.instruction}\n\n' if template.instruction else ''
            plan['prompts'][f'tau {template.name}'] = (
                f'{head}{template.inputs}\n-> {template.targets}'
            )
    print(f'{plan["train_examples"]} examples to tune on, {plan["exemplars"]} exemplars')
    for name, count in plan['questions'].items():
        print(f'{name}: {count} questions')
    for name, text in plan['prompts'].items():
        print(f'\n--- {name}\n{text}')
    return plan


main = functools.partial(cli.run_verb, 'fiat')

if __name__ == '__main__':
    cli.leave(main())
