"""The studies of FLAN and Flan 2022 as they are shipped: each lists the runs that it is to have, here and on a pod."""

import collections
import json

import pytest

from flan_tune import cli
from flan_tune.errors import UserError
from flan_tune.studies.grid import Run
from flan_tune.studies.results import Measure

from .made_up import results

# Runs of each name: seeds times points for those that are seeded.
STUDIES = {
    'flan2022_cot_ablation': {'pretrained': 1, 'before': 1, 'tuned': 9},
    'flan2022_zero_shot_cot': {'pretrained': 1, 'before': 1, 'tuned': 6},
    'flan2022_families': {'pretrained': 4, 'before': 4, 'tuned': 12},
    'flan2022_compute': {'pretrained': 3, 'tuned': 3},
    'flan_clusters': {'pretrained': 1, 'before': 1, 'tuned': 18},
    'flan_size': {'pretrained': 3, 'before': 3, 'tuned': 9},
    'flan_instructions': {'pretrained': 1, 'before': 1, 'tuned': 9},
    'flan_exemplars': {'pretrained': 1, 'tuned': 3, 'asked': 12},
    'flan_prompt_tuning': {'pretrained': 1, 'tuned': 3, 'prompt': 36},
}
PODS = {
    'flan2022_cot_ablation': {'before': 2, 'tuned': 18},
    'flan_size': {'before': 2, 'tuned': 6},
}


def listed(capsys, monkeypatch, folder, *files, quick=False):
    """The runs of a study of some gin files, where nothing is pre-trained yet."""
    monkeypatch.setenv('HOME', str(folder))
    argv = ['study', *(f'--gin_file=studies/{file}.gin' for file in files), '--dry_run', '--json']
    argv += [f'--gin.STUDY_DIR={folder}/study', *(['--quick'] if quick else [])]
    status = cli.main(argv)
    output, errors = capsys.readouterr()
    assert status == 0, errors
    return json.loads(output)['runs']


def counts(runs):
    return collections.Counter(run['run'].split('/')[0] for run in runs)


@pytest.mark.parametrize('name', STUDIES)
def test_a_study_lists_its_runs(name, capsys, monkeypatch, tmp_path):
    runs = listed(capsys, monkeypatch, tmp_path, name)
    assert counts(runs) == STUDIES[name]
    commands = {run['run']: run['command'] for run in runs}
    assert len({*commands.values()}) == len(runs)
    # What is tuned starts from what was pre-trained, or from what was tuned.
    for run in runs:
        kind = run['run'].split('/')[0]
        assert bool(run['needs']) == (kind != 'pretrained' or 'family=u_palm' in run['run'])


@pytest.mark.parametrize('name', PODS)
def test_a_study_of_real_size(name, capsys, monkeypatch, tmp_path):
    runs = listed(capsys, monkeypatch, tmp_path, name, f'{name}_pod')
    assert counts(runs) == PODS[name]
    parameters = {run['parameters'] for run in runs if run['run'].startswith('tuned')}
    assert max(parameters) > 2_500_000_000
    assert all('mini' not in run['command'] for run in runs)


def test_a_quick_study_is_small(capsys, monkeypatch, tmp_path):
    runs = listed(capsys, monkeypatch, tmp_path, 'flan_prompt_tuning', quick=True)
    assert counts(runs) == {'pretrained': 1, 'tuned': 1, 'prompt': 4}
    assert all(run['steps'] <= 20 for run in runs)


def test_the_variants_of_flan_have_no_rationales():
    """What `studies/mini/flan_2021.gin` reads of a task: its direct form if it has rationales."""
    from flan_tune.data.mixture_config import MixtureConfig
    from flan_tune.tasks import mini  # noqa: F401

    config = MixtureConfig(
        {'mini': ['mini']}, variants={'_direct': 1, '': 4e-5, '_no_options': 6e-5}
    )
    read = config.read_as('mini_given_twice')
    assert read['mini_given_twice_direct'] > 0.999
    assert config.read_as('mini_place') == pytest.approx(
        {'mini_place': 0.4, 'mini_place_no_options': 0.6}
    )


def test_few_examples_are_the_first_of_all():
    import seqio

    from flan_tune.tasks import mini_few

    few, every = (
        seqio.TaskRegistry.get(f'mini_few_next_of_largest_{label}') for label in mini_few.EXAMPLES
    )
    assert [task.size('train') for task in (few, every)] == [32, 4096]
    sources = [task.definition.source for task in (few, every)]
    for split, index in (('train', 31), ('validation', 5)):
        assert sources[0].function(split, index) == sources[1].function(split, index)


RUNS = {'pretrained': Run('train', over=['size']), 'tuned': Run('train', over=['size'])}


def compute(share, lost=(), **rule):
    from flan_tune.studies.compute import ComputeShare

    found = results(
        lambda place, seed, task: 1000 * (share if place['run'] == 'tuned' else 1),
        axes={'size': {'small': [], 'large': []}},
        runs=RUNS,
        measures={'compute': Measure()},
        lost=lost,
    )
    rule = {'score': 'compute', 'part': {'run': 'tuned'}, 'whole': {'run': 'pretrained'}} | rule
    rule = ComputeShare(**rule, at_most=0.016)
    rule.check(found)
    return rule(found)


def test_the_share_of_compute():
    outcome = compute(0.01)
    assert outcome.verdict == 'held' and outcome.estimate == pytest.approx(1.0)
    assert 'size large: 1.0%' in outcome.details
    assert compute(0.02).verdict == 'did not hold'
    lost = [f'tuned/size=small/seed_{seed}' for seed in (1, 2, 3)]
    assert compute(0.01, lost=lost).missing == lost
    with pytest.raises(UserError, match='is not one place'):
        compute(0.01, part={'run': 'tuned', 'size': 'small'})
