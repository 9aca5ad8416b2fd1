import dataclasses
import json
import pathlib
import runpy
import sys

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.averages.flan2022 import aggregates
from flan_tune.evaluation.averages.opt_iml import bench_descriptions
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import PROTOCOLS, Suite, register_suite
from flan_tune.evaluation.suites.registered import open_instruction_tasks
from flan_tune.evaluation.suites.rows import task_rows
from flan_tune.evaluation.suites.scoring import score_predictions
from flan_tune.evaluation.suites.whole_set import Output
from flan_tune.tasks.suites import flan2021, natural_instructions, opt_iml, structured, t0
from flan_tune.tasks.suites.natural_instructions import (
    CrossLingualTokenizer,
    Gpt2Tokenizer,
    normalize,
)
from flan_tune.tasks.suites.structured import normalize_query, slots

HERE = pathlib.Path(__file__).parent


def load(name):
    module = type(sys)(name)
    module.__dict__.update(runpy.run_path(str(HERE / f'{name}.py')))
    return module


# ---- Super-NaturalInstructions


def instances(count, output):
    return [{'id': f'i-{k}', 'input': f'word {k}', 'output': output(k)} for k in range(count)]


@pytest.fixture
def checkout(tmp_path):
    def write(name, fields):
        (tmp_path / 'tasks').mkdir(exist_ok=True)
        (tmp_path / 'tasks' / f'{name}.json').write_text(json.dumps(fields, ensure_ascii=False))

    task = {
        'Categories': ['Title Generation'],
        'Definition': ['Write a title'],
        'Positive Examples': [
            {'input': 'a cat sits', 'output': 'The Cat', 'explanation': 'short'},
            {'input': 'word 0', 'output': 'Word'},
            {'input': 'Is it?', 'output': 'Yes!'},
        ],
        'Negative Examples': [{'input': 'x', 'output': 'y'}],
    }
    write('task1_titles', task | {'Instances': instances(130, lambda k: [f'Title {k}', 'Running'])})
    write('task2_more', task | {'Instances': instances(3, lambda k: [f'もの {k}'])})
    write('task3_trained', task | {'Instances': instances(3, lambda k: ['x'])})
    for track, names in (('default', 'task1_titles task9_absent'), ('xlingual', 'task2_more')):
        folder = tmp_path / 'splits' / track
        folder.mkdir(parents=True)
        (folder / 'test_tasks.txt').write_text('\n'.join(names.split()) + '\n')
    return tmp_path


def test_the_official_test_tasks_with_100_instances(checkout):
    suite = Suite(natural_instructions.SUITES[0], checkout)
    assert list(suite.tasks) == ['task1_titles']
    assert suite.missing == ('task9_absent',)
    task = suite.task('task1_titles')
    assert len(task.questions) == 100
    assert task.questions[3].answers == ('Title 3', 'Running')
    suite.check('direct')


def test_prompts_are_definition_examples_and_input(checkout):
    task = Suite(natural_instructions.SUITES[0], checkout).task('task1_titles')
    assert task.prompt(task.questions[5], 'direct', 0) == (
        'Definition: Write a title.\n\n'
        'Now complete the following example -\nInput: word 5.\nOutput:'
    )
    # The example that asks what the question asks is not shown.
    assert task.prompt(task.questions[0], 'direct', 2) == (
        'Definition: Write a title.\n\n'
        ' Positive Example 1 -\nInput: a cat sits.\n Output: The Cat.\n\n'
        ' Positive Example 2 -\nInput: Is it?\n Output: Yes!\n\n'
        'Now complete the following example -\nInput: word 0.\nOutput:'
    )
    with pytest.raises(UserError, match='3 shots, but there are 2 exemplars'):
        task.prompt(task.questions[0], 'direct', 3)


def test_rouge_is_the_best_over_references_and_stems_english(checkout):
    task = Suite(natural_instructions.SUITES[0], checkout).task('task1_titles')
    said = {0: 'title 0', 1: 'He runs', 2: 'A title 2, indeed', 3: '?'}
    values = score_predictions(task, 'direct', 2, said).values
    assert values[0] == (1, 1)
    assert values[1] == (pytest.approx(2 / 3), 0)
    assert values[2] == (pytest.approx(2 * 2 / (4 + 2)), 0)
    assert values[3] == (0, 0)
    assert normalize(' The  "Cat".') == 'the cat'


