"""The tables of a study: its scores as JSON and CSV, and for the eye its runs, scores and verdicts."""

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from etils import epath
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flan_tune.reporting.console import duration
from flan_tune.studies.findings import Finding, Outcome
from flan_tune.studies.results import Results

_WIDTH = 140
COLOURS = {'held': 'green', 'did not hold': 'red', 'inconclusive': 'yellow', 'missing': 'magenta'}


def write_table(
    folder: str,
    title: str,
    results: Results,
    findings: Mapping[str, Finding],
    outcomes: Mapping[str, Outcome],
    quick: bool,
) -> dict[str, Any]:
    """Writes `study.json` and `study.csv` into a folder, each whole or not at all; returns the former.

    The CSV has a row for each number of each run: run, axes, seed, checkpoint, suite, task, protocol, shots, template,
    metric, value, n. The JSON has them as `rows`, beside `scores` (the study's measures: means with standard errors),
    `findings` and `missing` runs.
    """
    rows = results.rows()
    document = {
        'title': title,
        'quick': quick,
        'partial': bool(results.missing),
        'missing': results.missing,
        'findings': [_finding(name, finding, outcomes[name]) for name, finding in findings.items()],
        'scores': results.measured(),
        'rows': rows,
    }
    text = io.StringIO()
    columns = [*rows[0]] if rows else ['run', *results.axes, 'seed']
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder, 'study.csv', text.getvalue())
    # Rows stand on a line each.
    lines = ',\n'.join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(document | {'rows': []}, indent=1, ensure_ascii=False)
    write_whole(folder, 'study.json', head.replace('"rows": []', f'"rows": [\n{lines}\n]') + '\n')
    return document


def write_whole(folder: str, name: str, text: str) -> None:
    """Writes a file, so that nobody reads half of it."""
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f'{name}.part'
    part.write_text(text)
    part.replace(folder / name)


def varied_axes(results: Results, measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the axes that a measured run lies on; others are those of runs without scores."""
    return [axis for axis in results.axes if any(row[axis] for row in measured)]


def short(number: float) -> str:
    """Returns a score with one decimal, and a very large number such as FLOPs with its power of ten."""
    return f'{number:.1f}' if abs(number) < 1e6 else f'{number:.2e}'


def print_scores(
    title: str,
    results: Results,
    findings: Mapping[str, Finding],
    outcomes: Mapping[str, Outcome],
    stream: TextIO | None = None,
) -> None:
    """Prints mean and standard error of each measure at each point, then the verdicts and what is missing."""
    console = _console(stream)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify='left')
    measured = results.measured()
    places = ('run', *varied_axes(results, measured), 'score')
    for name in places:
        table.add_column(name, no_wrap=True)
    for name in ('mean', 'standard error', 'n seeds', 'n tasks'):
        table.add_column(name, justify='right', no_wrap=True)
    for row in measured:
        error = '–' if row['standard_error'] is None else short(row['standard_error'])
        labels = (Text(str(row[name])) for name in places)
        table.add_row(*labels, short(row['mean']), error, str(row['n_seeds']), str(row['n_tasks']))
    for label in results.missing:
        run, *place = label.split('/')
        table.add_row(run, Text(f'{"/".join(place)}: missing', style='magenta'))
    console.print(table)
    verdicts = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ('finding', 'verdict', 'here', 'published'):
        verdicts.add_column(name, overflow='fold')
    for name, finding in findings.items():
        outcome = outcomes[name]
        verdict = Text(outcome.verdict, style=COLOURS[outcome.verdict])
        verdicts.add_row(Text(name), verdict, Text(outcome.text()), Text(finding.published))
    if findings:
        console.print(verdicts)
    if results.missing:
        console.print(Text(f'partial: {len(results.missing)} runs have no scores'))


def print_jobs(
    title: str,
    jobs: Sequence[Mapping[str, Any]],
    seconds: float | None,
    stream: TextIO | None = None,
) -> None:
    """Prints the runs of a study: state, plan, command; `seconds` is what is left of them all."""
    console = _console(stream)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify='left')
    table.add_column('run', no_wrap=True)
    table.add_column('state', no_wrap=True)
    for name in ('steps', 'parameters', 'tokens', 'time'):
        table.add_column(name, justify='right', no_wrap=True)
    for job in jobs:
        numbers = (job['steps'], job['parameters'], job['tokens'])
        shown = ['–' if number is None else f'{number:,}' for number in numbers]
        table.add_row(Text(job['run']), job['state'], *shown, duration(job['seconds']))
    console.print(table)
    for job in jobs:
        print(f'# {job["run"]}', file=console.file)
        for line in job['difference']:
            print(f'#   {line}', file=console.file)
        print(job['command'], file=console.file)
    done = sum(job['state'] == 'done' for job in jobs)
    known = '' if seconds is None else f', about {duration(seconds)} for the others'
    print(f'\n{done} of {len(jobs)} runs are done{known}', file=console.file)


def _finding(name: str, finding: Finding, outcome: Outcome) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {
        'name': name,
        'statement': finding.statement,
        'source': finding.source,
        'published': finding.published,
        'verdict': outcome.verdict,
        'estimate': number(outcome.estimate),
        'low': number(outcome.low),
        'high': number(outcome.high),
        'unit': outcome.unit,
        'seeds': outcome.seeds,
        'tasks': outcome.tasks,
        'details': [*outcome.details],
        'missing': list(outcome.missing),
        'reason': finding.reason,
    }


def _console(stream: TextIO | None) -> Console:
    stream = sys.stdout if stream is None else stream
    return Console(file=stream, width=None if stream.isatty() else _WIDTH, highlight=False)
