"""FLAN's two figures of a data set, from a model that is asked to the averages of the table."""

import collections
import dataclasses
import functools
import json
import pathlib
import runpy
import sys
import zlib

import pytest

from flan_tune.data.mixtures import find
from flan_tune.evaluation.averages.flan import flan_averages
from flan_tune.evaluation.score_files import read_table
from flan_tune.evaluation.suites.definition import Suite
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.tasks.suites import flan2021

NAMES = ('rte', 'wsc')
# The cluster of each of the two.
CLUSTERS = {'rte': 'natural language inference', 'wsc': 'coreference'}


@dataclasses.dataclass
class Likely:
    log_likelihood: float
    num_tokens: int = 1
    num_characters: int = 1
    cut: int = 0


class Guessing:
    """Ranks options by a checksum of prompt and option."""

    def count_tokens(self, text):
        return len(text.split())

    def rank(self, prompts, choices, **options):
        return [
            [Likely(-float(zlib.crc32(f'{prompt} {choice}'.encode()) % 997)) for choice in some]
            for prompt, some in zip(prompts, choices, strict=True)
        ]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A run on both suites; TFDS reads made-up examples, others in the two splits."""
    made_up = type(sys)('made_up')
    path = pathlib.Path(__file__).parent / 'flan2021_examples.py'
    made_up.__dict__.update(runpy.run_path(str(path)))
    folder = RunFolder(str(tmp_path_factory.mktemp('run')))
    definitions = {definition.name: definition for definition in flan2021.SUITES}
    with made_up.mocked(size=6):
        for name, split in (('flan2021_rank', 'test'), ('flan2021_rank_dev', 'validation')):
            opened = functools.partial(flan2021._open, names=NAMES, split=split)
            definition = dataclasses.replace(definitions[name], open_tasks=opened)
            suite = Suite(definition, folder.path)
            run_suite(suite, 'rank', 0, Guessing(), folder, 'after')
    return folder


def by_template(folder, suite, task):
    """Template -> share of right answers, from the file of predictions alone."""
    path = folder.path / 'predictions' / f'{suite}.{task}.jsonl'
    right = collections.defaultdict(list)
    for line in path.read_text().splitlines():
        row = json.loads(line)
        right[row['template']].append(row['prediction'] == row['target'])
    return {template: 100 * sum(some) / len(some) for template, some in right.items()}


def test_mean_over_templates_and_the_test_score_of_the_best_on_dev(folder):
    averages = flan_averages(read_table(folder), 'flan2021_rank', checkpoint='after')
    assert set(averages.data_sets) == set(NAMES)
    for task in NAMES:
        test, dev = (by_template(folder, s, task) for s in ('flan2021_rank', 'flan2021_rank_dev'))
        assert set(test) == set(dev)
        assert 7 <= len(test) <= 10
        assert len(set(dev.values())) > 1
        found = averages.data_sets[task]
        best = max(dev, key=dev.get)
        assert found.metric == 'accuracy'
        assert found.mean == pytest.approx(sum(test.values()) / len(test))
        assert (found.template, found.dev) == (best, pytest.approx(dev[best]))
        assert found.best == pytest.approx(test[best])
        assert averages.clusters[CLUSTERS[task]] == pytest.approx((found.mean, found.best))
    assert averages.partial
    assert 'cb' in averages.missing
    assert averages.without_dev == ()


def test_both_suites_ask_each_record_with_each_template_that_asks_for_the_answer(folder):
    for suite in ('flan2021_rank', 'flan2021_rank_dev'):
        path = folder.path / 'predictions' / f'{suite}.rte.jsonl'
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        prompts = find('flan2021_rte').definition.prompts
        assert len(rows) == 6 * sum(not prompt.inverts for prompt in prompts)
        assert all(row['target'] in row['options'] for row in rows)
        assert len({row['inputs'] for row in rows}) == len(rows)


def test_the_best_template_is_chosen_on_examples_that_training_does_not_see():
    for name, data_set in (('rte', 200), ('wsc', 50), ('cb', 200), ('glue_mrpc', 200)):
        splits = find(f'flan2021_{name}').definition.source.tfds_splits
        assert splits['validation'].endswith(f'[:{data_set}]')
        assert f'[{data_set}:' in splits['train']
        assert splits['test'] != splits['validation']
