"""Lines of recorded predictions: likelihoods of options, and templates."""

import json

import pytest
import seqio

from flan_tune.data.prompts import Prompt
from flan_tune.data.sources import GeneratedSource
from flan_tune.data.tasks import register_task
from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.scoring import score_recorded
from flan_tune.evaluation.suites import definition as suites
from flan_tune.evaluation.suites.definition import Protocol, Suite, register_suite
from flan_tune.evaluation.suites.registered import task_suite

COMMENTS = {'no': 0.0, 'nay': 0.1, 'yes': 0.9, 'yea': 1.0}


@pytest.fixture
def comments(tmp_path):
    """Four comments of CivilComments, made up; the last two are toxic."""
    rows = [f'{text},{share}' for text, share in COMMENTS.items()]
    folder = tmp_path / 'civil_comments'
    folder.mkdir()
    (folder / 'test_public_expanded.csv').write_text('comment_text,toxicity\n' + '\n'.join(rows))
    return folder


def scored(folder, rows, **options):
    path = folder.parent / 'civil_comments.jsonl'
    path.write_text('\n'.join(map(json.dumps, rows)))
    table, report = score_recorded('civil_comments', 'rank', 0, path, folder=folder, **options)
    return {s.metric: s.value for s in table}, report['tasks']['civil_comments']


@pytest.mark.parametrize('name', ['log_likelihoods', 'ranked_by'])
def test_an_area_under_a_curve_from_recorded_likelihoods(comments, name):
    options = next(iter(suites.open_suite('civil_comments', comments).tasks.values())).questions[0]
    yes = options.options.index('yes')
    rows = []
    for index, value in enumerate((-3.0, -1.0, -2.0, -0.5)):
        values = [-1.5, -1.5]
        values[yes] = value
        rows.append({'index': index, name: values})
    values, report = scored(comments, rows)
    # Of four pairs of a toxic comment and another one, three are in order; the best option is the prediction.
    assert values == {'accuracy': 50.0, 'auc_roc': 75.0}
    assert not report['lacking']
    # A prediction beside them counts; `ranked_by` comes before `log_likelihoods`.
    rows = [row | {'prediction': 'no', 'log_likelihoods': row[name][::-1]} for row in rows]
    values, _ = scored(comments, rows)
    assert values == {'accuracy': 50.0, 'auc_roc': 75.0 if name == 'ranked_by' else 25.0}


def test_without_likelihoods_there_is_no_such_score_and_that_is_said(comments):
    rows = [{'index': k, 'prediction': 'no'} for k in range(4)]
    rows[0]['log_likelihoods'] = [-1, -2.5]
    values, report = scored(comments, rows)
    assert values == {'accuracy': 50.0}
    assert 'auc_roc cannot be computed' in report['lacking']
    assert 'question 1 has 0 likelihoods for 2 options' in report['lacking']


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ([-1.0], 'a number for each of the 2 options, and has 1'),
        ({'yes': -1.0}, 'has no list'),
        ([-1.0, float('nan')], 'holds nan, not a finite number'),
        ([-1.0, float('-inf')], 'holds -inf'),
        ([-1.0, None], 'holds None'),
        ([-1.0, True], 'holds True'),
        (['-1.0', -2.0], "holds '-1.0'"),
    ],
)
def test_likelihoods_that_cannot_be_are_named_by_line(comments, values, message):
    rows = [{'index': 0, 'prediction': 'no'}, {'index': 1, 'log_likelihoods': values}]
    with pytest.raises(UserError, match='civil_comments.jsonl:2: `log_likelihoods` ') as error:
        scored(comments, rows)
    assert message in str(error.value)
    _, report = scored(comments, rows, on_bad_record='skip')
    assert (report['n'], len(report['malformed'])) == (1, 1)


@pytest.fixture
def towns(monkeypatch, tmp_path):
    """A suite of one registered task, whose records are asked with two templates each."""

    def town(split, index):
        return {'land': f'{split} {index}', 'options': ['Rome', 'Oslo'], 'answer': 'Rome'}

    register_task(
        'recorded_towns',
        source=GeneratedSource(town, {'validation': 3}),
        prompts=[
            Prompt('Capital of {land}?\n{options}', name='asks'),
            Prompt('{land} has which capital?', 'It is {answer}', name='states'),
        ],
    )
    suites.suite_names()
    monkeypatch.setattr(suites, '_definitions', dict(suites._definitions))
    protocols = {'rank': Protocol(0, 'accuracy')}
    definition = task_suite('towns', 'recorded_towns', templates='each', protocols=protocols)
    yield Suite(register_suite(definition), tmp_path)
    seqio.TaskRegistry.remove('recorded_towns')


def test_a_record_has_a_prediction_for_each_template(towns, tmp_path):
    path = tmp_path / 'recorded_towns.jsonl'

    def score(rows):
        path.write_text('\n'.join(map(json.dumps, rows)))
        return score_recorded(towns, 'rank', 0, path)

    rows = [
        {'index': 2, 'template': 'states', 'prediction': 'It is Rome'},
        {'index': 0, 'template': 'states', 'prediction': 'Oslo'},
        {'index': 0, 'template': 'asks', 'log_likelihoods': [-1, -2]},
        {'id': 'recorded_towns-asks-1', 'prediction': 'Oslo'},
    ]
    table, report = score(rows)
    found = {(s.template, s.value, s.n) for s in table if s.metric == 'accuracy'}
    assert found == {('asks', 50.0, 2), ('states', 50.0, 2)}
    assert report['tasks']['recorded_towns']['missing'] == 2
    for row, message in (
        ({'index': 0, 'prediction': 'Oslo'}, "no `template`; each record is asked with 'asks', 's"),
        ({'index': 0, 'template': 'ask', 'prediction': 'Oslo'}, "template 'ask'; each record"),
        ({'index': 3, 'template': 'asks', 'prediction': 'Oslo'}, 'no record 3 is asked with'),
    ):
        with pytest.raises(UserError, match=f'recorded_towns.jsonl:1: {message}'):
            score([row])
