"""Findings of papers as rules on a study's table: small functions of Results that give an Outcome."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from flan_tune.errors import UserError
from flan_tune.studies.contrasts import (
    Contrast,
    Outcome,
    Term,
    Verdict,
    Where,
    ladders,
    one_each,
    rest,
)
from flan_tune.studies.results import MissingError, Results

RULE = (
    'The rule, fixed in advance: what is compared is paired by seed and held-out task, and has a 95% interval over '
    'both (two-way random effects; Student’s over the seeds where there is one task or an average). The finding '
    '**held** if the whole interval lies above the margin (0 unless stated), **did not hold** if the whole interval '
    'lies below it, and is **inconclusive** otherwise, or with fewer than two seeds.'
)
Rule = Callable[[Results], Outcome]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A statement of a paper, and how it is judged.

    Attributes:
        statement: what the paper says.
        source: paper, section, table or figure.
        published: its figures.
        rule: makes an Outcome of Results; where it has `check`, that is called before anything runs.
        reason: why it came out as it did; written by hand once it is known.
    """

    statement: str
    source: str
    published: str
    rule: Rule
    reason: str = ''


@dataclasses.dataclass(frozen=True)
class Difference(Contrast):
    """That a score is higher at one place than at another, by more than a margin.

    Attributes:
        score: a measure of the study.
        higher, lower: the places: axis -> label; also 'run', 'checkpoint' and 'score', a measure for this side.
        where: holds for both. Axes that none of the three names are averaged over, place by place.
        margin: in the score's unit; -2.0 asks that `higher` is no more than 2 points below `lower`.
        min_seeds: with fewer nothing is decided.
    """

    score: str
    higher: Where
    lower: Where
    where: Where = dataclasses.field(default_factory=dict)
    margin: float = 0.0
    min_seeds: int = 2

    def terms(self, results: Results) -> list[list[Term]]:
        sides = []
        for weight, side in ((1.0, self.higher), (-1.0, self.lower)):
            place = {**self.where, **side}
            name, at = place.pop('score', self.score), place.pop('checkpoint', None)
            named = {*self.higher, *self.lower, *self.where, 'run'}
            sides.append(
                {
                    rest(point, named): (weight, name, point, at)
                    for point in one_each(results.select(place), named, place)
                }
            )
        if sides[0].keys() != sides[1].keys():
            raise UserError(
                f'Difference of {dict(self.higher)} and {dict(self.lower)}: they are run at different places; '
                'say in `where`, or in both, which are meant.'
            )
        return [[side[place] for side in sides] for place in sides[0]]


@dataclasses.dataclass(frozen=True)
class Trend(Contrast):
    """That a score rises along an axis.

    The contrast is the rise of a straight line through the scores against the rank of the point, from the first to
    the last. A finding that holds also needs a rank correlation (Spearman) of the mean score with the axis.

    Attributes:
        score: a measure of the study.
        axis: its points in the order of the study, or those of `labels`.
        where: axis -> label; other axes are averaged over.
        labels: of the axis, in rising order.
        falls: that the score falls instead.
        min_correlation: with less of the expected sign nothing holds.
    """

    score: str
    axis: str
    where: Where = dataclasses.field(default_factory=dict)
    labels: Sequence[str] = ()
    falls: bool = False
    min_correlation: float = 0.5
    margin: float = 0.0
    min_seeds: int = 2

    def terms(self, results: Results) -> list[list[Term]]:
        places = ladders(results, self.axis, self.labels, self.where)
        count = len(places[0])
        ranks = np.arange(count) - (count - 1) / 2
        weights = (count - 1) * ranks / np.square(ranks).sum() * (-1 if self.falls else 1)
        at = self.where.get('checkpoint')
        return [
            [(float(w), self.score, p, at) for w, p in zip(weights, ladder, strict=True)]
            for ladder in places
        ]

    def __call__(self, results: Results) -> Outcome:
        outcome = super().__call__(results)
        if math.isnan(outcome.estimate):
            return outcome
        means = _ladder_means(self, results)
        ranks = np.arange(len(means)) * (-1 if self.falls else 1)
        flat = len({*means}) == 1
        correlation = 0.0 if flat else float(stats.spearmanr(ranks, means).statistic)
        verdict = outcome.verdict
        if verdict == 'held' and correlation < self.min_correlation:
            verdict = 'inconclusive'
        detail = (
            f'rank correlation {correlation:+.2f} (at least {self.min_correlation:+.2f} to hold)'
        )
        details = [detail, _ladder_text(means), *outcome.details]
        return dataclasses.replace(
            outcome, verdict=verdict, details=details, unit='points from first to last'
        )