def test_the_cross_lingual_track_counts_characters_where_words_have_no_spaces(checkout):
    task = Suite(natural_instructions.SUITES[1], checkout).task('task2_more')
    (value, exact) = score_predictions(task, 'direct', 0, {1: 'もの 2'}).values[1]
    assert value == pytest.approx(2 * 2 / 6)
    assert exact == 0
    assert CrossLingualTokenizer().tokenize('Der Hund, 山田さん') == [*('der', 'hund'), *'山田さん']


def test_the_cross_lingual_track_counts_pieces_of_gpt2_where_they_are(checkout):
    folder = checkout / 'gpt2'
    folder.mkdir()
    pieces = ['a', 'b', 'Ġ', 'Ġa', 'ab', '.']
    (folder / 'vocab.json').write_text(json.dumps({piece: k for k, piece in enumerate(pieces)}))
    (folder / 'merges.txt').write_text('#version: 0.2\nĠ a\na b\n')
    assert Gpt2Tokenizer(folder).tokenize('ab a b.') == ['ab', 'a', '', 'b', '.']
    assert Suite(natural_instructions.SUITES[1], checkout).tasks
    (folder / 'merges.txt').unlink()
    with pytest.raises(UserError, match='gpt2: no vocabulary of GPT-2'):
        Suite(natural_instructions.SUITES[1], checkout)


def test_a_checkout_without_its_list(checkout):
    (checkout / 'splits' / 'default' / 'test_tasks.txt').unlink()
    with pytest.raises(UserError, match='test_tasks.txt.*lists the tasks to score'):
        Suite(natural_instructions.SUITES[0], checkout)


def test_bad_instances_are_named(checkout):
    path = checkout / 'tasks' / 'task1_titles.json'
    task = json.loads(path.read_text())
    task['Instances'][4]['output'] = []
    path.write_text(json.dumps(task))
    suite = Suite(natural_instructions.SUITES[0], checkout)
    with pytest.raises(UserError, match=r'task1_titles.json: Instances\[4\]'):
        suite.check()
    suite = Suite(natural_instructions.SUITES[0], checkout, 'skip')
    assert len(suite.task('task1_titles').questions) == 99


def test_groups_are_the_categories_of_the_task_files(checkout):
    path = checkout / 'tasks' / 'task1_titles.json'
    task = json.loads(path.read_text())
    (checkout / 'tasks' / 'task9_absent.json').write_text(
        json.dumps(task | {'Categories': ['Cause/Effect Classification']})
    )
    suite = Suite(natural_instructions._suite('n', 'default'), checkout)
    assert dict(suite.definition.groups) == {
        'cause_effect_classification': ('task9_absent',),
        'title_generation': ('task1_titles',),
    }
    table = ScoreTable(
        Score('c', 'natural_instructions', name, 'direct', 2, '', 'rougeL', value, 3)
        for name, value in (('task1_titles', 40.0), ('task9_absent', 60.0))
    )
    register_suite(dataclasses.replace(suite.definition, name='natural_instructions'))
    try:
        found = aggregates(table)['suites']
    finally:
        register_suite(natural_instructions.SUITES[0])
    assert found['natural_instructions-direct']['raw'] == 50
    assert found['natural_instructions-direct-title_generation']['raw'] == 40


def test_the_cross_lingual_track_is_grouped_by_language_too(checkout):
    path = checkout / 'tasks' / 'task2_more.json'
    task = json.loads(path.read_text())
    languages = {'Input_language': ['Persian'], 'Output_language': ['English']}
    path.write_text(json.dumps(languages | task))
    suite = Suite(natural_instructions._suite('n', 'xlingual'), checkout)
    assert dict(suite.definition.groups) == {
        'persian': ('task2_more',),
        'title_generation': ('task2_more',),
    }


