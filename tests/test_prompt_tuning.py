"""Runs of prompt tuning by the verbs: trained, resumed, read with their base, and refused where they have no place."""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp

from flan_tune import cli
from flan_tune.data.batches import feature_converter
from flan_tune.models.functional import FunctionalModel
from flan_tune.models.palm import PaLMConfig
from flan_tune.models.soft_prompt import SoftPromptConfig
from flan_tune.partitioning.arrays import put_batch
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout
from flan_tune.training.optimizers import adafactor
from flan_tune.training.planning import Step, model_flops
from flan_tune.training.step import Trainer

PALM = PaLMConfig(vocab_size=64, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=32, num_layers=2)
TINY = [
    '--gin_file=models/mini/tiny.gin',
    '--gin.TASK_FEATURE_LENGTHS={"inputs": 96, "targets": 24}',
]
BASE = [
    'train', '--gin_file=runs/finetune.gin', *TINY, '--gin.MIXTURE_OR_TASK_MODULE="flan_tune.tasks.mini"',
    '--gin.MIXTURE_OR_TASK_NAME="mini_opposite_no_options"', '--gin.train.log_every=1', '--gin.DROPOUT_RATE=0.1',
    '--gin.BATCH_SIZE=4',
]  # fmt: skip
TUNE = [*BASE, '--gin_file=runs/prompt_tuning.gin', '--gin.PROMPT_LENGTH=10']


def command(*argv) -> int:
    return cli.main([*map(str, argv)])


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    return [(line['step'], line['loss']) for line in lines if 'loss' in line]


def answers(tmp_path, checkpoint):
    questions, output = tmp_path / 'questions.jsonl', tmp_path / f'{checkpoint.name}.jsonl'
    line = {'inputs': 'What is the opposite of hot?', 'options': ['cold', 'warm']}
    questions.write_text(json.dumps(line) + '\n')
    output.unlink(missing_ok=True)
    status = command(
        'infer', '--gin_file=runs/infer.gin', *TINY, f'--gin.INITIAL_CHECKPOINT_PATH={checkpoint}',
        f'--gin.INPUT_FILE={questions}', f'--gin.OUTPUT_FILE={output}', '--gin.BATCH_SIZE=4',
    )  # fmt: skip
    return json.loads(output.read_text())['option_scores'] if not status else None


def saved(folder) -> dict[str, tuple]:
    """Shapes of the parameters in a run's newest checkpoint."""
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(folder / 'checkpoints' / '2' / 'params')
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator='/'): x.shape for p, x in leaves}


def test_a_soft_prompt_trains_resumes_and_answers(tmp_path, capsys):
    base, prompt, parts = (tmp_path / name for name in ('base', 'prompt', 'parts'))
    assert not command(*BASE, '--gin.TRAIN_STEPS=1', f'--gin.MODEL_DIR={base}')
    given = [*TUNE, f'--gin.INITIAL_CHECKPOINT_PATH={base}']
    assert not command(*given, '--gin.TRAIN_STEPS=2', f'--gin.MODEL_DIR={prompt}')
    assert saved(prompt) == {'network/token_embedder/soft_prompt': (10, 16)}
    assert json.loads((prompt / 'run.json').read_text())['trained_parameter_count'] == 160
    for steps in (1, 2):
        assert not command(*given, f'--gin.TRAIN_STEPS={steps}', f'--gin.MODEL_DIR={parts}')
    assert losses_of(parts) == losses_of(prompt)
    assert [step for step, _ in losses_of(prompt)] == [1, 2]

    scores = [answers(tmp_path, folder) for folder in (base, prompt)]
    assert np.abs(np.subtract(*scores)).max() > 0.01
    assert scores[1] == answers(tmp_path, parts)

    # The two are two models to `evaluate`, each scored as what it is.
    assert not command(
        'evaluate', '--gin_file=runs/evaluate.gin', *TINY, '--gin.MIXTURE_OR_TASK_MODULE="flan_tune.tasks.mini"',
        '--gin.MIXTURE_OR_TASK_NAME="mini_opposite"', f'--gin.INITIAL_CHECKPOINT_PATH={prompt}',
        f'--gin.BASELINE_CHECKPOINT_PATH={base}', f'--gin.MODEL_DIR={tmp_path / "scores"}', '--gin.MAX_EXAMPLES=3',
        '--gin.BATCH_SIZE=16',
    )  # fmt: skip
    lines = (tmp_path / 'scores' / 'predictions' / 'mini_opposite.jsonl').read_text().splitlines()
    ranked = [json.loads(line) for line in lines]
    likelihoods = {
        name: [r['log_likelihoods'] for r in ranked if r['checkpoint'] == name and 'log_likelihoods' in r]
        for name in ('before', 'after')
    }  # fmt: skip
    assert len(likelihoods['after']) == 3 and likelihoods['before'] != likelihoods['after']

    # It is neither weights to export nor weights to start from, and nothing without its base.
    capsys.readouterr()
    assert command(
        'export', '--gin_file=runs/export.gin', TINY[0], f'--gin.INITIAL_CHECKPOINT_PATH={prompt}',
        f'--gin.OUTPUT_DIR={tmp_path / "exported"}', '--merge',
    ) == 2  # fmt: skip
    message = capsys.readouterr().err
    assert 'holds a soft prompt' in message and f'{base}/checkpoints/1' in message
    starting = [f'--gin.INITIAL_CHECKPOINT_PATH={prompt}', f'--gin.MODEL_DIR={tmp_path / "no"}']
    assert command(*BASE, '--gin.TRAIN_STEPS=1', *starting) == 2
    assert 'holds a soft prompt' in capsys.readouterr().err
    assert command(*TUNE, '--gin.TRAIN_STEPS=3', f'--gin.MODEL_DIR={prompt}') == 2
    assert 'adapts another base' in capsys.readouterr().err
    shutil.rmtree(base)
    assert answers(tmp_path, prompt) is None
    message = capsys.readouterr().err
    assert 'the base of its soft prompt is' in message and str(base) in message


