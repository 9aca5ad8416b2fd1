"""`flan_tune evaluate` without a model: scores recorded predictions, or compares what two runs have answered."""

import argparse
from collections.abc import Sequence
from typing import Any

from flan_tune.errors import UserError
from flan_tune.evaluation.averages.by_name import find_averages
from flan_tune.evaluation.compare import as_json, compare_runs, open_run
from flan_tune.evaluation.recorded.files import Setting
from flan_tune.evaluation.recorded.scoring import RECORDED, RecordedScores, all_recorded_scores
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.suites.definition import find_suite, open_suite
from flan_tune.reporting.paired_table import print_pairs
from flan_tune.reporting.suite_table import print_averages, print_reports, with_values


def run(flags: argparse.Namespace, bindings: Sequence[str] = ()) -> dict[str, Any]:
    """Does what the flags of `flan_tune evaluate` ask for; returns what --json prints.

    Raises:
        UserError: flags that do not belong together, or what scoring and comparing raise.
    """
    if flags.gin_file or bindings or flags.dry_run:
        raise UserError(
            '--predictions and --compare need no model: leave --gin_file, --gin.NAME and --dry_run out'
        )
    if flags.predictions and flags.compare:
        raise UserError('--predictions and --compare are two different things: use one of them')
    if flags.shots is not None and flags.shots < 0:
        raise UserError(f'--shots={flags.shots}: use 0 or more')
    return _compared(flags) if flags.compare else _scored(flags)


def _scored(flags: argparse.Namespace) -> dict[str, Any]:
    if not flags.suite:
        raise UserError(
            '--predictions needs the suite that they belong to: exactly one --suite=NAME, or several for those of a run'
        )
    found = [scores for name in dict.fromkeys(flags.suite) for scores in _of_suite(name, flags)]
    table = ScoreTable(row for scores in found for row in scores.table())
    reports = [with_values(scores.report(), scores.columns()) for scores in found]
    known = find_averages(table)
    print_reports(reports)
    print_averages(known)
    return {'scores': table.as_json(), 'reports': reports} | known


def _of_suite(name: str, flags: argparse.Namespace) -> list[RecordedScores]:
    """The scores of each setting of one suite that the files have."""
    definition = find_suite(name)
    on_bad_record = flags.on_bad_record or 'refuse'
    protocols = flags.protocol or list(definition.protocols)
    for protocol in protocols:
        definition.protocol(protocol)
    default = None
    if len(protocols) == 1 and len(set(flags.suite)) == 1:
        shots = definition.protocol(protocols[0]).shots if flags.shots is None else flags.shots
        default = Setting(protocols[0], shots, RECORDED)
    return all_recorded_scores(
        open_suite(name, on_bad_record=on_bad_record),
        protocols,
        flags.shots,
        flags.predictions,
        default=default,
        on_bad_record=on_bad_record,
    )


def _compared(flags: argparse.Namespace) -> dict[str, Any]:
    wanted = (flags.suite, flags.protocol, flags.shots)
    first, second = (open_run(name, *wanted) for name in flags.compare)
    pairs = compare_runs(first, second)
    print_pairs(pairs, [f'{run.name} ({run.checkpoint})' for run in (first, second)])
    return {'runs': [run.name for run in (first, second)], 'comparisons': as_json(pairs)}
