import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.averages.opt_iml import (
    Described,
    as_json,
    bench_descriptions,
    opt_iml_averages,
)
from flan_tune.evaluation.scores import Score, ScoreTable

HELD_OUT, SEEN = 'fully_held_out', 'fully_supervised'
TASKS = {
    'ps_copa': Described('COPA', 'Cause', 'PromptSource', HELD_OUT, 'accuracy'),
    'ni_copa_1': Described('COPA', 'Cause', 'SuperNatInst', HELD_OUT, 'rougeL'),
    'ni_copa_2': Described('COPA', 'Cause', 'SuperNatInst', HELD_OUT, 'rougeL'),
    'ni_glucose': Described('Glucose', 'Cause', 'SuperNatInst', HELD_OUT, 'rougeL'),
    'ni_bard': Described('Bard', 'Analogy', 'SuperNatInst', HELD_OUT, 'rougeL'),
    'fl_squad': Described('SQuAD', 'QA', 'FLAN', SEEN),
}


def row(task, value, shots=0, template='', metric='rougeL', protocol='direct', checkpoint='after'):
    return Score(checkpoint, 'opt_iml', task, protocol, shots, template, metric, value, 250)


def scores():
    return [
        row('ps_copa', 50, template='a', metric='accuracy', protocol='rank'),
        row('ps_copa', 70, template='b', metric='accuracy', protocol='rank'),
        row('ps_copa', 1, template='b', metric='rougeL'),
        row('ni_copa_1', 20),
        row('ni_copa_2', 40),
        row('ni_copa_2', 99, metric='exact_match'),
        row('ni_glucose', 25),
        row('ni_bard', 10),
        row('ni_bard', 90, shots=5),
        row('other', 100),
        row('fl_squad', 60, metric='rougeL'),
        row('fl_squad', 30, metric='exact_match'),
    ]


def test_templates_then_subtasks_then_collections_then_categories_then_shots():
    found = opt_iml_averages(ScoreTable(scores()), TASKS)
    held_out = found[HELD_OUT]
    # COPA: templates of PromptSource 60, subtasks of SuperNatInst 30; over collections 45.
    assert held_out.tasks['Cause']['COPA'] == {0: 45}
    assert held_out.groups['Cause'] == {0: (45 + 25) / 2}
    assert held_out.groups['Analogy'] == {0: 10, 5: 90}
    assert held_out.by_shots == {0: (35 + 10) / 2, 5: 90}
    assert held_out.average == (35 + 10 + 90) / 3
    assert held_out.partial
    assert 'ps_copa at 5 shots' in held_out.missing
    assert not any('at 0 shots' in name for name in held_out.missing)
    # Without a metric of its own, ROUGE-L comes before exact match.
    assert found[SEEN].average == 60


def test_by_collection():
    held_out = opt_iml_averages(ScoreTable(scores()), TASKS, by='collection', shots=(0,))[HELD_OUT]
    assert held_out.groups['PromptSource'] == {0: 60}
    assert held_out.groups['SuperNatInst'] == {0: pytest.approx((30 + 25 + 10) / 3)}
    assert not held_out.partial


def test_json_says_what_is_partial():
    found = json.loads(json.dumps(as_json(opt_iml_averages(ScoreTable(scores()), TASKS))))
    assert found[HELD_OUT]['partial'] is True
    assert found[SEEN]['groups'] == {'QA': {'0': 60}}


@pytest.mark.parametrize(
    ('rows', 'options', 'message'),
    [
        ([row('other', 1)], {}, 'no score of the 6 tasks at 0 or 5 shots'),
        ([row('ni_bard', 1, shots=3)], {}, 'no score of the 6 tasks'),
        ([row('ni_bard', 1), row('ni_bard', 2, checkpoint='b')], {}, 'checkpoint after, b'),
        ([row('ni_bard', 1), row('ni_bard', 2, protocol='cot')], {}, 'protocol cot, direct'),
        ([row('ni_bard', 1, metric='em')], {}, 'no row of the table is in a metric'),
        ([row('ni_bard', 1)], {'by': 'categories'}, 'Did you mean category'),
    ],
)
def test_what_cannot_be_averaged(rows, options, message):
    with pytest.raises(UserError, match=message):
        opt_iml_averages(ScoreTable(rows), TASKS, **options)


def test_one_of_several_checkpoints():
    table = ScoreTable([row('ni_bard', 1), row('ni_bard', 2, checkpoint='b')])
    assert opt_iml_averages(table, TASKS, checkpoint='b')[HELD_OUT].average == 2


def test_the_bench_describes_its_validation_rows(data_dir):
    import flan_tune.tasks.niv2
    import flan_tune.tasks.opt_iml  # noqa: F401

    described = bench_descriptions()
    copa = [what for what in described.values() if what.task == 'COPA']
    assert copa
    assert {what.category for what in copa} == {'Cause Effect Classification'}
    assert {what.level for what in copa} == {HELD_OUT}
    assert {what.metric for what in described.values()} <= {'accuracy', 'rougeL'}
    with pytest.raises(UserError, match='not on'):
        bench_descriptions('train')
