import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import open_suite


def prompt_files(folder, protocol):
    files = sorted((folder / f'{protocol}-prompts').glob('*.txt'))
    assert files
    return files


@pytest.mark.parametrize(
    ('protocol', 'ending'), [('direct', ''), ('cot', " Let's think step by step.")]
)
def test_prompts_are_the_published_files_byte_for_byte(data_dir, protocol, ending):
    suite = open_suite('bbh')
    for path in prompt_files(data_dir / 'bbh', protocol):
        _, _, published = path.read_bytes().partition(b'\n-----\n')
        content = json.loads((data_dir / 'bbh' / 'tasks' / f'{path.stem}.json').read_bytes())
        task = suite.task(path.stem)
        assert len(task.questions) == len(content['examples'])
        for question, example in zip(task.questions, content['examples'], strict=True):
            tail = f'\n\nQ: {example["input"]}\nA:{ending}'.encode()
            assert task.prompt(question, protocol, 3).encode() == published.strip() + tail


def test_all_tasks_that_are_there_are_found_and_the_others_named(data_dir):
    there = {path.stem for path in (data_dir / 'bbh' / 'tasks').iterdir()}
    suite = open_suite('bbh')
    assert set(suite.tasks) == there
    assert set(suite.missing) == set(suite.definition.chances) - there
    for protocol in ('direct', 'cot'):
        suite.check(protocol)


def test_fewer_exemplars(data_dir):
    task = open_suite('bbh').task('boolean_expressions')
    question = task.questions[0]
    header = 'Evaluate the result of a random Boolean expression.\n\n'
    assert task.prompt(question, 'direct', 0) == f'{header}Q: not ( True ) and ( True ) is\nA:'
    one = task.prompt(question, 'direct', 1)
    assert one.startswith(f'{header}Q: not ( ( not not True ) ) is\nA: False\n\nQ: not ( True )')
    assert task.prompt(question, 'cot', 2).count("\nA: Let's think step by step.") == 3
    with pytest.raises(UserError, match='boolean_expressions: 4 shots, but there are 3 exemplars'):
        task.prompt(question, 'cot', 4)


def copied(data_dir, folder, *, tasks='tasks'):
    """A folder as the authors publish it, without files of direct prompts."""
    (folder / tasks).mkdir()
    (folder / 'cot-prompts').symlink_to(data_dir / 'bbh' / 'cot-prompts')
    for path in (data_dir / 'bbh' / 'tasks').iterdir():
        (folder / tasks / path.name).symlink_to(path)
    return folder


def test_direct_prompts_come_from_chains_where_they_have_no_files(data_dir, tmp_path):
    suite = open_suite('bbh')
    derived = open_suite('bbh', copied(data_dir, tmp_path, tasks='bbh'))
    different = set()
    for name, task in suite.tasks.items():
        question = task.questions[0]
        prompt = derived.task(name).prompt(question, 'direct', 3)
        assert 'step by step' not in prompt
        if prompt != task.prompt(question, 'direct', 3):
            different.add(name)
    assert different == {'date_understanding', 'snarks', 'tracking_shuffled_objects_three_objects'}


def test_options_and_the_questions_that_none_answers(data_dir):
    suite = open_suite('bbh')
    options = {name: task.questions[0].options for name, task in suite.tasks.items()}
    assert options['hyperbaton'] == ('(A)', '(B)')
    assert options['causal_judgement'] == ('Yes', 'No')
    assert options['formal_fallacies'] == ('valid', 'invalid')
    assert options['object_counting'] == ()
    wrong = [q.id for task in suite.tasks.values() for q in task.questions if not q.answerable]
    assert wrong == ['movie_recommendation-163', 'ruin_names-99', 'ruin_names-144']


@pytest.mark.parametrize(
    ('text', 'direct', 'cot'),
    [
        ('(A)', '(A)', None),
        (' (A)\n', '(A)', None),
        ('(A).', '(A).', None),
        ('Yes. So the answer is (A).', 'Yes. So the answer is (A).', '(A)'),
        ('the answer is (A).\n\nQ: so the answer is (B)', ..., '(A)'),
        ('So the answer is (A), since the answer is (B).', ..., '(A), since the answer is (B)'),
        ('So the answer is \n(A)', ..., None),
        ('', None, None),
    ],
)
def test_extraction(data_dir, text, direct, cot):
    task = open_suite('bbh').task('hyperbaton')
    question = task.questions[0]
    assert task.extract(text, question, 'cot').answer == cot
    if direct is not ...:
        assert task.extract(text, question, 'direct').answer == direct


