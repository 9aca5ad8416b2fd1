import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.averages.flan import (
    fiat_averages,
    flan_averages,
    language_mean,
    over_templates,
)
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites import definition as suites
from flan_tune.tasks.suites import flan2021, xor_attriqa, xtreme_up


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    suites.suite_names()
    monkeypatch.setattr(suites, '_definitions', dict(suites._definitions))
    for module in (flan2021, xor_attriqa, xtreme_up):
        for definition in module.SUITES:
            suites.register_suite(definition)


def row(suite, task, value, template='', metric='accuracy', shots=0, checkpoint='after'):
    return Score(checkpoint, suite, task, 'rank', shots, template, metric, value, 100)


def templates(suite, task, values, **changes):
    return [row(suite, task, value, str(k), **changes) for k, value in enumerate(values)]


def test_mean_median_and_quartiles_over_templates():
    rows = templates('t0_held_out', 'rte', [50, 60, 70, 90, 80])
    found = over_templates(ScoreTable([*rows, row('t0_held_out', 'rte', 1)]), 't0_held_out')['rte']
    assert (found.mean, found.median, found.low, found.high) == (70, 70, 60, 80)
    assert found.templates['3'] == 90
    assert found.metric == 'accuracy'


def test_each_task_has_its_own_metric():
    rows = [
        row('s', 'squad', 40, metric='em'),
        row('s', 'squad', 50, metric='f1'),
        row('s', 'fren', 1, metric='exact_match'),
        row('s', 'fren', 30, metric='bleu'),
        row('s', 'xsum', 20, metric='rougeL'),
        row('s', 'xsum', 2, metric='exact_match'),
    ]
    found = over_templates(ScoreTable(rows), 's')
    assert {name: (o.metric, o.mean) for name, o in found.items()} == {
        'squad': ('f1', 50),
        'fren': ('bleu', 30),
        'xsum': ('rougeL', 20),
    }
    assert over_templates(ScoreTable(rows), 's', metric='em')['squad'].mean == 40


def test_two_scores_of_one_template_are_not_mixed():
    rows = [*templates('s', 'rte', [1, 2]), *templates('s', 'rte', [3, 4], shots=5)]
    with pytest.raises(UserError, match='several scores of a template'):
        over_templates(ScoreTable(rows), 's')
    assert over_templates(ScoreTable(rows), 's', shots=5)['rte'].mean == 3.5
    with pytest.raises(UserError, match='no score with'):
        over_templates(ScoreTable(rows), 's', checkpoint='before')


def test_flans_two_figures():
    rows = [
        *templates('flan2021_rank', 'rte', [50, 90, 70]),
        *templates('flan2021_rank_dev', 'rte', [55, 60, 60]),
        *templates('flan2021_rank', 'cb', [10, 30]),
        *templates('flan2021_rank', 'copa', [80]),
        *templates('flan2021_rank_dev', 'copa', [70]),
        row('flan2021_rank', 'rte', 99, '1', shots=5),
    ]
    found = flan_averages(ScoreTable(rows))
    rte = found.data_sets['rte']
    # The first of two templates that are equal on dev.
    assert (rte.mean, rte.best, rte.template, rte.dev) == (70, 90, '1', 60)
    assert found.data_sets['cb'].best is None
    assert found.without_dev == ('cb',)
    assert found.clusters == {
        'natural language inference': (45, 90),
        'commonsense': (80, 80),
    }
    assert found.partial
    assert 'snli' in found.missing
    with pytest.raises(UserError, match="'bbh' has no dev suite"):
        flan_averages(ScoreTable(rows), 'bbh')


def test_flan_without_dev_scores():
    found = flan_averages(ScoreTable(templates('flan2021_rank', 'rte', [50, 90])))
    assert found.clusters == {'natural language inference': (70, None)}


def test_dev_scores_of_another_checkpoint_choose_nothing():
    rows = templates('flan2021_rank', 'rte', [50, 90])
    rows += templates('flan2021_rank_dev', 'rte', [1, 2], checkpoint='before')
    found = flan_averages(ScoreTable(rows), checkpoint='after')
    assert found.data_sets['rte'].best is None


def test_means_over_under_represented_languages():
    rows = [
        row('xtreme_up_qa', language, value, metric='token_f1')
        for language, value in (('as', 10), ('bn', 40), ('ar', 99), ('hi', 99), ('te', 70))
    ]
    found = language_mean(ScoreTable(rows), 'xtreme_up_qa', 'token_f1')
    assert (found.value, found.languages, len(found.missing)) == (40, 3, 18)
    assert language_mean(ScoreTable(rows), 'xtreme_up_qa', 'token_f1', group='indic').value == 10
    with pytest.raises(UserError, match="no group 'greek': indic"):
        language_mean(ScoreTable(rows), 'xtreme_up_qa', 'token_f1', group='greek')
    twice = ScoreTable([*rows, row('xtreme_up_qa', 'as', 1, metric='token_f1', shots=4)])
    with pytest.raises(UserError, match='several scores of a language'):
        language_mean(twice, 'xtreme_up_qa', 'token_f1')
    assert language_mean(twice, 'xtreme_up_qa', 'token_f1', shots=4).value == 1


def test_fiats_figures():
    rows = [
        row('xor_attriqa', language, value, metric=metric)
        for language, value in zip(xor_attriqa.LANGUAGES, (50, 60, 70, 80, 90), strict=True)
        for metric in ('accuracy', 'auc_pr')
    ]
    rows += [row('xtreme_up_qa', 'as', 20, metric='token_f1', checkpoint='other')]
    found = fiat_averages(ScoreTable(rows))
    assert {name: mean.value for name, mean in found.items()} == {
        'xor_attriqa_accuracy': 70,
        'xor_attriqa_auc_pr': 70,
        'xtreme_up_f1': 20,
        'xtreme_up_indic_f1': 20,
    }
    assert found['xor_attriqa_accuracy'].missing == ()
    assert 'xtreme_up_f1' not in fiat_averages(ScoreTable(rows), checkpoint='after')
    with pytest.raises(UserError, match='no score of xor_attriqa in token_f1'):
        language_mean(ScoreTable(rows), 'xor_attriqa', 'token_f1')
