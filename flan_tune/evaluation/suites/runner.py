"""Runs a model on a suite: prompts in, answers scored, a file of predictions and rows of the table for each task."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flan_tune.data.draws import Draws
from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.prediction_files import PredictionFile
from flan_tune.evaluation.protocol_names import protocol_name
from flan_tune.evaluation.recorded.rows import Recorded
from flan_tune.evaluation.recorded.scoring import RecordedScores
from flan_tune.evaluation.score_files import add_report, add_scores
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import Question, Suite, SuiteTask
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask
from flan_tune.evaluation.suites.rows import score_task
from flan_tune.evaluation.suites.scoring import TaskScores, extracted_answer
from flan_tune.evaluation.suites.settings import (
    MAX_NEW_TOKENS,
    Asked,
    RankBy,
    Settings,
    TextModel,
    questions,
    ranking_values,
)
from flan_tune.reporting.progress import EvaluationProgress
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.reporting.suite_table import with_values

_UNCONDITIONAL = 'Answer:'
_BLANK_LINE = '\n\n'
_SEED_BITS = 31
_MARKS = 2  # Positions of a start token and an end of sequence.

Row = dict[str, Any]
Told = Callable[[int, int], None]


def run_suite(
    suite: Suite,
    protocol: str,
    shots: int | None,
    text_model: TextModel,
    folder: RunFolder,
    checkpoint: str,
    *,
    chains: int = 1,
    temperature: float = 0.7,
    max_examples: int | None = None,
    max_new_tokens: int | None = None,
    rank_by: RankBy = 'sum',
    seed: int = 0,
    parameters: str = '',
    max_positions: int | None = None,
    progress: EvaluationProgress | None = None,
) -> ScoreTable:
    """Scores a model on all tasks of a suite, into `scores.json`, `predictions/` and `suites.json` of a folder.

    Every task is written when it is done. One whose file is there, got from the same parameters, prompts and
    settings, is scored again from that file and not run again.

    Args:
        suite: an opened suite.
        protocol: 'direct', 'cot', or 'rank' (the likeliest option).
        shots: exemplars; by default the suite's.
        text_model: text in, text out.
        folder: of the run.
        checkpoint: what the table calls these parameters.
        chains: more than one: so many are sampled, and the most frequent answer counts (self-consistency).
        temperature: of sampled chains; a single one is greedy.
        max_examples: at most so many questions of each task (and template of it), the first ones.
        max_new_tokens: of a generation; by default 128 for answers, 512 for chains of thought.
        rank_by: what is compared among options: the log-likelihood ('sum'), its mean per 'token' or per 'character', or
            what it has above that of the same option without the question ('unconditional').
        seed: of sampling.
        parameters: identifies the parameters, such as a digest of them.
        max_positions: of the model, which a prompt shares with what is written behind it.
        progress: is told how far it is.

    Returns:
        The rows of this suite.

    Raises:
        UserError: before the model runs: what the suite's files lack or hold wrongly.
        RunError: a score that is not finite, with task and example.
    """
    default = suite.definition.protocol(protocol).shots
    shots = default if shots is None else shots
    limit = max_new_tokens or MAX_NEW_TOKENS.get(protocol)
    settings = Settings(chains, temperature, limit, rank_by, seed)
    suite.check(protocol, shots)
    _check_metric(suite, protocol)
    run = _Run(
        suite, protocol, shots, text_model, folder, checkpoint, settings, parameters, max_positions
    )
    # All prompts first: what cannot be asked shows before hours of work.
    asked = {
        task.name: [run.asked(task, question) for question in questions(task, shots, max_examples)]
        for task in suite.tasks.values()
    }
    progress = progress or EvaluationProgress()
    progress.begin(f'{suite.definition.name} {protocol}', sum(map(len, asked.values())))
    for name, some in asked.items():
        if some:
            run.task(suite.tasks[name], some, progress)
    run.write_report()
    return run.table()


class _Run:
    """One suite, protocol and checkpoint."""

    def __init__(
        self,
        suite: Suite,
        protocol: str,
        shots: int,
        model: TextModel,
        folder: RunFolder,
        checkpoint: str,
        settings: Settings,
        parameters: str,
        max_positions: int | None,
    ):
        self._suite = suite
        self._protocol = protocol
        self._shots = shots
        self._model = model
        self._folder = folder
        self._checkpoint = checkpoint
        self._settings = settings
        # What the table calls it: self-consistency and other ways to rank stand beside the plain run.
        self._protocol_name = protocol_name(
            protocol, chains=settings.chains, rank_by=settings.rank_by
        )
        self._parameters = parameters
        self._max_positions = max_positions
        self._scores: dict[str, TaskScores] = {}
        self._recorded: dict[str, Recorded] = {}
        self._lacking: dict[str, str] = {}
        self._counts: dict[str, dict[str, int]] = {}
        self._rows: list[Score] = []

    @property
    def _key(self) -> dict[str, Any]:
        return {
            'checkpoint': self._checkpoint,
            'suite': self._suite.definition.name,
            'protocol': self._protocol_name,
            'shots': self._shots,
        }

    @property
    def _name(self) -> tuple[str, str, int]:
        return self._suite.definition.name, self._protocol, self._shots

    def task(self, task: SuiteTask, asked: Sequence[Asked], progress: EvaluationProgress) -> None:
        """Gets the answers of one task, or takes those that are there, and scores them."""
        digest = self._digest(task, asked)
        file = PredictionFile(
            self._folder, f'{self._suite.definition.name}.{task.name}', self._key | {'run': digest}
        )
        there = file.rows()
        done = [row.get('index') for row in there] == [a.question.index for a in asked]
        if done:
            answers = there
            progress.skip(len(asked))
        else:
            get = self._ranked if self._protocol == 'rank' else self._generated

            def told(rows: int, of: int) -> None:  # Several for a question with several chains.
                progress.update(task.name, rows * len(asked) // of)

            answers = get(task, asked, told)
            progress.add(len(asked))
        pairs = zip(asked, answers, strict=True)
        rows = [self._row(task, a, answer) | {'run': digest} for a, answer in pairs]
        if rows != there:
            file.replace(rows)
        self._score(task, rows)

    def asked(self, task: SuiteTask, question: Question) -> Asked:
        """The prompt, without the last exemplars where it would be longer than the model reads."""
        choices = task.choices(question) if self._protocol == 'rank' else ()
        if self._protocol == 'rank' and not choices:
            raise UserError(f'{task.name}: {question.id} has no options to rank')
        longest = self._longest_prompt(choices)
        count = self._model.count_tokens
        for shots in range(self._shots, -1, -1):
            prompt = task.prompt(question, self._protocol, shots, count_tokens=count)
            if not shots or longest is None or count(prompt) <= longest:
                break
        shown = task.prompt(question, self._protocol, 0) if shots else prompt
        return Asked(question, prompt, shown, shots, choices)

    def _longest_prompt(self, choices: Sequence[str]) -> int | None:
        """Tokens of the longest prompt that is not cut."""
        longest = getattr(self._model, 'max_prompt_tokens', None)
        if self._max_positions is None or longest is None:
            return longest
        behind = max(map(self._model.count_tokens, choices), default=self._settings.max_new_tokens)
        return min(longest, self._max_positions - behind - _MARKS)

    def _digest(self, task: SuiteTask, asked: Sequence[Asked]) -> str:
        """Identifies what the answers of a task follow from."""
        settings = dataclasses.asdict(self._settings)
        prompts = [(a.question.index, a.prompt, a.choices) for a in asked]
        text = json.dumps([self._key, task.name, self._parameters, settings, prompts])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _generated(self, task: SuiteTask, asked: Sequence[Asked], progress: Told) -> list[Row]:
        settings = self._settings
        written = self._model.generate(
            [a.prompt for a in asked],
            max_new_tokens=settings.max_new_tokens,
            samples=settings.chains,
            temperature=settings.temperature if settings.chains > 1 else 0.0,
            seed=Draws(settings.seed, *self._name, task.name).integer(1 << _SEED_BITS),
            progress=progress,
        )
        rows = []
        for a, generations in zip(asked, written, strict=True):
            log_probs = [generation.log_prob for generation in generations]
            self._check_finite(task, a.question, log_probs)
            texts = [_own_answer(generation.text, a.shots) for generation in generations]
            rows.append(
                {
                    'prediction': texts if settings.chains > 1 else texts[0],
                    'log_prob': [round(p, 4) for p in log_probs]
                    if settings.chains > 1
                    else round(log_probs[0], 4),
                    'unended': sum(not generation.ended for generation in generations),
                    'cut': max(generation.cut for generation in generations),
                }
            )
        return rows

    def _ranked(self, task: SuiteTask, asked: Sequence[Asked], progress: Told) -> list[Row]:
        found = self._model.rank(
            [a.prompt for a in asked], [a.choices for a in asked], progress=progress
        )
        unconditional = self._unconditional(asked)
        rows = []
        for a, likelihoods in zip(asked, found, strict=True):
            values = ranking_values(
                likelihoods, self._settings.rank_by, unconditional.get(_bare(a))
            )
            self._check_finite(task, a.question, values)
            rows.append(
                {
                    'prediction': a.question.options[int(np.argmax(values))],
                    'log_likelihoods': [round(one.log_likelihood, 4) for one in likelihoods],
                    'ranked_by': [round(value, 6) for value in values],
                    'cut': max(one.cut for one in likelihoods),
                }
            )
        return rows

    def _unconditional(self, asked: Sequence[Asked]) -> dict[Any, list[Any]]:
        """Likelihoods of choices behind the last words of their prompts alone; each distinct one once."""
        if self._settings.rank_by != 'unconditional':
            return {}
        bare = list(dict.fromkeys(map(_bare, asked)))
        found = self._model.rank([prompt for prompt, _ in bare], [choices for _, choices in bare])
        return dict(zip(bare, found, strict=True))

    def _check_finite(self, task: SuiteTask, question: Question, values: Sequence[float]) -> None:
        wrong = [value for value in values if not np.isfinite(value)]
        if wrong:
            raise RunError(
                f'{self._suite.definition.name} {self._protocol}, {task.name}: the score of example '
                f'{question.index} ({question.id}) is {wrong[0]}, not a finite number; tasks before it are kept. '
                f'The parameters of {self._checkpoint!r} are damaged, or another dtype is needed.'
            )

    def _row(self, task: SuiteTask, asked: Asked, answer: Mapping[str, Any]) -> Row:
        """A line of the file of predictions."""
        question = asked.question
        extracted = extracted_answer(
            task, question, self._protocol, self._shots, answer['prediction']
        )
        scores = task.score(question, extracted)
        main = self._suite.definition.protocol(self._protocol).metric
        kept = ('prediction', 'log_prob', 'log_likelihoods', 'ranked_by', 'unended', 'cut')
        return {
            **self._key,
            'task': task.name,
            'index': question.index,
            'id': question.id,
            'template': task.template(question) if isinstance(task, InstructionSuiteTask) else '',
            'inputs': asked.shown,
            'exemplars': asked.shots,
            'target': question.answers[0],
            'answer': question.answers[0],
            'options': list(question.options),
            **{name: answer[name] for name in kept if name in answer},
            'said': extracted.answer or '',
            'unparsable': extracted.answer is None,
            'scores': scores,
            'correct': scores[main] == 1.0,
        }

    def _score(self, task: SuiteTask, rows: Sequence[Row]) -> None:
        """Adds a task's scores to the table of the folder."""
        predictions = {row['index']: row['prediction'] for row in rows}
        ranked_by = {row['index']: row['ranked_by'] for row in rows if 'ranked_by' in row}
        scored = score_task(task, predictions, ranked_by, **self._key)
        self._scores[task.name] = scored.scores
        self._lacking[task.name] = scored.lacking
        self._recorded[task.name] = Recorded(predictions, 0, ())
        self._counts[task.name] = {
            'cut_prompts': sum(row['cut'] > 0 for row in rows),
            'dropped_exemplars': sum(self._shots - row['exemplars'] for row in rows),
            'unended': sum(row.get('unended', 0) for row in rows),
        }
        self._rows += scored.rows
        add_scores(self._folder, self._rows)

    def table(self) -> ScoreTable:
        """The rows of the tasks that are done."""
        return ScoreTable(self._rows)

    def _recorded_scores(self) -> RecordedScores:
        return RecordedScores(
            self._suite,
            self._protocol_name,
            self._shots,
            self._checkpoint,
            self._scores,
            self._recorded,
            rows=self._rows,
            lacking=self._lacking,
        )

    def write_report(self) -> None:
        """Puts the counts and intervals of this run into `suites.json`, in the place of earlier ones."""
        if not self._scores:
            return
        scores = self._recorded_scores()
        report = {'checkpoint': self._checkpoint} | with_values(scores.report(), scores.columns())
        for name, counts in self._counts.items():
            report['tasks'][name] |= counts
        add_report(self._folder, report)


def _check_metric(suite: Suite, protocol: str) -> None:
    metric = suite.definition.protocol(protocol).metric
    for task in suite.tasks.values():
        if metric not in task.metrics:
            raise UserError(
                f'suite {suite.definition.name!r} is the mean of {metric!r}, but task {task.name!r} has '
                f'{", ".join(task.metrics)}'
            )


def _own_answer(text: str, shots: int) -> str:
    """The answer without questions of the model's own: exemplars show that a blank line ends an answer."""
    return text.lstrip().split(_BLANK_LINE, 1)[0] if shots else text


def _bare(asked: Asked) -> tuple[str, tuple[str, ...]]:
    """The last line of a prompt such as 'A:', which asks for an answer without the question; and the choices."""
    line = asked.prompt.rsplit('\n', 1)[-1]
    return line if line.endswith(':') and ' ' not in line else _UNCONDITIONAL, asked.choices