def test_labels_are_those_of_the_reader_of_training_tasks(data_dir):
    from flan_tune.tasks.niv2.files import read_labels

    paths = sorted((data_dir / 'niv2' / 'tasks').glob('*.json'))
    assert len(paths) > 10
    for path in paths:
        found = natural_instructions.read_labels(path, ('Categories', 'Source'))
        labels = read_labels(path)
        assert found == labels['Categories'] + labels['Source']
        assert labels['Categories']
    assert natural_instructions.read_labels(data_dir / 'none.json', ('Categories',)) == []


def test_the_published_list_names_119_tasks(data_dir):
    chances = natural_instructions.TestTasks('default')
    assert len(chances) == 119
    assert set(chances.values()) == {0.0}


# ---- T0


@pytest.fixture
def p3(tmp_path, data_dir):
    (tmp_path / 'promptsource_templates').symlink_to(data_dir / 'promptsource_templates')
    rows = {
        'super_glue/rte': [
            {'premise': f'It rains in town {k}.', 'hypothesis': 'It is wet.', 'label': k % 2}
            for k in range(4)
        ],
        'super_glue/copa': [
            {
                'premise': f'The glass {k} fell.',
                'choice1': 'It broke.',
                'choice2': 'It sang.',
                'question': ('cause', 'effect')[k % 2],
                'label': 0,
            }
            for k in range(4)
        ],
    }
    for name, records in rows.items():
        for split in ('train', 'validation'):
            path = tmp_path / 'promptsource_data' / name / f'{split}.jsonl'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                '\n'.join(
                    json.dumps(r | {'premise': f'{split} {r["premise"]}', 'idx': k})
                    for k, r in enumerate(records)
                )
            )
    return tmp_path


def test_t0s_tasks_are_asked_with_every_template(p3):
    suite = Suite(t0.SUITES[0], p3)
    assert list(suite.tasks) == ['copa', 'rte']
    assert len(suite.missing) == 9
    rte = suite.task('rte')
    assert len(rte.templates) >= 10
    assert len(rte.questions) == 4 * len(rte.templates)
    for question in rte.questions:
        assert question.answerable
        assert 'validation It rains' in rte.prompt(question, 'rank', 0)
        assert rte.choices(question) == question.options
    prompt = rte.prompt(rte.questions[0], 'rank', 2)
    assert prompt.count('train It rains') == 2


def test_t0_scores_by_template(p3):
    task = Suite(t0.SUITES[0], p3).task('rte')
    first = task.templates[0]
    right = {q.index: q.answers[0] for q in task.questions if task.template(q) == first}
    wrong = {
        q.index: next(o for o in q.options if o not in q.answers)
        for q in task.questions
        if task.template(q) != first
    }
    scores = score_predictions(task, 'rank', 0, right | wrong)
    key = {'suite': 't0_held_out', 'protocol': 'rank', 'shots': 0, 'checkpoint': 'c'}
    rows = [row for row in task_rows(task, scores, {}, **key) if row.metric == 'accuracy']
    assert {row.template: row.value for row in rows} == {
        name: 100.0 * (name == first) for name in task.templates
    }


# ---- FLAN 2021


def test_flans_suites_hold_all_data_sets_by_cluster():
    from flan_tune.data.mixtures import find
    from flan_tune.tasks import flan2021 as registered

    found = {}
    for clusters, ranked in ((flan2021.RANKED, True), (flan2021.GENERATED, False)):
        for cluster, names in clusters.items():
            for name in names:
                found[name] = cluster
                assert find(f'flan2021_{name}').definition.has_options == ranked
    assert found == {name: d.cluster for name, d in registered.DATA_SETS.items()}


