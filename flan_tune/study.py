"""`flan_tune study`: a grid of runs, then one table, its figures and a summary that judges the papers' findings."""

import functools
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from etils import epath

from flan_tune import cli, configuration
from flan_tune.errors import RunError, UserError
from flan_tune.reporting.study_figure import Figure, write_figure
from flan_tune.reporting.study_summary import write_summary
from flan_tune.reporting.study_table import print_jobs, print_scores, write_table
from flan_tune.studies.findings import Finding, judge
from flan_tune.studies.grid import Grid, Job, Run, absolute
from flan_tune.studies.plans import Estimates, effort, job_plan
from flan_tune.studies.processes import Launcher, interruptible
from flan_tune.studies.results import Measure, Results, read_tables
from flan_tune.studies.runner import Runner, chosen
from flan_tune.studies.state import RunRecord, State, configure, places, refuse_changed

QUICK = 'quick'  # Where the runs of a quick study lie, below the folder of the study.


def study(
    *,
    title: str,
    study_dir: str,
    runs: Mapping[str, Run],
    scores: Mapping[str, Measure],
    axes: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (1, 2, 3),
    findings: Mapping[str, Finding] | None = None,
    figures: Mapping[str, Figure] | None = None,
    without_scores: Sequence[str] = (),
    notes: str = '',
    quick_seeds: Sequence[int] = (1,),
    quick_points: Mapping[str, Sequence[Any]] | None = None,
    preload: Sequence[str] = (),
    processes: Literal['fork', 'plain'] = 'fork',
    quick: bool = False,
    only: str | None = None,
    shard: str | None = None,
    rerun: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Runs what is not done of a grid of runs, then writes what all of them say into `study_dir`.

    Args:
        title: of figures and summary.
        study_dir: the study's folder; each run has its own below it, named by its place in the grid.
        runs: name -> a command and where in the grid it is run.
        scores: name -> what makes one number of a run's table of scores.
        axes: axis -> label of a point -> its settings (see Run), or {run: settings}.
        seeds: of every run that is seeded.
        findings: name -> what a paper found, and the rule that judges it.
        figures: name of a file -> what it shows.
        without_scores: runs that only prepare others.
        notes: a paragraph of the summary: what the study leaves out, or what stands for what.
        quick_seeds, quick_points: of a quick study: its seeds, and of some axes the labels that it keeps.
        preload: modules that the runs import, such as those of their tasks, to be imported once for all.
        processes: 'fork' each run off a process that has imported everything, or 'plain' new ones.
        quick: run the small version, in the folder `quick` of the study's.
        only: run those whose label matches this pattern.
        shard: 'i/n': run the i-th of n parts, i from 1; the other parts may run at the same time.
        rerun: begin those anew whose label matches this pattern; what is there is kept beside it.
        dry_run: list all runs with their state, plan and command.

    Returns:
        What `study.json` holds, or the plan.

    Raises:
        UserError: a mistake in the study or in one of its runs, before anything is run.
        RunError: runs failed; those that did not are in table, figures and summary.
    """
    axes, findings, figures = axes or {}, findings or {}, figures or {}
    launcher = None if dry_run else Launcher(processes, preload)
    folder = absolute(study_dir) + (f'/{QUICK}' if quick else '')
    whole = Grid(folder, axes, runs, seeds)
    _check(Results(axes, whole.jobs(), seeds, scores, {}, without_scores), findings, figures)
    grid = Grid(folder, axes, runs, quick_seeds, True, quick_points or {}) if quick else whole
    jobs = grid.jobs()
    search_path = _search_path()
    mine = chosen(jobs, only, shard)
    configured = {job.label: configure(job, search_path) for job in jobs}
    names = places(folder, jobs)
    records: dict[str, RunRecord] = {}
    for job in jobs:
        records[job.label] = RunRecord(job, configured[job.label], names, records)
    plans = {job.label: job_plan(job, configured[job.label]) for job in jobs}
    states = {label: record.state() for label, record in records.items()}
    estimates = Estimates(jobs, plans)
    for label, state in states.items():
        estimates.add(label, state.seconds if state.name == 'done' else None)
    if dry_run:
        listed = [_as_plan(job, states, plans, estimates, search_path) for job in mine]
        print_jobs(title, listed, estimates.left({job.label: states[job.label] for job in mine}))
        return {'study_dir': folder, 'runs': listed}
    if rerun is not None:
        _put_aside(rerun, records)
        states = {label: record.state() for label, record in records.items()}
    refuse_changed(states)
    runner = Runner(
        mine, records, launcher, estimates, search_path, elsewhere=shard is not None, say=_say
    )
    with interruptible():
        try:
            wrong = runner.run()
        except KeyboardInterrupt:
            _say('stopped: the same command goes on from here')
            raise
    if launcher.reason:
        _say(f'runs were started as plain processes: {launcher.reason}')
    states = {label: record.state() for label, record in records.items()}
    done = {label: state.seconds for label, state in states.items() if state.name == 'done'}
    tables = read_tables(jobs, {label: effort(plans[label], done[label]) for label in done})
    results = Results(axes, jobs, grid.seeds, scores, tables, without_scores)
    document = _analyse(folder, title, notes, results, findings, figures, quick)
    if wrong:
        names = '\n'.join(f'  {label}: {reason}' for label, reason in wrong.items())
        raise RunError(
            f'{len(wrong)} of {len(mine)} runs are not done; the same command tries them again:\n{names}'
        )
    return document


def _check(
    results: Results, findings: Mapping[str, Finding], figures: Mapping[str, Figure]
) -> None:
    """Raises a UserError where findings or figures ask for what the study has not."""
    for what, named in (('finding', findings), ('figure', figures)):
        for name, one in named.items():
            check = getattr(one.rule if what == 'finding' else one, 'check', None)
            try:
                if check:
                    check(results)
            except UserError as error:
                raise UserError(f'{what} {name!r}: {error}') from None


def _analyse(
    folder: str,
    title: str,
    notes: str,
    results: Results,
    findings: Mapping[str, Finding],
    figures: Mapping[str, Figure],
    quick: bool,
) -> dict[str, Any]:
    """Writes table, figures and summary of what is there; prints the table and the verdicts."""
    outcomes = {name: judge(finding, results) for name, finding in findings.items()}
    shown = {
        name: figure.caption
        for name, figure in figures.items()
        if _drawn(folder, name, figure, results)
    }
    document = write_table(folder, title, results, findings, outcomes, quick)
    write_summary(folder, title, notes, results, findings, outcomes, shown, quick)
    print_scores(title, results, findings, outcomes)
    _say(f'summary: {epath.Path(folder) / "summary.md"}')
    return document


def _drawn(folder: str, name: str, figure: Figure, results: Results) -> bool:
    """Whether there was anything to draw; a quick study may lack what a figure shows."""
    try:
        return write_figure(folder, name, figure, results)
    except UserError as error:
        _say(f'no figure {name!r}: {error}')
        return False


def _as_plan(
    job: Job,
    states: Mapping[str, State],
    plans: Mapping[str, Any],
    estimates: Estimates,
    search_path: Sequence[str],
) -> dict[str, Any]:
    state, plan = states[job.label], plans[job.label]
    return {
        'run': job.label,
        'state': state.text(),
        'difference': list(state.difference),
        'steps': plan.steps,
        'parameters': plan.parameters,
        'tokens': plan.tokens,
        'seconds': state.seconds if state.name == 'done' else estimates.seconds(job.label),
        'needs': list(job.needs),
        'command': job.command(search_path),
    }


def _put_aside(pattern: str, records: Mapping[str, RunRecord]) -> None:
    named = [label for label in records if fnmatchcase(label, pattern)]
    if not named:
        raise UserError(
            f'--rerun={pattern}: no run of the study is named so, e.g. {next(iter(records))}.'
        )
    for label in named:
        if aside := records[label].put_aside():
            _say(f'{label} begins anew; what was there is in {aside}')


def _search_path() -> Sequence[str]:
    active = configuration.active()
    return active.search_path if active else ()


def _say(text: str, end: str = '\n') -> None:
    print(text, end=end, flush=True)


main = functools.partial(cli.run_verb, 'study')

if __name__ == '__main__':
    sys.exit(main())
