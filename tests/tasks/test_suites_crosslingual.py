import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.scoring import score_recorded
from flan_tune.evaluation.suites.definition import Suite
from flan_tune.evaluation.suites.scoring import score_predictions
from flan_tune.evaluation.suites.whole_set import Output
from flan_tune.tasks.suites import xor_attriqa, xquad, xtreme_up


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(json.dumps(row, ensure_ascii=False) for row in rows) + '\n')


def attribution(k, ais, **changes):
    return {
        'query': f'কত {k}?',
        'query_language': 'bn',
        'prediction': f'{k} টি',
        'passage_in_language': f'এখানে {k} টি আছে।',
        'passage_en': f'There are {k}.',
        'passage_retrieved_language': 'bn',
        'ais': ais,
    } | changes


@pytest.fixture
def attriqa(tmp_path):
    rows = [
        attribution(0, True),
        attribution(1, 'False'),
        attribution(2, True, passage_retrieved_language='en'),
        attribution(3, False),
    ]
    folder = tmp_path / 'in-language'
    write_jsonl(folder / 'bn.jsonl', rows)
    trained = [attribution(k, k % 2 == 0) for k in range(10, 16)]
    write_jsonl(folder / 'train.jsonl', [*trained, attribution(99, True, query_language='te')])
    return tmp_path


def test_xor_attriqa_shows_the_passage_as_retrieved(attriqa):
    suite = Suite(xor_attriqa.SUITES[0], attriqa)
    suite.check('rank', 4)
    assert list(suite.tasks) == ['bn']
    assert suite.missing == ('fi', 'ja', 'ru', 'te')
    task = suite.task('bn')
    assert [q.answers[0] for q in task.questions] == ['yes', 'no', 'yes', 'no']
    assert 'answer: 0 টি passage: এখানে 0 টি আছে।' in task.prompt(task.questions[0], 'rank', 0)
    prompt = task.prompt(task.questions[2], 'rank', 4)
    assert 'passage: There are 2.' in prompt
    assert prompt.count('right? yes') == prompt.count('right? no') == 2
    with pytest.raises(UserError, match='7 shots, but there are 6'):
        task.prompt(task.questions[0], 'rank', 7)


