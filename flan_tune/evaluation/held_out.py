"""All that a run is scored on: registered tasks and suites, and the one number that checkpoints are compared by."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from flan_tune.data.tokenizer import Tokenizer
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.averages.by_name import average_names, find_average, find_averages
from flan_tune.evaluation.averages.flan2022 import has_scores, suite_mean
from flan_tune.evaluation.protocol_names import protocol_name
from flan_tune.evaluation.score_files import read_reports, read_table
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.suites.definition import OnBadRecord, Suite, find_suite, open_suite
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.evaluation.suites.settings import questions
from flan_tune.models.functional import FunctionalModel, Params
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.comparison import checkpoint_order
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.training.checkpoints import digest_of

if TYPE_CHECKING:
    from flan_tune.evaluation.config import EvaluationConfig
    from flan_tune.evaluation.evaluator import Evaluator


@dataclasses.dataclass(frozen=True)
class SuiteRun:
    """A suite, and how it is run."""

    suite: Suite
    protocol: str
    shots: int

    @property
    def name(self) -> str:
        """E.g. 'bbh cot, 3 shots'."""
        return f'{self.suite.definition.name} {self.protocol}, {self.shots} shots'


class HeldOut:
    """Scores parameters on tasks and suites.

    Args:
        config: see EvaluationConfig.
        model: the model, without parameters.
        layout: mesh and rules.
        tokenizer: the vocabulary of the model.
        folder: of the run.
        tasks: scores the registered tasks, if there are any.
        seed: of sampled chains.
    """

    def __init__(
        self,
        config: 'EvaluationConfig',
        model: FunctionalModel,
        layout: Layout,
        tokenizer: Tokenizer,
        folder: RunFolder,
        tasks: 'Evaluator | None',
        seed: int = 0,
    ):
        self._config = config
        self._model = model
        self._layout = layout
        self._tokenizer = tokenizer
        self._folder = folder
        self._tasks = tasks
        self._seed = seed
        self._runs = suite_runs(
            config.suites, config.suite_protocols, config.shots, config.on_bad_record
        )
        for run in self._runs:  # Before hours of work.
            run.suite.check(run.protocol, run.shots)

    def evaluate(
        self, params: Params, checkpoint: str, *, inputs_end: bool | None = None
    ) -> ScoreTable:
        """Scores `params` and adds them to the run's table under the name `checkpoint`.

        `inputs_end` serves where the config says nothing; see `EvaluationConfig`.
        """
        if self._config.inputs_end is not None:
            inputs_end = self._config.inputs_end
        table = ScoreTable()
        if self._tasks:
            table = self._tasks.evaluate(params, checkpoint, inputs_end=inputs_end)
        if self._runs:
            self._text_model.params, self._text_model.inputs_end = params, inputs_end
            digest = f'{digest_of(params)}, inputs end: {self._text_model.inputs_end}'
            for run in self._runs:
                table = table.merge(self._scored(run, checkpoint, digest))
            self._text_model.params = None  # Training goes on with others.
        return table

    def table(self) -> ScoreTable:
        """Returns the table of the folder, with the checkpoints scored before."""
        return read_table(self._folder)

    @property
    def bad_records(self) -> dict[str, list[str]]:
        """What is wrong with records of registered tasks that are left out; suites have theirs in their reports."""
        return self._tasks.bad_records if self._tasks else {}

    def plan(self) -> dict[str, Any]:
        """Returns how many examples of which tasks there are, and a prompt of each suite, as it will be asked."""
        plan = self._tasks.plan() if self._tasks else {'examples': {}}
        plan['prompts'] = {}
        for run in self._runs:
            for name, task in run.suite.tasks.items():
                asked = questions(task, run.shots, self._config.max_examples)
                plan['examples'][f'{run.name} {name}'] = len(asked)
                if asked and run.name not in plan['prompts']:
                    prompt = task.prompt(asked[0], run.protocol, run.shots)
                    plan['prompts'][run.name] = prompt
        return plan

    def headline(self, table: ScoreTable) -> float:
        """Returns the one number that checkpoints are compared by; see `EvaluationConfig.best_metric`."""
        name = self._config.best_metric
        if (average := find_average(table, name)) is not None:
            return average.value
        for run in self._runs:
            suite, protocol = self._scores_of(run)
            if name == f'{suite}-{protocol}' and has_scores(table, suite, protocol):
                return suite_mean(table, suite, protocol).raw
        return table.mean(metric=name)

    def _scores_of(self, run: SuiteRun) -> tuple[str, str]:
        """The suite and the protocol of a run, as tables name them."""
        chains, rank_by = self._config.chains, self._config.rank_by
        return run.suite.definition.name, protocol_name(
            run.protocol, chains=chains, rank_by=rank_by
        )

    def check_headline(self) -> None:
        """Raises a UserError for a `best_metric` that no suite has, so far as that can be known before a score."""
        if self._tasks:
            return
        scores = [self._scores_of(run) for run in self._runs]
        names = [*average_names(scores), *map('-'.join, scores)]
        for run in self._runs:
            for task in run.suite.tasks.values():
                names += [*task.metrics, *getattr(task, 'corpus_metrics', ())]
        name = self._config.best_metric
        if name not in names:
            raise UserError(
                f'best_metric {name!r}: the suites that are run have {", ".join(dict.fromkeys(names))}.'
                f'{did_you_mean(name, names)}'
            )

    def history(self, step: int) -> list[float]:
        """Returns the headlines of the evaluations during training up to a step, in their order."""
        table = self.table()
        names = {score.checkpoint for score in table if score.checkpoint.startswith('step_')}
        return [
            self.headline(table.select(checkpoint=name))
            for name in sorted(names, key=checkpoint_order)
            if checkpoint_order(name) <= step
        ]

    def exhausted(self, step: int) -> bool:
        """Whether the last `patience` evaluations up to a step were no better than the best before them."""
        patience = self._config.patience
        if patience <= 0:
            return False
        if jax.process_count() == 1:
            return no_better(self.history(step), patience)
        # Process 0 has written the table, and decides for all.
        decided = jax.process_index() == 0 and no_better(self.history(step), patience)
        return bool(multihost_utils.broadcast_one_to_all(np.int32(decided)))

    def _scored(self, run: SuiteRun, checkpoint: str, digest: str) -> ScoreTable:
        config = self._config
        return run_suite(
            run.suite,
            run.protocol,
            run.shots,
            self._text_model,
            self._folder,
            checkpoint,
            chains=config.chains,
            temperature=config.temperature,
            max_examples=config.max_examples,
            max_new_tokens=config.max_new_tokens,
            rank_by=config.rank_by,
            seed=self._seed,
            parameters=digest,
            max_positions=getattr(self._model.config, 'max_positions', None),
        )

    @functools.cached_property
    def _text_model(self) -> TextModel:
        """Compiles once for all parameters."""
        return TextModel(
            self._model,
            None,
            self._layout,
            self._tokenizer,
            max_input_tokens=self._config.max_input_tokens,
            batch_size=self._config.batch_size,
        )


def suite_runs(
    suites: str | Iterable[str],
    protocols: Sequence[str] = (),
    shots: int | None = None,
    on_bad_record: OnBadRecord = 'refuse',
) -> list[SuiteRun]:
    """Opens suites and pairs each with its protocols, of those asked for.

    Raises:
        UserError: a suite, or its folder, that is not there; or one that has none of the protocols.
    """
    runs = []
    for name in dict.fromkeys([suites] if isinstance(suites, str) else suites):
        definition = find_suite(name)
        chosen = [p for p in definition.protocols if not protocols or p in protocols]
        if not chosen:
            definition.protocol(protocols[0])  # Says which there are.
        suite = open_suite(name, on_bad_record=on_bad_record)
        for protocol in chosen:
            default = definition.protocol(protocol).shots
            runs.append(SuiteRun(suite, protocol, default if shots is None else shots))
    return runs


def no_better(scores: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` scores is above the best before them."""
    before = scores[:-patience]
    return len(before) > 0 and max(scores[-patience:]) <= max(before)


def suite_summary(folder: RunFolder, table: ScoreTable, checkpoint: str) -> dict[str, Any]:
    """Returns the reports of the suites that a checkpoint was run on, and what `find_averages` finds in its scores."""
    reports = [report for report in read_reports(folder) if report['checkpoint'] == checkpoint]
    scores = ScoreTable(row for row in table if row.checkpoint == checkpoint)
    return {'reports': reports} | find_averages(scores)
