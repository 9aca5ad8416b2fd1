"""`flan_tune evaluate`: scores a checkpoint on held-out tasks and suites, beside a baseline if there is one."""

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from flan_tune import cli, configuration
from flan_tune.evaluation.config import EvaluationConfig
from flan_tune.evaluation.held_out import suite_summary
from flan_tune.evaluation.suites.definition import OnBadRecord, named
from flan_tune.interchange.initial import config_at, initial_params, inputs_end_at
from flan_tune.models.functional import FunctionalModel, ModelConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.console import print_run_scores
from flan_tune.reporting.html import write_report
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.reporting.suite_table import print_averages, print_reports
from flan_tune.training.compilation import use_compilation_cache

NEW_PARAMETERS = 'new'


def evaluate(
    *,
    model: ModelConfig,
    vocabulary: str,
    evaluation: EvaluationConfig,
    feature_lengths: Mapping[str, int],
    checkpoint: str,
    model_dir: str,
    baseline: str | None = None,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    suites: Sequence[str] = (),
    suite_protocols: Sequence[str] = (),
    shots: int | None = None,
    on_bad_record: OnBadRecord | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Scores `checkpoint`, and `baseline` before it, into the table of `model_dir`.

    The same command once more scores again what is there of suites, and runs the rest.

    Args:
        model: the configuration of the model that wrote the checkpoint.
        vocabulary: a SentencePiece model file, a Hugging Face tokenizer.json or a folder with one, or 'mini'.
        evaluation: the held-out tasks and suites.
        feature_lengths: longest inputs and targets, in tokens.
        checkpoint: a run of ours, one of its steps, or a Hugging Face folder.
        model_dir: where scores and predictions go; a run's own folder adds them to its report.
        baseline: what to compare with, like `checkpoint`; or 'new' for parameters drawn from `seed`.
        seed: of a 'new' baseline, and of sampled chains.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        suites: in the place of those of `evaluation`, as are the next three.
        suite_protocols: of 'direct', 'cot' and 'rank'.
        shots: exemplars in the prompts of suites.
        on_bad_record: 'refuse' or 'skip'.
        dry_run: open everything, score nothing.

    Returns:
        The rows of the table, and for suites the reports and averages of the checkpoint.
    """
    given = {
        'suites': tuple(suites),
        'suite_protocols': tuple(suite_protocols),
        'shots': shots,
        'on_bad_record': on_bad_record,
    }
    given = {name: value for name, value in given.items() if value not in (None, ())}
    evaluation = dataclasses.replace(evaluation, **given)
    join_processes()
    use_compilation_cache()
    layout = Layout(make_mesh(mesh))
    folder = RunFolder(model_dir)

    def evaluator_of(functional):
        return evaluation.evaluator(
            functional,
            layout,
            vocabulary=vocabulary,
            feature_lengths=feature_lengths,
            folder=folder,
            seed=seed,
        )

    functional = FunctionalModel(model)
    evaluator = evaluator_of(functional)
    if dry_run:
        plan = evaluator.plan()
        print('\n'.join(f'{task}: {n} examples' for task, n in plan['examples'].items()))
        for name, prompt in plan['prompts'].items():
            print(f'\n--- {name}\n{prompt}')
        return plan
    is_new = jax.process_index() == 0 and not (folder.path / 'config.gin').exists()
    if is_new and (active := configuration.active()):
        active.write(folder.path)
    for name, path in (('before', baseline), ('after', checkpoint)):
        if path == NEW_PARAMETERS:
            evaluator.evaluate(functional.init(seed, layout), name)
        elif path is not None:
            read, scorer = functional, evaluator
            if (config := config_at(path, model)) != model:
                read = FunctionalModel(config)
                scorer = evaluator_of(read)
            params = initial_params(path, read, layout)
            scorer.evaluate(params, name, inputs_end=inputs_end_at(path))
    table = evaluator.table()
    summary = suite_summary(folder, table, 'after') if evaluation.suites else {}
    if jax.process_index() == 0:
        if evaluation.mixture_or_task_name or baseline:
            print_run_scores(folder.path)
        if summary:
            print_reports(summary['reports'])
            print_averages(summary)
        for name, bad in evaluator.bad_records.items():
            print(f'{name}: {len(bad):,} bad records are left out: {named(bad)}')
        print(f'run folder: {folder.path}\nreport: {write_report(folder.path)}')
    bad = {'bad_records': evaluator.bad_records} if evaluator.bad_records else {}
    return {'scores': table.as_json(checkpoints=True)} | summary | bad


main = functools.partial(cli.run_verb, 'evaluate')

if __name__ == '__main__':
    sys.exit(main())
