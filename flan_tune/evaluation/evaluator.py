"""Scores a model on held-out tasks: generates or ranks, extracts answers, keeps table and predictions."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from flan_tune.data import mixtures
from flan_tune.data.eval_examples import EvalExamples
from flan_tune.data.tasks import InstructionTask
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import RunError, UserError
from flan_tune.evaluation import metrics
from flan_tune.evaluation.config import EvaluationConfig
from flan_tune.evaluation.extraction import extract_answer, normalize_answer
from flan_tune.evaluation.score_files import add_scores
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.models.functional import FunctionalModel, Params
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.run_folder import RunFolder

Prediction = dict[str, Any]


class Evaluator:
    """Evaluates parameters as they come; what is compiled for the first serves all.

    Args:
        config: see EvaluationConfig.
        model: the model, without parameters.
        layout: mesh and rules; batches are spread over it.
        tokenizer: the vocabulary of the model.
        feature_lengths: longest `inputs` and `targets`; targets bound the new tokens.
        folder: where `scores.json`, `scores.csv` and `predictions/` are kept.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        model: FunctionalModel,
        layout: Layout,
        *,
        tokenizer: Tokenizer,
        feature_lengths: Mapping[str, int],
        folder: RunFolder,
    ):
        self._config = config
        self._tokenizer = tokenizer
        self._lengths = feature_lengths
        self._folder = folder
        self._suite = config.suite or _suite_name(config.mixture_or_task_name)
        self._tasks = _tasks(config)
        self._examples = self._opened()
        starts = model.base.config.architecture == 'decoder_only'
        self._model = TextModel(
            model,
            None,
            layout,
            tokenizer,
            max_input_tokens=feature_lengths['inputs'] + starts,
            batch_size=config.batch_size,
        )

    def evaluate(
        self, params: Params, checkpoint: str, *, inputs_end: bool | None = None
    ) -> ScoreTable:
        """Scores `params` and adds them to the run's table under the name `checkpoint`.

        Files are written task by task, each whole, so that an evaluation cut short leaves sound files. `inputs_end` is
        that of `TextModel`.
        """
        table = ScoreTable()
        self._model.params, self._model.inputs_end = params, inputs_end
        for task in self._tasks:
            if 'generate' in self._config.protocols and not task.variant.rank:
                table = table.merge(self._added(self._generated(task, checkpoint)))
            if 'rank' in self._config.protocols and (ranked := _rank_variant(task)):
                table = table.merge(self._added(self._ranked(task, ranked, checkpoint)))
        self._model.params = None  # Training goes on with others.
        return table

    def _added(self, rows: list[Score]) -> list[Score]:
        add_scores(self._folder, rows)
        return rows

    def plan(self) -> dict[str, Any]:
        """Returns how many examples of which tasks there are to score."""
        bad = self.bad_records
        sizes = {task.name: self._size(task) for task in self._tasks}
        return {'examples': {name: n - len(bad.get(name, ())) for name, n in sizes.items()}}

    @property
    def bad_records(self) -> dict[str, list[str]]:
        """What is wrong with the records that are left out, by task (or its variant that ranks), with file and line."""
        bad = {name: list(read.bad_records.values()) for name, read in self._examples.items()}
        return {name: records for name, records in bad.items() if records}

    def headline(self, table: ScoreTable) -> float:
        """Returns the one number that checkpoints are compared by: the mean of `best_metric` over tasks."""
        return table.mean(metric=self._config.best_metric)

    def _generated(self, task: InstructionTask, checkpoint: str) -> list[Score]:
        """Greedy answers, scored by the task's own metrics."""
        chain = task.variant.rationale
        examples = list(self._examples[task.name])
        written = self._model.generate(
            [example['inputs'] for example in examples], max_new_tokens=self._lengths['targets']
        )
        rows: list[Prediction] = []
        for example, (one,) in zip(examples, written, strict=True):
            answer = extract_answer(one.text, chain_of_thought=chain, options=example['options'])
            self._check_finite(task, example['index'], one.log_prob)
            rows.append(
                _prediction(example, checkpoint, 'cot' if chain else 'direct')
                | {
                    'prediction': one.text,
                    'said': answer,
                    'log_prob': round(one.log_prob, 4),
                    'correct': normalize_answer(answer) == normalize_answer(example['answer']),
                }
            )
        self._write_predictions(task.name, rows)
        golds = [row['answer'] for row in rows]
        said = [row['said'] for row in rows]
        values: dict[str, float] = {}
        for metric in task.definition.metric_fns:
            values |= metrics.get(metric)(golds, said)
        return [
            self._row(task, checkpoint, 'cot' if chain else 'direct', name, value, len(rows))
            for name, value in values.items()
        ]

    def _ranked(
        self, task: InstructionTask, ranked: InstructionTask, checkpoint: str
    ) -> list[Score]:
        """The likeliest option (summed log-likelihood of its tokens), scored by accuracy."""
        examples = list(self._examples[ranked.name])
        found = self._model.rank(
            [example['inputs'] for example in examples],
            [example['choices'] for example in examples],
        )
        rows: list[Prediction] = []
        for example, choices in zip(examples, found, strict=True):
            values = [choice.log_likelihood for choice in choices]
            self._check_finite(task, example['index'], sum(values))
            said = example['options'][int(np.argmax(values))]
            rows.append(
                _prediction(example, checkpoint, 'rank')
                | {
                    'prediction': said,
                    'said': said,
                    'log_likelihoods': [round(v, 4) for v in values],
                    'correct': said == example['answer'],
                }
            )
        self._write_predictions(task.name, rows)
        value = metrics.get('accuracy')(
            [row['answer'] for row in rows], [row['said'] for row in rows]
        )['accuracy']
        return [self._row(task, checkpoint, 'rank', 'accuracy', value, len(rows))]

    def _opened(self) -> dict[str, EvalExamples]:
        """Opens what will be read, and looks at all records before hours of work.

        Raises:
            UserError: names the bad records of all tasks, if there are more than are tolerated.
        """
        opened = {}
        for task in self._tasks:
            if 'generate' in self._config.protocols and not task.variant.rank:
                opened[task.name] = self._read(task)
            if 'rank' in self._config.protocols and (ranked := _rank_variant(task)):
                opened[ranked.name] = self._read(ranked)
        wrong = []
        for examples in opened.values():
            try:
                examples.check()
            except UserError as error:
                wrong.append(str(error))
        if wrong:
            raise UserError('\n'.join(wrong))
        return opened

    def _read(self, task: InstructionTask) -> EvalExamples:
        return EvalExamples(
            task.name,
            tokenizer=self._tokenizer,
            max_input_tokens=self._lengths['inputs'],
            split=self._config.split,
            limit=self._config.max_examples,
            on_bad_record=self._config.on_bad_record,
        )

    def _size(self, task: InstructionTask) -> int:
        size, limit = task.size(self._config.split), self._config.max_examples
        return size if limit is None else min(size, limit)

    def _check_finite(self, task: InstructionTask, index: int, value: float) -> None:
        if not np.isfinite(value):
            raise RunError(
                f'{task.name}: the score of record {index} is {value}, not a finite number; the scores of tasks before '
                'it are kept. The parameters are damaged, or another dtype is needed.'
            )

    def _row(
        self,
        task: InstructionTask,
        checkpoint: str,
        protocol: str,
        metric: str,
        value: float,
        n: int,
    ) -> Score:
        definition, variant = task.definition, task.variant
        template = variant.template
        return Score(
            checkpoint=checkpoint,
            suite=self._suite,
            task=definition.name,
            protocol=protocol,
            shots=task.renderer.shots.most if variant.few_shot else 0,
            template=''
            if template is None
            else definition.prompt_name(definition.prompts[template]),
            metric=metric,
            value=value,
            n=n,
        )

    def _write_predictions(self, name: str, rows: list[Prediction]) -> None:
        """Puts the rows in the place of earlier ones of the same checkpoint and protocol."""
        path = self._folder.path / 'predictions' / f'{name}.jsonl'
        new = {(row['checkpoint'], row['protocol']) for row in rows}
        kept = []
        if path.exists():
            earlier = [json.loads(line) for line in path.read_text().split('\n') if line]
            kept = [row for row in earlier if (row['checkpoint'], row['protocol']) not in new]
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + '\n' for row in [*kept, *rows]]
        self._folder.write(f'predictions/{name}.jsonl', ''.join(lines))


