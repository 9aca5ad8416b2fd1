"""What is evaluated and how, as one configurable; TensorFlow and SeqIO come with the evaluator, not before."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from flan_tune.data.config import check_vocabulary, import_tasks, open_tokenizer
from flan_tune.errors import UserError
from flan_tune.models.functional import FunctionalModel
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.run_folder import RunFolder

if TYPE_CHECKING:
    from flan_tune.evaluation.held_out import HeldOut

PROTOCOLS = ('generate', 'rank')


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Held-out tasks and suites, and how they are scored.

    Attributes:
        mixture_or_task_name: registered tasks: one name, or several; None where only suites are scored.
        mixture_or_task_module: the module, or modules, whose import registers them; in training those
            of the training data are imported anyway.
        suite: what the table calls them together; by default the name.
        protocols: how tasks are scored: 'generate' (greedy, answer extracted, each task's own metrics) and 'rank'
            (accuracy of the likeliest option, for tasks that have options).
        split: the split to score.
        max_examples: at most so many of each task, the first ones.
        batch_size: rows of a batch.
        feature_lengths: longest inputs and targets; by default those of training.
        best_metric: chooses the best checkpoint: a metric, whose mean over all tasks counts; an average of
            `flan_tune.evaluation.averages.by_name` ('mini_normalized_average', 'bbh-cot-nlp'); or the score of a suite ('bbh-cot').
        before: also score the model before its first step.
        every: steps between evaluations during training; 0: only at its end.
        patience: training stops after so many evaluations in a row that are no better than the best; 0: never.
        suites: one suite or several by name, such as 'bbh', from their files in FLAN_TUNE_DATA_DIR.
        suite_protocols: of 'direct', 'cot' and 'rank' those to run, where a suite has them; by default all it has.
        shots: exemplars; by default each suite's.
        chains: more than one: so many are sampled, and the most frequent answer counts (self-consistency).
        temperature: of sampled chains; a single one is greedy.
        inputs_end: whether an end of sequence stands behind prompts; None: as training laid out inputs, and for
            other programs' checkpoints as is usual for the family: for encoder-decoder models.
        max_input_tokens: longest prompt of a suite; exemplars are dropped to keep to it.
        max_new_tokens: of a generation for a suite; by default 128 for answers, 512 for chains of thought.
        rank_by: what is compared among options of a suite: 'sum' of the log-likelihoods, its mean per 'token' or per
            'character', or 'unconditional' (less that without the question).
        on_bad_record: 'refuse' records of tasks and suites that cannot be used, all by name before a model runs; or 'skip'
            and count them.
    """

    mixture_or_task_name: str | Sequence[str] | None = None
    mixture_or_task_module: str | Sequence[str] = ()
    suite: str = ''
    protocols: Sequence[Literal['generate', 'rank']] = ('generate', 'rank')
    split: str = 'validation'
    max_examples: int | None = None
    batch_size: int = 32
    feature_lengths: Mapping[str, int] | None = None
    best_metric: str = 'exact_match'
    before: bool = True
    every: int = 0
    patience: int = 0
    suites: str | Sequence[str] = ()
    suite_protocols: Sequence[Literal['direct', 'cot', 'rank']] = ()
    shots: int | None = None
    chains: int = 1
    temperature: float = 0.7
    inputs_end: bool | None = None
    max_input_tokens: int = 2048
    max_new_tokens: int | None = None
    rank_by: Literal['sum', 'token', 'character', 'unconditional'] = 'sum'
    on_bad_record: Literal['refuse', 'skip'] = 'refuse'

    def evaluator(
        self,
        model: FunctionalModel,
        layout: Layout,
        *,
        vocabulary: str,
        feature_lengths: Mapping[str, int],
        folder: RunFolder,
        seed: int = 0,
    ) -> 'HeldOut':
        """Opens tasks and suites; `feature_lengths` serve where the config has none, `seed` is that of sampling.

        Raises:
            UserError: a task or suite that is not there or cannot be scored, or another model's vocabulary.
        """
        if not self.mixture_or_task_name and not self.suites:
            raise UserError(
                'nothing to evaluate: name tasks with MIXTURE_OR_TASK_NAME, or suites with --suite=NAME'
            )
        tokenizer = open_tokenizer(vocabulary)
        check_vocabulary(tokenizer, model.config.vocab_size)
        tasks = None
        if self.mixture_or_task_name:
            import_tasks(self.mixture_or_task_module)
            from flan_tune.evaluation.evaluator import Evaluator

            tasks = Evaluator(
                self,
                model,
                layout,
                tokenizer=tokenizer,
                feature_lengths=self.feature_lengths or feature_lengths,
                folder=folder,
            )
        from flan_tune.evaluation.held_out import HeldOut

        return HeldOut(self, model, layout, tokenizer, folder, tasks, seed)
