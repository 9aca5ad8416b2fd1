import json

import pytest
import seqio

from flan_tune.data.mixtures import find, register_mixture
from flan_tune.data.prompts import LETTER_STYLES, Prompt
from flan_tune.data.sources import JsonlSource
from flan_tune.data.tasks import register_task
from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Protocol, Question, Suite
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask
from flan_tune.evaluation.suites.registered import each_template, open_instruction_tasks, task_suite
from flan_tune.evaluation.suites.rows import template_rows
from flan_tune.evaluation.suites.scoring import score_predictions
from flan_tune.evaluation.suites.whole_set import Output

TOWNS = ('Lima', 'Quito', 'Rome', 'Oslo', 'Bonn', 'Riga')


@pytest.fixture
def capitals(tmp_path):
    """A task with options, three templates (one of which reasons, one inverts) and a train split."""
    rows = [
        {
            'land': f'land {k}',
            'answer': town,
            'options': [town, TOWNS[k - 1]][:: 1 if k % 2 else -1],
            'rationale': f'Maps show {town}.',
            'references': [town, town.upper()],
        }
        for k, town in enumerate(TOWNS)
    ]
    for split in ('train', 'validation'):
        records = [{**row, 'land': f'{split} {row["land"]}'} for row in rows]
        (tmp_path / f'{split}.jsonl').write_text('\n'.join(map(json.dumps, records)))
    names = register(tmp_path)
    yield 'suite_capitals'
    for name in names:
        seqio.TaskRegistry.remove(name)


def register(folder, **changes):
    settings = {
        'source': JsonlSource({s: folder / f'{s}.jsonl' for s in ('train', 'validation')}),
        'prompts': [
            Prompt('Capital of {land}?\n{options}', name='asks'),
            Prompt('{land} has which capital?', 'It is {answer}', name='states'),
            Prompt('Think: capital of {land}?', '{rationale} The answer is {answer}.', name='cot'),
            Prompt('Whose capital is {answer}?', '{land}', name='inverts', inverts=True),
        ],
        'metric_fns': ('exact_match', 'squad'),
    }
    return register_task('suite_capitals', **settings | changes, replace=True)


def the_task(name='suite_capitals', **options):
    (task,) = open_instruction_tasks(name, **options)
    return task


def test_prompts_are_those_of_the_registered_variants(capitals):
    task = the_task()
    variants = {'direct': f'{capitals}_direct', 'cot': capitals, 'rank': f'{capitals}_rank'}
    for question in task.questions:
        for protocol, variant in variants.items():
            example = find(variant).example('validation', question.index)
            assert task.prompt(question, protocol, 0) == example['inputs']
            if protocol == 'rank':
                assert task.choices(question) == example['choices']


def test_questions_hold_options_and_all_references(capitals):
    task = the_task()
    assert len(task.questions) == len(TOWNS)
    first = task.questions[1]
    assert first.answers == ('Quito', 'QUITO')
    assert set(first.options) == {'Lima', 'Quito'}
    assert first.answerable
    assert first.fields['land'] == 'validation land 1'
    assert task.metrics == ('accuracy', 'exact_match', 'em', 'f1')


def test_any_number_of_exemplars_from_train_and_none_of_them_asks_the_same(capitals):
    task = the_task()
    for protocol in ('direct', 'cot', 'rank'):
        for question in task.questions:
            prompt = task.prompt(question, protocol, 3)
            assert prompt.count('train land') == 3
            assert prompt.count('validation land') == 1
            assert prompt == task.prompt(question, protocol, 3)
    with pytest.raises(UserError, match='7 shots, but there are 6 exemplars'):
        task.prompt(task.questions[0], 'direct', 7)
    with pytest.raises(UserError, match='-1 shots'):
        task.prompt(task.questions[0], 'direct', -1)


