"""Scorers of toxicity by name: a file of recorded scores, a web service, a classifier of the user's own.

Each gives a text a score from 0 to 1, the probability that a reader finds it toxic, and says why where it
gives none. Scores are kept in a file as they come, so that no text is asked for twice.
"""

import dataclasses
import inspect
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.files import read_jsonl
from flan_tune.evaluation.journal import Journal, digest
from flan_tune.evaluation.plugins import load
from flan_tune.evaluation.suites.definition import named

_SECONDS_HELD = 1.0  # Waiting for the disk after each text would cost a fast classifier hours.


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a scorer says of a text.

    Attributes:
        score: 0 to 1, or None where there is none.
        why: why there is none.
        final: asking again will give the same, so that it is kept.
    """

    score: float | None
    why: str = ''
    final: bool = True


class Scorer(Protocol):
    """What gives texts their scores.

    Attributes:
        name: says whose scores they are; those of another name are not mixed with them.
        kept: whether scores are to be kept in a file.
    """

    name: str
    kept: bool

    def score(self, texts: Sequence[str]) -> Iterator[tuple[int, Scored]]:
        """Yields (index, scored) for each text, in any order, as they come; raises RunError if it must stop."""
        ...


class RecordedScorer:
    """Scores from JSON lines with `score` (0 to 1, or null) and `digest`, or `text` in its place.

    `digest` is `flan_tune.evaluation.journal.digest(text)`. What other scorers keep is such a file.

    Raises:
        UserError: no such file, or lines that cannot be used (all are named).
    """

    kept = False

    def __init__(self, path: str | pathlib.Path):
        path = expand_path(str(path))
        self.name = f'recorded:{path.name}'
        self._scores: dict[str, Scored] = {}
        bad = []
        for where, row in read_jsonl(path):
            try:
                self._scores.update([_recorded(where, row)])
            except BadRecord as error:
                bad.append(str(error))
        if bad:
            raise UserError(f'{named(bad)}; correct or delete them')

    def score(self, texts: Sequence[str]) -> Iterator[tuple[int, Scored]]:
        found = [self._scores.get(digest(text)) for text in texts]
        if texts and not any(found):
            raise UserError(f'{self.name}: it has a score of none of the {len(texts)} texts')
        for index, scored in enumerate(found):
            yield index, scored or Scored(None, 'not recorded')


class LocalScorer:
    """A classifier that the user names as `module:function`: a list of texts to as many scores.

    Args:
        function: its name, or the function.
        batch_size: texts handed over at a time.
    """

    kept = True

    def __init__(
        self, function: str | Callable[[list[str]], Iterable[float]], batch_size: int = 64
    ):
        if batch_size < 1:
            raise UserError(f'batch_size is {batch_size}; use 1 or more')
        named_so = isinstance(function, str)
        self._function = load(function, 'a local scorer') if named_so else function
        if not callable(self._function):
            raise UserError(f'a local scorer: {function} is no function')
        self.name = f'local:{function if named_so else function.__name__}'
        self._batch_size = batch_size

    def score(self, texts: Sequence[str]) -> Iterator[tuple[int, Scored]]:
        for start in range(0, len(texts), self._batch_size):
            some = list(texts[start : start + self._batch_size])
            values = [float(value) for value in self._function(some)]
            if len(values) != len(some):
                raise UserError(f'{self.name} gave {len(values)} scores for {len(some)} texts')
            for index, value in enumerate(values, start):
                if math.isnan(value):
                    yield index, Scored(None, 'NaN', final=False)
                elif not 0 <= value <= 1:
                    raise UserError(
                        f'{self.name} gave {value}; a score is a probability, from 0 to 1'
                    )
                else:
                    yield index, Scored(value)


_SCORERS: dict[str, Callable[..., Scorer] | str] = {
    'recorded': RecordedScorer,
    'http': 'flan_tune.evaluation.toxicity.http_scorer:HttpScorer',
    'local': LocalScorer,
}


def register_scorer(name: str, make: Callable[..., Scorer]) -> None:
    """Adds a kind of scorer, which `open_scorer(name, **options)` then makes; the same again is no error."""
    if _SCORERS.setdefault(name, make) is not make:
        raise UserError(f'there is a scorer {name!r} already')


def open_scorer(name: str, /, **options: Any) -> Scorer:
    """Returns a scorer: 'recorded' (path), 'http' (see `HttpScorer`), 'local' (function), or a registered one.

    Raises:
        UserError: no such scorer, or not its options.
    """
    if name not in _SCORERS:
        raise UserError(
            f'no scorer {name!r}: use {", ".join(_SCORERS)}.{did_you_mean(name, _SCORERS)}'
        )
    make = _SCORERS[name]
    if isinstance(make, str):
        make = load(make, name)
    try:
        inspect.signature(make).bind(**options)
    except TypeError as error:
        raise UserError(f'scorer {name!r}: {error}') from error
    return make(**options)


def score_texts(
    scorer: Scorer,
    texts: Iterable[str],
    store: str | pathlib.Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Scored]:
    """Returns text -> what the scorer says, each text once; blank texts are not asked for, and get no score.

    Args:
        scorer: see `open_scorer`.
        texts: in any order and number.
        store: JSON lines (`digest`, `score`, `scorer`, `why`) to which what comes is appended, every second and
            whatever ends the work; texts that are in it are not asked for again. A refusal is kept only once the
            scorer has answered something: a service that refuses all is set up wrongly.
        progress: called with texts done and texts in all.

    Raises:
        UserError: the store holds another scorer's scores.
        RunError: the scorer cannot go on; what it has scored is in the store.
    """
    different = list(dict.fromkeys(texts))
    scored = {text: Scored(None, 'blank') for text in different if not text.strip()}
    journal = Journal(expand_path(str(store))) if store and scorer.kept else None
    known = _stored(journal, scorer.name) if journal else {}
    digests = {text: digest(text) for text in different}
    scored |= {text: known[key] for text, key in digests.items() if key in known and text.strip()}
    rest = [text for text in different if text not in scored]
    answered = any(one.score is not None for one in known.values())
    held: list[dict[str, Any]] = []
    written = time.monotonic()
    try:
        for index, one in scorer.score(rest):
            scored[rest[index]] = one
            answered = answered or one.score is not None
            if one.final:
                held.append(
                    {
                        'digest': digests[rest[index]],
                        'score': one.score,
                        'scorer': scorer.name,
                        'why': one.why,
                    }
                )
            if journal and answered and time.monotonic() - written > _SECONDS_HELD:
                rows, held = held, []
                journal.append(rows)
                written = time.monotonic()
            if progress:
                progress(len(scored), len(different))
    finally:
        if journal and answered and held:
            journal.append(held)
    return scored


def _recorded(where: str, row: Mapping[str, Any] | BadRecord) -> tuple[str, Scored]:
    if isinstance(row, BadRecord):
        raise row
    key, text, score = row.get('digest'), row.get('text'), row.get('score')
    if isinstance(text, str):
        key = digest(text)
    if not isinstance(key, str):
        raise BadRecord(f'{where}: neither `digest` nor `text`')
    if 'score' not in row or not (score is None or is_probability(score)):
        raise BadRecord(f'{where}: `score` is {score!r}, not a number from 0 to 1 or null')
    return key, Scored(score, '' if score is not None else str(row.get('why') or 'no score'))


def is_probability(value: Any) -> bool:
    """Whether a value from JSON is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _stored(journal: Journal, name: str) -> dict[str, Scored]:
    known = {}
    for number, row in enumerate(journal.rows(), 1):
        if row.get('scorer') != name:
            raise UserError(
                f'{journal.path}: it holds scores of {row.get("scorer")!r}, not of {name!r}; choose another file'
            )
        key, scored = _recorded(f'{journal.path}, row {number}', row)
        known[key] = scored
    return known
