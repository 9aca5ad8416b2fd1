import contextlib
import dataclasses
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.extraction import chain_answer, majority
from flan_tune.evaluation.files import read_lines
from flan_tune.evaluation.suites import definition as suites
from flan_tune.evaluation.suites.definition import (
    Extracted,
    Protocol,
    Question,
    Suite,
    SuiteDefinition,
    SuiteTask,
)


class Capitals(SuiteTask):
    """`COUNTRY=CAPITAL` lines; exemplars are lines of the same form in `exemplars`."""

    def __init__(self, path):
        super().__init__(path.stem, aliases=[path.stem[:2]])
        self.path = path

    def read(self):
        for index, (where, line) in enumerate(read_lines(self.path)):
            country, mark, capital = line.partition('=')
            options = ('Lima', 'Nairobi')
            yield (
                Question(index, f'{self.name}-{index}', {'c': country}, (capital,), options)
                if mark
                else BadRecord(f'{where}: no "="')
            )

    def _prompt(self, question, protocol, shots):
        exemplars = ['Cuba: Havana', 'Laos: Vientiane']
        if shots > len(exemplars):
            raise self.too_few(len(exemplars), shots)
        return '\n'.join([*exemplars[:shots], f'{question.fields["c"]}:'])

    def _extract(self, text, protocol):
        return chain_answer(text) if protocol == 'cot' else text.strip()

    def _score(self, question, answer):
        return [answer in question.answers]


CAPITALS = SuiteDefinition(
    name='capitals_of_tests',
    folder='capitals',
    protocols={'direct': Protocol(1), 'cot': Protocol(2), 'rank': Protocol(0)},
    chances={'africa': 50.0, 'america': 50.0},
    open_tasks=lambda folder: [Capitals(path) for path in sorted(folder.glob('*.txt'))],
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / 'capitals').mkdir()
    (tmp_path / 'capitals' / 'america.txt').write_text('Peru=Lima\n\nKenya=Nairobi\nCuba=Havana\n')
    monkeypatch.setenv('FLAN_TUNE_DATA_DIR', str(tmp_path))
    suites.suite_names()
    monkeypatch.setattr(suites, '_definitions', dict(suites._definitions))
    suites.register_suite(CAPITALS)
    return tmp_path / 'capitals'


def test_a_suite_is_found_by_name_with_its_folder(folder):
    suite = suites.open_suite('capitals_of_tests')
    assert suite.folder == folder
    assert list(suite.tasks) == ['america']
    assert suite.missing == ('africa',)
    assert suite.task('am') is suite.task('america')
    assert suites.open_suite('capitals_of_tests', folder).tasks.keys() == suite.tasks.keys()


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (lambda suite: suites.open_suite('mmul'), 'Did you mean mmlu'),
        (lambda suite: suites.open_suite('real_toxicity_prompt'), 'mean real_toxicity_prompts'),
        (
            lambda suite: suites.open_suite('real_toxicity_prompts'),
            'flan_tune sample --gin_file=runs/toxicity.gin',
        ),
        (lambda suite: suites.open_suite('open_ended'), 'then flan_tune compare-pairs'),
        (lambda suite: suites.open_suite('bbh', suite.folder / 'absent'), 'no folder .*absent'),
        (lambda suite: suites.open_suite('bbh', suite.folder), 'holds none of its tasks'),
        (lambda suite: suite.task('africa'), "lacks task 'africa'"),
        (lambda suite: suite.task('amerika'), "'amerika' in .*Did you mean america"),
        (lambda suite: suite.definition.protocol('cto'), "'cto'. Did you mean cot"),
    ],
)
def test_wrong_names_are_answered_with_near_ones(folder, wrong, message):
    with pytest.raises(UserError, match=message):
        wrong(suites.open_suite('capitals_of_tests'))


def test_all_suites_of_the_papers_are_registered_with_their_tasks():
    expected = {'bbh': 27, 'mmlu': 57, 'mmlu_hendrycks': 57, 'mgsm': 10, 'gsm8k': 1, 'tydiqa': 8}
    for name, tasks in expected.items():
        definition = suites.find_suite(name)
        assert len(definition.chances) == tasks
        assert set(definition.protocols) <= set(suites.PROTOCOLS)
        for group in definition.groups.values():
            assert set(group) <= set(definition.chances)


def test_prompts_have_as_many_exemplars_as_asked_for(folder):
    task = suites.open_suite('capitals_of_tests').task('america')
    question = task.questions[0]
    assert task.prompt(question, 'direct', 0) == 'Peru:'
    assert task.prompt(question, 'direct', 1) == 'Cuba: Havana\nPeru:'
    with pytest.raises(UserError, match='america: 5 shots, but there are 2 exemplars'):
        task.prompt(question, 'direct', 5)
    with pytest.raises(UserError, match='-1 shots'):
        task.prompt(question, 'direct', -1)


def test_exemplars_are_dropped_while_the_prompt_is_too_long(folder):
    task = suites.open_suite('capitals_of_tests').task('america')
    question = task.questions[0]
    task.max_prompt_tokens = 20
    assert task.prompt(question, 'direct', 2, count_tokens=len) == 'Cuba: Havana\nPeru:'
    task.max_prompt_tokens = 4
    assert task.prompt(question, 'direct', 2, count_tokens=len) == 'Peru:'
    assert task.prompt(question, 'direct', 2).count('\n') == 2


