"""The averages that papers report, from the one tidy table: each says what it lacks.

Chung et al. (2022): a suite's score is the unweighted mean over its tasks; the normalized average is the mean of
six of them, each task first set between guessing (0) and perfect (100). `mini_` averages are the same over the suites of
the embedded world. With self-consistency they have names of their own, such as `cot_average_40_chains`: their parts by
chain of thought are those that 40 chains voted on. `flan_tune.evaluation.averages.by_name` knows these and other papers' averages.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flan_tune.errors import UserError
from flan_tune.evaluation.protocol_names import chains_of, plain_protocol, protocol_name
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import find_suite, suite_names


@dataclasses.dataclass(frozen=True)
class Part:
    """One of the scores that an average is made of; of several protocols the first that the table has."""

    name: str
    suite: str
    protocols: tuple[str, ...]

    def names(self, chains: int = 1) -> tuple[str, ...]:
        """Returns the protocols as tables name them; of those with chains, greedy answers serve where none are voted on."""
        voted = tuple(protocol_name(p, chains=chains) for p in self.protocols if p != 'rank')
        if chains == 1 or self.protocols == ('cot',):
            return self.protocols if chains == 1 else voted
        return (*self.protocols, *voted)


MMLU_DIRECT = Part('MMLU-Direct', 'mmlu', ('direct', 'rank'))
MMLU_COT = Part('MMLU-CoT', 'mmlu', ('cot',))
BBH_DIRECT = Part('BBH-Direct', 'bbh', ('direct',))
BBH_COT = Part('BBH-CoT', 'bbh', ('cot',))
TYDIQA_DIRECT = Part('TyDiQA-Direct', 'tydiqa', ('direct',))
MGSM_COT = Part('MGSM-CoT', 'mgsm', ('cot',))

_CHUNG = {
    'normalized_average': (MMLU_DIRECT, MMLU_COT, BBH_DIRECT, BBH_COT, TYDIQA_DIRECT, MGSM_COT),
    'cot_average': (MMLU_COT, BBH_COT, MGSM_COT),
    'non_cot_average': (MMLU_DIRECT, BBH_DIRECT, TYDIQA_DIRECT),
}
AVERAGES = _CHUNG | {
    f'mini_{name}': tuple(
        dataclasses.replace(part, name=f'mini {part.name}', suite=f'mini_{part.suite}')
        for part in parts
    )
    for name, parts in _CHUNG.items()
}
_CHAINS = re.compile(r'(\w+)_(\d+)_chains')


@dataclasses.dataclass(frozen=True)
class Mean:
    """The score of a suite, or of a group of its tasks.

    Attributes:
        name: what it is called.
        suite: the suite.
        protocol: its protocol.
        shots: exemplars.
        metric: the metric.
        raw: unweighted mean over the tasks, in percent.
        normalized: the same of 100 * (score - chance) / (100 - chance) of each task; negative below chance.
        tasks: how many tasks it is the mean of.
        missing: the tasks that it should have and has not.
    """

    name: str
    suite: str
    protocol: str
    shots: int
    metric: str
    raw: float
    normalized: float
    tasks: int
    missing: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        return bool(self.missing)


@dataclasses.dataclass(frozen=True)
class Average:
    """A mean over suites.

    Attributes:
        name: what it is called.
        value: the mean of the parts' normalized scores.
        raw: the mean of their raw scores.
        parts: the scores that it is made of.
        missing: the parts that the table lacks altogether.
    """

    name: str
    value: float
    raw: float
    parts: tuple[Mean, ...]
    missing: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether a part, or a task of a part, is missing."""
        return bool(self.missing) or any(part.partial for part in self.parts)


def normalized(score: float, chance: float) -> float:
    """Returns a score in percent on the scale where guessing is 0 and perfect is 100."""
    return 100 * (score - chance) / (100 - chance)


def suite_mean(
    table: ScoreTable,
    suite: str,
    protocol: str,
    *,
    metric: str | None = None,
    shots: int | None = None,
    group: str | None = None,
    checkpoint: str | None = None,
    name: str = '',
) -> Mean:
    """Returns the score of a suite, or of one of its groups such as 'nlp' of 'bbh'.

    Args:
        table: holds the tasks' scores; templates of a task are averaged first.
        suite: the suite.
        protocol: one of its protocols, or a variant of one, such as 'cot_40_chains'.
        metric: by default the suite's own.
        shots: by default the suite's own, or else the only number that the table has.
        group: one of the suite's groups.
        checkpoint: whose scores; needed where the table has those of several.
        name: what to call it; by default after suite, protocol and group.

    Raises:
        UserError: the table has no such score, or it is not clear which is meant.
    """
    definition = find_suite(suite)
    default = definition.protocol(plain_protocol(protocol))
    if group is not None and group not in definition.groups:
        raise UserError(f'suite {suite!r} has no group {group!r}: {", ".join(definition.groups)}')
    expected = definition.chances if group is None else definition.groups[group]
    metric = metric or default.metric
    rows = [
        s for s in table.select(suite=suite, protocol=protocol, metric=metric) if s.task in expected
    ]
    what = f'{suite} {protocol} {metric}'
    rows = _pick(rows, 'checkpoint', checkpoint, None, what)
    rows = _pick(rows, 'shots', shots, default.shots, what)
    by_task: dict[str, list[float]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row.value)
    scores = {task: float(np.mean(values)) for task, values in by_task.items()}
    chances = definition.chances
    return Mean(
        name=name or '-'.join(filter(None, (suite, protocol, group))),
        suite=suite,
        protocol=protocol,
        shots=rows[0].shots,
        metric=metric,
        raw=float(np.mean(list(scores.values()))),
        normalized=float(np.mean([normalized(v, chances[task]) for task, v in scores.items()])),
        tasks=len(scores),
        missing=tuple(task for task in expected if task not in scores),
    )


