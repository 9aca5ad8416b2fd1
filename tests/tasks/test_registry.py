"""Every registered task, without exception, yields whole examples from made-up data; registration reads none of it."""

import collections
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys

import pytest
import seqio
from scipy import stats

import flan_tune.tasks.mini  # noqa: F401
from flan_tune.data.prompts import Prompt
from flan_tune.data.sources import GeneratedSource
from flan_tune.data.tasks import register_task

HERE = pathlib.Path(__file__).parent
REAL = pathlib.Path(
    os.environ.get('FLAN_TUNE_DATA_DIR', HERE.parents[2] / 'shared' / 'data')
).absolute()
# What registration may read: metadata of P3 and NIv2, with a line of each file of the former and the head of each
# of the latter, and promptsource's templates.
READ_AT_IMPORT = {'flan_meta', 'niv2', 'p3', 'promptsource_templates'}
COLLECTIONS = {
    *('cot', 'dialogue', 'flan2021', 'flan2021_data_set_name', 'flan2021_no_template'),
    *(f'mini_{name}' for name in ('skills', 'knowledge', 'compositions', 'reading', 'reasoning')),
    *(f'mini_{name}' for name in ('dialogue', 'crosslingual', 'text', 'no_template')),
    'mini_data_set_name',
    *('niv2', 'p3', 'pretraining', 'program_synthesis', 't0_sf'),
    *('crossfit', 'exmix', 'promptsource', 'reasoning', 't5', 'unifiedskg'),
}
# Tasks whose questions hold the answer, for it is to be found there.
EXTRACTIVE = {
    *('cot_qed', 'cot_sensemaking', 'promptsource_bees_wild', 't5_record'),
    *(f'reasoning_{name}' for name in ('qed', 'sensemaking', 'winowhy')),
    *(f'unifiedskg_{name}' for name in ('compwebq', 'hybridqa', 'mmqa', 'wikisql')),
    *(f'mini_{place}_word' for place in ('first', 'second', 'last')),
    *(f'mini_{which}_number' for which in ('larger', 'largest', 'smallest')),
    *(f'mini_thing_by_{what}' for what in ('colour', 'kind', 'place')),
    *(f'mini_word_{where}' for where in ('after', 'before')),
    *(f'mini_{who}' for who in ('grandparent', 'shortest', 'tallest', 'who_has', 'who_is_where')),
    *(f'mini_{what}' for what in ('has_what', 'in_both', 'moved', 'odd_one', 'twice')),
    *(f'mini_{what}' for what in ('where_is_who', 'without_first', 'without_last')),
    *(f'mini_given_{often}' for often in ('once', 'twice', 'three_times')),
    *(f'mini_{what}' for what in ('where_is_thing', 'thing_in_place', 'longer_list', 'talk_have')),
    *(f'mini_{what}' for what in ('exchanged', 'zun_has_what', 'zun_who_has')),
    *(f'mini_{what}' for what in ('who_has_kind', 'was_before', 'not_tallest', 'has_two_words')),
    *(f'mini_{what}_{steps}' for what in ('after', 'swapped') for steps in (1, 2, 3, 4)),
    *(f'mini_same_{what}_thing' for what in ('colour', 'kind')),
    *(f'mini_zun_{what}' for what in ('who_has_in_english', 'thing_who_has', 'colour_who_has')),
}
# Prints what is opened, connected to or started by importing all collections, the number of tasks, and modules that are
# not imported.
REGISTER = """
import json, pkgutil, sys
import seqio, tensorflow_datasets
import flan_tune.data.mixtures, flan_tune.data.tasks

calls = []
events = ('open', 'socket.connect', 'subprocess.Popen')
sys.addaudithook(lambda event, args: calls.append((event, str(args[0]))) if event in events else None)
import flan_tune.tasks

modules = [f'flan_tune.tasks.{module.name}' for module in pkgutil.iter_modules(flan_tune.tasks.__path__)]
left_out = [name for name in modules if name not in sys.modules]
print(json.dumps([list(calls), len(seqio.TaskRegistry.names()), left_out]))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A data folder with samples for all collections."""
    folder = tmp_path_factory.mktemp('samples')
    samples = runpy.run_path(str(HERE / 'registry_samples.py'))
    samples['write_samples'](folder, REAL)
    return folder


def environment(tmp_path, **variables):
    """Returns the environment less what names data, with a cache of its own."""
    mine = {k: v for k, v in os.environ.items() if not re.match('FLAN_TUNE_|TFDS_', k)}
    return mine | {'XDG_CACHE_HOME': str(tmp_path), **variables}