def test_extraction_by_protocol_and_what_cannot_be_parsed(folder):
    task = suites.open_suite('capitals_of_tests').task('america')
    peru = task.questions[0]

    def score(text, protocol):
        return task.score(peru, task.extract(text, peru, protocol))['exact_match']

    assert score(' Lima\n', 'direct') == 1
    assert score('lima', 'direct') == 0
    assert score('A city. The answer is Lima.', 'cot') == 1
    assert task.extract('no conclusion', peru, 'cot') == Extracted(None)
    assert task.extract(' \n', peru, 'direct') == Extracted(None)
    assert task.extract('lima.', peru, 'rank') == Extracted('Lima')
    assert task.extract('Rome', peru, 'rank') == Extracted(None)
    assert task.score(peru, Extracted(None)) == {'exact_match': 0.0}
    assert task.choices(peru) == ('Lima', 'Nairobi')


def test_a_gold_answer_outside_the_options_shows(folder):
    task = suites.open_suite('capitals_of_tests').task('america')
    assert [question.answerable for question in task.questions] == [True, True, False]
    assert dataclasses.replace(task.questions[2], options=()).answerable


def test_bad_records_are_refused_by_line_or_skipped(folder):
    lines = ['Peru=Lima', 'Kenya', 'Cuba=Havana', *['?'] * 20]
    (folder / 'america.txt').write_text('\n'.join(lines))
    with pytest.raises(UserError, match=r'america.txt:2: no "=".*and 11 more') as error:
        suites.open_suite('capitals_of_tests').check()
    assert ':4: ' in str(error.value)
    suite = suites.open_suite('capitals_of_tests', on_bad_record='skip')
    suite.check()
    task = suite.task('america')
    assert [question.index for question in task.questions] == [0, 2]
    assert len(task.bad_records) == 21
    (folder / 'america.txt').write_text('?\n?\n')
    with pytest.raises(UserError, match='no question can be read.*america.txt:1'):
        suites.open_suite('capitals_of_tests', on_bad_record='skip').check()


def test_check_tries_prompts_and_names_all_tasks(folder):
    (folder / 'africa.txt').write_text('Kenya=Nairobi')
    suite = suites.open_suite('capitals_of_tests')
    suite.check('cot')
    with pytest.raises(UserError, match='africa: 3 shots.*\n.*america: 3 shots'):
        suite.check('cot', 3)
    with pytest.raises(UserError, match='no protocol'):
        suite.check('generate')


def test_a_protocol_of_another_name_cannot_be_registered():
    wrong = dataclasses.replace(CAPITALS, protocols={'generate': Protocol(0)})
    with pytest.raises(ValueError, match="'generate'"):
        suites.register_suite(wrong)


def test_an_empty_list_of_tasks_is_an_error(tmp_path):
    with pytest.raises(UserError, match='none of its tasks'):
        Suite(CAPITALS, tmp_path)


def test_suites_need_neither_jax_nor_tensorflow():
    program = """
import sys
from flan_tune.evaluation.suites import definition as suites
from flan_tune.evaluation.averages import by_name, flan2022
from flan_tune.evaluation.recorded import scoring
print(*suites.suite_names())
print(*{'jax', 'seqio', 'tensorflow', 'grain'} & {name.split('.')[0] for name in sys.modules})
from flan_tune.tasks.suites import bbh
assert suites.find_suite('bbh') is bbh.SUITES[0]
assert all(name for suite in suites.suite_names() for name in suites.find_suite(suite).groups)
assert 'flan_tune.tasks' not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, '-c', program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
    )
    names, heavy = done.stdout.split('\n')[:2]
    assert 'bbh' in names.split()
    assert heavy == ''


def test_majority_of_chains():
    assert majority(['3', '4', None, '4']) == '4'
    assert majority(['3', '4']) == '3'
    assert majority([None, '4', None]) == '4'
    assert majority([None]) is None
    assert majority([]) is None


@pytest.fixture(scope='module')
def opened(data_dir):
    """The smallest task of each suite whose files are there."""
    found = []
    for name in suites.suite_names():
        with contextlib.suppress(UserError):
            found.append(suites.open_suite(name))
    assert {'bbh', 'mmlu', 'mgsm', 'gsm8k', 'tydiqa'} <= {s.definition.name for s in found}
    return [
        (suite.definition, min(suite.tasks.values(), key=lambda t: len(t.questions)))
        for suite in found
    ]


@given(text=st.text())
def test_whatever_is_written_is_scored(opened, text):
    for definition, task in opened:
        question = task.questions[0]
        for protocol in definition.protocols:
            extracted = task.extract(text, question, protocol)
            values = task.score(question, extracted)
            assert tuple(values) == task.metrics
            assert all(0 <= value <= 1 for value in values.values())
            if extracted.answer is None:
                assert not any(values.values())


def test_an_option_names_itself_under_rank(opened):
    for definition, task in opened:
        if 'rank' not in definition.protocols:
            continue
        for question in task.questions:
            chosen = [task.extract(text, question, 'rank') for text in task.choices(question)]
            scores = [task.score(question, extracted)['accuracy'] for extracted in chosen]
            assert sorted(scores) == [0] * (len(question.options) - 1) + [1]
