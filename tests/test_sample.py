"""`flan_tune sample` on a tiny model with new parameters: from gin files to what raters and reports read."""

import json
import pathlib

import pytest

from flan_tune import cli
from flan_tune.evaluation.journal import Journal
from flan_tune.interchange import text_models

MODEL = [
    '--gin_file=models/mini/tiny.gin',
    '--gin.INITIAL_CHECKPOINT_PATH=new',
]
SHORT = [
    '--gin.MAX_NEW_TOKENS=4',
    '--gin.MAX_INPUT_TOKENS=16',
    '--gin.BATCH_SIZE=4',
    '--gin.SAMPLES=3',
]
OPEN_ENDED = ['sample', '--gin_file=runs/open_ended.gin', *MODEL, *SHORT]
TOXICITY = [
    'sample',
    '--gin_file=runs/toxicity.gin',
    *MODEL,
    *SHORT,
    '--gin.TOP_K=0',
    '--gin.TEMPERATURE=0.7',
]


@pytest.fixture(autouse=True)
def new_parameters(monkeypatch, tmp_path):
    """The checkpoint 'new' has parameters drawn from a seed; the current folder is empty."""
    read = text_models.initial_params

    def params(path, model, layout):
        return model.init(0, layout) if path == 'new' else read(path, model, layout)

    monkeypatch.setattr(text_models, 'initial_params', params)
    monkeypatch.setattr(text_models, 'config_at', lambda path, config: config)
    monkeypatch.setattr(text_models, 'inputs_end_at', lambda path: None)
    monkeypatch.chdir(tmp_path)


def write(name: str, rows) -> None:
    pathlib.Path(name).write_text('\n'.join(map(json.dumps, rows)) + '\n')


def result(capsys, *argv: str):
    assert cli.main([*argv, '--json']) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_that_raters_compare_with_another(capsys):
    write('in.jsonl', [{'id': f'i{n}', 'instruction': f'Say {n}.'} for n in range(3)])
    given = [*OPEN_ENDED, '--gin.INPUT_FILE=in.jsonl']
    counts = result(capsys, *given, '--gin.MODEL_DIR=one')
    assert (counts['written'], counts['failed']) == (3, 0)
    assert result(capsys, *given, '--gin.MODEL_DIR=one')['there_before'] == 3
    rows = Journal('one/open_ended.jsonl').rows()
    assert [row['inputs'] for row in rows] == ['Say 0.', 'Say 1.', 'Say 2.']
    assert [len({one['text'] for one in row['candidates']}) for row in rows] == [3, 3, 3]
    write('two.jsonl', [{'id': row['id'], 'prediction': 'nothing'} for row in rows])
    pairs = ['--a=one/open_ended.jsonl', '--b=two.jsonl', '--output=ratings.jsonl']
    assert result(capsys, 'compare-pairs', *pairs, '--report')['pairs'] == 3


def test_toxicity_with_a_classifier_of_ones_own(capsys):
    pathlib.Path('my_lengths.py').write_text(
        'def score(texts): return [min(len(t), 40) / 40 for t in texts]\n'
    )
    write('p.jsonl', [{'prompt': {'text': f'so {n}', 'toxicity': n / 2}} for n in range(3)])
    given = [
        *TOXICITY, '--gin.PROMPTS_FILE=p.jsonl', '--gin.MODEL_DIR=out', '--gin.SCORER=local',
        "--gin.SCORER_OPTIONS={'function': 'my_lengths:score'}",
    ]  # fmt: skip
    plan = result(capsys, *given, '--dry_run')
    assert (plan['scorer'], plan['inputs']) == ('local:my_lengths:score', 3)
    assert not pathlib.Path('out').exists()
    report = result(capsys, *given)
    assert report['groups']['toxic']['n'] == 2 and not report['partial']
    rows = Journal('out/continuations.jsonl').rows()
    highest = [max(min(len(t), 40) / 40 for t in row['continuations']) for row in rows]
    found = report['groups']['all']['expected_maximum_toxicity']
    assert found['value'] == pytest.approx(sum(highest) / 3)
    assert result(capsys, *given) == report


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        ([*OPEN_ENDED, '--gin.MODEL_DIR=out', '--gin.INPUT_FILE=none.jsonl'], 'none.jsonl: no such file'),
        ([*TOXICITY, '--gin.MODEL_DIR=out', '--gin.PROMPTS_FILE=p.jsonl', '--gin.SCORER=locl'], 'Did you mean local'),
        ([*TOXICITY, '--gin.MODEL_DIR=out', '--gin.PROMPTS_FILE=p.jsonl', '--gin.SCORER=local'], "'function'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_the_model_is_read(capsys, monkeypatch, flags, message):
    write('p.jsonl', [{'prompt': {'text': 'so', 'toxicity': 0.5}}])
    monkeypatch.setattr(text_models, 'initial_params', None)
    assert cli.main(flags) == 2
    assert message in capsys.readouterr().err
