"""Compute of one run as a share of that of another, from what runs took (`flan_tune.studies.plans.effort`)."""

import dataclasses
from collections.abc import Mapping

import gin
import numpy as np

from flan_tune.errors import UserError
from flan_tune.studies.contrasts import Outcome, Where, one_each, rest
from flan_tune.studies.grid import Point
from flan_tune.studies.results import MissingError, Results


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ComputeShare:
    """That a part is at most a share of a whole at every place (Chung et al. 2022, table 2).

    There is no interval: what a run computes follows from its configuration.

    Attributes:
        score: a measure of the study, such as FLOPs or seconds.
        part, whole: the places: axis -> label; also 'run'. Other axes are compared place by place.
        at_most: 0 to 1.
    """

    score: str
    part: Where
    whole: Where
    at_most: float

    def check(self, results: Results) -> None:
        """Raises a UserError where the study has not the points and scores that the rule names."""
        results.measure(self.score)
        self._pairs(results)

    def __call__(self, results: Results) -> Outcome:
        shares, missing = {}, []
        for place, points in self._pairs(results).items():
            try:
                part, whole = (results.summary(self.score, point).mean for point in points)
            except MissingError as error:
                missing += error.labels
                continue
            shares[', '.join(f'{axis} {label}' for axis, label in place) or 'share'] = part / whole
        if missing:
            return Outcome('missing', missing=list(dict.fromkeys(missing)))
        held = max(shares.values()) <= self.at_most
        details = [f'{name}: {share:.1%}' for name, share in shares.items()]
        return Outcome(
            'held' if held else 'did not hold',
            100 * float(np.mean([*shares.values()])),
            unit='% of the whole',
            seeds=len(results.seeds),
            details=[*details, f'at most {self.at_most:.1%} is asked'],
        )

    def _pairs(self, results: Results) -> Mapping[tuple, tuple[Point, Point]]:
        named = {*self.part, *self.whole, 'run'}
        sides = [
            {rest(p, named): p for p in one_each(results.select(place), named, place)}
            for place in (self.part, self.whole)
        ]
        if sides[0].keys() != sides[1].keys():
            raise UserError(
                f'ComputeShare of {dict(self.part)} in {dict(self.whole)}: they are run at different places.'
            )
        return {place: (point, sides[1][place]) for place, point in sides[0].items()}
