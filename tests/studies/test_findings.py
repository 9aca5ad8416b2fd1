"""Rules on made-up tables, those where the finding holds, where it does not, and where nothing is decided."""

import dataclasses
import math

import pytest

from flan_tune.errors import UserError
from flan_tune.studies.findings import AllOf, Difference, Finding, GainShare, Trend, judge
from flan_tune.studies.grid import Run
from flan_tune.studies.results import Measure

from .made_up import AXES, RUNS, noise, results

RISING = {'0': 0, '1': 10, '4': 20, '16': 26, '64': 28}


def rising(sign=1.0, spread=1.0, by_seed=1.0):
    """Scores that rise with the tasks, in most of their gain early; sizes 10 apart."""

    def value(place, seed, task):
        size = 10 * (place['size'] == 'large')
        shared = by_seed * noise('seed', seed) if seed else 0.0
        return (
            40 + sign * RISING[place['tasks']] + size + 5 * noise('task', task) + shared
            + spread * noise(*place.values(), seed, task)
        )  # fmt: skip

    return results(value)


def test_a_trend_that_holds_does_not_hold_or_drowns():
    rule = Trend('held-out', 'tasks')
    outcome = rule(rising())
    assert outcome.verdict == 'held'
    assert (outcome.seeds, outcome.tasks) == (3, 6)
    # The line through 0, 10, 20, 26, 28 by rank: 4 * (2 * 28 + 26 - 10) / 10.
    assert outcome.estimate == pytest.approx(28.8, abs=1.0)
    assert outcome.low < 28.8 < outcome.high
    assert 'rank correlation +1.00' in outcome.details[0]
    assert rule(rising(-1)).verdict == 'did not hold'
    assert Trend('held-out', 'tasks', falls=True)(rising(-1)).verdict == 'held'
    assert rule(rising(0, spread=10)).verdict == 'inconclusive'


def test_a_trend_at_one_place_and_over_some_labels():
    at = {'size': 'small', 'run': 'tuned'}
    found = Trend('held-out', 'tasks', at, labels=['4', '64'])(rising(spread=0, by_seed=0))
    assert found.estimate == pytest.approx(8.0) and found.verdict == 'held'
    assert Trend('held-out', 'size', {'run': 'tuned'})(rising()).estimate == pytest.approx(
        10, abs=1
    )


def test_a_rise_at_the_end_alone_is_no_trend():
    def value(place, seed, task):
        return {'0': 20, '1': 15, '4': 10, '16': 5, '64': 90}[place['tasks']] + noise(seed, task)

    outcome = Trend('held-out', 'tasks')(results(value))
    assert outcome.low > 0 and outcome.verdict == 'inconclusive'
    assert 'rank correlation +0.00' in outcome.details[0]


def test_a_difference_with_margins():
    rule = Difference(
        'held-out', higher={'run': 'tuned', 'tasks': '64'}, lower={'run': 'before', 'tasks': '0'}
    )
    found = rising()
    assert rule(found).verdict == 'held'
    assert rule(found).estimate == pytest.approx(28, abs=1.5)
    assert dataclasses.replace(rule, margin=40.0)(found).verdict == 'did not hold'
    # Not much worse: 20 and 26 tasks' scores are 6 apart.
    no_worse = Difference('held-out', {'tasks': '4'}, {'tasks': '16'}, margin=-12.0)
    assert no_worse(found).verdict == 'held'
    assert dataclasses.replace(no_worse, margin=-2.0)(found).verdict == 'did not hold'
    assert dataclasses.replace(no_worse, margin=-2.0)(found).details == ['margin -2 points']


def test_a_difference_is_paired_by_seed():
    """Seeds that differ by far more than the two sides do not hide the difference between these."""

    def value(place, seed, task):
        return (
            50
            + 30 * noise('seed', seed)
            + 2 * (place['tasks'] == '4')
            + 0.2 * noise(*place.values(), seed, task)
        )

    rule = Difference('held-out', {'tasks': '4'}, {'tasks': '1'}, {'run': 'tuned'})
    outcome = rule(results(value, seeds=[1, 2, 3]))
    assert outcome.verdict == 'held' and outcome.estimate == pytest.approx(2, abs=0.2)


def test_seeds_that_disagree_decide_nothing():
    def value(place, seed, task):
        return 50 + (place['tasks'] == '4') * (5 if seed != 3 else -4)

    rule = Difference('held-out', {'tasks': '4'}, {'tasks': '1'}, {'run': 'tuned'})
    assert rule(results(value)).verdict == 'inconclusive'


def test_one_seed_decides_nothing_unless_it_is_to():
    found = results(lambda place, seed, task: int(place['tasks']) + noise(task), seeds=[1])
    rule = Difference('held-out', {'tasks': '64'}, {'tasks': '1'}, {'run': 'tuned'})
    assert rule(found).verdict == 'inconclusive'
    assert dataclasses.replace(rule, min_seeds=1)(found).verdict == 'held'
    shared = Difference('held-out', {'size': 'large'}, {'size': 'small'}, {'run': 'before'})
    assert shared(found).seeds == 1


