"""The summary of a study in Markdown: what was run, the paper's figures beside ours, and what held."""

from collections.abc import Mapping, Sequence

from flan_tune.reporting.study_table import short, varied_axes, write_whole
from flan_tune.studies.findings import RULE, Finding, Outcome
from flan_tune.studies.results import Results


def write_summary(
    folder: str,
    title: str,
    notes: str,
    results: Results,
    findings: Mapping[str, Finding],
    outcomes: Mapping[str, Outcome],
    figures: Mapping[str, str],
    quick: bool,
) -> None:
    """Writes `summary.md`; `figures` are the names of those that were drawn, with their captions."""
    write_whole(
        folder,
        'summary.md',
        summary(title, notes, results, findings, outcomes, figures, quick),
    )


def summary(
    title: str,
    notes: str,
    results: Results,
    findings: Mapping[str, Finding],
    outcomes: Mapping[str, Outcome],
    figures: Mapping[str, str],
    quick: bool,
) -> str:
    """Returns the summary; see `write_summary`."""
    parts = [f'# {title}', notes, *_warnings(results, quick), _what_was_run(results)]
    if findings:
        parts += ['## Findings', RULE, _overview(findings, outcomes)]
        parts += [_section(name, one, outcomes[name]) for name, one in findings.items()]
    for name, caption in figures.items():
        parts += [f'![{caption or name}]({name}.png)', caption]
    parts += ['## Scores', _scores(results), 'Every number of every run is in `study.csv`.']
    return '\n\n'.join(part for part in parts if part) + '\n'


def _warnings(results: Results, quick: bool) -> list[str]:
    found = []
    if quick:
        found.append(
            '**A quick study**: it shows that everything works. Its runs are too short and too few to find anything.'
        )
    if results.missing:
        runs = '\n'.join(f'- {label}' for label in results.missing)
        found.append(f'**Partial**: {len(results.missing)} runs have no scores yet:\n\n{runs}')
    return found


def _what_was_run(results: Results) -> str:
    axes = [f'{axis} ({", ".join(labels)})' for axis, labels in results.axes.items()]
    seeds = ', '.join(map(str, results.seeds))
    runs = [*dict.fromkeys(point.run for point in results.points)]
    counts = [f'`{run}` at {sum(p.run == run for p in results.points)} points' for run in runs]
    over = f' of the axes {"; ".join(axes)}' if axes else ''
    return f'Run: {", ".join(counts)}{over}; seeds {seeds}.'


def _overview(findings: Mapping[str, Finding], outcomes: Mapping[str, Outcome]) -> str:
    rows = [
        (name, finding.published, outcomes[name].text(), f'**{outcomes[name].verdict}**')
        for name, finding in findings.items()
    ]
    return table(('finding', 'published', 'here', 'verdict'), rows)


def _section(name: str, finding: Finding, outcome: Outcome) -> str:
    lines = [
        f'### {name}: {outcome.verdict}',
        f'The paper: {finding.statement} ({finding.source})',
        f'- published: {finding.published}',
        f'- here: {outcome.text()}',
    ]
    lines += [f'- {detail}' for detail in outcome.details]
    lines += [f'- without scores: {", ".join(outcome.missing)}'] if outcome.missing else []
    if outcome.verdict in ('did not hold', 'inconclusive'):
        lines.append(f'- likely reason: {finding.reason or "not yet written"}')
    return '\n\n'.join(lines[:2]) + '\n\n' + '\n'.join(lines[2:])


def _scores(results: Results) -> str:
    measured = results.measured()
    axes = varied_axes(results, measured)
    rows = []
    for row in measured:
        error = '' if row['standard_error'] is None else f' ± {short(row["standard_error"])}'
        labels = [str(row[name]) for name in ('run', *axes, 'score')]
        rows.append(
            (*labels, f'{short(row["mean"])}{error}', str(row['n_seeds']), str(row['n_tasks']))
        )
    return table(('run', *axes, 'score', 'mean ± standard error', 'n seeds', 'n tasks'), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(
        f'| {" | ".join(str(cell).replace("|", "/") for cell in line)} |' for line in lines
    )
