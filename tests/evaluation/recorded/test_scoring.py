import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.scoring import recorded_scores, score_recorded
from flan_tune.evaluation.resampling import compare
from flan_tune.evaluation.suites.definition import open_suite

GOLDS = {'snarks': ['(A)', '(B)', '(A)', '(B)'], 'navigate': ['Yes', 'No']}


@pytest.fixture
def bbh(tmp_path):
    folder = tmp_path / 'bbh'
    (folder / 'tasks').mkdir(parents=True)
    for name, golds in GOLDS.items():
        examples = [{'input': f'question {i}', 'target': gold} for i, gold in enumerate(golds)]
        (folder / 'tasks' / f'{name}.json').write_text(json.dumps({'examples': examples}))
    return folder


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text('\n'.join(lines) + '\n')
    return path


def said(*texts):
    return [{'index': index, 'prediction': text} for index, text in enumerate(texts)]


def test_a_folder_is_scored_task_by_task(bbh, tmp_path):
    write(tmp_path / 'out' / 'snarks.jsonl', said('(A)', ' (B)\n', '(B)', 'b'))
    write(tmp_path / 'out' / 'navigate.jsonl', said('Yes', 'No')[::-1])
    table, report = score_recorded('bbh', 'direct', None, tmp_path / 'out', folder=bbh)
    rows = {(s.task, s.metric): (s.value, s.n, s.shots, s.checkpoint) for s in table}
    assert rows == {
        ('navigate', 'exact_match'): (100.0, 2, 3, 'recorded'),
        ('snarks', 'exact_match'): (50.0, 4, 3, 'recorded'),
    }
    assert report['value'] == 75.0
    assert report['low'] <= 75.0 <= report['high']
    assert report['averaged_tasks'] == 2
    assert report['partial']
    assert 'web_of_lies' in report['missing_tasks']
    json.dumps(report, allow_nan=False)


def test_chains_without_an_answer_are_wrong_and_counted(bbh, tmp_path):
    texts = ['So the answer is (A).', 'Hm.', '', 'The answer is \n(B)']
    path = write(tmp_path / 'snarks.jsonl', said(*texts))
    table, report = score_recorded('bbh', 'cot', 1, path, folder=bbh)
    assert [(s.value, s.n, s.shots) for s in table] == [(25.0, 4, 1)]
    assert report['tasks']['snarks']['unparsable'] == 3
    assert report['tasks_without_predictions'] == ['navigate']


def test_missing_and_duplicate_predictions_are_counted_not_scored(bbh, tmp_path):
    rows = [
        *said('(A)', '(A)'),
        {'index': 1, 'prediction': '(B)'},
        {'index': 3, 'prediction': '(B)'},
    ]
    path = write(tmp_path / 'snarks.jsonl', rows)
    table, report = score_recorded('bbh', 'direct', 3, path, folder=bbh)
    assert [(s.value, s.n) for s in table] == [(pytest.approx(200 / 3), 3)]
    found = report['tasks']['snarks']
    assert (found['n'], found['missing'], found['duplicates']) == (3, 1, 1)
    assert report['partial']


def test_nothing_for_a_task_gives_no_row(bbh, tmp_path):
    path = write(tmp_path / 'snarks.jsonl', ['{}'])
    table, report = score_recorded('bbh', 'direct', 3, path, folder=bbh, on_bad_record='skip')
    assert len(table) == 0
    assert report['value'] is None
    assert report['tasks']['snarks']['missing'] == 4
    assert report['tasks_without_predictions'] == ['snarks', 'navigate'][::-1]


def test_questions_are_found_by_id_too(bbh, tmp_path):
    rows = [
        {'id': 'snarks-2', 'prediction': '(A)'},
        {'id': 'snarks-1', 'index': 1, 'prediction': '(B)'},
        {'id': 'a system of its own', 'index': 0, 'prediction': '(B)'},
    ]
    path = write(tmp_path / 'snarks.jsonl', rows)
    scores = recorded_scores('bbh', 'direct', 3, path, folder=bbh)
    assert scores.columns() == {'snarks': {0: 0.0, 1: 100.0, 2: 100.0}}


def test_several_chains_vote(bbh, tmp_path):
    chains = ['The answer is (B).', 'The answer is (A).', 'The answer is (A).', 'Hm.']
    path = write(tmp_path / 'snarks.jsonl', [{'index': 0, 'prediction': chains}])
    scores = recorded_scores('bbh', 'cot', 3, path, folder=bbh)
    assert scores.columns() == {'snarks': {0: 100.0}}


MALFORMED = [
    ('{"index": 0', 'not JSON'),
    ('[1]', 'not an object'),
    ({'prediction': 'x'}, 'neither `index` nor `id`'),
    ({'id': 'snarks-9', 'prediction': 'x'}, "no question has the id 'snarks-9'"),
    ({'index': 4, 'prediction': 'x'}, 'index 4, but the task has 4 questions'),
    ({'index': -1, 'prediction': 'x'}, 'index -1'),
    ({'index': '1', 'prediction': 'x'}, "'1' is no integer"),
    ({'index': True, 'prediction': 'x'}, 'no integer'),
    ({'index': 0, 'id': 'snarks-1', 'prediction': 'x'}, 'that of question 1'),
    ({'index': 0}, '`prediction` is missing'),
    ({'index': 0, 'prediction': None}, '`prediction` is missing'),
    ({'index': 0, 'prediction': 7}, 'neither a text'),
    ({'index': 0, 'prediction': []}, 'neither a text'),
    ({'index': 0, 'prediction': ['a', None]}, 'neither a text'),
]


