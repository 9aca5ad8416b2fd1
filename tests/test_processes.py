"""Several processes make one run: same losses, one set of files, and a checkpoint that one process reads."""

import json
import os
import platform
import resource
import socket
import subprocess
import sys

import pytest

from flan_tune.errors import UserError
from flan_tune.partitioning import processes

SHORT = [
    '--gin.TRAIN_STEPS=3', '--gin.WARMUP_STEPS=1', '--gin.BATCH_SIZE=8',
    '--gin.TASK_FEATURE_LENGTHS={"inputs": 96, "targets": 24}', '--gin.EvaluationConfig.max_examples=2',
    '--gin.EvaluationConfig.mixture_or_task_name=mini_held_out_rank', '--gin.EvaluationConfig.best_metric=accuracy',
]  # fmt: skip


def start(folder, model, mesh, count=1, index=0, devices=2, address=''):
    variables = {'JAX_NUM_CPU_DEVICES': str(devices)}
    if address:
        variables |= {
            'JAX_COORDINATOR_ADDRESS': address,
            'JAX_NUM_PROCESSES': str(count),
            'JAX_PROCESS_ID': str(index),
        }
    return subprocess.Popen(
        [
            sys.executable, '-m', 'flan_tune.cli', 'train', '--gin_file=runs/quickstart.gin', *model, *SHORT,
            '--gin.train.log_every=1', f'--gin.MODEL_DIR={folder}', f'--gin.MESH={mesh}',
        ],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def end(*running):
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


def losses(folder):
    lines = [
        json.loads(line) for line in (folder / 'metrics.jsonl').read_text().split('\n') if line
    ]
    return [line['loss'] for line in lines if 'loss' in line]


@pytest.mark.parametrize(
    'model',
    [
        ['--gin_file=models/mini/tiny.gin'],
        ['--gin_file=models/palm/mini.gin', '--gin.PARTITIONING=sequence', '--gin.ATTENTION=blockwise'],
        ['--gin_file=models/lamda/mini.gin', '--gin.REMAT=full'],
        ['--gin_file=models/opt/mini.gin', '--gin.PARTITIONING=sequence'],
    ],
    ids=['t5', 'palm', 'lamda', 'opt'],
)  # fmt: skip
def test_two_processes_of_two_devices_make_one_run(tmp_path, model):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{free.getsockname()[1]}'
    together, alone = tmp_path / 'together', tmp_path / 'alone'
    mesh = {'fsdp': 2, 'model': 2}
    end(*(start(together, model, mesh, count=2, index=i, address=address) for i in range(2)))
    end(start(alone, model, {}, devices=1))
    assert len(losses(alone)) == 3
    assert losses(together) == pytest.approx(losses(alone), rel=2e-5)
    scores = [json.loads((folder / 'scores.json').read_text()) for folder in (together, alone)]
    assert scores[0] == scores[1]
    # One process goes on, on its own mesh, from what two have saved.
    end(start(together, model, {}, devices=1))
    assert json.loads((together / 'run.json').read_text())['mesh']['fsdp'] == 1


def test_half_a_description_of_the_processes_is_refused(monkeypatch):
    monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', '127.0.0.1:1')
    monkeypatch.delenv('JAX_NUM_PROCESSES', raising=False)
    monkeypatch.setenv('JAX_PROCESS_ID', '0')
    with pytest.raises(UserError, match='JAX_NUM_PROCESSES must be too'):
        processes.join_processes()


ALLOCATE = """
import resource

import jax

from flan_tune.partitioning import processes

jax.config.update('jax_platforms', 'cpu')
if {join}:
    processes.join_processes()


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


b'x' * 40_000_000  # Beyond what glibc takes from its arena of itself.
before = faults()
for _ in range(20):
    b'x' * 40_000_000
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='mallopt is of glibc')
def test_on_the_cpu_freed_memory_serves_the_next_step():
    pages = 20 * 40_000_000 // resource.getpagesize()

    def faults(join):
        script = [sys.executable, '-c', ALLOCATE.format(join=join)]
        return int(subprocess.run(script, check=True, capture_output=True, text=True).stdout)

    assert faults(join=True) < pages / 10
