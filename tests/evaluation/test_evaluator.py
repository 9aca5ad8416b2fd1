"""Registered tasks on a tiny model: what it is asked, bad records, and scores that are no numbers."""

import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from flan_tune.data.config import open_tokenizer
from flan_tune.data.prompts import Prompt
from flan_tune.data.sources import JsonlSource
from flan_tune.data.tasks import register_task
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.config import EvaluationConfig
from flan_tune.interchange.configured import configured_model
from flan_tune.interchange.initial import initial_params
from flan_tune.models.functional import FunctionalModel
from flan_tune.models.t5 import T5Config
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.run_folder import RunFolder

SIZES = {
    'vocab_size': 1536, 'emb_dim': 16, 'num_heads': 2, 'head_dim': 8, 'num_encoder_layers': 1,
    'num_decoder_layers': 1, 'mlp_dim': 32,
}  # fmt: skip


GOLDENS = pathlib.Path(__file__).parent / 'goldens' / 'lm_eval'


@pytest.fixture(scope='module')
def model():
    return FunctionalModel(T5Config(**SIZES))


@pytest.fixture
def task(tmp_path):
    """A task of five records, of which the second is no JSON and the fourth has an answer outside its options."""
    rows = [{'text': f'what {k}', 'options': ['yes', 'no'], 'answer': 'yes'} for k in range(5)]
    lines = [json.dumps(row) for row in rows]
    lines[1], lines[3] = '{"text":', lines[3].replace('"answer": "yes"', '"answer": "maybe"')
    path = tmp_path / 'validation.jsonl'
    path.write_text('\n'.join(lines) + '\n')
    register_task(
        'evaluator_task',
        source=JsonlSource({'validation': path}),
        prompts=[Prompt('{text}?\n{options}', '{answer}')],
        replace=True,
    )
    return path


def opened(folder, model, **settings):
    config = EvaluationConfig(
        mixture_or_task_name='evaluator_task', batch_size=4, protocols=('rank',), **settings
    )
    return config.evaluator(
        model,
        Layout(make_mesh(None)),
        vocabulary='mini',
        feature_lengths={'inputs': 32, 'targets': 8},
        folder=RunFolder(str(folder)),
    )


def test_bad_records_are_refused_by_name_or_left_out_and_counted(task, tmp_path, model):
    with pytest.raises(UserError, match='2 of 5 records cannot be used') as error:
        opened(tmp_path / 'run', model)
    assert f'{task}:2' in str(error.value) and f'{task}:4' in str(error.value)
    assert opened(tmp_path / 'run', model, max_examples=1).bad_records == {}
    evaluator = opened(tmp_path / 'run', model, on_bad_record='skip')
    (bad,) = evaluator.bad_records.values()
    assert [message.split(': ')[0] for message in bad] == [f'{task}:2', f'{task}:4']
    params = model.init(0, Layout(make_mesh(None)))
    table = evaluator.evaluate(params, 'after')
    assert [(s.task, s.protocol, s.n) for s in table] == [('evaluator_task', 'rank', 3)]
    damaged = jax.tree.map(lambda array: jnp.full_like(array, jnp.nan), params)
    with pytest.raises(RunError, match='evaluator_task: the score of record 0 is nan'):
        evaluator.evaluate(damaged, 'step_2')
    assert [s.checkpoint for s in evaluator.table()] == ['after']


def test_a_foreign_decoder_only_model_reads_no_end_of_sequence_behind_its_prompt(task, tmp_path):
    """What it is asked is the text alone: `TextModel` says the same of it, as the harness does of MMLU."""
    folder = str(GOLDENS / 'opt')
    opt, layout = FunctionalModel(configured_model(folder)[0]), Layout(make_mesh(None))
    run = RunFolder(str(tmp_path / 'run'))
    lengths = {'inputs': 64, 'targets': 8}
    evaluator = EvaluationConfig('evaluator_task', on_bad_record='skip').evaluator(
        opt, layout, vocabulary=folder, feature_lengths=lengths, folder=run
    )
    params = initial_params(folder, opt, layout)
    evaluator.evaluate(params, 'plain')
    evaluator.evaluate(params, 'ended', inputs_end=True)
    lines = (run.path / 'predictions' / 'evaluator_task.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    model = TextModel(opt, params, layout, open_tokenizer(folder), max_input_tokens=65)
    for name, end in (('plain', False), ('ended', True)):
        model.inputs_end = end
        written, ranked = (
            [row for row in rows if (row['checkpoint'], row['protocol']) == (name, protocol)]
            for protocol in ('direct', 'rank')
        )
        found = model.rank([row['inputs'] for row in ranked], [row['options'] for row in ranked])
        for row, choices in zip(ranked, found, strict=True):
            likelihoods = [choice.log_likelihood for choice in choices]
            assert row['log_likelihoods'] == pytest.approx(likelihoods, abs=2e-4)
        texts = model.generate([row['inputs'] for row in written], max_new_tokens=8)
        assert [row['prediction'] for row in written] == [one.text for (one,) in texts]
    first = {row['checkpoint']: row for row in rows if row['protocol'] == 'rank'}
    assert first['plain']['log_likelihoods'] != pytest.approx(
        first['ended']['log_likelihoods'], abs=0.1
    )
