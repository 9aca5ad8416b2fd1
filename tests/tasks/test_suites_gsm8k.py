import json
import re

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.numbers import final_number
from flan_tune.evaluation.suites.definition import open_suite
from flan_tune.tasks.suites.gsm8k import EXEMPLARS

STEP = re.compile(r'((?:[\d.]+ [-+*/] )+[\d.]+) = (\d+(?:\.\d+)?)')


def write(path, *rows):
    path.write_text('\n'.join(row if isinstance(row, str) else json.dumps(row) for row in rows))


def test_questions_are_those_of_the_file(data_dir):
    suite = open_suite('gsm8k')
    suite.check('cot')
    task = suite.task('gsm8k')
    assert len(task.questions) == 1319
    assert task.questions[0].answers == ('18',)
    assert not suite.missing
    golds = [question.answers[0] for question in task.questions]
    assert all(golds)
    assert '1450000' in golds


def test_published_solutions_are_right_answers(data_dir):
    """With their calculator marks and `#### NUMBER`."""
    task = open_suite('gsm8k').task('gsm8k')
    lines = (data_dir / 'gsm8k' / 'test.jsonl').read_bytes().decode().split('\n')
    for question, line in zip(task.questions, lines, strict=False):
        extracted = task.extract(json.loads(line)['answer'], question, 'cot')
        assert task.score(question, extracted) == {'exact_match': 1.0}


def test_exemplars_of_ours(data_dir):
    task = open_suite('gsm8k').task('gsm8k')
    prompt = task.prompt(task.questions[0], 'cot', 8)
    assert prompt.count('\n\nQ: ') == 8
    assert prompt.endswith("farmers' market?\nA:")
    questions = [question.fields['question'] for question in task.questions]
    for question, chain, answer in EXEMPLARS:
        assert question not in questions
        assert final_number(f'{chain} The answer is {answer}.', ['answer is']) == answer
        steps = STEP.findall(chain)
        assert len(steps) >= 2
        assert all(eval(left) == float(right) for left, right in steps)
    with pytest.raises(UserError, match='gsm8k: 9 shots, but there are 8 exemplars'):
        task.prompt(task.questions[0], 'cot', 9)


def test_without_exemplars_the_trigger_stands_in_their_place(data_dir):
    task = open_suite('gsm8k').task('gsm8k')
    question = task.questions[0]
    asked = f'Q: {question.fields["question"]}\nA:'
    assert task.prompt(question, 'cot', 0) == f"{asked} Let's think step by step."
    assert task.prompt(question, 'cot', 1).endswith(f'\n\n{asked}')


def test_exemplars_from_a_file(tmp_path):
    solved = {'question': 'What is 2 + 3?', 'answer': 'It is 2+3=<<2+3=5>>5.\n#### 5'}
    write(tmp_path / 'test.jsonl', {'question': 'And 1 + 1?', 'answer': '#### 2'})
    write(tmp_path / 'exemplars.jsonl', solved)
    task = open_suite('gsm8k', tmp_path).task('gsm8k')
    prompt = task.prompt(task.questions[0], 'cot', 1)
    assert prompt == 'Q: What is 2 + 3?\nA: It is 2+3=5. The answer is 5.\n\nQ: And 1 + 1?\nA:'
    with pytest.raises(UserError, match='8 shots, but there are 1 exemplars'):
        task.prompt(task.questions[0], 'cot', 8)
    write(tmp_path / 'exemplars.jsonl', solved, {'question': 'x', 'answer': '5'})
    with pytest.raises(UserError, match='exemplars.jsonl:2: the answer does not end in'):
        open_suite('gsm8k', tmp_path).check('cot')


@pytest.mark.parametrize(
    ('text', 'answer'),
    [
        ('He sells 9 * 2 = <<9*2=18>>18.\n#### 18', '18'),
        ('The answer is $1,000.00.', '1000'),
        ('So it is 7.\n\nQ: Another?\nA: The answer is 8.', '7'),
        ('5 + 5 = <<5+5=10>>', '5'),
        ('None.', None),
    ],
)
def test_extraction(tmp_path, text, answer):
    write(tmp_path / 'test.jsonl', {'question': 'q', 'answer': '#### 1'})
    task = open_suite('gsm8k', tmp_path).task('gsm8k')
    assert task.extract(text, task.questions[0], 'cot').answer == answer


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('{', 'not JSON'),
        ({'question': 'q'}, "'answer' is missing"),
        ({'question': 'q', 'answer': '12'}, 'does not end in'),
        ({'question': 'q', 'answer': '#### x'}, 'does not end in'),
    ],
)
def test_broken_lines_are_named(tmp_path, row, message):
    write(tmp_path / 'test.jsonl', {'question': 'q', 'answer': '#### 1'}, row)
    with pytest.raises(UserError, match=f'test.jsonl:2: .*{message}'):
        open_suite('gsm8k', tmp_path).check()
    assert len(open_suite('gsm8k', tmp_path, on_bad_record='skip').task('gsm8k').questions) == 1


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / 'test.jsonl').write_bytes(b'{"question": "\xff", "answer": "#### 1"}\n')
    with pytest.raises(UserError, match='test.jsonl:1: not UTF-8'):
        open_suite('gsm8k', tmp_path).check()


def test_a_folder_without_the_test_set(tmp_path):
    with pytest.raises(UserError, match='none of its tasks'):
        open_suite('gsm8k', tmp_path)