def test_flans_templates_over_made_up_examples(tmp_path):
    made_up = load('flan2021_examples')
    with made_up.mocked():
        rank, generated = (
            Suite(definition, tmp_path)
            for definition in flan2021.SUITES
            if definition.name in ('flan2021_rank', 'flan2021_generated')
        )
        assert rank.missing == generated.missing == ()
        assert flan2021.headline(rank.task('rte')) == 'accuracy'
        assert flan2021.headline(generated.task('wmt14_enfr')) == 'bleu'
        assert flan2021.headline(generated.task('squad_v1')) == 'f1'
        templates = rank.task('rte').templates
        assert 7 <= len(templates) <= 10
        names = ['flan2021_rte', 'flan2021_wmt14_enfr']
        options = {'split': 'test', 'templates': 'each', 'limit': 3}
        rte, fren = open_instruction_tasks(names, **options)
        assert rte.templates == templates
        assert len(rte.questions) == 3 * len(templates)
        assert len(rte.choices(rte.questions[0])) == 2
        outputs = {q.index: Output(q.answers[0]) for q in fren.questions}
        scores = score_predictions(fren, 'direct', 0, {i: o.text for i, o in outputs.items()})
        key = {'suite': 's', 'protocol': 'direct', 'shots': 0, 'checkpoint': 'c'}
        rows = task_rows(fren, scores, outputs, **key)
        bleu = [row for row in rows if row.metric == 'bleu']
        assert [row.template for row in bleu] == list(fren.templates)
        assert {round(row.value) for row in bleu} == {100}


def test_data_sets_that_are_not_prepared_are_missing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    (definition,) = (d for d in flan2021.SUITES if d.name == 'flan2021_rank')
    few = {'open_tasks': lambda folder: flan2021._open(folder, ('rte', 'cb'), 'test')}
    with pytest.raises(UserError, match='super_glue/rte|super_glue/cb|glue/rte'):
        Suite(dataclasses.replace(definition, **few), tmp_path)
    assert 'rte is not scored' in caplog.text


# ---- OPT-IML Bench


def test_the_validation_tasks_of_opt_iml_in_its_style(data_dir):
    by_name = {definition.name: definition for definition in opt_iml.SUITES}
    suite = Suite(by_name['opt_iml_validation_generated'], data_dir)
    suite.check('direct', 5)
    task = suite.task('reasoning_strategyqa')
    assert len(task.questions) <= opt_iml.PROMPTS
    assert {'rougeL', 'exact_match'} < set(task.metrics)
    prompt = task.prompt(task.questions[0], 'direct', 5)
    assert prompt.count('\n\n\n') >= 5
    assert prompt != task.prompt(task.questions[1], 'direct', 5)
    assert set(suite.tasks) | set(suite.missing) == set(suite.definition.chances)
    described = bench_descriptions()
    assert set(suite.definition.chances) <= set(described)
    ranked = by_name['opt_iml_validation_rank'].chances
    assert set(ranked) | set(suite.definition.chances) == set(described)


# ---- UnifiedSKG


@pytest.fixture(scope='module')
def skg(tmp_path_factory):
    folder = tmp_path_factory.mktemp('skg')
    load('opt_iml_unifiedskg_samples').write_samples(folder)
    return folder / 'unifiedskg'


@pytest.mark.parametrize('definition', structured.SUITES, ids=lambda d: d.name)
def test_right_answers_score_100(skg, definition):
    suite = Suite(definition, skg)
    suite.check('direct', 2)
    (task,) = suite.tasks.values()
    said = {q.index: q.answers[0] for q in task.questions}
    scores = score_predictions(task, 'direct', 0, said)
    assert set(scores.values.values()) == {(1.0,) * len(task.metrics)}
    assert definition.protocols['direct'].metric in task.metrics


def test_darts_bleu_pools_the_sentences_of_one_set_of_triples(tmp_path):
    folder = tmp_path / 'dart'
    folder.mkdir()
    sentences = ('Oslo has ten bridges in all', 'There are ten bridges in Oslo today')
    (folder / 'test.jsonl').write_text(
        '\n'.join(
            json.dumps({'text_in': '', 'struct_in': 'Oslo : bridges : 10', 'seq_out': s})
            for s in sentences
        )
    )
    task = Suite(structured.SUITES[0], tmp_path).task('dart')
    rows = task.corpus_rows(
        {0: Output(sentences[1]), 1: Output(sentences[0])},
        suite='dart',
        protocol='direct',
        shots=0,
        checkpoint='c',
    )
    assert [(row.metric, round(row.value), row.n) for row in rows] == [('bleu', 100, 2)]


