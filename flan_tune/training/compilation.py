"""Compiling ahead of time, in the background, with a cache on disk."""

import concurrent.futures
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from flan_tune.training.step import Trainer

CACHE_VARIABLE = 'JAX_COMPILATION_CACHE_DIR'
_THREAD = 'compile'


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, where JAX_COMPILATION_CACHE_DIR says or in the user's cache."""
    if os.environ.get(CACHE_VARIABLE) is None:
        cache = (
            epath.Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser()
            / 'flan_tune'
            / 'jax'
        )
        jax.config.update('jax_compilation_cache_dir', str(cache))


def compile_step(trainer: Trainer, batch_shapes: Mapping[str, Any]) -> Callable:
    """Compiles the train step for batches of the given (shape, dtype), allocating nothing."""
    shapes = {
        name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in batch_shapes.items()
    }
    shardings = trainer.layout.batch_shardings(shapes)
    batch = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in shapes.items()
    }
    return trainer.jitted_step().lower(trainer.abstract_state(), batch).compile()


def in_background(function: Callable, *args: Any) -> concurrent.futures.Future:
    """Starts `function(*args)` in a thread: XLA compiles while Python imports and opens the data.

    The thread is a daemon, so that a mistake found meanwhile ends the program at once (see `flan_tune.cli.leave`).
    """
    future: concurrent.futures.Future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=_THREAD, daemon=True).start()
    return future


def is_compiling() -> bool:
    """Returns whether a function that `in_background` has started goes on."""
    return any(thread.name == _THREAD for thread in threading.enumerate())