def test_packed_rows_are_refused_and_the_plan_tells_what_is_trained(tmp_path, capsys):
    given = [*TUNE, '--gin.TRAIN_STEPS=3', f'--gin.MODEL_DIR={tmp_path / "run"}', '--dry_run']
    assert command(*given, '--gin.DataConfig.packing="best_fit"') == 2
    assert "set it to 'none'" in capsys.readouterr().err
    assert not command(*given)
    lines = capsys.readouterr().out.splitlines()
    assert ['trained', '160'] in [line.split() for line in lines]
    (total,) = [line.split()[1] for line in lines if line.startswith('total ')]
    assert int(total.replace(',', '')) > 50_000


class Rows:
    """Rows of one example each, whose targets are one token whatever the inputs."""

    lengths = {'inputs': 8, 'targets': 2}

    def __init__(self, config):
        self.step, self._converter = 0, feature_converter(config, self.lengths)

    def __next__(self):
        random = np.random.default_rng((1, self.step))
        self.step += 1
        examples = [{'inputs': random.integers(4, 64, 5), 'targets': [9, 1]} for _ in range(8)]
        return self._converter.padded(examples, 8)


def test_the_loss_falls_alike_on_one_device_and_four():
    config = SoftPromptConfig(base=PALM, length=6, base_dtype='float32')
    optimizer = adafactor(0.3, multiply_by_parameter_scale=False, weight_decay=1e-5)
    losses = []
    for mesh in ({}, {'fsdp': 2, 'model': 2}):
        devices = jax.devices()[: 4 if mesh else 1]
        trainer = Trainer(FunctionalModel(config), optimizer, Layout(make_mesh(mesh, devices)))
        state, rows, step = trainer.init_state(), Rows(config), trainer.jitted_step()
        found = []
        for _ in range(12 if not mesh else 3):
            state, metrics = step(state, put_batch(next(rows), trainer.layout))
            found.append(float(metrics['loss']))
        losses.append(found)
    np.testing.assert_allclose(losses[0][:3], losses[1], rtol=2e-5)
    assert losses[0][-1] < 0.9 * losses[0][0], losses


def test_a_frozen_network_has_no_products_for_gradients_of_weights():
    batch = {k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in next(Rows(PALM)).items()}
    flops = {
        length: model_flops(Step(config, None, None, 0.1), batch)
        for length, config in ((0, PALM), (1, SoftPromptConfig(base=PALM, length=1)))
    }
    # A row of 11 in place of 10 tokens, and two products of three; the head reads no prompt.
    assert 2 / 3 * flops[0] < flops[1] < 2 / 3 * flops[0] * 1.15
