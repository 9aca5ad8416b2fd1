"""Shares of preference and agreement, by hand and against another implementation."""

import pytest
from sklearn.metrics import cohen_kappa_score

from flan_tune.evaluation.raters.pairs import Pair, Rating, Ratings, order_for
from flan_tune.evaluation.raters.preference import cohen_kappa, fleiss_kappa, preference_report

PAIRS = tuple(Pair(f'p{i}', f'request {i}', f'alpha {i}', f'beta {i}') for i in range(6))


def test_cohen_kappa_equals_scikit_learn():
    first = list('aabbtabtbabbatta')
    second = list('abbbtabtaabtatba')
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert cohen_kappa(first, first) == 1
    assert cohen_kappa(['a', 'b'], ['b', 'a']) == -1
    assert cohen_kappa(['a', 'a'], ['a', 'a']) is None
    assert cohen_kappa([], []) is None


def test_fleiss_kappa_by_hand():
    # Three items, three raters: P = (1, 1/3, 1/3), p = (6/9, 3/9).
    observed, chance = 5 / 9, (2 / 3) ** 2 + (1 / 3) ** 2
    expected = (observed - chance) / (1 - chance)
    assert fleiss_kappa([[3, 0], [1, 2], [2, 1]]) == pytest.approx(expected)
    assert fleiss_kappa([[3, 0], [3, 0]]) is None
    assert fleiss_kappa([]) is None
    with pytest.raises(ValueError, match='same number'):
        fleiss_kappa([[3, 0], [1, 1]])


def rated(path, choices: dict[str, str]) -> Ratings:
    """Writes ratings: rater -> a letter for each pair ('.': none)."""
    ratings = Ratings(path, PAIRS)
    names = {'a': 'a', 'b': 'b', 't': 'tie'}
    for rater, letters in choices.items():
        for shown in order_for(PAIRS, 0, rater):
            letter = letters[int(shown.pair.id[1])]
            if letter != '.':
                ratings.add([Rating(shown.pair.id, rater, names[letter], shown.left)])
    return ratings


def test_shares_are_means_over_pairs(tmp_path):
    ratings = rated(tmp_path / 'r.jsonl', {'ann': 'bbbat.', 'bo': 'bba...'})
    report = preference_report(PAIRS, ratings, seed=1)
    ann = report['raters']['ann']
    assert (ann['pairs'], ann['a'], ann['b'], ann['tie']) == (5, 1, 3, 1)
    assert ann['share_b'] == pytest.approx(3.5 / 5) and ann['b_of_decided'] == 3 / 4
    people = report['people']
    assert (people['pairs'], people['ratings']) == (5, 8)
    assert people['share_b'] == pytest.approx((1 + 1 + 0.5 + 0 + 0.5) / 5)
    assert 0 <= people['low'] < people['share_b'] < people['high'] <= 1
    (row,) = report['agreement']
    assert (row['raters'], row['n'], row['same']) == (['ann', 'bo'], 3, 2 / 3)
    assert report['fleiss'] is None
    assert report == preference_report(PAIRS, Ratings(tmp_path / 'r.jsonl', PAIRS), seed=1)


def test_three_people_and_pairs_that_not_all_have_rated(tmp_path):
    choices = {'ann': 'bbat..', 'bo': 'bba.a.', 'cy': 'baab..'}
    report = preference_report(PAIRS, rated(tmp_path / 'r.jsonl', choices))
    assert report['fleiss']['n'] == 3 and len(report['agreement']) == 3
    assert report['fleiss']['kappa'] == pytest.approx(
        fleiss_kappa([[0, 0, 3], [1, 0, 2], [3, 0, 0]])
    )
