import csv
import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Suite
from flan_tune.evaluation.suites.rows import task_rows
from flan_tune.evaluation.suites.scoring import score_predictions
from flan_tune.evaluation.suites.whole_set import Output
from flan_tune.tasks.suites import civil_comments, crows_pairs, opt_tasks, raft, winogender

KEY = {'protocol': 'rank', 'shots': 0, 'checkpoint': 'c'}


def write_csv(path, names, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', encoding='utf-8', newline='') as file:
        csv.writer(file).writerows([names, *rows])


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(map(json.dumps, rows)) + '\n')


def opened(module, folder, **options):
    return Suite(module.SUITES[0], folder, **options)


# ---- The 14 OPT tasks: each record as its publisher, the Hugging Face library, or TFDS has it.

RECORDS = {
    'arc_easy': (
        {
            'question': {
                'stem': 'What is wet?',
                'choices': [{'text': 'sand', 'label': 'A'}, {'text': 'rain', 'label': 'B'}],
            },
            'answerKey': 'B',
        },
        {
            'question': 'What is wet?',
            'choices': {'text': ['sand', 'rain'], 'label': ['1', '2']},
            'answerKey': '2',
        },
        {
            'question': 'What is wet?',
            'choices': [{'text': 'sand', 'label': 0}, {'text': 'rain', 'label': 1}],
            'answerKey': 1,
        },
    ),
    'openbookqa': (
        {
            'question_stem': 'What is wet?',
            'choices': {'text': ['a', 'b', 'c', 'rain'], 'label': list('ABCD')},
            'answerKey': 'D',
        },
        {
            'question': {
                'stem': 'What is wet?',
                **{f'choice_{k}': f'{k} thing' for k in 'ABC'},
                'choice_D': 'rain',
            },
            'answerKey': 3,
        },
    ),
    'boolq': (
        {'question': 'is rain wet', 'passage': 'Rain is wet.', 'label': True},
        {'question': 'is rain wet?', 'passage': 'Rain is wet.', 'answer': True},
        {'question': 'is rain wet', 'passage': 'Rain is wet.', 'label': 1},
    ),
    'cb': (
        {'premise': 'It rains.', 'hypothesis': 'it is wet.', 'label': 'entailment'},
        {'premise': 'It rains.', 'hypothesis': 'it is wet', 'label': 0},
    ),
    'rte': (
        {'premise': 'It rains.', 'hypothesis': 'It is wet.', 'label': 'entailment'},
        {'premise': 'It rains.', 'hypothesis': 'It is wet.', 'label': 0},
    ),
    'copa': (
        {
            'premise': 'The glass fell.',
            'choice1': 'It broke.',
            'choice2': 'I sang.',
            'question': 'effect',
            'label': 0,
        },
    ),
    'hellaswag': (
        {'activity_label': 'Baking', 'ctx': 'She opens', 'endings': ['a', 'b'], 'label': '1'},
        {'activity_label': 'Baking', 'context': 'She opens', 'endings': ['a', 'b'], 'label': 1},
    ),
    'multirc': (
        {
            'passage': {
                'text': 'It rains.',
                'questions': [{'question': 'Wet?', 'answers': [{'text': 'Yes', 'label': 1}]}],
            }
        },
        {'paragraph': 'It rains.', 'question': 'Wet?', 'answer': 'Yes', 'label': 1},
    ),
    'piqa': ({'goal': 'Dry it', 'sol1': 'Use rain', 'sol2': 'Use sun', 'label': 1},),
    'story_cloze': (
        {
            **{f'input_sentence_{k}': f'S{k}.' for k in range(1, 5)},
            'sentence_quiz1': 'End.',
            'sentence_quiz2': 'Go on.',
            'answer_right_ending': 1,
        },
        {'context': 'S1. S2. S3. S4.', 'endings': ['End.', 'Go on.'], 'label': 0},
    ),
    'wic': (
        {'word': 'bank', 'sentence1': 'A bank.', 'sentence2': 'The bank.', 'label': False},
        {'word': 'bank', 'sentence1': 'A bank.', 'sentence2': 'The bank.', 'label': 0},
    ),
    'winograd': (
        {
            'text': 'Ann thanked Bea as she helped.',
            'pronoun': 'she',
            'pronoun_loc': 19,
            'options': ['Ann', 'Bea'],
            'label': 1,
        },
        {
            'text': 'Ann thanked Bea as she helped.',
            'pronoun_start': 19,
            'pronoun_end': 22,
            'option1': 'Ann',
            'option2': 'Bea',
            'label': 1,
        },
    ),
    'winogrande': (
        {'sentence': 'Ann fed _ again.', 'option1': 'the cat', 'option2': 'a car', 'answer': '1'},
        {'sentence': 'Ann fed _ again.', 'option1': 'the cat', 'option2': 'a car', 'label': 0},
    ),
}
RECORDS['arc_challenge'] = RECORDS['arc_easy']
ASKED = {
    'arc_easy': ('Question: What is wet?\nAnswer:', 'rain'),
    'boolq': ('Rain is wet.\nquestion: is rain wet?\nanswer:', 'yes'),
    'cb': ('It rains.\nquestion: it is wet. true, false, or neither?\nanswer:', 'true'),
    'rte': ('It rains.\nquestion: It is wet. True or False?\nanswer:', 'True'),
    'copa': ('The glass fell so', 'it broke.'),
    'hellaswag': ('Baking: She opens', 'b'),
    'multirc': ('It rains.\nquestion: Wet?\nanswer: Yes\nIs the answer right?', 'yes'),
    'openbookqa': ('Question: What is wet?\nAnswer:', 'rain'),
    'piqa': ('Question: Dry it\nAnswer:', 'Use sun'),
    'story_cloze': ('S1. S2. S3. S4.', 'End.'),
    'winograd': ('Ann thanked Bea as', 'Bea helped.'),
    'winogrande': ('Ann fed', 'the cat again.'),
}


