"""The verbs on the embedded collection: train, resume, evaluate, infer, and what bad input gets."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from flan_tune import cli
from flan_tune.reporting.run_log import RunLog
from flan_tune.training.checkpoints import Checkpoints

TINY = [
    '--gin_file=models/mini/tiny.gin', '--gin.TRAIN_STEPS=4', '--gin.WARMUP_STEPS=1', '--gin.BATCH_SIZE=8',
    '--gin.TASK_FEATURE_LENGTHS={"inputs": 96, "targets": 24}',
]  # fmt: skip
EVALUATED = ['--gin.EvaluationConfig.max_examples=3', '--gin.EvaluationConfig.batch_size=64']
QUICKSTART = ['train', '--gin_file=runs/quickstart.gin', *TINY, *EVALUATED]
MODEL = [TINY[0], TINY[-1]]


def run(*argv: str) -> None:
    assert cli.main([*map(str, argv)]) == 0


def fails(capsys, *argv: str) -> str:
    """Runs a command that must end with status 2; returns its message."""
    capsys.readouterr()
    assert cli.main([*map(str, argv)]) == 2
    message = capsys.readouterr().err
    assert 'Traceback' not in message
    return message


def read_lines(path):
    return [json.loads(line) for line in path.read_text().split('\n') if line]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The folder of a finished tiny run."""
    folder = tmp_path_factory.mktemp('run')
    run(*QUICKSTART, f'--gin.MODEL_DIR={folder}')
    return folder


def test_a_run_leaves_everything_in_its_folder(finished):
    facts = json.loads((finished / 'run.json').read_text())
    assert facts['finished'] and facts['steps'] == 4
    assert facts['mesh'] == {'slice': 1, 'data': 4, 'fsdp': 1, 'model': 1}
    assert set(facts['stages']) == {'setup', 'compile', 'train', 'evaluate'}
    assert facts['data_statistics']['examples'] > 0
    assert {
        'config.gin',
        'operative_config.gin',
        'scores.json',
        'scores.csv',
        'report.html',
    } <= set(os.listdir(finished))
    assert [line['step'] for line in read_lines(finished / 'metrics.jsonl') if 'loss' in line] == [
        1,
        4,
    ]
    scores = json.loads((finished / 'scores.json').read_text())
    assert {score['checkpoint'] for score in scores} == {'before', 'after'}
    assert {score['metric'] for score in scores} == {'exact_match', 'accuracy'}
    predictions = read_lines(next((finished / 'predictions').iterdir()))
    assert len(predictions) == 12  # 3 examples, generated and ranked, before and after.


