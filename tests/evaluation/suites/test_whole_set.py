import math

import numpy as np
import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Question
from flan_tune.evaluation.suites.whole_set import (
    Output,
    WholeSetTask,
    auc_pr,
    auc_roc,
    label_probabilities,
    macro_f1,
)


def test_probabilities_are_those_among_the_options():
    np.testing.assert_allclose(label_probabilities([math.log(0.02), math.log(0.06)]), [0.25, 0.75])
    np.testing.assert_allclose(label_probabilities([-1e4, -1e4]), [0.5, 0.5])
    for wrong in ([math.nan, 0.0], [-math.inf, 0.0], []):
        with pytest.raises(UserError, match='finite'):
            label_probabilities(wrong)


def test_area_under_the_receiver_operating_characteristic_counts_pairs():
    labels, scores = [True, True, False, False, False], [0.9, 0.4, 0.5, 0.4, 0.1]
    # Six pairs: four in order, one tie, one in the wrong order.
    assert auc_roc(labels, scores)['auc_roc'] == pytest.approx(100 * 4.5 / 6)
    flipped = [1 - s for s in scores]
    assert auc_roc(labels, flipped)['auc_roc'] == pytest.approx(100 * 1.5 / 6)


def test_area_under_the_precision_recall_curve():
    labels, scores = [True, False, True, False], [0.9, 0.8, 0.7, 0.1]
    assert auc_pr(labels, scores)['auc_pr'] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert auc_pr([True, False], [0.9, 0.1])['auc_pr'] == 100


@pytest.mark.parametrize('metric', [auc_roc, auc_pr])
def test_areas_need_both_labels_and_finite_scores(metric):
    with pytest.raises(UserError, match='all 2 examples have the label True'):
        metric([True, True], [0.1, 0.2])
    with pytest.raises(UserError, match='finite'):
        metric([True, False], [0.1, math.nan])
    with pytest.raises(ValueError, match='2 labels, but 1 scores'):
        metric([True, False], [0.1])


def test_macro_f1_weighs_labels_alike():
    targets = ['a'] * 8 + ['b'] * 2
    assert macro_f1(targets, ['a'] * 10)['macro_f1'] == pytest.approx(100 * (16 / 18) / 2)
    assert macro_f1(targets, targets)['macro_f1'] == 100
    assert macro_f1(['a', 'b'], ['a', ''])['macro_f1'] == 50
    with pytest.raises(ValueError, match='2 targets, but 1'):
        macro_f1(['a', 'b'], ['a'])


class Coins(WholeSetTask):
    """Two questions; the first serves as exemplar."""

    metrics, corpus_metrics = ('accuracy',), ('auc_roc',)

    def read(self):
        for index, answer in enumerate(('tails', 'heads', 'tails')):
            yield Question(index, str(index), {}, (answer,), ('heads', 'tails'))

    def scored(self, shots):
        return self.questions[shots:]

    def corpus_score(self, outputs, protocol, shots):
        return auc_roc(*self.label_scores(outputs, 'heads'))

    def _prompt(self, question, protocol, shots):
        return ''

    def _extract(self, text, protocol):
        return text

    def _score(self, question, answer):
        return [answer in question.answers]


def test_a_task_scores_its_outputs_as_a_whole_without_its_exemplars():
    task = Coins('coins')
    outputs = {0: Output('x', (0.0, -9.0)), 1: Output('x', (-1.0, -2.0)), 2: Output('x', (-2.0, 0))}
    key = {'suite': 's', 'protocol': 'rank', 'checkpoint': 'c'}
    (row,) = task.corpus_rows(outputs, shots=0, **key)
    assert (row.value, row.n) == (50, 3)
    (row,) = task.corpus_rows(outputs, shots=1, **key)
    assert (row.metric, row.value, row.n, row.shots) == ('auc_roc', 100, 2, 1)
    assert task.corpus_rows({}, shots=0, **key) == []
    with pytest.raises(UserError, match='coins: question 2 has 1 likelihoods for 2 options'):
        task.corpus_rows(outputs | {2: Output('x', (0.0,))}, shots=0, **key)
