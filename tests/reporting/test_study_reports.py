"""Figures, tables and summary of made-up studies."""

import csv
import dataclasses
import io
import json
import math
import xml.etree.ElementTree as ET

import matplotlib.image
import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.reporting.study_figure import Figure, marks, write_figure
from flan_tune.reporting.study_summary import summary
from flan_tune.reporting.study_table import print_jobs, print_scores, write_table
from flan_tune.studies.findings import AllOf, Finding, Trend, judge
from flan_tune.studies.grid import Grid, Run
from flan_tune.studies.results import Measure, Results

AXES = {'size': {'small': [], 'large': []}, 'tasks': {'1': [], '4': [], '16': [], 'all': []}}
RUNS = {
    'before': Run('evaluate', over=['size'], labels={'tasks': '0'}, seeded=False),
    'tuned': Run('train', over=['size', 'tasks']),
}
SCORES = {'held-out': Measure(suite='s'), 'other': Measure(suite='t', unit='% F1')}
LINES = Figure('held-out', 'tasks', 'size', x_scale='log', positions={'all': 100}, x_label='tasks')
FINDING = Finding('Tasks help.', 'A paper, table 3', '+15 | points', Trend('held-out', 'tasks'))


@pytest.fixture(params=[(), ('tuned/size=small/tasks=4/seed_1', 'tuned/size=small/tasks=4/seed_2')])
def found(request):
    """Results of a whole study, and of one that lacks a point."""
    jobs = Grid('/nowhere', AXES, RUNS, [1, 2]).jobs()
    height = {'0': 5.0, '1': 10.0, '4': 25.0, '16': 30.0, 'all': 32.0}
    tables = {
        job.label: ScoreTable(
            Score('after', suite, 't', 'direct', 0, '', 'exact_match', value, 5) for suite in 'st'
        )
        for job in jobs
        for value in [height[dict(job.point.labels)['tasks']] + (job.seed or 0)]
        if job.label not in request.param
    }
    return Results(AXES, jobs, [1, 2], SCORES, tables)


def texts(path) -> list[str]:
    return [e.text for e in ET.parse(path).iter('{http://www.w3.org/2000/svg}text')]


@pytest.mark.parametrize(
    'figure',
    [
        LINES,
        Figure('held-out', 'tasks', 'size', kind='bars'),
        Figure(['held-out', 'other'], 'tasks', 'score', panels='size', x_scale='even'),
        Figure('held-out', 'size', where={'tasks': 'all'}, kind='bars', names={'small': 'Small'}),
        Figure('held-out', 'tasks', 'size', kind='bars', published={'8B': {0: 6.4, 9: 8.3}}),
        Figure('held-out', 'tasks', 'run', where={'size': 'small'}, x_scale='even'),
    ],
)
def test_figures_have_labels_a_legend_and_all_points(tmp_path, found, figure):
    figure.check(found)
    assert write_figure(tmp_path, 'f', figure, found)
    picture = matplotlib.image.imread(tmp_path / 'f.png')
    assert picture.shape[1] > 500 and picture[..., :3].std() > 0.05
    said = texts(tmp_path / 'f.svg')
    assert (figure.x_label or figure.x) in said
    for mark in marks(figure, found):
        for label in (mark.x, mark.series, mark.panel):
            assert not label or figure.names.get(label, label) in said
    assert any('standard error' in text for text in said)
    first = (tmp_path / 'f.svg').read_text()
    write_figure(tmp_path, 'f', figure, found)
    assert (tmp_path / 'f.svg').read_text() == first


def test_marks_are_means_over_seeds_with_their_standard_error(found):
    at = {(mark.series, mark.x): mark for mark in marks(LINES, found)}
    assert at['small', '0'].seeds == 1 and math.isnan(at['small', '0'].error)
    mark = at['large', '16']
    assert mark.seeds == 2 and mark.error > 0
    assert (('small', '4') in at) == (not found.missing)