@pytest.fixture(scope='module')
def printed(folder, tmp_path_factory):
    """What the checks print in two processes, whose sets and dicts of strings are in other orders."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / 'registry_checks.py'), str(folder)],
            env=environment(tmp_path_factory.mktemp('cache'), PYTHONHASHSEED=seed),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ('1', '2')
    ]
    texts = []
    for process in processes:
        out, messages = process.communicate()
        assert process.returncode == 0, messages[-3000:]
        texts.append(out)
    return texts


@pytest.fixture(scope='module')
def checked(printed):
    return json.loads(printed[0])


def test_every_registered_task_yields_whole_examples(checked):
    tasks = checked['tasks']
    faults = [f'{name}, {fault}' for name, report in tasks.items() for fault in report['faults']]
    assert not faults, '\n'.join([f'{len(faults)} faults:', *faults[:50]])
    assert {report['collection'] for report in tasks.values()} >= COLLECTIONS
    assert len(tasks) > 2500


def test_two_processes_read_the_same_bytes(printed):
    first, second = map(json.loads, printed)
    digests = [{n: r['digest'] for n, r in run['tasks'].items()} for run in (first, second)]
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) > 0.99 * len(digests[0])
    assert printed[0] == printed[1]


def test_templates_are_drawn_uniformly_over_seeds(checked):
    unlikely = {
        name: counts
        for name, counts in checked['counts'].items()
        if stats.chisquare(counts).pvalue < 1e-5
    }
    assert unlikely == {}
    several = {
        r['collection'] for r in checked['tasks'].values() if any(n > 1 for n, _ in r['drawn'])
    }
    assert several == {checked['tasks'][name]['collection'] for name in checked['counts']}


def test_templates_are_drawn_uniformly_over_tasks(checked):
    drawn = collections.Counter(
        tuple(place) for report in checked['tasks'].values() for place in report['drawn']
    )
    for number in {n for n, _ in drawn if n > 1}:
        counts = [drawn[number, place] for place in range(number)]
        if sum(counts) >= 10 * number:
            assert stats.chisquare(counts).pvalue > 1e-5, (number, counts)


def test_questions_hold_the_answer_only_where_it_is_to_be_found_there(checked):
    shown = {
        re.sub(
            '^mini_(no_template|data_set_name|few)_|_(32|all)$',
            lambda m: 'mini_' if m[1] else '',
            name,
        )
        for name, report in checked['tasks'].items()
        if report['shows_answer']
    }
    assert shown <= EXTRACTIVE <= set(checked['tasks'])


@pytest.fixture(scope='module')
def checks():
    return runpy.run_path(str(HERE / 'registry_checks.py'))


@pytest.fixture
def sound():
    """A few-shot example without any fault, with its task."""
    task = seqio.TaskRegistry.get('mini_odd_one_few_shot')
    return task, task.example('train', 0, seed=0)


def faults(checks, task, example):
    arguments = task, checks['prompt_of'](task, example), checks['record_of'](task, 'train', 0)
    return [fault for check in checks['CHECKS'] for fault in check(*arguments, example)]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (lambda e: {'targets': ''}, 'no targets'),
        (lambda e: {'inputs': ' '}, 'no inputs'),
        (lambda e: {'targets': f'{e["targets"]} '}, 'white space around the targets'),
        (lambda e: {'targets': f'{e["targets"]} ###'}, 'left at the end'),
        (lambda e: {'targets': f'{e["targets"]}\nAnswer:'}, 'left at the end'),
        (lambda e: {'targets': f'A: {e["targets"]}'}, 'left at the start'),
        (lambda e: {'inputs': f'{{options}} {e["inputs"]}'}, "'options' is not filled in"),
        (lambda e: {'answer': 'nought'}, 'none of the options'),
        (lambda e: {'options': (*e['options'], 'nought')}, 'does not list'),
        (lambda e: {'exemplars': ()}, '0 exemplars'),
        (lambda e: {'exemplars': ('nowhere', *e['exemplars'])}, 'is not in the prompt'),
        (lambda e: {'exemplars': e['exemplars'] * 2}, 'comes twice'),
    ],
)
def test_the_checks_find_faults(checks, sound, changes, message):
    task, example = sound
    assert faults(checks, task, example) == []
    found = faults(checks, task, example | changes(example))
    assert any(message in fault for fault in found)


def test_the_checks_find_the_query_among_its_exemplars(checks, sound):
    task, example = sound
    query = checks['query_of'](example).strip()
    exemplar = f'{query} {example["targets"]}'
    exemplars = (exemplar, *example['exemplars'])
    inputs = '\n\n'.join([exemplar, example['inputs']])
    found = faults(checks, task, example | {'inputs': inputs, 'exemplars': exemplars})
    assert 'the query is among its exemplars' in found


def test_the_checks_find_a_shown_answer(checks):
    def record(split, index):
        answer = f'an answer that is long enough, {index}'
        return {'question': f'What is asked in {index}? It is: {answer}', 'answer': answer}

    source = GeneratedSource(record, {'train': 9, 'validation': 9})
    name = register_task('leaking', source=source, prompts=[Prompt('{question}')])[0]
    try:
        report = checks['report'](seqio.TaskRegistry.get(name))
        assert report.shows_answer
        assert sum('the prompt shows the answer' in fault for fault in report.faults) == 6
    finally:
        for variant in [n for n in seqio.TaskRegistry.names() if n.startswith('leaking')]:
            seqio.TaskRegistry.remove(variant)


def test_registration_reads_no_data_but_metadata(checked):
    read = {pathlib.Path(path) for path in checked['read']}
    assert {path.parts[0] for path in read} <= READ_AT_IMPORT
    assert pathlib.Path('flan_meta/t0_task_metadata.json') in read


def test_registration_needs_no_data(tmp_path):
    output = subprocess.run(
        [sys.executable, '-c', REGISTER],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    calls, tasks, left_out = json.loads(output.splitlines()[-1])
    assert tasks > 2000
    assert set(left_out) <= {'flan_tune.tasks.suites'}  # Suites are no tasks.
    opened = [path for event, path in calls if event == 'open' and not re.search(r'\.pyc?\b', path)]
    assert opened == []
    assert [call for call in calls if call[0] != 'open'] == []