def _prediction(example: Mapping[str, Any], checkpoint: str, protocol: str) -> Prediction:
    return {
        'checkpoint': checkpoint,
        'protocol': protocol,
        'task': example['task'],
        'index': example['index'],
        'template': example['template'],
        'inputs': example['inputs'],
        'target': example['targets'],
        'answer': example['answer'],
        'options': list(example['options']),
    }


def _tasks(config: EvaluationConfig) -> list[InstructionTask]:
    """Returns the instruction tasks of the names and mixtures of the config, each once."""
    names = config.mixture_or_task_name
    leaves = [
        leaf
        for name in ([names] if isinstance(names, str) else names)
        for leaf in mixtures.leaf_names(name)
    ]
    tasks = [mixtures.find(leaf) for leaf in dict.fromkeys(leaves)]
    for task in tasks:
        if not isinstance(task, InstructionTask):
            raise UserError(
                f'{task.name!r} was not registered with register_task; evaluation needs its answers and options.'
            )
    return tasks


def _rank_variant(task: InstructionTask) -> InstructionTask | None:
    """Returns the variant of a zero-shot task that ranks options, or None if it has no options."""
    if task.variant.rank:
        return task
    if task.variant.few_shot or not task.definition.has_options:
        return None
    return mixtures.find(f'{task.definition.name}_rank')


def _suite_name(names: Any) -> str:
    return names if isinstance(names, str) else '+'.join(names)
