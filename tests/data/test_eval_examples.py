"""Records to evaluate on: rendered in their order, few-shot prompts to fit, bad ones named."""

import pytest
import seqio

from flan_tune.data.eval_examples import EvalExamples
from flan_tune.data.mixtures import register_mixture
from flan_tune.data.prompts import Prompt
from flan_tune.data.sources import GeneratedSource
from flan_tune.data.tasks import register_task
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError

FEATURES = {f: seqio.Feature(seqio.ByteVocabulary(), add_eos=True) for f in ('inputs', 'targets')}
BYTES = Tokenizer(seqio.ByteVocabulary())


def echo(split, index):
    return {'text': f'{split} {index}', 'answer': f'{index} ' * (index % 9 + 1)}


def choose(split, index):
    return {
        'text': f'{index}: odd or even',
        'options': ['odd', 'even'],
        'answer': ['even', 'odd'][index % 2],
    }


def read(name, max_input_tokens=64, **options):
    return EvalExamples(name, tokenizer=BYTES, max_input_tokens=max_input_tokens, **options)


@pytest.fixture(scope='module', autouse=True)
def tasks():
    """A task that echoes, one with options, and a mixture."""
    registries = dict(seqio.TaskRegistry._REGISTRY), dict(seqio.MixtureRegistry._REGISTRY)
    register_task(
        'eval_echo',
        source=GeneratedSource(echo, {'train': 9, 'validation': 7}),
        prompts=[Prompt('Repeat {text}.', '{answer}')],
        output_features=FEATURES,
    )
    register_task(
        'eval_choice',
        source=GeneratedSource(choose, {'validation': 3}),
        prompts=[Prompt('{text}?\n{options}', '{answer}')],
        output_features=FEATURES,
    )
    register_mixture('eval_mix', ['eval_echo', 'eval_choice'])
    yield
    seqio.TaskRegistry._REGISTRY, seqio.MixtureRegistry._REGISTRY = registries


def test_records_come_in_their_order_the_same_each_time():
    examples = read('eval_echo')
    first = list(examples)
    assert [example['index'] for example in first] == list(range(7))
    assert [example['inputs'] for example in first] == [f'Repeat validation {k}.' for k in range(7)]
    assert [(e['inputs'], e['index']) for e in examples] == [
        (e['inputs'], e['index']) for e in first
    ]
    assert [e['index'] for e in read('eval_echo', limit=2)] == [0, 1]


def test_exemplars_that_do_not_fit_are_dropped():
    most = [len(e['exemplars']) for e in read('eval_echo_few_shot', 2000)]
    few = list(read('eval_echo_few_shot', 60))
    assert all(len(BYTES.encode(e['inputs'])) < 60 for e in few)
    assert sum(len(e['exemplars']) for e in few) < sum(most)


def test_a_rank_variant_has_its_choices():
    rows = list(read('eval_choice_rank'))
    assert [row['options'] for row in rows] == [('odd', 'even')] * 3
    assert [len(row['choices']) for row in rows] == [2, 2, 2]


def test_evaluation_needs_an_instruction_task_and_its_split():
    with pytest.raises(UserError, match="'eval_mix' is no task that register_task made"):
        read('eval_mix')
    with pytest.raises(UserError, match="has no split 'test'"):
        read('eval_echo', split='test')


@pytest.fixture
def damaged():
    """A task of which records 1 and 4 have no answer."""

    def record(split, index):
        return {'text': f'{index}', 'answer': '' if index in (1, 4) else 'so'}

    register_task(
        'eval_damaged',
        source=GeneratedSource(record, {'validation': 8}),
        prompts=[Prompt('Repeat {text}.', '{answer}')],
        output_features=FEATURES,
        replace=True,
    )
    return 'eval_damaged'


@pytest.mark.parametrize('on_bad_record', ['refuse', 0.1])
def test_bad_records_are_refused_by_name_before_the_first_example(damaged, on_bad_record):
    with pytest.raises(UserError, match='eval_damaged: 2 of 8 records cannot be used') as error:
        read(damaged, on_bad_record=on_bad_record).check()
    assert str(error.value).count('answer') == 2
    with pytest.raises(UserError, match='2 of 8 records'):
        next(iter(read(damaged, on_bad_record=on_bad_record)))
    read(damaged, on_bad_record=on_bad_record, limit=1).check()


@pytest.mark.parametrize('on_bad_record', ['skip', 0.5])
def test_bad_records_are_left_out_named_and_keep_the_indices_of_others(
    damaged, caplog, on_bad_record
):
    examples = read(damaged, on_bad_record=on_bad_record)
    for _ in range(2):
        indices = [example['index'] for example in examples]
        assert indices == [0, 2, 3, 5, 6, 7]
    assert list(examples.bad_records) == [1, 4]
    assert caplog.text.count('2 of 8 records cannot be used') == 1
    with pytest.raises(UserError, match='ON_BAD_RECORD is'):
        read(damaged, on_bad_record='drop')