def test_the_same_command_again_does_nothing_and_a_longer_one_goes_on(finished, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(finished, folder)
    run(*QUICKSTART, f'--gin.MODEL_DIR={folder}')
    assert len(read_lines(folder / 'metrics.jsonl')) == len(read_lines(finished / 'metrics.jsonl'))
    run(*QUICKSTART, f'--gin.MODEL_DIR={folder}', '--gin.TRAIN_STEPS=6')
    steps = [line['step'] for line in read_lines(folder / 'metrics.jsonl') if 'loss' in line]
    assert steps == [1, 4, 5, 6]
    assert json.loads((folder / 'run.json').read_text())['steps'] == 6


def test_resuming_gives_the_losses_of_a_run_that_was_never_stopped(tmp_path):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    every_step = [
        '--gin.train.log_every=1',
        '--gin.train.evaluation=None',
        '--gin.DROPOUT_RATE=0.1',
    ]
    command = [flag for flag in QUICKSTART if flag not in EVALUATED] + every_step
    run(*command, f'--gin.MODEL_DIR={whole}')
    run(*command, f'--gin.MODEL_DIR={parts}', '--gin.TRAIN_STEPS=2')
    run(*command, f'--gin.MODEL_DIR={parts}')
    losses = [
        [(line['step'], line['loss']) for line in read_lines(folder / 'metrics.jsonl')]
        for folder in (whole, parts)
    ]
    assert losses[0] == losses[1]


def test_a_run_that_is_stopped_ends_when_its_checkpoint_is_written(
    finished, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / 'run'
    shutil.copytree(finished, folder)
    log_step, close = RunLog.step, Checkpoints.close
    written = []

    def step(log, *args):
        log_step(log, *args)
        os.kill(os.getpid(), signal.SIGTERM)

    def closed(store):
        close(store)
        written.append((folder / 'checkpoints' / '5' / '_CHECKPOINT_METADATA').exists())

    monkeypatch.setattr(RunLog, 'step', step)
    monkeypatch.setattr(Checkpoints, 'close', closed)
    command = [*QUICKSTART, f'--gin.MODEL_DIR={folder}', '--gin.TRAIN_STEPS=7']
    assert cli.main(command) == 1
    assert 'after step 5 of 7; everything is saved' in capsys.readouterr().err
    assert written == [True]


def test_evaluate_gives_the_scores_of_training(finished, tmp_path):
    run(
        'evaluate', '--gin_file=runs/evaluate.gin', *MODEL, f'--gin.INITIAL_CHECKPOINT_PATH={finished}',
        '--gin.BASELINE_CHECKPOINT_PATH=new', '--gin.MIXTURE_OR_TASK_NAME=mini_quickstart_held_out',
        '--gin.MAX_EXAMPLES=3', '--gin.BATCH_SIZE=16', f'--gin.MODEL_DIR={tmp_path}',
    )  # fmt: skip
    scores = [json.loads((folder / 'scores.json').read_text()) for folder in (finished, tmp_path)]
    assert scores[0] == scores[1]


def test_infer_answers_every_line_and_goes_on_behind_the_last_whole_one(finished, tmp_path):
    questions, answers = tmp_path / 'questions.jsonl', tmp_path / 'answers.jsonl'
    lines = [{'inputs': f'What is the opposite of hot number {n}?', 'id': n} for n in range(7)]
    lines[2]['options'] = ['cold', 'warm']
    questions.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    command = [
        'infer', '--gin_file=runs/infer.gin', *MODEL, f'--gin.INITIAL_CHECKPOINT_PATH={finished}',
        f'--gin.INPUT_FILE={questions}', f'--gin.OUTPUT_FILE={answers}', '--gin.BATCH_SIZE=4',
    ]  # fmt: skip
    run(*command)
    whole = answers.read_text()
    found = read_lines(answers)
    assert [answer['id'] for answer in found] == list(range(7))
    assert all(isinstance(answer['prediction'], str) and answer['log_prob'] < 0 for answer in found)
    assert found[2]['choice'] in ('cold', 'warm') and len(found[2]['option_scores']) == 2
    answers.write_text(whole[: whole.index('\n', len(whole) // 2) + 20])
    run(*command)
    assert answers.read_text() == whole


def test_a_dry_run_prints_the_plan_and_makes_nothing(tmp_path, capsys):
    folder = tmp_path / 'none'
    run(*QUICKSTART, f'--gin.MODEL_DIR={folder}', '--dry_run', '--json')
    plan = json.loads(capsys.readouterr().out)
    assert plan['parameters']['count'] > 0
    assert not folder.exists()


def test_every_mesh_gives_the_same_run(tmp_path):
    """In processes of their own, with as many virtual devices as the mesh wants."""
    losses = {}
    for name, devices, mesh in (
        ('1', 1, {}),
        ('2x2', 4, {'fsdp': 2, 'model': 2}),
        ('4x1', 4, {'data': 4}),
    ):
        command = [flag for flag in QUICKSTART if flag not in EVALUATED]
        subprocess.run(
            [
                sys.executable, '-m', 'flan_tune.cli', *command, '--gin.train.evaluation=None',
                '--gin.train.log_every=1', f'--gin.MODEL_DIR={tmp_path / name}', f'--gin.MESH={mesh}',
            ],
            env=os.environ | {'JAX_NUM_CPU_DEVICES': str(devices)},
            check=True,
        )  # fmt: skip
        losses[name] = [line['loss'] for line in read_lines(tmp_path / name / 'metrics.jsonl')]
    assert len(losses['1']) == 4
    assert losses['2x2'] == pytest.approx(losses['1'], rel=2e-5)
    assert losses['4x1'] == pytest.approx(losses['1'], rel=2e-5)


@pytest.mark.parametrize(
    ('flags', 'expected'),
    [
        (['--gin.MIXTURE_OR_TASK_NAME=minni'], ["no task or mixture 'minni'", 'mini']),
        (['--gin.MIXTURE_OR_TASK_MODULE=no_such_module'], ["no module 'no_such_module'"]),
        (['--gin.T5Config.vocab_size=1000'], ['VOCABULARY has', '1000']),
        (['--gin.MESH={"data": 3}'], ['does not multiply to the 4 devices']),
        (['--gin.BATCH_SIZE=6'], ["'batch' has 6", '4, 8']),
        (['--gin.T5Config.mlp_dim=33', '--gin.MESH={"model": 4}'], ["'mlp' has 33", '32, 36']),
        (['--gin.INITIAL_CHECKPOINT_PATH=nowhere'], ['nowhere: no checkpoint here']),
        (['--gin.VOCABULARY=nowhere.model'], ['nowhere.model']),
        (['--gin.TASK_FEATURE_LENGTHS={"inputs": 64}'], ['targets']),
        (['--gin.EvaluationConfig.mixture_or_task_name=mini_held_outt'], ['mini_held_out']),
    ],
)
def test_a_mistake_is_told_in_one_message(tmp_path, capsys, flags, expected):
    message = fails(capsys, *QUICKSTART, f'--gin.MODEL_DIR={tmp_path}', *flags)
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ('flag', 'name'), [('--gin.SEED=1', 'seed'), ('--gin.T5Config.mlp_dim=64', 'model.mlp_dim')]
)
def test_another_run_in_an_old_folder_is_refused_by_name(finished, capsys, flag, name):
    config = (finished / 'config.gin').read_text()
    message = fails(capsys, *QUICKSTART, f'--gin.MODEL_DIR={finished}', flag)
    assert name in message and 'MODEL_DIR' in message
    assert (finished / 'config.gin').read_text() == config


def test_a_bad_line_for_infer_is_named(finished, tmp_path, capsys):
    questions = tmp_path / 'questions.jsonl'
    questions.write_text('{"inputs": "one"}\n{"input": "two"}\n')
    message = fails(
        capsys, 'infer', '--gin_file=runs/infer.gin', *MODEL, f'--gin.INITIAL_CHECKPOINT_PATH={finished}',
        f'--gin.INPUT_FILE={questions}', f'--gin.OUTPUT_FILE={tmp_path / "out.jsonl"}',
    )  # fmt: skip
    assert 'questions.jsonl:2' in message and '"inputs"' in message


def test_examples_that_are_cut_are_counted_in_the_summary(tmp_path, capsys):
    command = [flag for flag in QUICKSTART if flag not in EVALUATED and 'LENGTHS' not in flag]
    run(
        *command, '--gin.train.evaluation=None', '--gin.TASK_FEATURE_LENGTHS={"inputs": 24, "targets": 8}',
        f'--gin.MODEL_DIR={tmp_path}',
    )  # fmt: skip
    truncated = json.loads((tmp_path / 'run.json').read_text())['data_statistics']['truncated']
    assert truncated['inputs'] > 0
    assert f'warning: {truncated["inputs"]} of' in capsys.readouterr().err
