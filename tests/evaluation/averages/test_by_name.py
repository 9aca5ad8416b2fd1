"""The averages that a table has, by name: each with its parts, and what it lacks."""

import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.averages import by_name
from flan_tune.evaluation.averages.by_name import average_names, find_average, find_averages
from flan_tune.evaluation.averages.opt_iml import Described
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites import definition as suites
from flan_tune.evaluation.suites.definition import Protocol, SuiteDefinition, find_suite


def row(suite, task, protocol, value, metric='accuracy', template='', shots=0):
    return Score('after', suite, task, protocol, shots, template, metric, value, 100)


def rows(suite, protocol, value, name=''):
    """One score for all tasks of a suite, in its metric and with its shots."""
    default = find_suite(suite).protocol(protocol)
    return [
        row(suite, task, name or protocol, value, default.metric, shots=default.shots)
        for task in find_suite(suite).chances
    ]


def found(*scores):
    result = find_averages(ScoreTable(scores))
    json.dumps(result, allow_nan=False)
    assert not result['not_averaged']
    return result['averages']


def values(means):
    return {name: pytest.approx(mean['value']) for name, mean in means.items()}


def test_the_normalized_average_of_the_embedded_world():
    scores = [
        *rows('mini_mmlu', 'direct', 40.0),
        *rows('mini_mmlu', 'cot', 55.0),
        *rows('mini_tydiqa', 'direct', 30.0),
        *rows('mini_mgsm', 'cot', 10.0),
    ]
    means = found(*scores)
    whole = means['mini_normalized_average']
    assert whole['value'] == pytest.approx((20 + 40 + 30 + 10) / 4)
    assert whole['missing'] == ('mini BBH-Direct', 'mini BBH-CoT') and whole['partial']
    assert values(means)['mini_cot_average'] == 25
    assert values(means)['mini_non_cot_average'] == 25
    assert 'normalized_average' not in means
    assert values(means)['mini_mmlu-direct-things'] == 40
    complete = found(*scores, *rows('mini_bbh', 'direct', 50.0), *rows('mini_bbh', 'cot', 50.0))
    assert not complete['mini_normalized_average']['partial']
    assert find_average(ScoreTable(scores), 'mini_normalized_average').value == whole['value']
    assert find_average(ScoreTable(scores), 'exact_match') is None


def test_self_consistency_has_averages_of_its_own():
    scores = [
        *rows('mgsm', 'cot', 10.0),
        *rows('mgsm', 'cot', 30.0, 'cot_40_chains'),
        *rows('tydiqa', 'direct', 50.0),
        *rows('tydiqa', 'direct', 90.0, 'direct_40_chains'),
    ]
    expected = {
        'normalized_average': 30,
        'normalized_average_40_chains': 40,  # Direct answers are the greedy ones where there are some.
        'cot_average': 10,
        'cot_average_40_chains': 30,
        'non_cot_average': 50,
    }
    assert values(found(*scores)).items() >= expected.items()
    only = found(*rows('tydiqa', 'direct', 90.0, 'direct_40_chains'))
    assert set(only) == {'normalized_average_40_chains', 'non_cot_average_40_chains'}


def test_other_ways_to_rank_stay_out_of_the_plain_averages():
    means = found(*rows('mmlu', 'rank', 50.0), *rows('mmlu', 'rank', 90.0, 'rank_by_token'))
    assert values(means)['non_cot_average'] == pytest.approx(100 / 3)
    assert values(means)['mmlu-rank_by_token-stem'] == 90


