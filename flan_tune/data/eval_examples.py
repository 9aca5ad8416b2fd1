"""The examples of a task's split in the order of its records, to evaluate on."""

import functools
import logging
from collections.abc import Iterator
from typing import Any

from flan_tune.data import mixtures
from flan_tune.data.loading import tolerated_share
from flan_tune.data.tasks import InstructionTask
from flan_tune.data.text_files import BadRecord
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError

_NAMED = 10
_log = logging.getLogger(__name__)


class EvalExamples:
    """The rendered examples of a task's split, in the order of its records; can be iterated again and again."""

    def __init__(
        self,
        name: str,
        *,
        tokenizer: Tokenizer,
        max_input_tokens: int,
        split: str = 'validation',
        limit: int | None = None,
        seed: int = 0,
        on_bad_record: float | str = 'refuse',
    ):
        """Opens a registered instruction task.

        Args:
          name: the task, or one of its variants.
          tokenizer: counts the tokens of few-shot prompts, of which exemplars are dropped until they fit.
          max_input_tokens: what they are to fit, with an end of sequence.
          split: the split to read.
          limit: read only the first so many records.
          seed: seed of rendering.
          on_bad_record: for records that cannot be read or rendered: 'refuse' them, all by name; 'skip' them; or skip
            them if they are no more than this share (one is always let pass). Also see `check`.
        """
        task = mixtures.find(name)
        if not isinstance(task, InstructionTask):
            raise UserError(f'{name!r} is no task that register_task made, which evaluation needs')
        if split not in task.splits:
            raise UserError(f'task {name!r} has no split {split!r}, only {list(task.splits)}')
        size = task.size(split)
        self.num_examples = size if limit is None else min(limit, size)
        self._renderer, self._split, self._seed = task.renderer, split, seed
        self._fitting = {'tokenizer': tokenizer, 'max_input_tokens': max_input_tokens}
        self._name = name
        self._tolerated = tolerated_share(on_bad_record)
        self._is_checked = False

    @functools.cached_property
    def bad_records(self) -> dict[int, str]:
        """What is wrong with records, by their index: found by rendering all of them, once."""
        found = {}
        for index in range(self.num_examples):
            try:
                self._renderer.example(self._split, index, seed=self._seed)
            except BadRecord as error:
                found[index] = str(error)
        return found

    def check(self) -> None:
        """Raises a UserError that names the bad records if there are more than are tolerated; else logs them.

        Call it before a model runs: the first example would do the same.
        """
        bad, number = list(self.bad_records.values()), self.num_examples
        if not bad or self._is_checked:
            return
        rest = f'; and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
        message = f'{self._name}: {len(bad):,} of {number:,} records cannot be used: '
        message += '; '.join(bad[:_NAMED]) + rest
        tolerated = self._tolerated
        if tolerated is None or len(bad) > max(1, tolerated * number):
            raise UserError(f'{message}. Correct them, or skip bad records (on_bad_record=skip)')
        if len(bad) == number:
            raise UserError(f'{message}. There is nothing to score')
        _log.warning('%s; they are left out', message)
        self._is_checked = True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields what `Renderer.example` gives, with its `index` in the split."""
        self.check()
        for index in range(self.num_examples):
            if index not in self.bad_records:
                example = self._renderer.example(
                    self._split, index, seed=self._seed, **self._fitting
                )
                yield example | {'index': index}
