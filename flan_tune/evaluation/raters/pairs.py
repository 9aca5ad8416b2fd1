"""Outputs of two systems on the same inputs, pair by pair, and what raters say of them."""

import dataclasses
import datetime
import functools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from flan_tune.data.draws import Draws
from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_jsonl
from flan_tune.evaluation.journal import Journal, digest
from flan_tune.evaluation.suites.definition import OnBadRecord, named

Side = Literal['a', 'b']
Preference = Literal['a', 'b', 'tie']
PREFERENCES = ('a', 'b', 'tie')
JUDGE = 'judge:'  # A rater whose name begins so is a model.


@dataclasses.dataclass(frozen=True)
class Pair:
    """What two systems wrote on one input."""

    id: str
    inputs: str
    a: str
    b: str

    @functools.cached_property
    def digest(self) -> str:
        return digest(self.inputs, self.a, self.b)

    def text(self, side: Side) -> str:
        return self.a if side == 'a' else self.b


@dataclasses.dataclass(frozen=True)
class PairFile:
    """The pairs that two files make.

    Attributes:
        pairs: in the order of the first file.
        left_out: inputs that make no pair, and why: `only_a`, `only_b`, `no_prediction` (a null), and
            `malformed` (file and line, where bad records are skipped).
    """

    pairs: tuple[Pair, ...]
    left_out: dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A pair as a rater sees it: which of the two is on the left."""

    pair: Pair
    left: Side

    @property
    def right(self) -> Side:
        return other(self.left)


@dataclasses.dataclass(frozen=True)
class Rating:
    """What a rater says of a pair.

    Attributes:
        pair: its id.
        rater: a name; of a model, 'judge:' and its name.
        choice: the better of the two, or 'tie'.
        left: what was on the left; of a model, which was first in the first of its two questions.
        reason: why a model's answers count as a tie: 'inconsistent' or 'unparsable'.
    """

    pair: str
    rater: str
    choice: Preference
    left: Side
    reason: str = ''


def other(side: Side) -> Side:
    return 'b' if side == 'a' else 'a'


def read_pairs(
    a: str | pathlib.Path, b: str | pathlib.Path, *, on_bad_record: OnBadRecord = 'refuse'
) -> PairFile:
    """Joins two JSONL files of outputs on `id`, or on `index` in rows without one.

    A row has `prediction`, and in at least one of the files `inputs`: what the systems were given.

    Raises:
        UserError: a file is missing; rows cannot be used (unless skipped); the two differ in an input; they
            have nothing in common.
    """
    files = [expand_path(str(path)) for path in (a, b)]
    malformed: list[str] = []
    first, second = (_read(path, malformed) for path in files)
    if malformed and on_bad_record == 'refuse':
        raise UserError(f'{named(malformed)}; correct them, or skip bad records')
    pairs, no_prediction = [], []
    for name, row in first.items():
        if name not in second:
            continue
        texts = [one.get('prediction') for one in (row, second[name])]
        inputs = _inputs(name, row, second[name], files)
        if None in texts:
            no_prediction.append(name)
        else:
            pairs.append(Pair(name, inputs, *texts))
    if not pairs:
        raise UserError(
            f'{files[0]} ({_kinds(first)}) and {files[1]} ({_kinds(second)}) have no output on the same input'
        )
    return PairFile(
        tuple(pairs),
        {
            'only_a': [name for name in first if name not in second],
            'only_b': [name for name in second if name not in first],
            'no_prediction': no_prediction,
            'malformed': malformed,
        },
    )


def order_for(pairs: Sequence[Pair], seed: int, rater: str) -> list[Shown]:
    """Returns the pairs in a rater's order; each system is on the left in half of them."""
    shuffled = Draws('compare-pairs', seed, rater, 'order').shuffled(pairs)
    sides: list[Side] = ['a', 'b'] * (len(pairs) // 2)
    if len(pairs) % 2:
        sides.append(Draws('compare-pairs', seed, rater, 'odd').choice(('a', 'b')))
    sides = Draws('compare-pairs', seed, rater, 'sides').shuffled(sides)
    return [Shown(pair, left) for pair, left in zip(shuffled, sides, strict=True)]


class Ratings:
    """A file of ratings, appended to; of several ratings of a pair by one rater the last one counts.

    Raises:
        UserError: it holds ratings of other outputs, or rows that are no ratings.
    """

    def __init__(self, path: str | pathlib.Path, pairs: Iterable[Pair]):
        self._journal = Journal(expand_path(str(path)))
        self._pairs = {pair.id: pair for pair in pairs}
        self._ratings: dict[tuple[str, str], Rating] = {}
        for row in self._journal.rows():
            self._keep(self._checked(row))

    @property
    def path(self) -> pathlib.Path:
        return self._journal.path

    @property
    def raters(self) -> list[str]:
        """People first, in the order in which they came, then models."""
        names = dict.fromkeys(rating.rater for rating in self._ratings.values())
        return sorted(names, key=lambda name: name.startswith(JUDGE))

    def of(self, rater: str) -> dict[str, Rating]:
        """Returns one rater's ratings by the pair's id."""
        return {r.pair: r for r in list(self._ratings.values()) if r.rater == rater}

    def add(self, ratings: Sequence[Rating], **more: Any) -> None:
        """Appends ratings, with the time and `more` in their rows; raises RunError if that fails."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
        self._journal.append(
            {
                **dataclasses.asdict(rating),
                'digest': self._pairs[rating.pair].digest,
                'time': now,
                **more,
            }
            for rating in ratings
        )
        for rating in ratings:
            self._keep(rating)

    def _keep(self, rating: Rating) -> None:
        self._ratings[rating.rater, rating.pair] = rating

    def _checked(self, row: dict[str, Any]) -> Rating:
        pair = self._pairs.get(str(row.get('pair')))
        if pair is None or row.get('digest') != pair.digest:
            raise UserError(
                f'{self.path}: the rating of {row.get("pair")!r} is of other outputs than those in the two '
                'files; choose another file of ratings'
            )
        rating = Rating(
            pair.id, row.get('rater', ''), row.get('choice'), row.get('left'), row.get('reason', '')
        )
        if (
            not isinstance(rating.rater, str)
            or rating.choice not in PREFERENCES
            or rating.left not in ('a', 'b')
        ):
            raise UserError(f'{self.path}: the row of {pair.id!r} is no rating: {row}')
        return rating


def _read(path: pathlib.Path, malformed: list[str]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for where, row in read_jsonl(path):
        try:
            if isinstance(row, BadRecord):
                raise row
            name = row.get('id', row.get('index'))
            if not isinstance(name, str | int) or isinstance(name, bool):
                raise BadRecord(f'{where}: neither `id` nor `index`')
            if 'prediction' not in row or not isinstance(row['prediction'], str | None):
                raise BadRecord(f'{where}: `prediction` is missing or no text')
            if not isinstance(row.get('inputs', ''), str):
                raise BadRecord(f'{where}: `inputs` is no text')
            if str(name) in rows:
                raise BadRecord(f'{where}: {name!r} was there before')
        except BadRecord as error:
            malformed.append(str(error))
            continue
        rows[str(name)] = row
    return rows


def _inputs(name: str, a: dict[str, Any], b: dict[str, Any], files: Sequence[pathlib.Path]) -> str:
    found = [row['inputs'] for row in (a, b) if 'inputs' in row]
    if not found:
        raise UserError(
            f'{files[0]}, {files[1]}: neither has `inputs` for {name!r}; raters must see what was asked'
        )
    if len(set(found)) > 1:
        raise UserError(f'{files[0]} and {files[1]} differ in the inputs of {name!r}')
    return found[0]


def _kinds(rows: dict[str, dict[str, Any]]) -> str:
    return f'{len(rows)} outputs, the first {next(iter(rows))!r}' if rows else 'no outputs'