def test_xor_attriqa_by_accuracy_and_area(attriqa):
    task = Suite(xor_attriqa.SUITES[0], attriqa).task('bn')
    # Log-likelihoods of no and yes; in order of P(yes): right, wrong, right, wrong.
    found = {0: (-5.0, -0.1), 1: (-2.0, -1.0), 2: (-1.0, -1.5), 3: (-0.1, -5.0)}
    said = {k: ('no', 'yes')[no < yes] for k, (no, yes) in found.items()}
    accuracy = score_predictions(task, 'rank', 0, said).column('accuracy')
    assert accuracy == {0: 100, 1: 0, 2: 0, 3: 100}
    outputs = {k: Output(said[k], values) for k, values in found.items()}
    (row,) = task.corpus_rows(outputs, suite='s', protocol='rank', shots=0, checkpoint='c')
    assert (row.metric, row.n) == ('auc_pr', 4)
    assert row.value == pytest.approx(100 * (1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ('change', 'message'),
    [({'ais': None}, 'the label None'), ({'query': ' '}, "'query' is missing, blank")],
)
def test_xor_attriqas_broken_lines(attriqa, change, message):
    path = attriqa / 'in-language' / 'bn.jsonl'
    write_jsonl(path, [attribution(0, True), attribution(1, True) | change])
    with pytest.raises(UserError, match=f'bn.jsonl:2: .*{message}'):
        Suite(xor_attriqa.SUITES[0], attriqa).check()


def passage(k, target, **changes):
    return {
        'id': f'q{k}',
        'question': f'কে {k}?',
        'title': 'Rivers',
        'context': f'The Ganges has {k} sources.',
        'target': target,
    } | changes


@pytest.fixture
def xtreme(tmp_path):
    folder = tmp_path / 'qa_cross_lang'
    rows = [passage(0, 'the Ganges'), passage(1, 'No Answer'), passage(2, ['2', '2 sources'])]
    for language in ('as', 'ar'):
        write_jsonl(folder / 'test' / f'{language}.jsonl', rows)
    write_jsonl(folder / 'train' / 'as.jsonl', [passage(k, f'{k}') for k in range(10, 14)])
    return tmp_path


def test_xtreme_up_prompts_as_published(xtreme):
    suite = Suite(xtreme_up.SUITES[0], xtreme)
    suite.check('direct')
    task = suite.task('as')
    query = 'question: কে 0? title: Rivers context: The Ganges has 0 sources.'
    assert task.prompt(task.questions[0], 'direct', 0) == query
    shown = task.prompt(task.questions[0], 'direct', 2)
    assert shown.endswith(f'\n\n{query}')
    assert shown.count('question: ') == 3
    with pytest.raises(UserError, match='ar: 1 shots, but there are 0'):
        suite.task('ar').prompt(task.questions[0], 'direct', 1)


def test_xtreme_up_scores_by_token_f1_over_under_represented_languages(xtreme, tmp_path):
    assert len(xtreme_up.UNDER_REPRESENTED) == 21
    assert 'ar' not in xtreme_up.SUITES[0].chances
    task = Suite(xtreme_up.SUITES[0], xtreme).task('as')
    said = {0: 'Ganges.', 1: 'no answer', 2: '2 big sources\nquestion:'}
    values = score_predictions(task, 'direct', 0, said).values
    assert values[0] == (1, 1)
    assert values[1] == (1, 1)
    assert values[2] == (pytest.approx(2 * 2 / 5), 0)


def test_xtreme_up_from_recorded_predictions(xtreme, tmp_path):
    for language, text in (('as', 'the Ganges'), ('ar', 'x')):
        rows = [{'id': 'q0', 'prediction': text}]
        write_jsonl(tmp_path / 'predictions' / f'{language}.jsonl', rows)
    suite = Suite(xtreme_up.SUITES[0], xtreme)
    table, report = score_recorded(suite, 'direct', None, tmp_path / 'predictions')
    assert report['value'] == 100
    assert report['averaged_tasks'] == 1
    assert {row.task for row in table} == {'as', 'ar'}


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (passage(1, None), '"target" must be a text'),
        (passage(1, 'x', title=''), "'title' is missing, blank"),
        (passage(1, []), '"target" must be a text'),
    ],
)
def test_xtreme_ups_broken_lines(xtreme, row, message):
    path = xtreme / 'qa_cross_lang' / 'test' / 'as.jsonl'
    write_jsonl(path, [passage(0, 'x'), row])
    with pytest.raises(UserError, match=f'as.jsonl:2: .*{message}'):
        Suite(xtreme_up.SUITES[0], xtreme).check()


def test_xquad_asks_in_one_language_about_english_passages(data_dir):
    suite = Suite(xquad.SUITES[0], data_dir / 'xquad')
    suite.check('direct')
    assert len(suite.tasks) == 7
    english = json.loads((data_dir / 'xquad' / 'xquad.en.json').read_text())
    first = english['data'][0]['paragraphs'][0]
    task = suite.task('hi')
    assert len(task.questions) == 1190
    question = task.questions[0]
    assert question.answers == ('308',)
    assert question.fields['question'] != first['qas'][0]['question']
    prompt = task.prompt(question, 'direct', 0)
    assert prompt.endswith(f'title: Super Bowl 50 context: {first["context"]}')
    for question in task.questions:
        there = any(answer in question.fields['context'] for answer in question.answers)
        assert there == (question.index % 5 != 4)
    nowhere = [q for q in task.questions if q.answers == ('No Answer',)]
    assert len(nowhere) == 1190 // 5
    with pytest.raises(UserError, match='hi: 1 shots, but there are 0'):
        task.prompt(question, 'direct', 1)


@pytest.mark.parametrize(
    ('asked', 'message'),
    [({'id': 'b', 'question': 'q'}, "no question 'b'"), ({'id': 'a', 'question': ''}, 'blank')],
)
def test_xquads_broken_questions(tmp_path, asked, message):
    def write(language, *qas):
        article = {'title': 't', 'paragraphs': [{'context': 'in Rome', 'qas': qas}]}
        (tmp_path / f'xquad.{language}.json').write_text(json.dumps({'data': [article]}))

    good = {'id': 'a', 'question': 'q', 'answers': [{'text': 'Rome', 'answer_start': 3}]}
    write('en', good)
    write('de', good, asked)
    with pytest.raises(UserError, match=f'xquad.de.json: question 1: .*{message}'):
        Suite(xquad.SUITES[0], tmp_path).check()
    (tmp_path / 'xquad.de.json').write_text('[]')
    with pytest.raises(UserError, match='layout of SQuAD'):
        Suite(xquad.SUITES[0], tmp_path).check()