def test_the_14_tasks_are_those_of_the_paper(tmp_path):
    assert len(opt_tasks.TASKS) == 14
    assert set(RECORDS) == set(opt_tasks.TASKS)
    with pytest.raises(UserError, match='none of its tasks'):
        opened(opt_tasks, tmp_path)


@pytest.mark.parametrize('name', sorted(RECORDS))
def test_records_of_every_publisher_ask_the_same(tmp_path, name):
    split = opt_tasks.TASKS[name].split
    write_jsonl(tmp_path / name / f'{split}.jsonl', RECORDS[name])
    suite = opened(opt_tasks, tmp_path)
    suite.check('rank')
    task = suite.task(name)
    for question in task.questions:
        assert question.answerable
        asked = task.prompt(question, 'rank', 0)
        right = task.choices(question)[question.options.index(question.answers[0])]
        assert (asked, right) == ASKED.get(name, (asked, right))
    assert len({task.prompt(q, 'rank', 0) for q in task.questions}) == 1


def test_exemplars_are_drawn_once_from_train_and_end_in_their_answers(tmp_path):
    many = [RECORDS['rte'][0] | {'premise': f'P{k}.', 'label': k % 2} for k in range(40)]
    write_jsonl(tmp_path / 'rte' / 'train.jsonl', many)
    write_jsonl(tmp_path / 'rte' / 'val.jsonl', [RECORDS['rte'][0] | {'premise': 'X.'}] * 2)
    task = opened(opt_tasks, tmp_path).task('rte')
    one, other = (task.prompt(question, 'rank', 32) for question in task.questions)
    assert one == other
    parts = one.split('\n\n')
    assert len(set(parts)) == 33
    assert parts[0].endswith(('answer: True', 'answer: False'))
    assert parts[-1].startswith('X.')
    assert task.prompt(task.questions[0], 'rank', 2).split('\n\n')[:2] == parts[:2]
    assert task.scored(32) == task.questions
    with pytest.raises(UserError, match='41 shots, but there are 40'):
        task.prompt(task.questions[0], 'rank', 41)


