"""Metrics of a whole set of answers, not of one: areas under curves from label probabilities, macro F1, corpus BLEU.

They are percentages, 0 to 100, and functions of (targets, ...) as those of `flan_tune.evaluation.metrics`. A task that
needs them is a `WholeSetTask`: what it scores are the `Output`s of a system by the index of their question.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from flan_tune.errors import UserError
from flan_tune.evaluation.scores import Score
from flan_tune.evaluation.suites.definition import SuiteTask


@dataclasses.dataclass(frozen=True)
class Output:
    """What a system gives for one question.

    Attributes:
        text: what it wrote, or for 'rank' the option that it chose.
        log_likelihoods: for 'rank', that of each of the question's choices, in nats; summed over tokens, or as normalized.
    """

    text: str
    log_likelihoods: tuple[float, ...] = ()


class WholeSetTask(SuiteTask):
    """A task with metrics that are no means over questions.

    Attributes:
        corpus_metrics: what `corpus_score` returns, by name.
    """

    corpus_metrics: tuple[str, ...] = ()

    @abc.abstractmethod
    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        """Returns metric -> percent over the questions that have an output; {} where a protocol has none.

        Raises:
            UserError: the metric needs what the outputs do not have, such as likelihoods.
        """

    def corpus_rows(
        self,
        outputs: Mapping[int, Output],
        *,
        suite: str,
        protocol: str,
        shots: int,
        checkpoint: str,
    ) -> list[Score]:
        """Returns the rows of the tidy table, one for each corpus metric; none without an output."""
        counted = {q.index for q in self.scored(shots)} & outputs.keys()
        if not counted:
            return []
        values = self.corpus_score({i: outputs[i] for i in sorted(counted)}, protocol, shots)
        return [
            Score(checkpoint, suite, self.name, protocol, shots, '', metric, value, len(counted))
            for metric, value in values.items()
        ]

    def label_scores(
        self, outputs: Mapping[int, Output], option: str
    ) -> tuple[list[bool], list[float]]:
        """Returns whether `option` is right, and its probability among the options, for each output in order.

        Raises:
            UserError: an output has no likelihood for each of the options.
        """
        labels, scores = [], []
        for question in self.questions:
            if question.index not in outputs:
                continue
            found = outputs[question.index].log_likelihoods
            if len(found) != len(question.options):
                raise UserError(
                    f'{self.name}: question {question.index} has {len(found)} likelihoods for '
                    f'{len(question.options)} options; this metric needs them all'
                )
            labels.append(option in question.answers)
            scores.append(float(label_probabilities(found)[question.options.index(option)]))
        return labels, scores


def label_probabilities(log_likelihoods: Sequence[float]) -> np.ndarray:
    """Returns the probability of each option given that it is one of them, float64 `[options]`.

    Raises:
        UserError: a likelihood is not finite.
    """
    values = np.asarray(log_likelihoods, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise UserError(f'log-likelihoods must be finite numbers, not {list(log_likelihoods)}')
    odds = np.exp(values - values.max())
    return odds / odds.sum()


def auc_roc(labels: Sequence[bool], scores: Sequence[float]) -> dict[str, float]:
    """Area under the receiver operating characteristic: how often a positive example outscores a negative one."""
    from sklearn.metrics import roc_auc_score

    labels, scores = _two_classes(labels, scores)
    return {'auc_roc': 100 * float(roc_auc_score(labels, scores))}


def auc_pr(labels: Sequence[bool], scores: Sequence[float]) -> dict[str, float]:
    """Area under the precision-recall curve as average precision, which does not interpolate between its points."""
    from sklearn.metrics import average_precision_score

    labels, scores = _two_classes(labels, scores)
    return {'auc_pr': 100 * float(average_precision_score(labels, scores))}


def macro_f1(targets: Sequence[str], predictions: Sequence[str]) -> dict[str, float]:
    """Unweighted mean of the F1 of each label that `targets` has; what is predicted besides is a miss."""
    from sklearn.metrics import f1_score

    if not targets or len(targets) != len(predictions):
        raise ValueError(f'{len(targets)} targets, but {len(predictions)} predictions')
    labels = sorted(set(targets))
    value = f1_score(targets, predictions, labels=labels, average='macro', zero_division=0)
    return {'macro_f1': 100 * float(value)}


def _two_classes(labels: Sequence[bool], scores: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    found, values = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if found.shape != values.shape:
        raise ValueError(f'{found.size} labels, but {values.size} scores')
    if not np.isfinite(values).all():
        raise UserError('scores must be finite numbers')
    if found.all() or not found.any():
        raise UserError(
            f'all {found.size} examples have the label {bool(found.size and found[0])}; '
            'the area under a curve needs both'
        )
    return found, values
