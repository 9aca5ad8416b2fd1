import dataclasses
import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.averages.flan2022 import aggregates, average, normalized, suite_mean
from flan_tune.evaluation.recorded.scoring import score_recorded
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import find_suite


def row(suite, task, protocol, value, metric='exact_match', shots=3, checkpoint='after'):
    return Score(checkpoint, suite, task, protocol, shots, '', metric, value, 100)


def rows(suite, protocol, value, **changes):
    """One score for all the tasks of a suite."""
    metric = find_suite(suite).protocol(protocol).metric
    return [
        row(suite, task, protocol, value, metric, **changes) for task in find_suite(suite).chances
    ]


@pytest.fixture(scope='module')
def published(data_dir):
    return json.loads((data_dir / 'flan_meta' / 'reported_results.json').read_text())


def table_of(published, model):
    scores = dict(zip(published['columns'], published['rows'][model], strict=True))
    tasks = published['bbh_per_task'][model]
    return ScoreTable(
        [
            *rows('mmlu', 'direct', scores['MMLU-Direct'], shots=5),
            *rows('mmlu', 'cot', scores['MMLU-CoT'], shots=5),
            *rows('tydiqa', 'direct', scores['TyDiQA-Direct'], shots=1),
            *rows('mgsm', 'cot', scores['MGSM-CoT'], shots=8),
            *(row('bbh', task, 'direct', value) for task, value in tasks['direct'].items()),
            *(row('bbh', task, 'cot', value) for task, value in tasks['cot'].items()),
            row('tydiqa', 'english', 'direct', 99.0, 'em', 1),
            row('mgsm', 'mgsm_en', 'cot', 99.0, shots=8),
        ]
    )


@pytest.mark.parametrize('model', ['T5-Small', 'Flan-T5-XXL'])
def test_published_normalized_averages(published, model):
    table = table_of(published, model)
    found = average(table)
    assert round(found.value, 1) == published['rows'][model][0]
    assert [part.name for part in found.parts] == published['columns'][1:]
    assert not found.partial
    for part, value in zip(found.parts, published['rows'][model][1:], strict=True):
        assert part.raw == pytest.approx(value, abs=0.06), part.name
    parts = {part.name: part.normalized for part in found.parts}
    cot, non_cot = average(table, 'cot_average'), average(table, 'non_cot_average')
    assert cot.value == pytest.approx(
        (parts['MMLU-CoT'] + parts['BBH-CoT'] + parts['MGSM-CoT']) / 3
    )
    assert non_cot.value == pytest.approx(
        (parts['MMLU-Direct'] + parts['BBH-Direct'] + parts['TyDiQA-Direct']) / 3
    )


def test_chances_of_bbh_are_the_published_ones(data_dir):
    published = json.loads((data_dir / 'bbh' / 'random_baseline.json').read_text())
    assert find_suite('bbh').chances == published


def test_a_score_below_chance_stays_negative():
    assert normalized(0, 25) == pytest.approx(-100 / 3)
    assert normalized(25, 25) == 0
    assert normalized(100, 25) == 100
    assert suite_mean(ScoreTable(rows('mmlu', 'cot', 5.6, shots=5)), 'mmlu', 'cot').normalized < 0


def test_what_is_missing_is_named_and_marks_the_average():
    bbh = [score for score in rows('bbh', 'direct', 60.0) if score.task != 'navigate']
    table = ScoreTable([*bbh, *rows('mgsm', 'cot', 10.0, shots=8)])
    mean = suite_mean(table, 'bbh', 'direct')
    assert (mean.raw, mean.tasks, mean.missing, mean.partial) == (60.0, 26, ('navigate',), True)
    found = average(table)
    assert found.partial
    assert found.missing == ('MMLU-Direct', 'MMLU-CoT', 'BBH-CoT', 'TyDiQA-Direct')
    assert found.value == pytest.approx((mean.normalized + 10.0) / 2)
    with pytest.raises(UserError, match='none of MMLU-Direct'):
        average(ScoreTable())