@dataclasses.dataclass(frozen=True)
class GainShare(Contrast):
    """That a point along an axis has reached a share of the gain from its first point to its last.

    The contrast is (score - first) - share * (last - first), in points; where the last is not above the first by its
    own interval, there is no gain to share and nothing is decided.

    Attributes:
        score: a measure of the study.
        axis: its points in the order of the study, or those of `labels`.
        point: the label that is to have reached it.
        share: of the gain, 0 to 1.
        where: axis -> label; other axes are averaged over.
        labels: of the axis, in rising order.
    """

    score: str
    axis: str
    point: str
    share: float = 0.5
    where: Where = dataclasses.field(default_factory=dict)
    labels: Sequence[str] = ()
    margin: float = 0.0
    min_seeds: int = 2

    def terms(self, results: Results) -> list[list[Term]]:
        at, groups = self.where.get('checkpoint'), []
        for ladder in ladders(results, self.axis, self.labels, self.where):
            reached = [p for p in ladder if dict(p.labels)[self.axis] == str(self.point)]
            if len(reached) != 1 or len(ladder) < 3:
                raise UserError(
                    f'GainShare: {self.axis}={self.point} is to be one of three or more points.'
                )
            weights = ((1.0, reached[0]), (self.share - 1, ladder[0]), (-self.share, ladder[-1]))
            groups.append([(weight, self.score, point, at) for weight, point in weights])
        return groups

    def __call__(self, results: Results) -> Outcome:
        outcome = super().__call__(results)
        if math.isnan(outcome.estimate):
            return outcome
        labels = [
            dict(p.labels)[self.axis]
            for p in ladders(results, self.axis, self.labels, self.where)[0]
        ]
        gain = Difference(
            self.score, {self.axis: labels[-1]}, {self.axis: labels[0]}, self.where, min_seeds=self.min_seeds
        )(results)  # fmt: skip
        means = dict(zip(labels, _ladder_means(self, results), strict=True))
        share = (means[str(self.point)] - means[labels[0]]) / (gain.estimate or math.nan)
        detail = (
            f'{share:.0%} of a gain of {gain.estimate:+.1f} points is reached at {self.axis}={self.point}; '
            f'{self.share:.0%} is asked'
        )
        if gain.verdict != 'held':
            detail = f'no gain from first to last to share: {gain.text()}'
        verdict = outcome.verdict if gain.verdict == 'held' else 'inconclusive'
        details = [detail, _ladder_text([*means.values()]), *outcome.details]
        unit = f'points above {self.share:.0%} of the gain'
        return dataclasses.replace(outcome, verdict=verdict, details=details, unit=unit)


@dataclasses.dataclass(frozen=True)
class AllOf:
    """That several rules hold: the worst of their verdicts counts.

    Attributes:
        rules: by what each of them says.
    """

    rules: Mapping[str, Rule]

    def check(self, results: Results) -> None:
        for rule in self.rules.values():
            if check := getattr(rule, 'check', None):
                check(results)

    def __call__(self, results: Results) -> Outcome:
        found = {name: rule(results) for name, rule in self.rules.items()}
        order: tuple[Verdict, ...] = ('missing', 'did not hold', 'inconclusive', 'held')
        verdict = min((one.verdict for one in found.values()), key=order.index)
        details = [
            f'{name}: {", ".join((one.verdict, *one.details))}' for name, one in found.items()
        ]
        missing = [label for one in found.values() for label in one.missing]
        return Outcome(verdict, details=details, parts=found, missing=list(dict.fromkeys(missing)))


def judge(finding: Finding, results: Results) -> Outcome:
    """Returns the outcome of a finding: 'missing' where the results lack what it asks for, as those of a quick study."""
    try:
        return finding.rule(results)
    except MissingError as error:
        return Outcome('missing', missing=error.labels)
    except UserError as error:
        return Outcome('missing', details=[str(error)])


def _ladder_means(rule: Trend | GainShare, results: Results) -> list[float]:
    at = rule.where.get('checkpoint')
    places = ladders(results, rule.axis, rule.labels, rule.where)
    means = [[results.summary(rule.score, p, at).mean for p in ladder] for ladder in places]
    return [float(mean) for mean in np.mean(means, axis=0)]


def _ladder_text(means: Sequence[float]) -> str:
    return f'means {", ".join(f"{mean:.1f}" for mean in means)}'
