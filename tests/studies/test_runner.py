"""Working through jobs: what is skipped, what fails, what waits, how it stops; in real processes of a small program."""

import json
import os
import pathlib
import signal
import sys
import threading

import pytest

from flan_tune import configuration
from flan_tune.errors import UserError
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.studies.grid import Grid, Run
from flan_tune.studies.plans import Estimates, JobPlan, effort
from flan_tune.studies.processes import spawn
from flan_tune.studies.results import Measure, read_tables
from flan_tune.studies.runner import Runner, chosen
from flan_tune.studies.state import RECORD, RunRecord, places, refuse_changed

from .made_up import score

# Waits for a file, or fails, as its binding says; writes a file when it is asked to stop.
PROGRAM = """
import pathlib, signal, sys, time
folder, fault = sys.argv[1:]
def stop(*_):
    pathlib.Path(folder, 'saved').touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
print('a line of the log', flush=True)
if fault == 'wait':
    pathlib.Path(folder, 'began').touch()
    time.sleep(60)
if fault == 'fail':
    sys.exit('the disk is full')
pathlib.Path(folder, 'result').touch()
"""


class Program:
    """Starts the program above in the place of `flan_tune`."""

    reason = ''

    def __init__(self, faults=None):
        self.faults, self.started = faults or {}, []

    def start(self, arguments, log):
        folder = os.path.dirname(log)
        self.started.append(pathlib.Path(folder).name)
        fault = self.faults.get(self.started[-1], '')
        return spawn([sys.executable, '-c', PROGRAM, folder, fault], log)


SETTINGS = [
    'runs/finetune.gin', 'models/mini/tiny.gin', 'MIXTURE_OR_TASK_NAME=mini', {'TRAIN_STEPS': 3},
]  # fmt: skip
RUNS = {
    'base': Run('train', SETTINGS, seeded=False),
    'tuned': Run('train', [*SETTINGS, 'INITIAL_CHECKPOINT_PATH=run:base'], over=['rate']),
}
AXES = {'rate': {'low': ['LEARNING_RATE=0.1'], 'high': ['LEARNING_RATE=0.2']}}
LABELS = [
    'base', 'tuned/rate=low/seed_1', 'tuned/rate=high/seed_1', 'tuned/rate=low/seed_2', 'tuned/rate=high/seed_2',
]  # fmt: skip


class Study:
    """A grid in a folder, and a runner of it."""

    def __init__(self, folder, runs=RUNS):
        self.jobs = Grid(str(folder), AXES, runs, [1, 2]).jobs()
        names = places(str(folder), self.jobs)
        self.records = {}
        for job in self.jobs:
            configured = configuration.load('train', job.gin_files, job.bindings)
            self.records[job.label] = RunRecord(job, configured, names, self.records)
        self.said = []

    def run(self, launcher, jobs=None, **kwargs):
        plans = {job.label: JobPlan() for job in self.jobs}
        jobs = self.jobs if jobs is None else jobs
        return Runner(
            jobs,
            self.records,
            launcher,
            Estimates(self.jobs, plans),
            say=lambda text, end='\n': self.said.append(text),
            **kwargs,
        ).run()

    def states(self):
        return [record.state().name for record in self.records.values()]


def test_jobs_are_run_once_each_with_a_log(tmp_path):
    study, program = Study(tmp_path), Program()
    assert [job.label for job in study.jobs] == LABELS
    assert study.states() == ['to do'] * 5
    assert study.run(program) == {} and len(program.started) == 5
    assert study.states() == ['done'] * 5
    assert (tmp_path / LABELS[1] / 'log.txt').read_text() == 'a line of the log\n'
    # Again, and from another place: nothing is left to do.
    assert study.run(program) == {} and len(program.started) == 5
    moved = tmp_path / 'moved'
    moved.mkdir()
    for name in ('base', 'tuned'):
        (tmp_path / name).rename(moved / name)
    assert Study(moved).states() == ['done'] * 5


def test_a_job_that_fails_is_named_and_the_others_go_on(tmp_path):
    study = Study(tmp_path)
    wrong = study.run(Program({'seed_1': 'fail'}))
    assert [*wrong] == LABELS[1:3]
    assert 'exit status 1' in wrong[LABELS[1]] and 'log.txt' in wrong[LABELS[1]]
    assert study.states() == ['done', 'failed', 'failed', 'done', 'done']
    assert any('the disk is full' in line for line in study.said)
    assert study.run(Program()) == {}
    assert study.states() == ['done'] * 5
    assert (tmp_path / LABELS[1] / 'log.txt').read_text().count('a line of the log') == 2


def test_a_run_that_studies_share_may_have_another_label_in_each(tmp_path):
    def runs(base, tuned):
        return {
            base: Run('train', SETTINGS, seeded=False, shared=str(tmp_path / 'cache/base')),
            tuned: Run(
                'train',
                [*SETTINGS, f'INITIAL_CHECKPOINT_PATH=run:{base}'],
                seeded=False,
                shared=str(tmp_path / 'cache/tuned'),
            ),
        }

    first, program = Study(tmp_path / 'first', runs('base', 'tuned')), Program()
    assert first.run(program) == {} and len(program.started) == 2
    second = Study(tmp_path / 'second', runs('pretrained', 'instructed'))
    assert second.states() == ['done'] * 2