@pytest.mark.parametrize(('row', 'message'), MALFORMED)
def test_a_malformed_line_is_named_and_refused(bbh, tmp_path, row, message):
    path = write(tmp_path / 'snarks.jsonl', [*said('(A)'), '', row])
    with pytest.raises(UserError, match=message) as error:
        score_recorded('bbh', 'direct', 3, path, folder=bbh)
    assert f'{path}:3: ' in str(error.value)


def test_malformed_lines_are_skipped_and_counted_if_asked_for(bbh, tmp_path):
    rows = [row for row, _ in MALFORMED]
    path = write(tmp_path / 'snarks.jsonl', [*rows, *said('(A)')])
    table, report = score_recorded('bbh', 'direct', 3, path, folder=bbh, on_bad_record='skip')
    assert [(s.value, s.n) for s in table] == [(100.0, 1)]
    assert len(report['tasks']['snarks']['malformed']) == len(rows)
    assert report['tasks']['snarks']['malformed'][0].startswith(f'{path}:1: not JSON')


def test_files_are_named_after_tasks(bbh, tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(UserError, match='no such file or folder'):
        score_recorded('bbh', 'direct', 3, out, folder=bbh)
    write(out / 'snark.jsonl', said('(A)'))
    with pytest.raises(UserError, match="snark.jsonl: no task 'snark'.*Did you mean snarks"):
        score_recorded('bbh', 'direct', 3, out, folder=bbh)
    (out / 'snark.jsonl').rename(out / 'word_sorting.jsonl')
    with pytest.raises(UserError, match='questions of word_sorting are not in'):
        score_recorded('bbh', 'direct', 3, out, folder=bbh)
    write(out / 'snarks.jsonl', said('(A)'))
    _, report = score_recorded('bbh', 'direct', 3, out, folder=bbh)
    assert report['predictions_without_questions'] == ['word_sorting']
    (out / 'snarks.jsonl').write_text('')
    with pytest.raises(UserError, match='snarks.jsonl: the file is empty'):
        score_recorded('bbh', 'direct', 3, out, folder=bbh)
    for file in out.iterdir():
        file.unlink()
    with pytest.raises(UserError, match='no file of predictions'):
        score_recorded('bbh', 'direct', 3, out, folder=bbh)


def test_bad_questions_keep_the_indices_of_the_others(bbh, tmp_path):
    examples = [{'input': 'q', 'target': '(A)'}, {'input': 'q'}, {'input': 'q', 'target': '(B)'}]
    (bbh / 'tasks' / 'snarks.json').write_text(json.dumps({'examples': examples}))
    path = write(tmp_path / 'snarks.jsonl', said('(A)', '(A)', '(B)'))
    with pytest.raises(UserError, match="snarks.json: example 1: 'target'"):
        score_recorded('bbh', 'direct', 3, path, folder=bbh)
    table, report = score_recorded('bbh', 'direct', 3, path, folder=bbh, on_bad_record='skip')
    assert [(s.value, s.n) for s in table] == [(100.0, 2)]
    assert len(report['tasks']['snarks']['bad_records']) == 1


def test_one_file_serves_a_suite_of_one_task(tmp_path):
    folder = tmp_path / 'gsm8k'
    write(folder / 'test.jsonl', [{'question': 'q', 'answer': 'It is 1,000.\n#### 1,000'}])
    path = write(tmp_path / 'run_7.jsonl', said('That makes $1000.00 in all.'))
    table, _ = score_recorded('gsm8k', 'cot', None, path, folder=folder)
    assert [(s.task, s.value, s.shots) for s in table] == [('gsm8k', 100.0, 8)]


def test_two_files_of_one_task_are_refused(tmp_path):
    folder = tmp_path / 'mgsm'
    folder.mkdir()
    (folder / 'mgsm_de.tsv').write_text('Frage\t3\n')
    write(tmp_path / 'out' / 'de.jsonl', said('3'))
    table, _ = score_recorded('mgsm', 'cot', None, tmp_path / 'out', folder=folder)
    assert [s.task for s in table] == ['mgsm_de']
    write(tmp_path / 'out' / 'mgsm_de.jsonl', said('3'))
    with pytest.raises(UserError, match="both of task 'mgsm_de'"):
        score_recorded('mgsm', 'cot', None, tmp_path / 'out', folder=folder)


@pytest.mark.parametrize('protocol', ['direct', 'cot'])
def test_published_accuracies_of_codex_on_bbh(data_dir, protocol):
    folder = data_dir / 'bbh' / 'codex_outputs'
    official = json.loads((folder / 'official_accuracy.json').read_text())
    table, report = score_recorded('bbh', protocol, 3, folder / protocol)
    assert {score.task for score in table} == {path.stem for path in (folder / protocol).iterdir()}
    assert len(table) >= 20
    for score in table:
        assert score.value == pytest.approx(official[score.task][protocol], abs=0.01), score.task
        assert report['tasks'][score.task]['missing'] == 0
    assert not report['tasks_without_predictions']


def test_two_recorded_systems_are_compared(data_dir):
    folder = data_dir / 'bbh' / 'codex_outputs'
    suite = open_suite('bbh')
    direct, cot = (
        recorded_scores(suite, protocol, 3, folder / protocol) for protocol in ('direct', 'cot')
    )
    found = compare(direct.columns(), cot.columns())
    assert found.difference == pytest.approx(cot.report()['value'] - direct.report()['value'])
    assert found.low > 0
    assert found.p_value < 0.01
    assert found.n == sum(len(task.questions) for task in suite.tasks.values())
