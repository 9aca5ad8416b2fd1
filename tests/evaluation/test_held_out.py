"""The one number that checkpoints are compared by, before and behind the first score."""

import json
import pathlib

import numpy as np
import pytest

from flan_tune import cli
from flan_tune.data.config import open_tokenizer
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import UserError
from flan_tune.evaluation.config import EvaluationConfig
from flan_tune.evaluation.held_out import HeldOut, suite_summary
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.export import export
from flan_tune.interchange.initial import initial_params, inputs_end_at
from flan_tune.models.functional import FunctionalModel
from flan_tune.models.opt import OPTConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.run_folder import RunFolder

FOREIGN = pathlib.Path(__file__).parent / 'goldens' / 'lm_eval' / 'opt'


@pytest.fixture
def held_out(tmp_path):
    """Makes what scores a suite of the embedded world; no model is asked."""

    def make(best_metric, **settings):
        config = EvaluationConfig(suites=['mini_tydiqa'], best_metric=best_metric, **settings)
        return HeldOut(config, None, None, None, RunFolder(str(tmp_path)), None)

    return make


def row(protocol, value, metric='em'):
    return Score('step_2', 'mini_tydiqa', 'zun', protocol, 1, '', metric, value, 100)


@pytest.mark.parametrize(
    ('best_metric', 'settings', 'value'),
    [
        ('mini_normalized_average', {}, 40.0),
        ('mini_non_cot_average', {}, 40.0),
        ('mini_tydiqa-direct', {}, 40.0),
        ('f1', {}, 50.0),
        ('mini_normalized_average_5_chains', {'chains': 5}, 40.0),
        ('mini_tydiqa-direct_5_chains', {'chains': 5}, 40.0),
    ],
)
def test_an_average_a_suite_or_a_metric_is_the_headline(held_out, best_metric, settings, value):
    one = held_out(best_metric, **settings)
    one.check_headline()
    protocol = 'direct_5_chains' if settings else 'direct'
    assert one.headline(ScoreTable([row(protocol, 40.0), row(protocol, 50.0, 'f1')])) == value


@pytest.mark.parametrize('name', ['normalized_average', 'mini_normalised_average', 'bbh-cot'])
def test_a_headline_that_no_suite_has_is_refused_before_a_score(held_out, name):
    with pytest.raises(
        UserError, match=f'best_metric {name!r}: the suites that are run have mini_'
    ):
        held_out(name).check_headline()


def test_the_summary_is_of_one_checkpoint(tmp_path):
    folder = RunFolder(str(tmp_path))
    found = suite_summary(folder, ScoreTable([row('direct', 40.0)]), 'step_2')
    assert found['averages']['mini_normalized_average']['value'] == 40.0
    assert suite_summary(folder, ScoreTable([row('direct', 40.0)]), 'after')['averages'] == {}


OPT = OPTConfig(
    vocab_size=1536, emb_dim=32, num_heads=2, mlp_dim=64, num_layers=1, max_positions=1024
)
SUITE = 'mini_opt_iml_fully_held_out'
ASKED = [
    '--gin_file=models/mini/opt.gin', *(f'--gin.OPTConfig.{name}={getattr(OPT, name)}' for name in ('emb_dim', 'num_heads', 'mlp_dim', 'num_layers')),
    f'--gin.EvaluationConfig.suites=["{SUITE}"]', '--gin.EvaluationConfig.suite_protocols=["rank"]',
    '--gin.EvaluationConfig.max_examples=1', '--gin.EvaluationConfig.best_metric="accuracy"',
    '--gin.EvaluationConfig.max_input_tokens=160', '--gin.MIXTURE_OR_TASK_MODULE=flan_tune.tasks.mini',
]  # fmt: skip


def ranked(folder):
    """Prompts, options and their log-likelihoods after training."""
    files = sorted((folder / 'predictions').glob(f'{SUITE}.*.jsonl'))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    rows = [row for row in rows if row['checkpoint'] == 'after']
    return [[row[name] for row in rows] for name in ('inputs', 'options', 'log_likelihoods')]


@pytest.mark.parametrize(('task', 'ends'), [('mini_place', True), ('mini_text_causal_lm', False)])
def test_suites_are_asked_as_training_laid_inputs_out(task, ends, tmp_path):
    run, again = tmp_path / 'run', tmp_path / 'again'
    tuning = ['--gin_file=runs/finetune_mini.gin', '--gin.TRAIN_STEPS=2', '--gin.WARMUP_STEPS=1']
    tuning += [f'--gin.MIXTURE_OR_TASK_NAME={task}', '--gin.train.evaluation=@EvaluationConfig()']
    assert cli.main(['train', *tuning, *ASKED, f'--gin.MODEL_DIR={run}']) == 0
    exported = str(tmp_path / 'exported')
    export(model=OPT, checkpoint=str(run), output_dir=exported, vocabulary='mini')
    assert inputs_end_at(str(run)) is inputs_end_at(exported) is ends
    assert inputs_end_at(str(FOREIGN)) is None
    evaluation = ['--gin_file=runs/evaluate.gin', f'--gin.INITIAL_CHECKPOINT_PATH={run}']
    evaluation += ['--gin.VOCABULARY=mini', '--gin.EvaluationConfig.mixture_or_task_name=None']
    assert cli.main(['evaluate', *evaluation, *ASKED, f'--gin.MODEL_DIR={again}']) == 0
    prompts, options, found = ranked(run)
    assert ranked(again) == [prompts, options, found]

    layout, model = Layout(make_mesh(None)), FunctionalModel(OPT)
    text_model = TextModel(
        model,
        initial_params(str(run), model, layout),
        layout,
        open_tokenizer('mini'),
        max_input_tokens=160,
    )

    def likelihoods(inputs_end):
        text_model.inputs_end = inputs_end
        return [[one.log_likelihood for one in some] for some in text_model.rank(prompts, options)]

    for here, there, other in zip(found, likelihoods(ends), likelihoods(not ends), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-3)
        assert not np.allclose(here, other, atol=0.1)