def test_queries_compare_without_case_spaces_and_kinds_of_quotes():
    same = normalize_query('select count(*) from t where name = "Al B" and n>3 ;')
    assert normalize_query("SELECT COUNT ( * ) FROM t WHERE name='Al B'  AND n > 3") == same
    assert normalize_query('select count(*) from t where name = "al b" and n>3') != same
    assert normalize_query("select 'a b' from t") != normalize_query("select 'a  b' from t")


SHIPS = {
    'db_id': 'ships',
    'table_names_original': ['Ship'],
    'column_names_original': [[-1, '*'], [0, 'Name'], [0, 'Tons']],
    'foreign_keys': [],
}


@pytest.fixture
def spider(tmp_path):
    folder = tmp_path / 'spider'
    folder.mkdir()
    queries = [
        "select name, tons from ship where tons > 5 and name like 'A'",
        'select name from ship',
        'select top 1 name from ship',
    ]
    (folder / 'dev.jsonl').write_text(
        '\n'.join(
            json.dumps(
                {'text_in': f'q{k}', 'struct_in': '| ships | ship : name , tons', 'seq_out': q}
            )
            for k, q in enumerate(queries)
        )
    )
    (folder / 'tables.json').write_text(json.dumps([SHIPS]))
    return tmp_path


def test_spiders_exact_set_match_where_its_tables_are(spider, caplog):
    task = Suite(structured.SUITES[1], spider).task('spider')
    assert task.metrics == ('exact_match', 'exact_set_match')
    said = {
        0: "SELECT tons, name FROM ship WHERE name LIKE 'B' AND tons > 7",
        1: 'Ships have names.',
        2: 'SELECT TOP 1 name FROM ship',
    }
    scores = score_predictions(task, 'direct', 0, said)
    assert scores.values == {0: (0, 1), 1: (0, 0), 2: (1, 1)}
    assert scores.unparsable == (1,)
    assert (
        '1 queries of the file cannot be parsed, and are compared as text: spider-2' in caplog.text
    )
    scores = score_predictions(
        task, 'direct', 0, {1: 'select name from ship limit 1', 2: 'select name from ship'}
    )
    assert set(scores.values.values()) == {(0, 0)}
    assert scores.unparsable == ()


def test_spider_without_its_tables_has_only_the_text(spider, caplog):
    (spider / 'spider' / 'tables.json').unlink()
    task = Suite(structured.SUITES[1], spider).task('spider')
    assert task.metrics == ('exact_match',)
    assert 'tables.json, so that exact_set_match is not scored' in caplog.text
    scores = score_predictions(task, 'direct', 0, {1: 'Ships have names.'})
    assert scores.values == {1: (0,)}
    assert scores.unparsable == ()


def test_spiders_data_bases_that_are_not_in_its_tables_are_named(spider):
    (spider / 'spider' / 'tables.json').write_text(json.dumps([SHIPS | {'db_id': 'boats'}]))
    with pytest.raises(UserError, match="spider-0: tables.json has no data base 'ships'"):
        Suite(structured.SUITES[1], spider).check()


def test_slots_compare_as_a_set():
    assert slots('hotel area west,  Hotel stars 4') == slots('hotel stars 4, hotel area west')
    assert slots('none') == slots('') == frozenset()


def test_bad_rows_of_unifiedskg_are_named(tmp_path):
    (tmp_path / 'spider').mkdir()
    path = tmp_path / 'spider' / 'dev.jsonl'
    path.write_text('{"text_in": "q", "struct_in": "s", "seq_out": "select 1"}\n{"text_in": "q"}\n')
    with pytest.raises(UserError, match='dev.jsonl:2: '):
        Suite(structured.SUITES[1], tmp_path).check()


def test_suites_name_protocols_that_exist():
    for module in (natural_instructions, t0, flan2021, opt_iml, structured):
        for definition in module.SUITES:
            assert set(definition.protocols) <= set(PROTOCOLS)
            for group in definition.groups.values():
                assert set(group) <= set(definition.chances)
