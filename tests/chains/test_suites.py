"""XOR-AttriQA and XTREME-UP with chains: trained on as their suites ask, scored as they score."""

import json

import pytest

from flan_tune.chains.answering import in_context_suites, tuned_suites, write_chains
from flan_tune.chains.config import FiatTest
from flan_tune.chains.examples import training_set
from flan_tune.chains.prompts import Exemplar, Reasoning, TaskPrompt
from flan_tune.decoding.text_model import Generation, Likelihood
from flan_tune.errors import UserError
from flan_tune.evaluation.averages.flan import fiat_averages
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.tasks.suites import training_splits

PROMPT = TaskPrompt(instruction='Answer.', chained='{question}\nHint: {chain}')


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + '\n' for row in rows]
    path.write_text(''.join(lines))


def attribution(k, ais):
    return {
        'query': f'কত {k}?',
        'query_language': 'bn',
        'prediction': f'{k} টি',
        'passage_in_language': f'এখানে {k} টি আছে।',
        'passage_retrieved_language': 'bn',
        'ais': ais,
    }


def passage(k, target):
    return {
        'question': f'কে {k}?',
        'title': 'Rivers',
        'context': f'Of {k} the Ganges.',
        'target': target,
    }


@pytest.fixture(scope='module', autouse=True)
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    attriqa = folder / 'xor_attriqa' / 'in-language'
    write_jsonl(attriqa / 'bn.jsonl', [attribution(k, k in (0, 2)) for k in range(4)])
    write_jsonl(attriqa / 'train.jsonl', [attribution(k, k % 2 == 0) for k in range(10, 16)])
    for split in ('train', 'test'):
        rows = [passage(0, 'the Ganges'), passage(1, 'No Answer')]
        write_jsonl(folder / 'xtreme_up' / split / 'as.jsonl', rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FLAN_TUNE_DATA_DIR', str(folder))
        training_splits.register()
        yield folder


class Said:
    """A model that prefers `yes` as much as the dictionary says, or writes what it says."""

    def __init__(self, says):
        self.says, self.prompts = says, []

    def count_tokens(self, text):
        return len(text.split())

    def _found(self, prompt):
        self.prompts.append(prompt)
        return next(value for mark, value in self.says.items() if mark in prompt)

    def rank(self, prompts, choices, **_):
        assert all(some == ('no', 'yes') for some in choices)
        return [[Likelihood(0.0, 1, 2), Likelihood(self._found(p), 1, 3)] for p in prompts]

    def generate(self, prompts, **_):
        return [[Generation(self._found(p), -1.0, 3, True)] for p in prompts]


class Chains:
    def write(self, asked, progress=None):
        return [f'seen {one.id}\n\nanother question' for one in asked]


@pytest.mark.parametrize(('name', 'count'), [('xor_attriqa', 6), ('xtreme_up_qa_indic', 2)])
def test_training_asks_as_the_suite_does(name, count):
    suite = name.removesuffix('_indic')
    (test,) = FiatTest(suites=suite).open(name)
    trained = training_set(name).examples
    assert len(trained) == count
    first, asked = trained[0].question, test.all_examples[0].question
    assert first.split(':')[0] == asked.split(':')[0] == 'question'
    assert first.split()[-2:] == asked.split()[-2:]
    assert {one.answer for one in trained} <= {'yes', 'no', 'the Ganges', 'No Answer'}


def test_accuracy_and_area_of_label_probabilities(tmp_path):
    tests = FiatTest(suites='xor_attriqa').open('xor_attriqa')
    reasoning = Reasoning()
    chains = write_chains(Chains(), tests[0].all_examples, reasoning, [])
    model = Said({'কত 0': 5.0, 'কত 1': 1.0, 'কত 2': -1.0, 'কত 3': -5.0})
    (asked,) = tuned_suites(
        tests, PROMPT, reasoning, None, chains=chains, chains_in='inputs', instructed=True, positive=None
    )  # fmt: skip
    folder = RunFolder(str(tmp_path))
    table = run_suite(asked.suite, asked.protocol, asked.shots, model, folder, 'after')
    assert model.prompts[1].startswith('Answer.\n\nquestion: কত 1? answer: 1 টি passage: ')
    assert model.prompts[1].endswith('right?\nHint: seen xor_attriqa/bn/1')
    averages = fiat_averages(table, checkpoint='after')
    assert averages['xor_attriqa_accuracy'].value == 50
    assert averages['xor_attriqa_auc_pr'].value == pytest.approx(100 * (1 + 2 / 3) / 2)


@pytest.mark.parametrize('reasons', [False, True])
def test_token_f1_in_context(tmp_path, reasons):
    tests = FiatTest(suites='xtreme_up_qa').open('xtreme_up_qa')
    says = {'কে 0': 'the Ganges', 'কে 1': 'the Ganges'}
    if reasons:
        says = {mark: f'It says so. The answer is {text}.' for mark, text in says.items()}
    says = {mark: f'{text}\n\nquestion: another' for mark, text in says.items()}
    model = Said(says)
    exemplars = [Exemplar('question: 1+1?', 'One and one.', '2')]
    (asked,) = in_context_suites(
        tests, PROMPT, Reasoning(), exemplars, model, reasons=reasons, positive=None
    )
    folder = RunFolder(str(tmp_path))
    table = run_suite(asked.suite, asked.protocol, asked.shots, model, folder, 'after')
    assert asked.protocol == ('cot' if reasons else 'direct')
    solved = 'One and one. The answer is 2.' if reasons else '2'
    assert f'\n{solved}\n\nquestion: কে 0?' in model.prompts[0]
    found = fiat_averages(table, checkpoint='after', shots=1)['xtreme_up_indic_f1']
    assert (found.value, found.languages) == (50, 1)


def test_a_positive_label_that_no_question_has():
    with pytest.raises(UserError, match='nothing is asked that way'):
        FiatTest(suites='xtreme_up_qa', positive_label='yes').open('xtreme_up_qa')
    tests = FiatTest(suites='xor_attriqa', positive_label='yea').open('xor_attriqa')
    with pytest.raises(UserError, match="'yea' is none of two options .* Did you mean yes"):
        list(
            tuned_suites(
                tests, PROMPT, Reasoning(), None, chains=None, chains_in=None, instructed=True, positive='yea'
            )
        )  # fmt: skip