@pytest.mark.parametrize(
    ('figure', 'message'),
    [
        (Figure('held-out', 'tasks'), 'fix their axis with `where`'),
        (Figure('held', 'tasks', 'size'), "no score 'held'"),
        (Figure('held-out', 'task', 'size'), "no axis 'task'. Did you mean tasks?"),
        (
            Figure('held-out', 'tasks', 'size', where={'size': 'x'}),
            'no run of the study has size=x',
        ),
    ],
)
def test_figures_that_cannot_be_are_told_before_anything_runs(found, figure, message):
    with pytest.raises(UserError) as error:
        figure.check(found)
    assert message in str(error.value)


def test_the_table_as_json_and_csv(tmp_path, found):
    outcomes = {'count': judge(FINDING, found)}
    document = write_table(tmp_path, 'Title', found, {'count': FINDING}, outcomes, quick=False)
    assert json.loads((tmp_path / 'study.json').read_text()) == document
    assert document['partial'] == bool(found.missing) and document['missing'] == found.missing
    rows = list(csv.DictReader(io.StringIO((tmp_path / 'study.csv').read_text())))
    assert len(rows) == len(document['rows']) == 2 * (2 + 2 * 4 * 2 - len(found.missing))
    assert rows[0]['run'] == 'before' and rows[0]['seed'] == ''


def test_the_summary_says_what_held_and_what_is_missing(found):
    outcomes = {'count': judge(FINDING, found)}
    text = summary('Title', 'A note.', found, {'count': FINDING}, outcomes, {'f': 'Cap.'}, True)
    assert text.startswith('# Title\n\nA note.') and '**A quick study**' in text
    assert 'A paper, table 3' in text
    # A stroke would be read as the end of a cell.
    assert '| count | +15 / points | ' in text
    if found.missing:
        assert '### count: missing' in text and '- tuned/size=small/tasks=4/seed_1' in text
    else:
        assert '### count: held' in text and '**Partial**' not in text
        assert 'likely reason' not in text
        outcomes['count'] = dataclasses.replace(outcomes['count'], verdict='did not hold')
        text = summary('Title', '', found, {'count': FINDING}, outcomes, {}, False)
        assert '- likely reason: not yet written' in text


def test_details_of_one_seed_and_large_numbers_and_unused_axes_read_well():
    axes = {'size': {'small': []}, 'tasks': {'1': [], '4': []}}
    runs = {
        'tried': Run('train', over=['size'], labels={}, seeded=False),
        'tuned': Run('train', over=['tasks']),
    }
    jobs = Grid('/nowhere', axes, runs, [1]).jobs()
    tables = {
        job.label: ScoreTable([Score('after', 's', 't', 'direct', 0, '', 'flops', flops, 1)])
        for job in jobs
        if job.point.run == 'tuned'
        for flops in [1.1e14 * float(dict(job.point.labels)['tasks'])]
    }
    measures = {'flops': Measure('flops', unit='FLOPs')}
    found = Results(axes, jobs, [1], measures, tables)
    both = AllOf({'up': Trend('flops', 'tasks'), 'again': Trend('flops', 'tasks')})
    finding = Finding('More.', 'A paper', 'none', both)
    text = summary('Title', '', found, {'f': finding}, {'f': judge(finding, found)}, {}, False)
    assert '| tuned | 1 | flops | 1.10e+14 |' in text  # No column for an axis without scores.
    here = next(line for line in text.splitlines() if line.startswith('- here: up: '))
    assert '; again: ' in here and here.endswith('(no interval; 1 seed, 1 task)')
    assert '- again: inconclusive, rank correlation' in text


def test_what_is_printed(found):
    stream = io.StringIO()
    print_scores('Title', found, {'count': FINDING}, {'count': judge(FINDING, found)}, stream)
    assert ('missing' in stream.getvalue()) == bool(found.missing)
    job = {
        'run': 'tuned/seed_1', 'state': 'to do', 'steps': 1000, 'parameters': None, 'tokens': 5,
        'seconds': 61.0, 'difference': ['+a = 1'], 'command': 'flan_tune train',
    }  # fmt: skip
    stream = io.StringIO()
    print_jobs('Title', [job], 61.0, stream)
    assert '1,000' in stream.getvalue() and '#   +a = 1\nflan_tune train\n' in stream.getvalue()
    assert '0 of 1 runs are done, about 1:01 for the others' in stream.getvalue()
