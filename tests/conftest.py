"""What all tests share: four virtual CPU devices, strict dtypes, and the folder of real data."""

import os
import pathlib
import signal
import tempfile

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Tests compile much and compute little: LLVM's optimizations cost more than they give.
os.environ.setdefault(
    'XLA_FLAGS',
    '--xla_backend_optimization_level=0 --xla_cpu_collective_call_terminate_timeout_seconds=600',
)

# Four virtual devices share few cores: programs run one after the other, a collective may wait for its last device,
# and there are threads enough for all that wait beside those that work.
os.environ.setdefault('JAX_CPU_ENABLE_ASYNC_DISPATCH', 'false')
os.environ.setdefault('NPROC', '16')

import jax
import pytest

jax.config.update('jax_num_cpu_devices', 4)
jax.config.update('jax_numpy_dtype_promotion', 'strict')

# A shell's job in the background ignores SIGINT, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that several tests compile are compiled once.
_CACHE = pathlib.Path(tempfile.gettempdir()) / f'flan_tune_tests_{os.getuid()}'
jax.config.update(
    'jax_compilation_cache_dir', os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(_CACHE))
)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)

ROOT = pathlib.Path(__file__).parent.parent
DATA_DIR = pathlib.Path(os.environ.get('FLAN_TUNE_DATA_DIR', ROOT.parent / 'shared' / 'data'))


@pytest.fixture(scope='session')
def data_dir() -> pathlib.Path:
    """The folder of real data; tests that need it are skipped by name where it is absent."""
    if not DATA_DIR.is_dir():
        pytest.skip(f'FLAN_TUNE_DATA_DIR: no folder {DATA_DIR}')
    os.environ['FLAN_TUNE_DATA_DIR'] = str(DATA_DIR)
    return DATA_DIR
