"""Joining the processes of a run: hosts of a TPU pod, ranks of a cluster, or processes on one machine."""

import contextlib
import ctypes
import glob
import json
import os
import sys
from typing import Any

import jax
import numpy as np

from flan_tune.errors import UserError

# Files by which Linux shows TPUs, and the GPUs of NVIDIA (under WSL too) and AMD.
_ACCELERATORS = ('/dev/accel*', '/dev/vfio/*', '/dev/nvidia*', '/dev/dxg', '/dev/kfd')
# Options of glibc's mallopt (malloc.h): one arena, no mappings of their own for large blocks, and nothing given back.
_KEEP_FREED_MEMORY = {-8: 1, -4: 0, -1: 2**31 - 1, -2: 2**28}
_ADDRESS, _COUNT, _INDEX = 'JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'


def join_processes() -> None:
    """Starts jax's distributed runtime where there is more than one process; call it before any device is used.

    JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES and JAX_PROCESS_ID describe the run by hand.
    Without them, several SLURM tasks or the hosts of a TPU slice are found by jax itself.

    On a Linux machine that shows no accelerator, and unless JAX_PLATFORMS says otherwise, jax is told to use
    the CPU: where compilers for other devices are installed (`[plan]`), it would look for those and complain. On
    the CPU alone, memory that is freed stays with the process.

    Raises:
        UserError: the address is set, but not the other two.
    """
    if sys.platform == 'linux' and not jax.config.jax_platforms:
        if not any(map(glob.glob, _ACCELERATORS)):
            jax.config.update('jax_platforms', 'cpu')
    if jax.config.jax_platforms == 'cpu':
        _keep_freed_memory()
    if jax.distributed.is_initialized():
        return
    if _ADDRESS in os.environ:
        missing = [name for name in (_COUNT, _INDEX) if not os.environ.get(name, '').isdigit()]
        if missing:
            raise UserError(
                f'{_ADDRESS} is set, so {" and ".join(missing)} must be too: the number of processes, '
                'and which of them this is (from 0).'
            )
        jax.distributed.initialize(
            os.environ[_ADDRESS], int(os.environ[_COUNT]), int(os.environ[_INDEX])
        )
    elif _slurm_tasks() > 1 or _tpu_hosts() > 1:
        jax.distributed.initialize()


def _keep_freed_memory() -> None:
    """Has glibc keep the buffers of a step for the next one; elsewhere nothing happens.

    XLA allocates them anew for each step on the CPU. Given back to the system in between, every page of them faults
    again: a quarter of the time of a mini model's training.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _KEEP_FREED_MEMORY.items():
            mallopt(option, value)


def of_first_process(value: Any) -> Any:
    """Returns the `value` of process 0, which JSON must be able to hold; all processes have to call it.

    What depends on files is decided so: another process may not see them, or see them sooner or later.
    """
    if jax.process_count() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    sent = np.frombuffer(json.dumps(value).encode(), np.uint8)
    length = int(broadcast_one_to_all(np.int32(sent.size)))
    mine = sent if jax.process_index() == 0 else np.zeros(length, np.uint8)
    return json.loads(np.asarray(broadcast_one_to_all(mine), np.uint8).tobytes())


def _slurm_tasks() -> int:
    return int(os.environ.get('SLURM_NTASKS', '1')) if 'SLURM_STEP_NODELIST' in os.environ else 1


def _tpu_hosts() -> int:
    return len([host for host in os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',') if host])