def test_flans_figures_and_the_median_over_templates():
    scores = [row('flan2021_rank', 'rte', 'rank', v, template=str(v)) for v in (50, 90)]
    scores += [row('flan2021_rank_dev', 'rte', 'rank', v / 2, template=str(v)) for v in (50, 90)]
    scores += [row('flan2021_rank', 'copa', 'rank', 30, template='a')]
    scores += [row('t0_held_out', 'wic', 'rank', v, template=str(v)) for v in (10, 20, 60)]
    means = found(*scores)
    mean, best = (means[f'flan2021_rank_{n}'] for n in ('template_mean', 'best_dev_template'))
    assert mean['value'] == pytest.approx((70 + 30) / 2) and mean['partial']
    assert [(p['name'], p['value'], p['note']) for p in best['parts']] == [('rte', 90, '90')]
    assert 'copa on dev' in best['missing']
    assert values(means)['flan2021_rank-rank-commonsense'] == 30
    assert means['t0_held_out_template_median']['value'] == 20


def test_fiats_means():
    means = found(
        *rows('xor_attriqa', 'rank', 60.0),
        *(row('xtreme_up_qa', name, 'direct', 40, 'token_f1') for name in ('as', 'te')),
    )
    assert values(means).items() >= {'xor_attriqa_accuracy': 60, 'xtreme_up_f1': 40}.items()
    assert not means['xor_attriqa_accuracy']['partial']
    assert means['xtreme_up_f1']['partial']
    assert 'xor_attriqa_auc_pr' not in means


def test_opt_imls_levels(monkeypatch):
    suite, tasks = 'opt_iml_validation_rank', {'wic': 0.0, 'rte': 0.0, 'snli': 0.0}
    protocols = {'rank': Protocol(0, 'accuracy')}
    suites.suite_names()
    monkeypatch.setattr(suites, '_definitions', dict(suites._definitions))
    suites.register_suite(SuiteDefinition(suite, '', protocols, tasks, lambda _: []))
    described = {
        'wic': Described('WiC', 'Word Sense', 'P3', 'fully_held_out'),
        'rte': Described('RTE', 'Entailment', 'P3', 'fully_held_out'),
        'snli': Described('SNLI', 'Entailment', 'P3', 'fully_supervised'),
    }
    monkeypatch.setattr(by_name, 'bench_descriptions', {'validation': described}.get)
    scores = [row(suite, 'wic', 'rank', value, shots=s) for s, value in ((0, 40), (5, 60))]
    scores += [row(suite, 'wic', 'rank_by_token', 99), row(suite, 'snli', 'direct', 7)]
    levels = found(*scores, row(suite, 'rte', 'rank', 20, shots=0))
    held_out = levels['opt_iml_validation_fully_held_out']
    assert (held_out['value'], held_out['missing']) == (40, ('rte at 5 shots',))
    parts = {part['name']: part['value'] for part in held_out['parts']}
    assert parts == {'Word Sense': 50, 'Entailment': 20}
    assert values(levels)['opt_iml_validation_fully_supervised'] == 7
    assert find_average(ScoreTable(scores), 'opt_iml_validation_partially_supervised') is None


def test_what_is_not_clear_is_said_and_the_rest_is_averaged():
    scores = [row('bbh', 'snarks', 'cot', 50, 'exact_match', shots=k) for k in (0, 2)]
    means = find_averages(ScoreTable([*scores, *rows('mgsm', 'cot', 10.0)]))
    assert means['averages'] == {}
    assert len(means['not_averaged']) == 3
    assert 'cot_average: bbh cot exact_match: the table has shots 0, 2' in str(means)
    with pytest.raises(UserError, match='shots 0, 2; say which'):
        find_average(ScoreTable(scores), 'normalized_average')


def test_names_before_there_is_a_score():
    flan = set(average_names([('flan2021_rank', 'rank')]))
    assert {'flan2021_rank_template_mean', 'flan2021_rank-rank-commonsense'} < flan
    runs = [('bbh', 'cot_5_chains'), ('xtreme_up_qa', 'direct')]
    assert set(average_names(runs)) == {
        'normalized_average_5_chains', 'cot_average_5_chains', 'bbh-cot_5_chains-nlp', 'bbh-cot_5_chains-alg',
        'xtreme_up_f1', 'xtreme_up_indic_f1', 'xtreme_up_qa-direct-indic', 'xtreme_up_qa-direct-xor_tydi',
    }  # fmt: skip
    assert average_names([('towns', 'rank')]) == []
