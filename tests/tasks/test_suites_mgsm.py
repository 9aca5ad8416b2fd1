import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.scoring import score_recorded
from flan_tune.evaluation.suites.definition import find_suite, open_suite
from flan_tune.tasks.suites.mgsm import LANGUAGES


@pytest.fixture(scope='module')
def exemplars(data_dir):
    return json.loads((data_dir / 'mgsm' / 'exemplars.json').read_bytes())


def test_languages_are_those_of_the_folder_and_english_does_not_count(data_dir):
    suite = open_suite('mgsm')
    suite.check('cot')
    assert set(suite.tasks) == {path.stem for path in (data_dir / 'mgsm').glob('*.tsv')}
    assert 'mgsm_en' not in find_suite('mgsm').chances
    assert set(suite.missing) == set(find_suite('mgsm').chances) - set(suite.tasks)
    assert all(len(task.questions) == 250 for task in suite.tasks.values())
    golds = {tuple(q.answers[0] for q in task.questions) for task in suite.tasks.values()}
    assert len(golds) == 1
    assert '2125' in golds.pop()


def test_prompts_are_the_published_exemplars_byte_for_byte(data_dir, exemplars):
    for name, task in open_suite('mgsm').tasks.items():
        language = name.removeprefix('mgsm_')
        solved = exemplars['MGSM_EXEMPLARS'][language]
        before = ''.join(f'{solved[str(i)]["q"]}\n{solved[str(i)]["a"]}\n\n' for i in range(1, 9))
        lines = (data_dir / 'mgsm' / f'{name}.tsv').read_bytes().decode().split('\n')
        words = LANGUAGES[language]
        for question, line in zip(task.questions, lines, strict=False):
            asked = line.split('\t')[0]
            expected = f'{before}{words.question}{asked}\n{words.answer}'
            assert task.prompt(question, 'cot', 8) == expected


@pytest.mark.parametrize('language', sorted(LANGUAGES))
def test_wording_of_all_languages_is_that_of_their_exemplars(exemplars, language):
    words = LANGUAGES[language]
    for exemplar in exemplars['MGSM_EXEMPLARS'][language].values():
        assert exemplar['q'].startswith(words.question)
        assert exemplar['a'].startswith(words.answer)
        assert not exemplar['q'].removeprefix(words.question).startswith(' ')


@pytest.mark.parametrize('language', sorted(LANGUAGES))
def test_answers_of_all_exemplars_are_extracted(tmp_path, exemplars, language):
    (tmp_path / f'mgsm_{language}.tsv').write_text('?\t1\n')
    task = open_suite('mgsm', tmp_path).task(language)
    (question,) = task.questions
    words = LANGUAGES[language]
    solved = exemplars['MGSM_EXEMPLARS'][language]
    for number, answer in enumerate(exemplars['EXEMPLAR_NUMBER_ANSWERS'], 1):
        chain = solved[str(number)]['a']
        for text in (
            chain,
            chain.removeprefix(words.answer),
            f'{chain}\n\n{words.question}99?\n{words.answer} {words.marks[0]} 99',
        ):
            assert task.extract(text, question, 'cot').answer == str(answer), text


@pytest.mark.parametrize(
    ('language', 'text', 'answer'),
    [
        ('de', 'Sie verdient 3 * 6. Die Antwort lautet 18 Dollar, nicht 20.', '18'),
        ('de', 'Zusammen sind das 1.250,50 Euro.', '1250.5'),
        ('de', 'Die Antwort lautet 2,125.', '2125'),
        ('fr', 'La réponse est 1\u202f000 $.', '1000'),
        ('es', 'La respuesta es $65.960.', '65960'),
        ('ru', 'Ответ — 276 000.', '276000'),
        ('ja', '16-3-4=9。9*2=18ドル。答えは１８ドルです。', '18'),
        ('zh', '所以答案是 2,125。', '2125'),
        ('bn', 'উত্তর হল ১৮।', '18'),
        ('th', 'ทั้งหมด 18 ดอลลาร์', '18'),
        ('en', 'It is -5. The answer is -5.', '-5'),
        ('en', 'The answer is 12.0', '12'),
        ('en', 'I cannot say.', None),
    ],
)
def test_extraction(tmp_path, language, text, answer):
    (tmp_path / f'mgsm_{language}.tsv').write_text('?\t1\n')
    task = open_suite('mgsm', tmp_path).task(f'mgsm_{language}')
    assert task.extract(text, task.questions[0], 'cot').answer == answer


def test_right_answers_score_100_in_every_language(data_dir, tmp_path):
    for name, task in open_suite('mgsm').tasks.items():
        mark = LANGUAGES[name.removeprefix('mgsm_')].marks[0]
        rows = [
            {'index': q.index, 'prediction': f'1 2 3. {mark} {int(q.answers[0]):,}.'}
            for q in task.questions
        ]
        (tmp_path / f'{name}.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    table, report = score_recorded('mgsm', 'cot', None, tmp_path)
    assert {score.value for score in table} == {100.0}
    assert 'mgsm_en' in report['tasks']
    assert report['averaged_tasks'] == len(report['tasks']) - 1


def test_shots_beyond_the_exemplars(tmp_path, data_dir):
    task = open_suite('mgsm').task('de')
    with pytest.raises(UserError, match='mgsm_de: 9 shots, but there are 8 exemplars'):
        task.prompt(task.questions[0], 'cot', 9)
    (tmp_path / 'mgsm_de.tsv').write_text('Wie viele?\t3\n')
    (tmp_path / 'exemplars.json').write_text('{"MGSM_EXEMPLARS": {}}')
    with pytest.raises(UserError, match='8 shots, but there are 0 exemplars'):
        open_suite('mgsm', tmp_path).check('cot')
    (tmp_path / 'exemplars.json').write_text('{"MGSM_EXEMPLARS": {"de": {"1": {"q": "Frage"}}}}')
    with pytest.raises(UserError, match='exemplars.json: MGSM_EXEMPLARS holds'):
        open_suite('mgsm', tmp_path).check('cot')


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('no tab', '1 columns'),
        ('a\tb\t3', '3 columns'),
        ('\t3', '2 columns'),
        ('q\tthree', "'three' is no number"),
        ('q\t', "'' is no number"),
    ],
)
def test_broken_lines_are_named(tmp_path, line, message):
    (tmp_path / 'mgsm_de.tsv').write_text(f'Wie viele?\t3\n{line}\n')
    with pytest.raises(UserError, match=f'mgsm_de.tsv:2: .*{message}'):
        open_suite('mgsm', tmp_path).check()


def test_a_file_of_no_language_is_named(tmp_path):
    (tmp_path / 'mgsm_xx.tsv').write_text('?\t1\n')
    with pytest.raises(UserError, match='mgsm_xx.tsv: not a language'):
        open_suite('mgsm', tmp_path)
