"""Our prompts, answers and scores equal those that lm-evaluation-harness recorded with its own `hf` model.

Example by example, on the same weights and questions: see make_goldens_lm_eval.py.
"""

import functools
import json
import pathlib
import types

import pytest

from flan_tune.evaluation import lm_eval as adapter
from flan_tune.evaluation.suites.definition import open_suite
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.reporting.run_folder import RunFolder

GOLDENS = pathlib.Path(__file__).parent / 'goldens' / 'lm_eval'
NEW_TOKENS = 16


@functools.cache
def model(name: str):
    """Opens a Hugging Face folder, which needs no gin file; batches have rows of several lengths, and spare ones."""
    return adapter.open_text_model(str(GOLDENS / name), max_input_tokens=480, batch_size=8)


def recorded(name: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDENS / f'{name}.jsonl').read_text().splitlines()]


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def our_lines(suite: str, task: str, protocol: str, text_model, folder: pathlib.Path) -> list[dict]:
    """Returns the lines that our own evaluation writes of a task."""
    opened = open_suite(suite, GOLDENS / 'data' / suite.split('_')[0])
    run_suite(
        opened, protocol, None, text_model, RunFolder(str(folder)), 'now', max_new_tokens=NEW_TOKENS
    )
    lines = (folder / 'predictions' / f'{suite}.{task}.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def our_prompts(suite: str, task: str, protocol: str, shots: int) -> list[str]:
    its = open_suite(suite, GOLDENS / 'data' / suite.split('_')[0]).task(task)
    return [its.prompt(question, protocol, shots) for question in its.questions]


@pytest.mark.parametrize('protocol', ['direct', 'cot'])
def test_prompts_answers_and_scores_of_bbh(protocol, tmp_path):
    theirs = recorded(f'bbh_{protocol}')
    assert our_prompts('bbh', 'web_of_lies', protocol, 3) == column(theirs, 'context')
    ours = our_lines('bbh', 'web_of_lies', protocol, model('t5'), tmp_path)
    assert [[line['prediction']] for line in ours] == column(theirs, 'answers')
    scores = column(theirs, 'score')
    assert [line['scores']['exact_match'] for line in ours] == scores
    assert 2 < sum(scores) < 12


def test_prompts_likelihoods_and_scores_of_mmlu(tmp_path):
    theirs = recorded('mmlu_opt')
    assert our_prompts('mmlu_harness', 'astronomy', 'rank', 5) == column(theirs, 'context')
    ours = our_lines('mmlu_harness', 'astronomy', 'rank', model('opt'), tmp_path)
    for line, sample in zip(ours, theirs, strict=True):
        expected = [likelihood for likelihood, _ in sample['answers']]
        assert line['log_likelihoods'] == pytest.approx(expected, abs=1e-4)
    scores = column(theirs, 'score')
    assert [line['scores']['accuracy'] for line in ours] == scores
    assert 0 < sum(scores) < len(scores)


@pytest.mark.parametrize('name', ['t5', 'opt'])
def test_the_adapter_finds_the_likelihoods_of_the_harness(name):
    theirs = recorded(f'mmlu_{name}')
    asked = [(sample['context'], behind) for sample in theirs for behind in sample['behind']]
    found = answer('loglikelihood', model(name), asked)
    expected = [likelihood for sample in theirs for likelihood, _ in sample['answers']]
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('protocol', ['direct', 'cot'])
def test_the_adapter_writes_what_the_harness_wrote(protocol):
    theirs = recorded(f'bbh_{protocol}')
    asked = [(one['context'], {**one['behind'][0], 'max_gen_toks': NEW_TOKENS}) for one in theirs]
    found = answer('generate_until', model('t5'), asked)
    assert [[text] for text in found] == column(theirs, 'answers')


def test_what_the_harness_wrote_greedily_is_a_hit():
    written = recorded('bbh_direct')
    pairs = [(one['context'], one['answers'][0]) for one in written]
    assert all(hit for _, hit in answer('loglikelihood', model('t5'), pairs))
    others = [(context, {'No': 'Yes'}.get(text, 'No')) for context, text in pairs]
    assert not any(hit for _, hit in answer('loglikelihood', model('t5'), others))


def answer(kind: str, text_model, asked: list[tuple]) -> list:
    requests = [types.SimpleNamespace(args=args) for args in asked]
    return getattr(adapter.HarnessRequests(text_model), kind)(requests)
