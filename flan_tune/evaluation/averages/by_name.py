"""All averages that the papers report, by name: of those that a table has parts of, value, parts and what is lacking.

| names | of |
|---|---|
| `normalized_average`, `cot_average`, `non_cot_average`; `mini_…`; `…_40_chains` | Chung et al. 2022 |
| `bbh-cot-nlp`, `bbh-direct-alg`, `mmlu-cot-stem`, … | groups of a suite, by protocol |
| `flan2021_rank_template_mean`, `…_best_dev_template` | Wei et al. 2021; the value is the mean over clusters, the parts are data sets |
| `t0_held_out_template_median` | Sanh et al. 2022; the value is the mean over tasks |
| `opt_iml_validation_fully_held_out`, … | Iyer et al. 2022, section 4 |
| `xor_attriqa_accuracy`, `xtreme_up_f1`, … | Wang et al. 2023 |

Each may be the `best_metric` of a run.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from flan_tune.errors import UserError
from flan_tune.evaluation.averages import flan2022
from flan_tune.evaluation.averages.flan import (
    DEV_SUITES,
    FIAT,
    fiat_averages,
    flan_averages,
    over_templates,
)
from flan_tune.evaluation.averages.opt_iml import LEVELS, bench_descriptions, opt_iml_averages
from flan_tune.evaluation.protocol_names import plain_protocol
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.suites.definition import find_suite, suite_names

Runs = Sequence[tuple[str, str]]
_T0 = 't0_held_out'
_OPT_IML = ('validation', 'test')


@dataclasses.dataclass(frozen=True)
class Part:
    """What an average is made of: `note` says more, such as the template that was chosen."""

    name: str
    value: float
    missing: tuple[str, ...] = ()
    note: str = ''


@dataclasses.dataclass(frozen=True)
class Average:
    """A number that a paper reports.

    Attributes:
        name: what it is called.
        value: in percent.
        parts: what it is made of.
        missing: what it should be made of and is not.
    """

    name: str
    value: float
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        return bool(self.missing) or any(part.missing for part in self.parts)


@dataclasses.dataclass(frozen=True)
class Family:
    """Averages of one kind.

    Attributes:
        names: suites and protocols, as tables name them -> names of the averages that have parts of these.
        find: table of one checkpoint, a name -> the average, or None where the table has no part of it.
    """

    names: Callable[[Runs], Iterable[str]]
    find: Callable[[ScoreTable, str], Average | flan2022.Average | None]


_families: list[Family] = []


def register_averages(family: Family) -> Family:
    """Makes further averages known."""
    _families.append(family)
    return family


def average_names(runs: Runs) -> list[str]:
    """Returns the averages that scores of these suites and protocols (as tables name them) may have."""
    return list(dict.fromkeys(name for family in _families for name in family.names(runs)))


def find_averages(table: ScoreTable) -> dict[str, Any]:
    """Returns what a table of one checkpoint has, as JSON can hold it.

    `averages` holds name -> value, parts, missing, partial; `not_averaged` says of which it is not clear which scores are
    meant, such as those at several numbers of shots.
    """
    found, unclear = {}, []
    for name in average_names(_runs(table)):
        try:
            average = find_average(table, name)
        except UserError as error:
            unclear.append(f'{name}: {error}')
            continue
        if average is not None:
            found |= _as_json(average)
    return {'averages': found, 'not_averaged': unclear}


def find_average(table: ScoreTable, name: str) -> Average | flan2022.Average | None:
    """Returns one average of a table of one checkpoint; None where it has no part of it.

    Raises:
        UserError: it is not clear which scores are meant.
    """
    runs = _runs(table)
    family = next((family for family in _families if name in family.names(runs)), None)
    return family and family.find(table, name)


def _runs(table: ScoreTable) -> Runs:
    return sorted({(row.suite, row.protocol) for row in table})


def _as_json(average: Average | flan2022.Average) -> dict[str, Any]:
    if isinstance(average, flan2022.Average):
        return flan2022.as_json([average])
    row = dataclasses.asdict(average) | {'partial': average.partial}
    for part in row['parts']:
        part['partial'] = bool(part['missing'])
    return {average.name: row}


def _plain(table: ScoreTable) -> ScoreTable:
    """Without self-consistency and other ways to rank."""
    return ScoreTable(row for row in table if row.protocol == plain_protocol(row.protocol))


def _chung(table: ScoreTable, name: str) -> flan2022.Average | None:
    counted = [pair for pair in _runs(table) if flan2022.has_scores(table, *pair)]
    return flan2022.average(table, name) if name in flan2022.average_names(counted) else None


def _grouped(runs: Runs) -> dict[str, tuple[str, str, str]]:
    known = set(suite_names())
    return {
        f'{suite}-{protocol}-{group}': (suite, protocol, group)
        for suite, protocol in runs
        if suite in known and plain_protocol(protocol) in find_suite(suite).protocols
        for group in find_suite(suite).groups
    }


def _group(table: ScoreTable, name: str) -> Average | None:
    suite, protocol, group = _grouped(_runs(table))[name]
    if not flan2022.has_scores(table, suite, protocol, group=group):
        return None
    mean = flan2022.suite_mean(table, suite, protocol, group=group)
    return Average(name, mean.raw, missing=mean.missing)


def _flan_names(runs: Runs) -> list[str]:
    suites = dict.fromkeys(suite for suite, _ in runs if suite in DEV_SUITES)
    return [f'{s}_{which}' for s in suites for which in ('template_mean', 'best_dev_template')]


def _flan(table: ScoreTable, name: str) -> Average | None:
    suite = next(suite for suite in DEV_SUITES if name.startswith(f'{suite}_'))
    found = flan_averages(_plain(table), suite)
    best = name.endswith('best_dev_template')
    at = 1 if best else 0
    clusters = [scores[at] for scores in found.clusters.values() if scores[at] is not None]
    if not clusters:
        return None
    parts = [
        Part(data_set, score.best if best else score.mean, note=score.template if best else '')
        for data_set, score in found.data_sets.items()
        if not best or score.best is not None
    ]
    without = tuple(f'{data_set} on dev' for data_set in found.without_dev) if best else ()
    return Average(name, _mean(clusters), tuple(parts), (*found.missing, *without))


def _t0_names(runs: Runs) -> list[str]:
    return [f'{_T0}_template_median'] if (_T0, 'rank') in runs else []


def _t0(table: ScoreTable, name: str) -> Average:
    found = over_templates(_plain(table), _T0, protocol='rank')
    parts = tuple(
        Part(task, scores.median, note=f'quartiles {scores.low:.1f} and {scores.high:.1f}')
        for task, scores in found.items()
    )
    missing = tuple(task for task in find_suite(_T0).chances if task not in found)
    return Average(name, _mean(part.value for part in parts), parts, missing)


def _opt_iml_names(runs: Runs) -> list[str]:
    splits = [s for s in _OPT_IML if any(suite.startswith(f'opt_iml_{s}_') for suite, _ in runs)]
    return [f'opt_iml_{split}_{level}' for split in splits for level in LEVELS]


def _opt_iml(table: ScoreTable, name: str) -> Average | None:
    split = next(split for split in _OPT_IML if name.startswith(f'opt_iml_{split}_'))
    level = name.removeprefix(f'opt_iml_{split}_')
    rows = [row for row in _plain(table) if row.suite.startswith(f'opt_iml_{split}_')]
    for suite in {row.suite for row in rows}:
        len(find_suite(suite).chances)  # Registers the tasks that are described.
    found = opt_iml_averages(ScoreTable(rows), bench_descriptions(split)).get(level)
    if found is None:
        return None
    parts = (Part(group, _mean(by_shots.values())) for group, by_shots in found.groups.items())
    return Average(name, found.average, tuple(parts), found.missing)


def _fiat_names(runs: Runs) -> list[str]:
    return [name for name, (suite, *_) in FIAT.items() if any(suite == s for s, _ in runs)]


def _fiat(table: ScoreTable, name: str) -> Average | None:
    found = fiat_averages(_plain(table)).get(name)
    return found and Average(name, found.value, missing=found.missing)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


for _names, _find in (
    (flan2022.average_names, _chung),
    (_grouped, _group),
    (_flan_names, _flan),
    (_t0_names, _t0),
    (_opt_iml_names, _opt_iml),
    (_fiat_names, _fiat),
):
    register_averages(Family(_names, _find))
