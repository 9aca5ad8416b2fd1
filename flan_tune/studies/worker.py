"""What runs in the process of one command of a study; the server that is forked for each has imported it all."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing import parent_process

# Imported in the server, once for all commands. No device is touched by that.
PRELOAD = (
    'flan_tune.studies.worker',
    'flan_tune.train',
    'flan_tune.evaluate',
    'flan_tune.fiat',
    'flan_tune.data.loading',
    'flan_tune.data.mixture_config',
    'flan_tune.evaluation.evaluator',
    'flan_tune.reporting.html',
    'flan_tune.reporting.plots',
)


def run_command(arguments: Sequence[str], log: str) -> None:
    """Runs `flan_tune ARGUMENTS` and ends the process with its exit status; what it prints is added to `log`."""
    _end_with_parent()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = ['flan_tune', *arguments]
    from flan_tune import cli

    cli.leave(cli.main(arguments))


def probe() -> None:
    """Ends well if a forked process can compute."""
    import jax

    jax.block_until_ready(jax.numpy.zeros(2) + 1)


def _end_with_parent() -> None:
    """Asks this process to stop, as a preempted machine does, when the study's process is no more."""
    parent = parent_process()

    def wait():
        parent.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(os.getpid(), signal.SIGTERM)

    if parent is not None:
        threading.Thread(target=wait, name='parent', daemon=True).start()
