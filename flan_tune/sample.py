"""`flan_tune sample`: lets a model write, for raters to compare or for a scorer of toxicity to judge."""

import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from flan_tune import cli
from flan_tune.data.text_files import expand_path
from flan_tune.evaluation.open_ended import OpenEnded
from flan_tune.evaluation.toxicity.prompts import RealToxicityPrompts
from flan_tune.interchange.text_models import open_text_model
from flan_tune.models.functional import ModelConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout
from flan_tune.reporting.console import duration
from flan_tune.training.compilation import use_compilation_cache

_SECONDS_BETWEEN_LINES = 10.0


def sample(
    *,
    model: ModelConfig,
    vocabulary: str,
    checkpoint: str,
    work: OpenEnded | RealToxicityPrompts,
    model_dir: str,
    max_input_tokens: int = 1024,
    batch_size: int = 32,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Writes what a model makes of the inputs of `work` into `model_dir`; goes on where it was stopped.

    Args:
        model: the configuration of the model that wrote the checkpoint.
        vocabulary: a SentencePiece model file, a Hugging Face tokenizer.json or a folder with one, or 'mini'.
        checkpoint: a run of ours, one of its steps, or a Hugging Face folder.
        work: what to write, and what becomes of it.
        model_dir: the folder of the results.
        max_input_tokens: longest prompt; longer ones keep their end, and are counted.
        batch_size: rows of a batch.
        seed: of sampling.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        dry_run: open inputs and scorer, write nothing.

    Returns:
        What `work.run` returns.
    """
    if dry_run:
        plan = work.plan()
        print(f'{plan["inputs"]} inputs; the first:\n{plan["first"]}')
        return plan
    work.plan()  # Bad inputs and a missing key are told before the model is read.
    join_processes()
    use_compilation_cache()
    text_model = open_text_model(
        model,
        checkpoint,
        vocabulary,
        Layout(make_mesh(mesh)),
        max_input_tokens=max_input_tokens,
        batch_size=batch_size,
    )
    folder: pathlib.Path = expand_path(model_dir)
    result = work.run(text_model, folder, seed, _progress())
    if jax.process_index() == 0:
        print(json.dumps(result, indent=2))
        print(f'results: {folder}')
    return result


def _progress() -> Callable[[str, int, int], None]:
    """Returns what prints now and then how far each stage is, and when it will be done."""
    began: dict[str, tuple[float, int]] = {}
    last = time.monotonic()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start, there = began.setdefault(stage, (now, done))
        if done < total and (now - last < _SECONDS_BETWEEN_LINES or done == there):
            return
        last = now
        left = (total - done) * (now - start) / max(done - there, 1)
        eta = f'  ETA {duration(left)}' if done < total else ''
        print(f'{done:,} of {total:,} {stage}{eta}', file=sys.stderr, flush=True)

    return progress


main = functools.partial(cli.run_verb, 'sample')

if __name__ == '__main__':
    sys.exit(main())
