import csv
import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import find_suite, open_suite

ROWS = [
    ['What is 1 + 1?', '1', ' 2', '3', 'four, or so', 'B'],
    ['Why?\nSay.', 'a', 'b', 'c', 'd', 'D'],
]


def write(folder, split='test', rows=ROWS, subject='astronomy'):
    (folder / split).mkdir(parents=True, exist_ok=True)
    with open(folder / split / f'{subject}_{split}.csv', 'w', newline='') as file:
        csv.writer(file).writerows(rows)
    return folder


def subjects(folder, split):
    return sorted(path.stem.removesuffix(f'_{split}') for path in (folder / split).iterdir())


@pytest.mark.parametrize(('name', 'split'), [('mmlu', 'test'), ('mmlu_validation', 'val')])
def test_subjects_are_those_of_the_folder(data_dir, name, split):
    suite = open_suite(name)
    suite.check('direct')
    suite.check('rank')
    assert sorted(suite.tasks) == subjects(data_dir / 'mmlu' / 'data', split)
    assert len(suite.tasks) + len(suite.missing) == 57
    for subject, task in suite.tasks.items():
        path = data_dir / 'mmlu' / 'data' / split / f'{subject}_{split}.csv'
        with open(path, newline='', encoding='utf-8') as file:
            letters = [row[5] for row in csv.reader(file)]
        assert [q.answers for q in task.questions] == [(f'({letter})',) for letter in letters]


def test_categories_are_the_published_ones(data_dir):
    published = json.loads((data_dir / 'mmlu' / 'subject_groups.json').read_text())
    definition = find_suite('mmlu')
    assert set(definition.chances) == set(published)
    assert set(definition.chances.values()) == {25.0}
    for name, group in definition.groups.items():
        for subject in group:
            category = published[subject]['category'].lower().replace(' ', '_')
            assert category == name
            assert published[subject]['name'] == subject.replace('_', ' ')


def test_flan_prompt(tmp_path):
    write(write(tmp_path), 'dev')
    task = open_suite('mmlu', tmp_path).task('astronomy')
    header = 'The following are multiple choice questions (with answers) about astronomy.\n\n'
    first = 'Q: What is 1 + 1?\n(A) 1 (B) 2 (C) 3 (D) four, or so\nA:'
    second = 'Q: Why?\nSay.\n(A) a (B) b (C) c (D) d\nA:'
    one, two = task.questions
    assert task.prompt(one, 'direct', 0) == header + first
    assert task.prompt(two, 'rank', 2) == f'{header}{first} (B)\n\n{second} (D)\n\n{second}'
    assert task.choices(one) == ('(A)', '(B)', '(C)', '(D)')
    assert one.answers == ('(B)',)
    with pytest.raises(UserError, match='astronomy: 5 shots, but there are 2 exemplars'):
        task.prompt(one, 'direct', 5)


def test_hendrycks_and_harness_prompts(tmp_path):
    write(write(tmp_path), 'dev', [[' Is it? ', *ROWS[0][1:]]])
    header = 'The following are multiple choice questions (with answers) about {}astronomy.\n\n'
    options = '\nA. 1\nB.  2\nC. 3\nD. four, or so\nAnswer:'
    for name, space, solved in (
        ('mmlu_hendrycks', ' ', ' Is it? '),
        ('mmlu_harness', '', 'Is it?'),
    ):
        task = open_suite(name, tmp_path).task('astronomy')
        question = task.questions[0]
        expected = f'{header.format(space)}{solved}{options} B\n\nWhat is 1 + 1?{options}'
        assert task.prompt(question, 'rank', 1) == expected
        assert task.choices(question) == ('A', 'B', 'C', 'D')
        assert question.answers == ('B',)
        with pytest.raises(UserError, match="no protocol 'direct'"):
            open_suite(name, tmp_path).check('direct')


def test_hendrycks_drops_exemplars_over_2048_tokens(tmp_path):
    long = [[' '.join(['word'] * 500), 'a', 'b', 'c', 'd', 'A']] * 5
    write(write(tmp_path), 'dev', long)

    def count_tokens(text):
        return len(text.split())

    task = open_suite('mmlu_hendrycks', tmp_path).task('astronomy')
    question = task.questions[0]
    assert task.prompt(question, 'rank', 5).count('Answer:') == 6
    kept = task.prompt(question, 'rank', 5, count_tokens=count_tokens)
    assert kept.count('Answer:') == 4
    assert 1500 < count_tokens(kept) <= 2048
    for name in ('mmlu', 'mmlu_harness'):
        whole = open_suite(name, tmp_path).task('astronomy')
        prompt = whole.prompt(whole.questions[0], 'rank', 5, count_tokens=count_tokens)
        assert count_tokens(prompt) > 2500


def test_chain_of_thought_prompts_are_the_published_ones_byte_for_byte(data_dir):
    published = json.loads((data_dir / 'mmlu' / 'flan_cot_prompts.json').read_bytes())
    suite = open_suite('mmlu')
    suite.check('cot')
    for subject, task in suite.tasks.items():
        for question in task.questions[:20]:
            shown = task.prompt(question, 'direct', 0).partition('\n\n')[2]
            tail = f"{shown} Let's think step by step."
            assert task.prompt(question, 'cot', 5) == f'{published[subject].strip()}\n\n{tail}'