def test_what_needs_a_job_that_failed_is_not_run(tmp_path):
    study, program = Study(tmp_path), Program({'base': 'fail'})
    wrong = study.run(program)
    assert program.started == ['base'] and [*wrong] == LABELS
    assert wrong[LABELS[1]] == 'it needs base, which failed'


def test_only_and_shard(tmp_path):
    study, program = Study(tmp_path), Program()
    assert [j.label for j in chosen(study.jobs, 'tuned/*/seed_1', None)] == LABELS[1:3]
    parts = [chosen(study.jobs, None, f'{i}/2') for i in (1, 2)]
    assert sorted(j.label for part in parts for j in part) == sorted(LABELS)
    assert {len(part) for part in parts} == {2, 3}
    wrong = study.run(program, chosen(study.jobs, 'tuned/rate=low/seed_1', None))
    assert 'it needs base, which is to do and not among the runs' in wrong[LABELS[1]]
    for only, shard in (('nothing', None), (None, '0/2'), (None, '3/2'), (None, 'x')):
        with pytest.raises(UserError):
            chosen(study.jobs, only, shard)


def test_shards_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr('flan_tune.studies.runner._POLL_SECONDS', 0.05)
    study = Study(tmp_path)
    first, second = (chosen(study.jobs, None, f'{i}/2') for i in (1, 2))
    found = {}
    waits = threading.Thread(
        target=lambda: found.update(study.run(Program(), second, elsewhere=True))
    )
    waits.start()
    other = Study(tmp_path)
    assert other.run(Program(), first, elsewhere=True) == {}
    waits.join(60)
    assert found == {} and study.states() == ['done'] * 5


def test_an_interruption_lets_the_job_save_and_the_next_command_goes_on(tmp_path):
    study, began = Study(tmp_path), tmp_path / LABELS[1] / 'began'

    def interrupt():
        while not began.exists():
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        study.run(Program({'seed_1': 'wait'}))
    thread.join()
    assert (tmp_path / LABELS[1] / 'saved').exists()
    assert study.states() == ['done', 'part done', 'to do', 'to do', 'to do']
    assert study.run(Program()) == {} and study.states() == ['done'] * 5


def test_another_configuration_is_refused_and_run_anew_by_name(tmp_path):
    Study(tmp_path).run(Program())
    runs = RUNS | {'base': Run('train', [*SETTINGS, 'TRAIN_STEPS=4', 'BATCH_SIZE=2'], seeded=False)}
    study = Study(tmp_path, runs)
    states = {label: record.state() for label, record in study.records.items()}
    assert {state.name for state in states.values()} == {'changed'}
    assert states[LABELS[1]].difference == ('it starts from another base',)
    with pytest.raises(UserError) as error:
        refuse_changed(states)
    message = str(error.value)
    assert '5 of 5 runs' in message and '+train.steps = 4' in message and '--rerun=' in message
    aside = study.records['base'].put_aside()
    assert aside.name == 'base.replaced_1' and (aside / 'result').exists()
    assert study.states() == ['to do'] + ['changed'] * 4
    assert study.records['base'].put_aside() is None


def test_a_run_that_was_started_by_hand_counts_if_it_is_finished(tmp_path):
    study = Study(tmp_path)
    (tmp_path / 'base').mkdir()
    operative = study.records['base'].configured
    (tmp_path / 'base' / 'operative_config.gin').write_text(operative)
    facts = {'steps': 2, 'finished': None, 'stages': {'train': 5.0}}
    (tmp_path / 'base' / 'run.json').write_text(json.dumps(facts))
    assert study.records['base'].state().text() == 'part done at step 2'
    (tmp_path / 'base' / 'run.json').write_text(json.dumps(facts | {'finished': 'now'}))
    state = study.records['base'].state()
    assert (state.name, state.seconds) == ('done', 5.0)
    (tmp_path / 'base' / 'operative_config.gin').write_text('train.steps = 7\n')
    assert study.records['base'].state().name == 'changed'


def test_a_record_cut_short_is_no_end(tmp_path):
    study = Study(tmp_path)
    (tmp_path / 'base').mkdir()
    (tmp_path / 'base' / RECORD).write_text('{"state": "do')
    assert study.states()[0] == 'to do'


def test_estimates_by_seed_then_by_work(tmp_path):
    jobs = Study(tmp_path).jobs
    plans = {job.label: JobPlan(10, 5, 100) for job in jobs}
    plans[LABELS[4]] = JobPlan(30, 5, 300)
    found = Estimates(jobs, plans)
    assert found.seconds(LABELS[1]) is None
    found.add(LABELS[1], 20.0)
    assert found.seconds(LABELS[3]) == 20.0  # The same place with another seed.
    assert found.seconds(LABELS[4]) == pytest.approx(60.0)  # Three times the tokens.
    assert found.seconds('base') is None


def test_tables_have_the_scores_and_what_the_run_took(tmp_path):
    jobs = Study(tmp_path).jobs
    ScoreTable([score('a', 1.0)]).write(tmp_path / 'base')
    efforts = {
        'base': effort(JobPlan(10, 5, 100), 7.0),
        LABELS[1]: effort(JobPlan(), None),
    }
    tables = read_tables(jobs, efforts)
    assert [*tables] == ['base', LABELS[1]] and not len(tables[LABELS[1]])
    assert Measure(metric=None).cells(tables['base']) == {'a': 1.0}
    flops = Measure(suite='run', metric='train_flops')
    assert flops.cells(tables['base']) == {'run': 3000.0}
    assert Measure(suite='run', metric='seconds').cells(tables['base']) == {'run': 7.0}
