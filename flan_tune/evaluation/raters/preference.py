"""Which of two systems raters prefer, how sure that is, and how far raters agree."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flan_tune.evaluation.raters.pairs import JUDGE, PREFERENCES, Pair, Rating, Ratings
from flan_tune.evaluation.resampling import bootstrap_interval

_WORTH = {'a': 0.0, 'tie': 0.5, 'b': 1.0}


def preference_report(pairs: Sequence[Pair], ratings: Ratings, *, seed: int = 0) -> dict[str, Any]:
    """Returns what raters prefer, for people and for JSON.

    `people` pools all raters that are no models (None where there is none), `raters` has each of them. Both
    give `pairs` and `ratings` (counts), `a`, `b`, `tie` (ratings), `share_b` (the preference share of b, a tie
    counted as half: the mean over pairs of the mean over their raters) with its 95% bootstrap interval over
    pairs `low`, `high`, `b_of_decided` (b's share of the ratings that are no ties), and `left_of_decided`
    (how often the left one won: far from 0.5 means that the side mattered). A model's also give
    `inconsistent` and `unparsable`, the ties that were no answers. `agreement` has Cohen's kappa for each two
    raters, `fleiss` Fleiss's kappa of three or more people. A figure without any data is None.
    """
    by_rater = {rater: ratings.of(rater) for rater in ratings.raters}
    people = {rater: found for rater, found in by_rater.items() if not rater.startswith(JUDGE)}
    return {
        'pairs': len(pairs),
        'people': _tally(list(people.values()), seed) if people else None,
        'raters': {rater: _tally([found], seed) for rater, found in by_rater.items()},
        'agreement': [
            {'raters': [x, y], **_agreement(by_rater[x], by_rater[y])}
            for x, y in itertools.combinations(by_rater, 2)
        ],
        'fleiss': _fleiss(list(people.values())) if len(people) > 2 else None,
    }


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa (1960) of two raters' labels of the same items; None where chance agreement is 1."""
    n = len(first)
    if not n:
        return None
    observed = sum(x == y for x, y in zip(first, second, strict=True)) / n
    counts = Counter(first), Counter(second)
    chance = sum(counts[0][label] * counts[1][label] for label in counts[0]) / n**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float | None:
    """Fleiss's kappa (1971) of `counts[item][category]`, of as many raters (2 or more) for each item.

    None where all ratings are of one category, or there are none.
    """
    table = np.asarray(counts, np.float64)
    if not table.size:
        return None
    raters = table[0].sum()
    if raters < 2 or not (table.sum(1) == raters).all():
        raise ValueError('each item needs the same number of raters, two or more')
    observed = ((table * (table - 1)).sum(1) / (raters * (raters - 1))).mean()
    chance = float(((table.sum(0) / table.sum()) ** 2).sum())
    return None if chance == 1 else float((observed - chance) / (1 - chance))


def _tally(by_rater: Sequence[Mapping[str, Rating]], seed: int) -> dict[str, Any]:
    ratings = [rating for found in by_rater for rating in found.values()]
    counts = Counter(rating.choice for rating in ratings)
    worth: dict[str, list[float]] = {}
    for rating in ratings:
        worth.setdefault(rating.pair, []).append(_WORTH[rating.choice])
    means = [float(np.mean(worth[pair])) for pair in sorted(worth)]
    low, high = bootstrap_interval(means, seed=seed) if means else (None, None)
    decided = [rating for rating in ratings if rating.choice != 'tie']
    reasons = Counter(rating.reason for rating in ratings)
    return {
        'pairs': len(worth),
        'ratings': len(ratings),
        **{choice: counts[choice] for choice in PREFERENCES},
        'share_b': float(np.mean(means)) if means else None,
        'low': low,
        'high': high,
        'b_of_decided': _share([rating.choice == 'b' for rating in decided]),
        'left_of_decided': _share([rating.choice == rating.left for rating in decided]),
        **{reason: reasons[reason] for reason in ('inconsistent', 'unparsable') if reasons[reason]},
    }


def _agreement(first: Mapping[str, Rating], second: Mapping[str, Rating]) -> dict[str, Any]:
    shared = [pair for pair in first if pair in second]
    choices = [[found[pair].choice for pair in shared] for found in (first, second)]
    return {
        'n': len(shared),
        'same': _share([x == y for x, y in zip(*choices, strict=True)]),
        'kappa': cohen_kappa(*choices),
    }


def _fleiss(people: Sequence[Mapping[str, Rating]]) -> dict[str, Any]:
    shared = [pair for pair in people[0] if all(pair in found for found in people)]
    counts = [
        [sum(found[pair].choice == choice for found in people) for choice in PREFERENCES]
        for pair in shared
    ]
    return {'raters': len(people), 'n': len(shared), 'kappa': fleiss_kappa(counts)}


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