def test_direct_exemplars_are_written_as_those_of_the_published_chains(data_dir):
    """The same `dev` questions; about 9 in 10, since the authors corrected or replaced some."""
    published = json.loads((data_dir / 'mmlu' / 'flan_cot_prompts.json').read_bytes())
    same = total = 0
    for subject, task in open_suite('mmlu').tasks.items():
        prompt = task.prompt(task.questions[0], 'direct', 5)
        header, *blocks = published[subject].strip().split('\n\nQ: ')
        assert prompt.startswith(f'{header}\n\n')
        for block in blocks:
            same += f'\n\nQ: {block.split(" Let")[0]}' in prompt
            total += 1
    assert same / total > 0.9


def test_fewer_chains_and_the_subjects_with_four(data_dir, tmp_path):
    write(write(tmp_path / 'data'), subject='human_aging')
    published = data_dir / 'mmlu' / 'flan_cot_prompts.json'
    (tmp_path / 'flan_cot_prompts.json').symlink_to(published)
    suite = open_suite('mmlu', tmp_path)
    for subject, found in (('astronomy', 5), ('human_aging', 4)):
        task = suite.task(subject)
        question = task.questions[0]
        for shots in range(found + 1):
            prompt = task.prompt(question, 'cot', shots)
            assert prompt.count("\nA: Let's think step by step.") == shots + 1
        assert task.prompt(question, 'cot', 5).count("\nA: Let's think") == found + 1
        with pytest.raises(UserError, match=f'6 shots, but there are {found} exemplars'):
            task.prompt(question, 'cot', 6)


def test_chains_need_their_file_and_subject(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match='no flan_cot_prompts.json'):
        open_suite('mmlu', tmp_path).check('cot')
    (tmp_path / 'flan_cot_prompts.json').write_text('{}')
    with pytest.raises(UserError, match='astronomy: no chain-of-thought prompt'):
        open_suite('mmlu', tmp_path).check('cot')


@pytest.mark.parametrize(
    ('text', 'protocol', 'answer'),
    [
        ('(B)', 'direct', '(B)'),
        ('(B) 2', 'direct', '(B)'),
        ('b.', 'direct', '(B)'),
        ('Because of physics', 'direct', None),
        ('(E)', 'direct', None),
        ('One and one. The answer is (C).', 'cot', '(C)'),
        ('(C)', 'cot', None),
        ('The answer is unknown.', 'cot', None),
        ('(D)', 'rank', '(D)'),
    ],
)
def test_extraction(tmp_path, text, protocol, answer):
    task = open_suite('mmlu', write(tmp_path)).task('astronomy_test')
    question = task.questions[0]
    extracted = task.extract(text, question, protocol)
    assert extracted.answer == answer
    assert task.score(question, extracted) == {'accuracy': float(answer == '(B)')}


@pytest.mark.parametrize(
    ('text', 'answer'),
    [
        ('It must be (B).', '(B)'),
        ('(A)? No: (B), then.', '(B)'),
        ('The answer is: C', '(C)'),
        ('No.', None),
    ],
)
def test_chains_without_exemplars_are_read_as_they_come(tmp_path, text, answer):
    task = open_suite('mmlu', write(tmp_path)).task('astronomy')
    assert task.extract(text, task.questions[0], 'cot', 0).answer == answer


@pytest.mark.parametrize('name', ['mmlu', 'mmlu_validation'])
def test_both_splits_are_asked_in_all_ways(data_dir, name):
    suite = open_suite(name)
    for protocol, shots in (('direct', 5), ('cot', 5), ('rank', 5), ('direct', 0), ('rank', 0)):
        suite.check(protocol, shots)
    task = next(iter(suite.tasks.values()))
    prompt = task.prompt(task.questions[0], 'cot', 0)
    assert prompt.endswith("\nA: Let's think step by step.")
    assert prompt.count('\nQ: ') == 1


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (['q', 'a', 'b', 'c', 'D'], '5 columns'),
        (['q', 'a', 'b', 'c', 'd', 'E'], "answer 'E' is none of the options"),
        (['q', 'a', 'b', 'c', 'd', ''], "answer '' is none"),
        (['q', 'a', 'b', 'c', 'd', 'AB'], "answer 'AB' is none"),
        (['q', 'a', ' ', 'c', 'd', 'A'], 'blank'),
    ],
)
def test_broken_rows_are_named_by_line(tmp_path, row, message):
    """The row before spans two lines."""
    write(tmp_path, rows=[*ROWS, row])
    with pytest.raises(UserError, match=f'astronomy_test.csv:4: .*{message}'):
        open_suite('mmlu', tmp_path).check()
    suite = open_suite('mmlu', tmp_path, on_bad_record='skip')
    assert len(suite.task('astronomy').questions) == 2


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(UserError, match="no split 'val'"):
        open_suite('mmlu_validation', write(tmp_path))