def test_exemplars_that_do_not_fit_go_from_the_end(capitals):
    task = the_task()
    question = task.questions[0]
    whole = task.prompt(question, 'direct', 4)
    task.max_prompt_tokens = len(whole) - 1
    shorter = task.prompt(question, 'direct', 4, count_tokens=len)
    assert shorter.count('train land') == 3
    assert whole.startswith(shorter[: shorter.rindex('validation') - 40])
    task.max_prompt_tokens = len(whole)
    assert task.prompt(question, 'direct', 4, count_tokens=len) == whole
    task.max_prompt_tokens = 5
    assert task.prompt(question, 'direct', 4, count_tokens=len).count('train land') == 0
    assert task.prompt(question, 'direct', 4) == whole


@pytest.mark.parametrize(
    ('text', 'protocol', 'answer'),
    [
        ('quito.', 'direct', 'Quito'),
        ('Quito, I think', 'direct', 'Quito'),
        ('Paris', 'direct', 'Paris'),
        ('Maps say so. The answer is Quito.\nNext', 'cot', 'Quito'),
        ('It is Quito', 'rank', 'Quito'),
        ('Quito', 'rank', 'Quito'),
        ('Paris', 'rank', None),
        (' \n', 'direct', None),
    ],
)
def test_extraction(capitals, text, protocol, answer):
    task = the_task(f'{capitals}_template_1')
    assert task.extract(text, task.questions[1], protocol).answer == answer


def test_letters_name_options_where_a_style_has_letters(capitals, tmp_path):
    register(tmp_path, option_styles=LETTER_STYLES)
    task = the_task()
    question = task.questions[1]
    for place, option in enumerate(question.options):
        assert task.extract(f'({"AB"[place]})', question, 'direct').answer == option
    letters = task.choices(task.questions[0])
    assert (
        task.extract(letters[1], task.questions[0], 'rank').answer == (task.questions[0].options[1])
    )


def test_scores_by_every_metric_of_the_task(capitals):
    task = the_task()
    said = {0: 'Lima', 1: 'QUITO', 2: 'Roma', 3: '', 4: 'the Bonn', 5: 'Riga'}
    scores = score_predictions(task, 'direct', 0, said)
    assert scores.unparsable == (3,)
    assert scores.values[0] == (1, 1, 1, 1)
    assert scores.values[2] == (0, 0, 0, 0)
    assert scores.values[4] == (0, 0, 1, 1)
    (accuracy, *_) = scores.rows(suite='s', protocol='direct', shots=0, checkpoint='c')
    assert accuracy.metric == 'accuracy'
    assert accuracy.value == pytest.approx(50)


def test_every_template_asks_every_record(capitals):
    task = the_task(templates='each')
    assert task.templates == ('asks', 'states')
    assert [task.template(q) for q in task.questions] == ['asks', 'states'] * 6
    assert [q.index for q in task.questions] == list(range(12))
    assert task.prompt(task.questions[0], 'direct', 0).startswith('Capital of validation land 0')
    assert task.prompt(task.questions[1], 'rank', 0).startswith('validation land 0 has')
    assert task.choices(task.questions[3])[1].startswith('It is ')
    right = {q.index: q.answers[0] for q in task.questions}
    scores = score_predictions(task, 'rank', 0, right | {1: 'nowhere', 5: 'x', 7: 'y'})
    rows = template_rows(task, scores, suite='s', protocol='rank', shots=0, checkpoint='c')
    values = {(r.template, r.metric): (r.value, r.n) for r in rows}
    assert values['asks', 'accuracy'] == (100, 6)
    assert values['states', 'accuracy'] == (50, 6)
    assert {r.task for r in rows} == {capitals}


def test_variants_of_one_task_are_one_and_templates_stand_apart(capitals):
    register_mixture('suite_capitals_mixture', [(f'{capitals}_few_shot', 1.0), (capitals, 1.0)])
    try:
        (task,) = open_instruction_tasks(['suite_capitals_mixture', f'{capitals}_rank'], limit=2)
        assert len(task.questions) == 2
        (task,) = open_instruction_tasks([f'{capitals}_template_0', f'{capitals}_template_1'])
        assert task.templates == ('asks', 'states')
    finally:
        seqio.MixtureRegistry.remove('suite_capitals_mixture')
    with pytest.raises(UserError, match="no split 'test'"):
        the_task(split='test')
    with pytest.raises(UserError, match='(?s)suite_capital.*suite_capitals'):
        the_task('suite_capital')


