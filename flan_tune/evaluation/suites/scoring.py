"""Scores of one task of a suite, example by example, from the predictions of any system."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from flan_tune.evaluation.extraction import majority
from flan_tune.evaluation.scores import Score
from flan_tune.evaluation.suites.definition import Extracted, Question, SuiteTask

Prediction = str | Sequence[str]


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """What a system scores on one task.

    Attributes:
        task: its name.
        metrics: names of the metrics.
        values: index of the question -> one value for each metric, 0 to 1.
        unparsable: indices of the questions where no answer could be extracted; they score 0.
        missing: indices of the questions that have no prediction; they are in no score.
    """

    task: str
    metrics: tuple[str, ...]
    values: Mapping[int, tuple[float, ...]]
    unparsable: tuple[int, ...]
    missing: tuple[int, ...]

    def column(self, metric: str) -> dict[int, float]:
        """Returns one metric by the index of the question, in percent; `resampling.compare` takes it."""
        at = self.metrics.index(metric)
        return {index: 100 * values[at] for index, values in self.values.items()}

    def rows(self, *, suite: str, protocol: str, shots: int, checkpoint: str) -> list[Score]:
        """Returns rows of the tidy table, one for each metric; none where no question has a prediction."""
        if not self.values:
            return []
        return [
            Score(
                checkpoint=checkpoint,
                suite=suite,
                task=self.task,
                protocol=protocol,
                shots=shots,
                template='',
                metric=metric,
                value=float(np.mean(list(self.column(metric).values()))),
                n=len(self.values),
            )
            for metric in self.metrics
        ]


def score_predictions(
    task: SuiteTask, protocol: str, shots: int, predictions: Mapping[int, Prediction]
) -> TaskScores:
    """Scores predictions by the index of their question.

    Args:
        task: an opened task.
        protocol: 'direct', 'cot', or 'rank' (then a prediction is the option that was chosen).
        shots: exemplars that the prompts held; where they came from the questions themselves, those do not count.
        predictions: what was written; several texts are chains that vote on the answer (self-consistency).
    """
    values, unparsable, missing = {}, [], []
    for question in task.scored(shots):
        if question.index not in predictions:
            missing.append(question.index)
            continue
        extracted = extracted_answer(task, question, protocol, shots, predictions[question.index])
        if extracted.answer is None:
            unparsable.append(question.index)
        scores = task.score(question, extracted)
        values[question.index] = tuple(scores[metric] for metric in task.metrics)
    return TaskScores(task.name, task.metrics, values, tuple(unparsable), tuple(missing))


def extracted_answer(
    task: SuiteTask, question: Question, protocol: str, shots: int, prediction: Prediction
) -> Extracted:
    """Returns the answer that a prediction gives; of several chains the most frequent."""
    texts = [prediction] if isinstance(prediction, str) else prediction
    said = (task.extract(text, question, protocol, shots).answer for text in texts)
    return Extracted(majority(said))
