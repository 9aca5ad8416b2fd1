"""Suites on several processes: the files of one process on one device, written by process 0, which decides for all."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

COMMAND = [
    sys.executable, '-m', 'flan_tune.cli', 'evaluate', '--gin_file=runs/evaluate.gin',
    '--gin_file=models/mini/tiny.gin', '--gin.INITIAL_CHECKPOINT_PATH=new', '--gin.BATCH_SIZE=4',
    '--gin.MAX_EXAMPLES=5', '--gin.MAX_INPUT_TOKENS=96', '--gin.EvaluationConfig.max_new_tokens=6',
]  # fmt: skip
ASKED = [
    '--suite=mini_tydiqa', '--suite=mini_mmlu', '--protocol=direct', '--protocol=rank', '--shots=0',
    '--gin.CHAINS=2',
]  # fmt: skip


def start(folder, devices, mesh, **variables):
    return subprocess.Popen(
        [*COMMAND, *ASKED, f'--gin.MODEL_DIR={folder}', f'--gin.MESH={mesh}'],
        env=os.environ | {'JAX_NUM_CPU_DEVICES': str(devices)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(process) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def together(*folders):
    """Runs the suites in two processes of two devices, each with a folder of its own, as hosts without a shared disk."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{free.getsockname()[1]}'
    joined = {'JAX_COORDINATOR_ADDRESS': address, 'JAX_NUM_PROCESSES': '2'}
    mesh = {'data': 2, 'model': 2}
    running = [
        start(folder, 2, mesh, **joined, JAX_PROCESS_ID=str(index))
        for index, folder in enumerate(folders)
    ]
    return [output(process) for process in running]


def files(folder):
    return [path for path in folder.rglob('*') if path.is_file()]


def predictions(folder):
    """The rows of all files, their numbers apart: these differ in the last digits."""
    rows, numbers = {}, []
    for path in sorted((folder / 'predictions').iterdir()):
        rows[path.name] = [json.loads(line) for line in path.read_text().split('\n') if line]
        for row in rows[path.name]:
            for name in ('log_prob', 'log_likelihoods', 'ranked_by'):
                value = row.pop(name, [])
                numbers += value if isinstance(value, list) else [value]
    return rows, numbers


def test_two_processes_go_on_as_one_has_begun(tmp_path):
    first, second, alone = (tmp_path / name for name in ('first', 'second', 'alone'))
    output(start(alone, 1, {}))
    shutil.copytree(alone, first)
    (first / 'scores.json').unlink()
    # Of the files, one is there as a whole, another in part, and the rest are not.
    kept, cut, *rest = sorted((first / 'predictions').iterdir())
    cut.write_text('\n'.join(cut.read_text().split('\n')[:2]) + '\n')
    for path in rest:
        path.unlink()
    time = kept.stat().st_mtime_ns
    shown, quiet = together(first, second)
    assert 'run folder' in shown and 'run folder' not in quiet
    assert not files(second)
    assert kept.stat().st_mtime_ns == time
    (rows, numbers), (expected, values) = predictions(first), predictions(alone)
    assert rows == expected
    assert numbers == pytest.approx(values, abs=2e-4)
    assert len({str(row['prediction']) for some in rows.values() for row in some}) > 3
    scores = [json.loads((folder / 'scores.json').read_text()) for folder in (first, alone)]
    assert scores[0] == scores[1]