def test_bad_records_are_named_by_line(capitals, tmp_path):
    path = tmp_path / 'validation.jsonl'
    lines = path.read_text().split('\n')
    path.write_text('\n'.join([lines[0], '{"land": "x", "answer": "y"}', *lines[2:]]))
    register(tmp_path, category='changed')
    task = the_task()
    with pytest.raises(UserError, match='validation.jsonl:2: .*options'):
        _ = task.questions
    task = the_task()
    task.on_bad_record = 'skip'
    assert [q.index for q in task.questions] == [0, 2, 3, 4, 5]
    assert len(task.bad_records) == 1


def test_a_task_without_train_split_or_reasons(tmp_path):
    (tmp_path / 'v.jsonl').write_text('{"text": "a", "answer": "b"}\n')
    names = register_task(
        'suite_plain',
        source=JsonlSource({'validation': tmp_path / 'v.jsonl'}),
        prompts=[Prompt('Say {text}')],
        metric_fns=('bleu',),
    )
    try:
        task = the_task('suite_plain')
        (question,) = task.questions
        with pytest.raises(UserError, match='1 shots, but there are 0 exemplars'):
            task.prompt(question, 'direct', 1)
        with pytest.raises(UserError, match='no template of it reasons'):
            task.prompt(question, 'cot', 0)
        assert task.metrics == ('exact_match',)
        assert task.corpus_metrics == ('bleu',)
        assert task.choices(question) == ()
        rows = task.corpus_rows(
            {0: Output('b')}, suite='s', protocol='direct', shots=0, checkpoint='c'
        )
        assert [(row.metric, row.n) for row in rows] == [('bleu', 1)]
    finally:
        for name in names:
            seqio.TaskRegistry.remove(name)


def test_a_suite_of_registered_tasks(capitals, tmp_path, caplog):
    absent = register_task(
        'suite_absent',
        source=JsonlSource({'validation': tmp_path / 'absent.jsonl'}),
        prompts=[Prompt('Say {text}')],
    )
    register_mixture('suite_mixture', [(f'{capitals}_rank', 1.0), ('suite_absent', 1.0)])
    imported = []
    definition = task_suite(
        'towns',
        'suite_mixture',
        protocols={'rank': Protocol(0, 'accuracy')},
        before=lambda: imported.append(True),
        style='opt_iml',
    )
    try:
        assert imported == []
        suite = Suite(definition, tmp_path)
        suite.check('rank', 2)
        assert list(suite.tasks) == [capitals]
        assert suite.missing == ('suite_absent',)
        assert 'suite_absent is not scored' in caplog.text
        task = suite.task(capitals)
        assert isinstance(task, InstructionSuiteTask)
        assert task.prompt(task.questions[0], 'rank', 2).count('\n\n\n') == 2
        options = task_suite('s', 'suite_mixture', protocols={}, ranked=True)
        assert list(options.chances) == [capitals]
        with pytest.raises(UserError, match='absent.jsonl: no such file'):
            Suite(task_suite('s', 'suite_mixture', protocols={}, ranked=False), tmp_path)
    finally:
        seqio.MixtureRegistry.remove('suite_mixture')
        for name in absent:
            seqio.TaskRegistry.remove(name)


def test_templates_that_reason_serve_where_no_others_ask(capitals, tmp_path):
    register(tmp_path, prompts=[Prompt('{land}?', '{rationale} The answer is {answer}.')])
    task = the_task(templates='each')
    assert isinstance(task.questions[0], Question)
    question = task.questions[0]
    assert 'land 0' in task.prompt(question, 'cot', 2)
    drawn = the_task()
    assert drawn.prompt(question, 'direct', 0) == drawn.prompt(question, 'cot', 0)
    assert drawn.extract('Maps. The answer is Lima.', question, 'direct').answer == 'Lima'
    with pytest.raises(UserError, match='no template of it asks for the answer alone'):
        drawn.prompt(question, 'rank', 0)
    assert list(each_template(find(capitals).renderer)) == ['0']