def average(
    table: ScoreTable,
    name: str = 'normalized_average',
    *,
    suites: Mapping[str, str] | None = None,
    checkpoint: str | None = None,
) -> Average:
    """Returns the normalized average, 'cot_average' or 'non_cot_average' (Chung et al. 2022).

    Args:
        table: the tasks' scores.
        name: one of AVERAGES; with '_40_chains' behind it, that of self-consistency with so many chains.
        suites: other suites for those of the parts, e.g. {'mmlu': 'mmlu_validation'}.
        checkpoint: whose scores; needed where the table has those of several.

    Raises:
        UserError: the table has no part at all, or it is not clear which scores are meant.
    """
    plain, chains = _split_chains(name)
    if plain not in AVERAGES:
        raise UserError(f'no average {name!r}: {", ".join(AVERAGES)}')
    parts, missing = [], []
    for part in AVERAGES[plain]:
        suite = (suites or {}).get(part.suite, part.suite)
        protocols = [p for p in part.names(chains) if has_scores(table, suite, p, checkpoint)]
        if protocols:
            found = suite_mean(table, suite, protocols[0], checkpoint=checkpoint, name=part.name)
            parts.append(found)
        else:
            missing.append(part.name)
    if not parts:
        raise UserError(f'{name}: the table has none of {", ".join(missing)}')
    return Average(
        name=name,
        value=float(np.mean([part.normalized for part in parts])),
        raw=float(np.mean([part.raw for part in parts])),
        parts=tuple(parts),
        missing=tuple(missing),
    )


def aggregates(
    table: ScoreTable, *, suites: Mapping[str, str] | None = None, checkpoint: str | None = None
) -> dict[str, dict[str, Any]]:
    """Returns all that the table has scores for, as JSON can hold it.

    `suites` has the means of suites and of their groups, by name; `averages` those of AVERAGES. `partial` is
    in each of them.
    """
    there = _scored(table, checkpoint)
    means = [
        suite_mean(table, suite, protocol, group=group, checkpoint=checkpoint)
        for suite, protocol in there
        for group in (None, *find_suite(suite).groups)
        if has_scores(table, suite, protocol, checkpoint, group)
    ]
    stand_for = {other: suite for suite, other in (suites or {}).items()}
    runs = [(stand_for.get(suite, suite), protocol) for suite, protocol in there]
    averages = [
        average(table, name, suites=suites, checkpoint=checkpoint) for name in average_names(runs)
    ]
    return {'suites': as_json(means), 'averages': as_json(averages)}


def average_names(runs: Iterable[tuple[str, str]]) -> list[str]:
    """Returns the averages of Chung et al. that some scores are parts of, without and with self-consistency.

    Args:
        runs: suite and protocol, as tables name it, of the scores.
    """
    runs = set(runs)
    return [
        name if chains == 1 else f'{name}_{chains}_chains'
        for name, parts in AVERAGES.items()
        for chains in sorted({chains_of(protocol) for _, protocol in runs})
        if any(
            (part.suite, protocol) in runs and chains_of(protocol) == chains
            for part in parts
            for protocol in part.names(chains)
        )
    ]


def as_json(found: Iterable[Mean | Average]) -> dict[str, Any]:
    """Returns name -> means or averages, as JSON can hold them."""
    rows = {one.name: dataclasses.asdict(one) | {'partial': one.partial} for one in found}
    for row in rows.values():
        for part in row.get('parts', ()):
            part |= {'value': part['normalized'], 'partial': bool(part['missing'])}
    return rows


def _split_chains(name: str) -> tuple[str, int]:
    found = _CHAINS.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 1)


def _scored(table: ScoreTable, checkpoint: str | None) -> list[tuple[str, str]]:
    """The suites and protocols of which the table has scores that count."""
    pairs = sorted({(row.suite, row.protocol) for row in table})
    known = set(suite_names())
    return [pair for pair in pairs if pair[0] in known and has_scores(table, *pair, checkpoint)]


def has_scores(
    table: ScoreTable,
    suite: str,
    protocol: str,
    checkpoint: str | None = None,
    group: str | None = None,
) -> bool:
    """Whether the table has a score, in the suite's metric, of a task that counts."""
    definition = find_suite(suite)
    if plain_protocol(protocol) not in definition.protocols:
        return False
    tasks = definition.chances if group is None else definition.groups[group]
    metric = definition.protocols[plain_protocol(protocol)].metric
    found = table.select(suite=suite, protocol=protocol, metric=metric)
    return any(s.task in tasks and checkpoint in (None, s.checkpoint) for s in found)


def _pick(rows: Sequence[Score], column: str, wanted: Any, default: Any, what: str) -> list[Score]:
    """Returns the rows with one value in a column: the wanted one, else the default, else the only one."""
    values = sorted({getattr(row, column) for row in rows})
    if wanted is None and default in values:
        wanted = default
    if wanted is None and len(values) > 1:
        raise UserError(f'{what}: the table has {column} {", ".join(map(str, values))}; say which')
    picked = [row for row in rows if wanted is None or getattr(row, column) == wanted]
    if not picked:
        there = f'; it has {column} {", ".join(map(str, values))}' if values else ''
        of = f' with {column} {wanted}' if wanted is not None else ''
        raise UserError(f'the table has no score of {what}{of}{there}')
    return picked
