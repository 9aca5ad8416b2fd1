"""The studies of OPT-IML and FIAT: all of them read, with the runs that they say, here and on the real collections."""

import pytest

from flan_tune import configuration
from flan_tune.data import mixtures
from flan_tune.evaluation.suites.definition import find_suite
from flan_tune.studies.contrasts import Contrast
from flan_tune.studies.findings import AllOf
from flan_tune.studies.grid import Grid
from flan_tune.studies.results import Results
from flan_tune.studies.state import configure
from flan_tune.tasks.suites import mini_opt_iml

OPT = ['OPT=opt-1.3b']
FINAL = ['OPT=opt-1.3b', 'MIXTURE=mixtures/opt_iml/final.gin']
DIALOGUE = ['OPT=opt-1.3b', 'MIXTURE=mixtures/opt_iml/dialogue.gin']
HUGGING_FACE = ['BETA=xxl', 'TAU=small', 'TAU_PRETRAINED=pretrained', 'CHAINS_DIR=chains']
# Study -> its runs with three seeds, and what is put behind it for real collections.
STUDIES = {
    'opt_iml_eps': (19, ['opt_iml_pod'], OPT),
    'opt_iml_proportions': (22, ['opt_iml_pod', 'opt_iml_proportions_pod'], OPT),
    'opt_iml_tasks': (13, ['opt_iml_pod'], OPT),
    'opt_iml_categories': (13, ['opt_iml_pod'], OPT),
    'opt_iml_pretraining': (16, ['opt_iml_pod'], FINAL),
    'opt_iml_reasoning': (13, ['opt_iml_pod', 'opt_iml_reasoning_pod'], FINAL),
    'opt_iml_dialogue': (7, ['opt_iml_pod'], DIALOGUE),
    'opt_iml_metaicl': (19, ['opt_iml_pod', 'opt_iml_few_shot_pod'], OPT),
    'opt_iml_final': (9, ['opt_iml_pod', 'opt_iml_few_shot_pod'], FINAL),
    'fiat_small_data': (49, ['fiat_pod'], HUGGING_FACE),
    'fiat_ablation': (19, ['fiat_pod'], HUGGING_FACE),
}


def read(name, behind=(), bindings=()):
    """The arguments of a study, and its jobs."""
    files = [f'studies/{file}.gin' for file in (name, *behind)]
    configured = configuration.load('study', files, ['STUDY_DIR=study', *bindings])
    names = ('axes', 'runs', 'seeds', 'scores', 'findings', 'figures', 'without_scores')
    given = configured.arguments(names)
    grid = Grid('study', given.get('axes') or {}, given['runs'], given['seeds'])
    return given, grid.jobs()


def rules(rule):
    return [*rule.rules.values()] if isinstance(rule, AllOf) else [rule]


@pytest.mark.parametrize('name', STUDIES)
def test_runs_and_findings_of_a_study(name):
    given, jobs = read(name)
    assert len(jobs) == STUDIES[name][0]
    results = Results(
        given.get('axes') or {},
        jobs,
        given['seeds'],
        given['scores'],
        {},
        given['without_scores'],
    )
    for finding in given['findings'].values():
        assert finding.statement and finding.source and finding.published
        for rule in rules(finding.rule):
            assert isinstance(rule, Contrast)
            rule.check(results)
    for figure in given['figures'].values():
        figure.check(results)


@pytest.mark.parametrize('name', STUDIES)
def test_each_command_of_a_study_is_sound(name):
    _, jobs = read(name)
    for job in jobs:
        if job.seed in (None, jobs[-1].seed):
            configure(job)


@pytest.mark.parametrize('name', STUDIES)
def test_real_collections_put_behind_a_study(name):
    _, behind, bindings = STUDIES[name]
    _, jobs = read(name, behind, bindings)
    assert jobs
    assert not [job for job in jobs if job.point.run in ('pretrained', 'instructed')]
    for job in jobs:
        assert 'mini' not in ' '.join(job.arguments())
        if job.seed in (None, jobs[-1].seed):
            configure(job)


def test_smaller_ladders_are_drawn_anew_for_each_seed():
    _, jobs = read('opt_iml_tasks')
    few = [job for job in jobs if dict(job.point.labels).get('tasks') == '8']
    assert [[*job.bindings].count('MixtureConfig.ladder_seed=%SEED') for job in few] == [1, 1, 1]
    assert len({job.seed for job in few}) == 3


def test_suites_of_the_levels_have_their_tasks():
    for level in mini_opt_iml.LEVELS:
        leaves = mixtures.leaf_names(f'mini_{level}')
        assert {*find_suite(f'mini_opt_iml_{level}').chances} == {*leaves}
    assert {*find_suite('mini_opt_iml_reasoning').chances} == {*mini_opt_iml.REASONING}


def test_prompts_of_the_levels_end_in_a_delimiter():
    task = find_suite('mini_opt_iml_fully_held_out').open_tasks(None)[0]
    question = task.questions[0]
    assert len(task.questions) == mini_opt_iml.PROMPTS
    prompt = task.prompt(question, 'rank', 0)
    assert prompt.rstrip().endswith(':')
    few = task.prompt(question, 'rank', 2)
    assert few.count('\n\n\n') == 2
    assert len(task.choices(question)) == len(question.options)