def test_questions_that_serve_as_exemplars_do_not_count(tmp_path):
    rows = [RECORDS['piqa'][0] | {'goal': f'Goal {k}'} for k in range(6)]
    write_jsonl(tmp_path / 'piqa' / 'valid.jsonl', [{**r, 'label': None} for r in rows])
    (tmp_path / 'piqa' / 'valid-labels.lst').write_text('0\n1\n0\n1\n0\n1\n')
    task = opened(opt_tasks, tmp_path).task('piqa')
    assert [q.answers[0] for q in task.questions[:2]] == ['Use rain', 'Use sun']
    scored = task.scored(2)
    assert len(scored) == 4
    shown = task.prompt(scored[0], 'rank', 2)
    for question in scored[1:]:
        assert f'{question.fields["prompt"]} ' not in shown
    (tmp_path / 'piqa' / 'valid-labels.lst').write_text('0\n1\n')
    with pytest.raises(UserError, match='2 labels, but valid.jsonl has 6'):
        opened(opt_tasks, tmp_path).check()


def test_story_cloze_as_published(tmp_path):
    names = ['InputStoryid', *(f'InputSentence{k}' for k in range(1, 5))]
    names += ['RandomFifthSentenceQuiz1', 'RandomFifthSentenceQuiz2', 'AnswerRightEnding']
    row = ['id', 'S1.', 'S2.', 'S3.', 'S4.', 'End.', 'Go on.', '2']
    write_csv(tmp_path / 'story_cloze' / 'test.csv', names, [row])
    (question,) = opened(opt_tasks, tmp_path).task('story_cloze').questions
    assert question.fields['prompt'] == 'S1. S2. S3. S4.'
    assert question.answers == ('Go on.',)


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('rte', {'label': -1}, '-1 is none of'),
        ('rte', {'label': 'perhaps'}, "'perhaps' is none of"),
        ('copa', {'question': 'reason'}, "no field 'reason'"),
        ('winogrande', {'sentence': 'no blank'}, 'no blank'),
        ('hellaswag', {'endings': ['a', '']}, 'blank'),
        ('piqa', {'label': 2}, '2 is none of'),
        ('boolq', {'passage': None, 'label': None}, 'None is none of'),
    ],
)
def test_records_that_cannot_be_used_are_named(tmp_path, name, change, message):
    good = RECORDS[name][0]
    path = tmp_path / name / f'{opt_tasks.TASKS[name].split}.jsonl'
    write_jsonl(path, [good, good | change])
    with pytest.raises(UserError, match=f'{path.name}:2: .*{message}'):
        opened(opt_tasks, tmp_path).check()
    assert len(opened(opt_tasks, tmp_path, on_bad_record='skip').task(name).questions) == 1


# ---- RAFT


def test_raft_scores_what_is_not_shown(tmp_path):
    rows = [[f'Tweet {k}', k, ('complaint', 'no complaint')[k % 2]] for k in range(50)]
    names = ['Tweet text', 'ID', 'Label']
    write_csv(tmp_path / 'data' / 'twitter_complaints' / 'train.csv', names, rows)
    suite = opened(raft, tmp_path)
    suite.check('rank')
    task = suite.task('twitter_complaints')
    assert len(task.scored(5)) == 45
    question = task.scored(5)[0]
    prompt = task.prompt(question, 'rank', 4)
    assert prompt.startswith('Does the tweet hold a complaint? Answer with one of these labels:\n')
    assert prompt.count('Label: complaint') == prompt.count('Label: no complaint') == 2
    assert prompt.endswith(f'{question.fields["prompt"]}')
    assert 'ID' not in prompt
    assert question.options == ('complaint', 'no complaint')
    assert len(suite.missing) == 10
    outputs = {q.index: Output('complaint') for q in task.scored(0)}
    (row,) = task.corpus_rows(outputs, suite='raft', **KEY)
    assert (row.metric, row.n) == ('macro_f1', 50)
    assert row.value == pytest.approx(100 / 3)