def test_sides_of_other_scores_and_checkpoints():
    found = results(
        lambda place, seed, task: 10.0 if task < 3 else 30.0,
        measures={'a': Measure(tasks='task_[012]'), 'b': Measure(tasks='task_[345]')},
    )
    rule = Difference('a', {'score': 'b'}, {}, {'run': 'tuned', 'tasks': '4'})
    outcome = rule(found)
    # No task is in both, so that the pairs are the seeds' means.
    assert (outcome.estimate, outcome.seeds, outcome.tasks) == (20.0, 3, 1)
    before = Difference('a', {}, {'checkpoint': 'before'}, {'run': 'tuned', 'tasks': '4'})
    assert before(found).verdict == 'missing'


def test_a_share_of_the_gain():
    rule = GainShare('held-out', 'tasks', '4', share=0.5)
    outcome = rule(rising(spread=0.0, by_seed=0.0))
    assert outcome.verdict == 'held'
    assert '71% of a gain of +28' in outcome.details[0]
    assert dataclasses.replace(rule, share=0.9)(rising()).verdict == 'did not hold'
    flat = rule(results(lambda place, seed, task: 10 * noise(*place.values(), seed, task)))
    assert flat.verdict == 'inconclusive' and 'no gain' in flat.details[0]
    # A loss has no share that is reached.
    assert rule(rising(-1)).verdict == 'inconclusive'


def test_all_of_several_is_the_worst_of_them():
    good, bad = Trend('held-out', 'tasks'), Trend('held-out', 'tasks', falls=True)
    open_ = Difference('held-out', {'tasks': '64'}, {'tasks': '1'}, {'run': 'tuned'}, min_seeds=9)
    found = rising()
    assert AllOf({'one': good, 'two': good})(found).verdict == 'held'
    assert AllOf({'one': good, 'two': open_})(found).verdict == 'inconclusive'
    outcome = AllOf({'one': good, 'two': bad, 'three': open_})(found)
    assert outcome.verdict == 'did not hold'
    assert outcome.details[0].startswith('one: held, rank correlation +1.00')
    assert outcome.details[1].startswith('two: did not hold, ')
    assert outcome.details[2] == 'three: inconclusive'
    assert outcome.text() == '; '.join(
        f'{name}: {part.text()}' for name, part in outcome.parts.items()
    )


def test_runs_that_are_missing_are_named_and_other_seeds_go_on():
    rule = Difference('held-out', {'tasks': '4'}, {'tasks': '1'}, {'run': 'tuned', 'size': 'large'})
    lost = [f'tuned/size=large/tasks=4/seed_{seed}' for seed in (1, 2, 3)]
    outcome = rule(results(lambda p, s, t: int(p['tasks']) + noise(s, t), lost=lost))
    assert outcome.verdict == 'missing' and list(outcome.missing) == lost
    assert math.isnan(outcome.estimate) and outcome.text() == '–'
    outcome = rule(results(lambda p, s, t: int(p['tasks']) + noise(s, t), lost=lost[:1]))
    assert outcome.seeds == 2 and outcome.estimate == pytest.approx(3)


def test_a_rule_of_ones_own():
    finding = Finding('s', 'p', 'f', lambda found: Trend('held-out', 'tasks')(found))
    assert judge(finding, rising()).verdict == 'held'


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        (Trend('heldout', 'tasks'), "no score 'heldout'. Did you mean held-out?"),
        (Trend('held-out', 'task'), "no axis 'task'. Did you mean tasks?"),
        (Trend('held-out', 'tasks', {'size': 'huge'}), 'no run of the study has size=huge'),
        (Trend('held-out', 'size', {'tasks': ['0', '1']}), 'say in `where`'),
        (GainShare('held-out', 'tasks', '5'), 'one of three or more points'),
        (Difference('held-out', {'run': 'tuned'}, {'run': 'before'}), 'run at different places'),
        (Difference('held-out', {'tasks': ['1', '4']}, {'tasks': '16'}), 'is not one place'),
        (AllOf({'x': Trend('held-out', 'task')}), "no axis 'task'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(rule, message):
    nothing = results(lambda *_: 0.0, lost=[job for job in _labels()])
    with pytest.raises(UserError) as error:
        rule.check(nothing)
    assert message in str(error.value)


def test_axes_of_a_grid_with_holes():
    runs = {'tuned': Run('train', over=['size', 'tasks'], only=[{'size': 'small'}, {'tasks': '4'}])}
    found = results(lambda p, s, t: int(p['tasks']), axes=AXES, runs=runs)
    with pytest.raises(UserError, match='every place needs one run'):
        Trend('held-out', 'tasks').check(found)
    Trend('held-out', 'tasks', {'size': 'small'}).check(found)


def _labels():
    from flan_tune.studies.grid import Grid

    return [job.label for job in Grid('/nowhere', AXES, RUNS, (1, 2, 3)).jobs()]
