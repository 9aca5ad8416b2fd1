import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.scoring import score_recorded
from flan_tune.evaluation.suites.definition import open_suite


def asked(name, question, *texts):
    answers = [{'text': text, 'answer_start': 0} for text in texts]
    return {'id': name, 'question': question, 'answers': answers}


def squad(*questions, context='Mount Kenya is in Kenya.'):
    paragraphs = [{'context': context, 'qas': [question]} for question in questions]
    return {'data': [{'title': 't', 'paragraphs': paragraphs}]}


DEV = squad(
    asked('finnish-1', 'Missä?', 'Kenya'),
    asked('finnish-2', 'Mikä?', 'Mount Kenya', 'Kenya'),
    asked('korean-1', '?', 'Kenya'),
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'tydiqa-goldp-v1.1-dev.json').write_text(json.dumps(DEV))
    train = squad(asked('korean-9', 'Wo?', 'Kenya'))
    (tmp_path / 'tydiqa-goldp-v1.1-train.json').write_text(json.dumps(train))
    return tmp_path


def test_languages_are_those_of_the_files_and_english_does_not_count(data_dir):
    suite = open_suite('tydiqa')
    suite.check('direct')
    files = (data_dir / 'tydiqa_goldp').glob('*_dev.json')
    assert set(suite.tasks) == {path.name.split('_')[0] for path in files}
    assert 'english' not in suite.definition.chances
    assert set(suite.missing) == set(suite.definition.chances) - set(suite.tasks)
    expected = {'bengali': 113, 'finnish': 782, 'telugu': 669}
    assert {name: len(suite.task(name).questions) for name in expected} == expected
    assert suite.task('fi') is suite.task('finnish')


def test_the_published_file_of_all_languages_is_read(folder):
    suite = open_suite('tydiqa', folder)
    assert {name: len(task.questions) for name, task in suite.tasks.items()} == {
        'finnish': 2,
        'korean': 1,
    }
    assert suite.task('finnish').questions[1].answers == ('Mount Kenya', 'Kenya')


def test_exemplars_come_from_training_or_are_left_out_of_scoring(folder):
    suite = open_suite('tydiqa', folder)
    korean, finnish = suite.task('korean'), suite.task('finnish')
    shown = 'Passage: Mount Kenya is in Kenya.\nQuestion: {}\nAnswer:'
    assert [q.id for q in korean.scored(1)] == ['korean-1']
    prompt = korean.prompt(korean.questions[0], 'direct', 1)
    assert prompt == f'{shown.format("Wo?")} Kenya\n\n{shown.format("?")}'
    assert [q.id for q in finnish.scored(0)] == ['finnish-1', 'finnish-2']
    assert [q.id for q in finnish.scored(1)] == ['finnish-2']
    prompt = finnish.prompt(finnish.questions[1], 'direct', 1)
    assert prompt == f'{shown.format("Missä?")} Kenya\n\n{shown.format("Mikä?")}'
    other = finnish.prompt(finnish.questions[0], 'direct', 1)
    assert other == f'{shown.format("Mikä?")} Mount Kenya\n\n{shown.format("Missä?")}'
    with pytest.raises(UserError, match='korean: 2 shots, but there are 1 exemplars'):
        korean.prompt(korean.questions[0], 'direct', 2)


def test_no_question_is_its_own_exemplar(data_dir):
    for task in open_suite('tydiqa').tasks.values():
        for question in task.scored(1)[:50]:
            prompt = task.prompt(question, 'direct', 1)
            assert prompt.count('\nAnswer:') == 2
            assert prompt.count(f'Question: {question.fields["question"]}\n') == 1


@pytest.mark.parametrize(
    ('text', 'em', 'f1'),
    [
        ('Kenya', 1, 1),
        ('the mount kenya.', 1, 1),
        ('Kenya\nQuestion: more', 1, 1),
        ('Mount', 0, 2 / 3),
        ('Lima', 0, 0),
        ('', 0, 0),
    ],
)
def test_scores_are_the_best_over_the_references(folder, text, em, f1):
    task = open_suite('tydiqa', folder).task('finnish')
    question = task.questions[1]
    found = task.score(question, task.extract(text, question, 'direct'))
    assert found == {'em': em, 'f1': pytest.approx(f1)}


def test_recorded_predictions_leave_the_exemplar_out(folder, tmp_path):
    rows = [
        {'id': 'finnish-1', 'prediction': 'wrong'},
        {'id': 'finnish-2', 'prediction': 'Kenya'},
    ]
    path = tmp_path / 'fi.jsonl'
    path.write_text('\n'.join(map(json.dumps, rows)))
    table, _ = score_recorded('tydiqa', 'direct', None, path, folder=folder)
    assert {s.metric: (s.value, s.n, s.shots) for s in table} == {
        'em': (100.0, 1, 1),
        'f1': (100.0, 1, 1),
    }
    table, _ = score_recorded('tydiqa', 'direct', 0, path, folder=folder)
    assert {s.metric: (s.value, s.n) for s in table} == {'em': (50.0, 2), 'f1': (50.0, 2)}


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (asked('finnish-3', '', 'Kenya'), "finnish-3: 'question' is missing"),
        (asked('finnish-3', 'q'), 'finnish-3: no answer'),
        (asked('finnish-3', 'q', 'Lima'), 'finnish-3: an answer is not in the passage'),
        (asked('finnish-1', 'q', 'Kenya'), 'finnish-1: the id is there twice'),
        ({'id': 'finnish-3', 'question': 'q', 'answers': [3]}, 'finnish-3: no answer'),
    ],
)
def test_broken_questions_are_named(folder, wrong, message):
    content = json.dumps(squad(*[p['qas'][0] for p in DEV['data'][0]['paragraphs']], wrong))
    (folder / 'tydiqa-goldp-v1.1-dev.json').write_text(content)
    with pytest.raises(UserError, match=f'dev.json: {message}'):
        open_suite('tydiqa', folder).check()
    suite = open_suite('tydiqa', folder, on_bad_record='skip')
    assert len(suite.task('finnish').questions) == 2


def test_a_file_in_another_layout_is_named(folder):
    (folder / 'korean_tydiqa_dev.json').write_text('{"data": [{"title": "t"}]}')
    with pytest.raises(UserError, match='korean_tydiqa_dev.json: not in the layout of SQuAD'):
        open_suite('tydiqa', folder)