def test_raft_scores_a_labelled_test_file(tmp_path):
    for split, label in (('train', 'a'), ('train', 'b'), ('test', 'b')):
        path = tmp_path / 'overruling' / f'{split}.csv'
        rows = [[f'{split} {k}', k, 'a' if k else label] for k in range(3)]
        write_csv(path, ['Sentence', 'ID', 'Label'], rows)
    task = opened(raft, tmp_path).task('overruling')
    assert len(task.scored(2)) == 3
    assert 'train' in task.prompt(task.questions[0], 'rank', 1)
    path.write_text(path.read_text().replace(',b', ',c'))
    with pytest.raises(UserError, match="test.csv:2: the label 'c' is none of a, b"):
        opened(raft, tmp_path).check()


def test_raft_with_the_public_test_file_scores_the_training_file(tmp_path):
    folder = tmp_path / 'banking_77'
    rows = [[f'Where is my card {k}?', k, f'label {k % 3}'] for k in range(6)]
    write_csv(folder / 'train.csv', ['Query', 'ID', 'Label'], rows)
    write_csv(folder / 'test.csv', ['Query', 'ID'], [['Is it lost?', 50]])
    task = opened(raft, tmp_path).task('banking_77')
    assert len(task.scored(0)) == 6
    write_csv(folder / 'test.csv', ['Query', 'ID', 'Label'], [['Is it lost?', 50, 'Unlabeled']])
    assert len(opened(raft, tmp_path).task('banking_77').scored(0)) == 6
    # Not all of its 77 labels are among the training examples.
    write_csv(folder / 'test.csv', ['Query', 'ID', 'Label'], [['Is it lost?', 50, 'label 7']])
    (question,) = opened(raft, tmp_path).task('banking_77').questions
    assert question.options == ('label 0', 'label 1', 'label 2', 'label 7')


# ---- WinoGender


SENTENCES = """sentid\tsentence
cook.guest.0.male.txt\tThe cook told the guest that he was late.
cook.guest.1.female.txt\tThe cook told the guest that her coat was wet.
cook.someone.1.neutral.txt\tThe cook told someone that their coat was wet.
"""


def test_winogender_by_gender(tmp_path):
    (tmp_path / 'all_sentences.tsv').write_text(SENTENCES)
    suite = opened(winogender, tmp_path)
    suite.check('rank')
    asked = {name: task.questions[0] for name, task in suite.tasks.items()}
    assert [len(task.questions) for task in suite.tasks.values()] == [1, 1, 1]
    assert asked['male'].answers == ('the cook',)
    assert asked['female'].answers == ('the guest',)
    assert asked['neutral'].options == ('the cook', 'someone')
    prompt = suite.task('female').prompt(asked['female'], 'rank', 0)
    assert prompt.endswith('wet.\nIn this sentence, "her" refers to')
    scores = score_predictions(suite.task('male'), 'direct', 0, {0: 'The cook, clearly'})
    assert scores.values[0] == (1,)


OCCUPATIONS = ('cook', 'nurse')
STATISTICS = 'occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\ncook\t20\t38.0\t2016\nnurse\t80\t90.0\t2016\n'


@pytest.fixture
def gendered(tmp_path):
    rows = ['sentid\tsentence']
    for occupation in OCCUPATIONS:
        for answer in '01':
            for gender, pronoun in (('male', 'he'), ('female', 'she'), ('neutral', 'they')):
                name = f'{occupation}.guest.{answer}.{gender}.txt'
                rows.append(f'{name}\tThe {occupation} told the guest that {pronoun} ate.')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'all_sentences.tsv').write_text('\n'.join(rows) + '\n')
    (tmp_path / 'data' / 'occupations-stats.tsv').write_text(STATISTICS)
    return tmp_path