def test_ranked_scores_stand_in_for_generated_ones():
    ranked = rows('mmlu', 'rank', 50.0, shots=5)
    (part,) = average(ScoreTable(ranked)).parts
    assert (part.name, part.protocol, part.raw) == ('MMLU-Direct', 'rank', 50.0)
    (part,) = average(ScoreTable([*ranked, *rows('mmlu', 'direct', 40.0, shots=5)])).parts
    assert (part.protocol, part.raw) == ('direct', 40.0)


def test_another_suite_can_stand_for_a_part():
    table = ScoreTable(
        [*rows('mmlu', 'cot', 40.0, shots=5), *rows('mmlu_validation', 'cot', 55.0, shots=5)]
    )
    assert average(table, 'cot_average').raw == 40.0
    other = average(table, 'cot_average', suites={'mmlu': 'mmlu_validation'})
    assert other.raw == 55.0


def test_which_rows_are_meant_must_be_clear():
    table = ScoreTable([*rows('bbh', 'cot', 10.0, shots=0), *rows('bbh', 'cot', 30.0, shots=3)])
    assert suite_mean(table, 'bbh', 'cot').raw == 30.0
    assert suite_mean(table, 'bbh', 'cot', shots=0).raw == 10.0
    with pytest.raises(UserError, match='with shots 2; it has shots 0, 3'):
        suite_mean(table, 'bbh', 'cot', shots=2)
    others = ScoreTable([*rows('bbh', 'cot', 10.0, shots=0), *rows('bbh', 'cot', 30.0, shots=1)])
    with pytest.raises(UserError, match='shots 0, 1; say which'):
        suite_mean(others, 'bbh', 'cot')
    before = rows('bbh', 'cot', 5.0, checkpoint='before')
    both = table.merge(before)
    with pytest.raises(UserError, match='checkpoint after, before; say which'):
        suite_mean(both, 'bbh', 'cot')
    assert average(both, checkpoint='before').raw == 5.0
    with pytest.raises(UserError, match="no group 'nlq': nlp, alg"):
        suite_mean(table, 'bbh', 'cot', group='nlq')
    with pytest.raises(UserError, match='no average'):
        average(table, 'mean')


def test_templates_of_a_task_are_averaged_first():
    bbh = rows('bbh', 'direct', 50.0)
    other = [dataclasses.replace(bbh[0], template='b', value=77.0)]
    assert suite_mean(ScoreTable([*bbh, *other]), 'bbh', 'direct').raw == pytest.approx(50.5)


def test_halves_of_bbh(data_dir):
    """Published means of code-davinci-002 over the 12 language tasks: 66.4 direct, 73.5 with chains."""
    outputs = data_dir / 'bbh' / 'codex_outputs'
    for protocol, expected in (('direct', 66.4), ('cot', 73.5)):
        table, _ = score_recorded('bbh', protocol, 3, outputs / protocol)
        half = suite_mean(table, 'bbh', protocol, group='nlp')
        assert (half.tasks, half.missing) == (12, ())
        assert round(half.raw, 1) == expected
    groups = find_suite('bbh').groups
    assert sorted([*groups['nlp'], *groups['alg']]) == sorted(find_suite('bbh').chances)


def test_all_aggregates_as_json(published):
    found = json.loads(json.dumps(aggregates(table_of(published, 'Flan-T5-XXL')), allow_nan=False))
    assert set(found['averages']) == {'normalized_average', 'cot_average', 'non_cot_average'}
    assert round(found['averages']['normalized_average']['value'], 1) == 23.7
    assert found['averages']['normalized_average']['parts'][0]['partial'] is False
    assert {'bbh-direct', 'bbh-direct-nlp', 'bbh-cot-alg', 'mmlu-direct-stem'} <= set(
        found['suites']
    )
    assert found['suites']['mgsm-cot']['raw'] == pytest.approx(4.9)
    assert aggregates(ScoreTable()) == {'suites': {}, 'averages': {}}
    only_direct = aggregates(ScoreTable(rows('bbh', 'direct', 60.0)))
    assert set(only_direct['averages']) == {'normalized_average', 'non_cot_average'}