@pytest.mark.parametrize(
    ('name', 'text', 'answer'),
    [
        ('hyperbaton', 'The first sounds odd, so (B).', '(B)'),
        ('hyperbaton', 'Not (A), because of its order. (B) it is.\n\nQ: ...', '(B)'),
        ('hyperbaton', 'The answer is: A. (B) is odd.', '(A)'),
        ('hyperbaton', 'So the answer is the first one, (A), not (B).', '(A)'),
        ('hyperbaton', 'Neither of them.', None),
        ('causal_judgement', 'It did. Therefore, yes.', 'Yes'),
        ('formal_fallacies', 'The conclusion does not follow: invalid', 'invalid'),
        ('sports_understanding', 'Plausible? No one does that. The answer is NO!', 'no'),
        ('boolean_expressions', 'not True is False, and False or True is true.', 'True'),
        ('object_counting', 'Two cows and three pigs: 2 + 3 = 5.', '5'),
        ('object_counting', 'The answer is 5 of 9 things.', '5'),
        ('multistep_arithmetic_two', 'We get -1,250.', '-1250'),
        ('object_counting', 'Many.', None),
    ],
)
def test_without_exemplars_chains_are_read_as_they_come(data_dir, name, text, answer):
    task = open_suite('bbh').task(name)
    question = task.questions[0]
    assert task.extract(text, question, 'cot', 0).answer == answer
    # Of direct answers, and with exemplars, the authors' rule alone counts.
    assert task.extract(text, question, 'direct', 0).answer == text.strip()
    assert task.extract(text, question, 'cot', 3) == task.extract(text, question, 'cot')


def test_zero_shot_prompts_end_in_the_trigger_or_not(data_dir):
    for task in open_suite('bbh').tasks.values():
        question = task.questions[-1]
        direct, cot = (task.prompt(question, protocol, 0) for protocol in ('direct', 'cot'))
        if task.name != 'snarks':  # Whose two published prompts begin differently.
            assert cot == f"{direct} Let's think step by step."
        assert cot.endswith(f"\n\nQ: {question.fields['input']}\nA: Let's think step by step.")
        assert direct.endswith(f'\n\nQ: {question.fields["input"]}\nA:')
        assert direct.count('\nA:') == 1
        assert 'answer is' not in direct.removesuffix(f'Q: {question.fields["input"]}\nA:')


def test_answers_are_case_sensitive(data_dir):
    task = open_suite('bbh').task('sports_understanding')
    question = next(q for q in task.questions if q.answers == ('yes',))
    assert task.score(question, task.extract('yes ', question, 'direct')) == {'exact_match': 1.0}
    assert task.score(question, task.extract('Yes', question, 'direct')) == {'exact_match': 0.0}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"examples": [', ':1: not JSON'),
        ('[]', 'list of "examples"'),
        ('{"examples": [3]}', 'example 0: a record is an object'),
        ('{"examples": [{"input": "a"}]}', "example 0: 'target' is missing"),
        ('{"examples": [{"input": " ", "target": "a"}]}', "example 0: 'input' is missing, blank"),
        ('{"examples": [{"input": "a", "target": 1}]}', "example 0: 'target' is missing"),
        ('', 'empty'),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    (tmp_path / 'tasks').mkdir()
    (tmp_path / 'tasks' / 'snarks.json').write_text(text)
    with pytest.raises(UserError, match=f'snarks.json.*{message}'):
        open_suite('bbh', tmp_path).check()


def test_a_missing_or_headless_prompt_file_is_named(tmp_path):
    (tmp_path / 'tasks').mkdir()
    example = {'examples': [{'input': 'a', 'target': 'b'}]}
    (tmp_path / 'tasks' / 'snarks.json').write_text(json.dumps(example))
    suite = open_suite('bbh', tmp_path)
    suite.check()
    with pytest.raises(UserError, match=r'cot-prompts/snarks.txt: no such file'):
        suite.check('cot')
    (tmp_path / 'cot-prompts').mkdir()
    (tmp_path / 'cot-prompts' / 'snarks.txt').write_text('Is it sarcastic?\n\nQ: a\nA: b')
    with pytest.raises(UserError, match='snarks.txt: no line of dashes'):
        open_suite('bbh', tmp_path).check('cot')