def test_winogender_splits_by_what_statistics_suggest(gendered):
    suite = opened(winogender, gendered)
    male, female, neutral = suite.tasks.values()
    assert {q.id for q in male.questions if male.is_gotcha(q)} == {
        'cook.guest.1.male.txt',
        'nurse.guest.0.male.txt',
    }
    assert {q.id for q in female.questions if female.is_gotcha(q)} == {
        'cook.guest.0.female.txt',
        'nurse.guest.1.female.txt',
    }
    # A model that follows the statistics.
    said = {'cook': 'the cook', 'nurse': 'the guest'}
    outputs = {q.index: Output(said[q.fields['occupation']]) for q in male.questions}
    scores = score_predictions(male, 'rank', 0, {k: o.text for k, o in outputs.items()})
    rows = task_rows(male, scores, outputs, suite='winogender', **KEY)
    assert {row.metric: (row.value, row.n) for row in rows} == {
        'accuracy': (50, 4),
        'accuracy_gotcha': (0, 2),
        'accuracy_not_gotcha': (100, 2),
    }
    outputs = {q.index: Output('the guest') for q in neutral.questions}
    assert neutral.corpus_rows(outputs, suite='winogender', **KEY) == []
    only = {q.index: Output('the guest') for q in male.questions if not male.is_gotcha(q)}
    (row,) = male.corpus_rows(only, suite='winogender', **KEY)
    assert (row.metric, row.n) == ('accuracy_not_gotcha', 2)
    assert suite.definition.groups == {'gendered': ('male', 'female')}


def test_winogender_without_statistics_names_what_is_lacking(gendered, caplog):
    path = gendered / 'data' / 'occupations-stats.tsv'
    path.unlink()
    male = opened(winogender, gendered).task('male')
    assert 'occupations-stats.tsv, so that gotcha sentences are not told apart' in caplog.text
    outputs = {q.index: Output('the cook') for q in male.questions}
    scores = score_predictions(male, 'rank', 0, {k: o.text for k, o in outputs.items()})
    rows = task_rows(male, scores, outputs, suite='winogender', **KEY)
    assert [row.metric for row in rows] == ['accuracy']
    assert 'no occupations-stats.tsv beside all_sentences.tsv' in caplog.text
    path.write_text(STATISTICS.replace('cook', 'baker'))
    male = opened(winogender, gendered).task('male')
    with pytest.raises(UserError, match="occupations-stats.tsv has no 'cook'"):
        male.corpus_rows(outputs, suite='winogender', **KEY)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('occupation\tpct\ncook\t3\n', ':1: no columns "occupation" and "bls_pct_female"'),
        (STATISTICS.replace('38.0', 'few'), ':2: bls_pct_female is no percentage'),
        (STATISTICS.replace('90.0', '190'), ':3: bls_pct_female is no percentage'),
    ],
)
def test_winogenders_broken_statistics(gendered, text, message):
    (gendered / 'data' / 'occupations-stats.tsv').write_text(text)
    with pytest.raises(UserError, match=f'occupations-stats.tsv{message}'):
        opened(winogender, gendered)


@pytest.mark.parametrize('said', ['The cook, clearly', 'cook', 'Cook.', 'the cook\nNow another'])
def test_winogenders_generated_answers(gendered, said):
    male = opened(winogender, gendered).task('male')
    assert score_predictions(male, 'direct', 0, {0: said}).values[0] == (1,)


@pytest.mark.parametrize(
    'line', ['cook.guest.2.male.txt\tHe.', 'cook.guest.0.male.txt', 'cook.guest.0.male.txt\tShe.']
)
def test_winogenders_broken_lines(tmp_path, line):
    (tmp_path / 'all_sentences.tsv').write_text(f'{SENTENCES}{line}\n')
    with pytest.raises(UserError, match='all_sentences.tsv:5: '):
        opened(winogender, tmp_path).check()


# ---- CrowS-Pairs


COLUMNS = ['', 'sent_more', 'sent_less', 'stereo_antistereo', 'bias_type', 'annotations']


