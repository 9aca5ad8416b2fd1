"""Compiling in a thread of its own, and the end of a process that does."""

import subprocess
import sys
import time

import pytest

from flan_tune.training.compilation import in_background, is_compiling

MISTAKE = """
import jax, sys, time
from flan_tune import cli
from flan_tune.training.compilation import in_background

def slow(x):
    for _ in range(3000):
        x = jax.numpy.sin(x) @ x
    return x

in_background(lambda: jax.jit(slow).lower(jax.ShapeDtypeStruct((64, 64), 'float32')).compile())
time.sleep(2)
cli.leave(2)
"""


def test_what_is_compiled_or_its_error_comes_from_the_future():
    waiting = in_background(time.sleep, 0.2)
    assert is_compiling()
    assert waiting.result() is None
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0).result()


def test_a_mistake_ends_a_process_that_compiles_with_its_status():
    done = subprocess.run(
        [sys.executable, '-c', MISTAKE], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (2, '')