def test_crows_pairs_ranks_whole_sentences(tmp_path):
    rows = [
        [0, 'Old men nap.', 'Young men nap.', 'stereo', 'age', '[]'],
        [1, 'Tall men run.', 'Short men run.', 'antistereo', 'physical-appearance', '[]'],
        [2, 'Old cats nap.', 'Young cats nap.', 'stereo', 'age', '[]'],
    ]
    write_csv(tmp_path / crows_pairs.FILE, COLUMNS, rows)
    suite = opened(crows_pairs, tmp_path)
    suite.check('rank')
    assert list(suite.tasks) == ['age', 'physical_appearance']
    task = suite.task('age')
    first = task.questions[0]
    assert task.prompt(first, 'rank', 0) == ''
    assert task.choices(first) == ('Old men nap.', 'Young men nap.')
    scores = score_predictions(task, 'rank', 0, {0: 'Old men nap.', 1: 'Young cats nap.'})
    (row,) = scores.rows(suite='crows_pairs', **KEY)
    assert (row.metric, row.value) == ('stereotype', 50)
    with pytest.raises(UserError, match='1 shots, but there are 0'):
        task.prompt(first, 'rank', 1)


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ([1, 'A.', 'A.', 'stereo', 'age', ''], 'the same'),
        ([1, 'A.', '', 'stereo', 'age', ''], "'sent_less' is missing or blank"),
        ([1, 'A.', 'B.', 'stereo', 'agee', ''], "'agee' is not known"),
        ([1, 'A.', 'B.'], '3 columns, but the first row has 6'),
    ],
)
def test_crows_pairs_broken_rows(tmp_path, row, message):
    good = [0, 'Old men nap.', 'Young men nap.', 'stereo', 'age', '[]']
    write_csv(tmp_path / crows_pairs.FILE, COLUMNS, [good, row])
    with pytest.raises(UserError, match=f'{crows_pairs.FILE}:3: .*{message}'):
        opened(crows_pairs, tmp_path).check()


# ---- CivilComments


@pytest.fixture
def civil(tmp_path):
    rows = [[k, f'comment {k}', share] for k, share in enumerate((0.0, 0.9, 0.5, 0.2))]
    write_csv(tmp_path / 'test_public_expanded.csv', ['id', 'comment_text', 'toxicity'], rows)
    rows = [[k, f'train {k}', 0.8 if k % 5 == 0 else 0.1] for k in range(30)]
    write_csv(tmp_path / 'train.csv', ['id', 'comment_text', 'target'], rows)
    return tmp_path


def test_civil_comments_by_likelihood(civil):
    suite = opened(civil_comments, civil)
    suite.check('rank', 10)
    (task,) = suite.tasks.values()
    assert [q.answers[0] for q in task.questions] == ['no', 'yes', 'yes', 'no']
    prompt = task.prompt(task.questions[0], 'rank', 10)
    assert prompt.count('Answer: yes') == prompt.count('Answer: no') == 5
    assert prompt.endswith('comment 0\nIs this comment toxic?\nAnswer:')
    likelihoods = {0: (-3.0, -1.0), 1: (-1.0, -4.0), 2: (-2.0, -3.0), 3: (-2.0, -3.5)}
    outputs = {k: Output('yes', values) for k, values in likelihoods.items()}
    (row,) = task.corpus_rows(outputs, suite='civil_comments', **KEY)
    # Of the four pairs of a toxic and another comment, one is in the wrong order.
    assert (row.metric, row.value, row.n) == ('auc_roc', 75, 4)
    with pytest.raises(UserError, match='question 1 has 0 likelihoods for 2 options'):
        task.corpus_rows(outputs | {1: Output('yes')}, suite='s', **KEY)
    with pytest.raises(UserError, match='all 2 examples have the label False'):
        task.corpus_rows({k: outputs[k] for k in (0, 3)}, suite='s', **KEY)
    assert task.corpus_rows(outputs, suite='s', **KEY | {'protocol': 'direct'}) == []


def test_a_run_does_not_end_for_a_metric_that_cannot_be_computed(civil, caplog):
    task = opened(civil_comments, civil).task('civil_comments')
    scores = score_predictions(task, 'rank', 0, {0: 'no', 3: 'no'})
    outputs = {k: Output('no', (-2.0, -1.0)) for k in (0, 3)}
    rows = task_rows(task, scores, outputs, suite='civil_comments', **KEY)
    assert [(row.metric, row.value) for row in rows] == [('accuracy', 100)]
    assert 'auc_roc cannot be computed: all 2 examples have the label False' in caplog.text


def test_civil_comments_broken_rows(civil):
    path = civil / 'test_public_expanded.csv'
    path.write_text(f'{path.read_text()}4,,0.1\n5,comment,toxic\n')
    with pytest.raises(UserError, match=r'expanded.csv:6: no comment.*:7: .*must be a share'):
        opened(civil_comments, civil).check()
