"""The predictions of a run of ours, scored again without a model: the same rows, whatever the folder holds beside them."""

import dataclasses
import json

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.recorded.files import Setting
from flan_tune.evaluation.recorded.scoring import RECORDED, all_recorded_scores, recorded_scores
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.suites.definition import open_suite
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.reporting.run_folder import RunFolder


@dataclasses.dataclass
class Likely:
    log_likelihood: float
    num_tokens: int = 2
    num_characters: int = 3
    cut: int = 0


@dataclasses.dataclass
class Written:
    text: str
    log_prob: float = -1.0
    ended: bool = True
    cut: int = 0


class FakeModel:
    """Its answers follow from the lengths of what it reads, and from `bias`."""

    max_prompt_tokens = None

    def __init__(self, bias=0):
        self.bias = bias

    def count_tokens(self, text):
        return len(text.split())

    def generate(self, prompts, *, samples=1, **options):
        texts = ('So 2.', 'So 3.', 'Hm.')
        return [
            [Written(texts[(len(p) + s + self.bias) % 3]) for s in range(samples)] for p in prompts
        ]

    def rank(self, prompts, choices, **options):
        return [
            [Likely(-(len(p) * (k + 2) + self.bias) % 7 - 0.1234567) for k in range(len(some))]
            for p, some in zip(prompts, choices, strict=True)
        ]


@pytest.fixture
def data(tmp_path):
    comments = tmp_path / 'civil_comments'
    comments.mkdir()
    rows = [f'{"x" * k},{(k % 3) / 2}' for k in range(1, 12)]
    (comments / 'test_public_expanded.csv').write_text('comment_text,toxicity\n' + '\n'.join(rows))
    (tmp_path / 'gsm8k').mkdir()
    lines = [{'question': 'q' * n, 'answer': f'It is {n}.\n#### {n}'} for n in range(1, 7)]
    (tmp_path / 'gsm8k' / 'test.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path


@pytest.fixture
def run(data):
    """A run with two suites, two checkpoints, two ways to rank, and chains; with the rows that it has written."""
    folder = RunFolder(str(data / 'run'))
    comments, sums = (open_suite(name, data / name) for name in ('civil_comments', 'gsm8k'))
    for checkpoint, bias in (('before', 1), ('after', 0)):
        model = FakeModel(bias)
        run_suite(comments, 'rank', 0, model, folder, checkpoint)
        run_suite(comments, 'rank', 0, model, folder, checkpoint, rank_by='token')
        run_suite(sums, 'cot', 0, model, folder, checkpoint)
        run_suite(sums, 'cot', 0, model, folder, checkpoint, chains=4)
    other = {'checkpoint': 'after', 'protocol': 'direct', 'task': 'towns', 'index': 0, 'said': 'x'}
    other = json.dumps(other | {'prediction': 'x', 'correct': False})
    (folder.path / 'predictions' / 'towns.jsonl').write_text(other + '\n')
    return data / 'run', ScoreTable.read(folder.path / 'scores.json')


@pytest.mark.parametrize('inner', ['', 'predictions'])
@pytest.mark.parametrize('suite', ['civil_comments', 'gsm8k'])
def test_the_folder_of_a_run_gives_its_scores_again(data, run, suite, inner):
    folder, table = run
    opened = open_suite(suite, data / suite)
    for checkpoint, mark in (('after', ''), ('before', '@before')):
        found = all_recorded_scores(opened, [], None, f'{folder / inner}{mark}', default=None)
        rows = [row for scores in found for row in scores.table()]
        assert rows == list(table.select(suite=suite, checkpoint=checkpoint))
        assert len(rows) == {'civil_comments': 4, 'gsm8k': 2}[suite]


def test_one_setting_of_several(data, run):
    folder, table = run
    opened = open_suite('gsm8k', data / 'gsm8k')
    for name in ('cot', 'cot_4_chains'):
        scores = recorded_scores(opened, name, None, folder)
        assert scores.table() == table.select(suite='gsm8k', protocol=name, checkpoint='after')
        assert scores.report()['protocol'] == name
    one = folder / 'predictions' / 'gsm8k.gsm8k.jsonl'
    assert len(all_recorded_scores(opened, ['cot'], 0, one, default=None)) == 2
    with pytest.raises(UserError, match='the files have cot 0-shot of before, cot_4_chains 0-shot'):
        recorded_scores(opened, 'cot', 8, folder)
    with pytest.raises(UserError, match='no such predictions'):
        recorded_scores(opened, 'cot', 0, f'{folder}@step_9')
    comments = open_suite('civil_comments', data / 'civil_comments')
    with pytest.raises(UserError, match=r"no task 'gsm8k\.gsm8k' in suite 'civil_comments'"):
        recorded_scores(comments, 'rank', 0, one)


def test_our_names_of_files_serve_any_system(data):
    path = data / 'theirs' / 'gsm8k.gsm8k.jsonl'
    path.parent.mkdir()
    path.write_text('{"index": 0, "prediction": "So 1.", "protocol": "theirs", "shots": 9}\n')
    opened = open_suite('gsm8k', data / 'gsm8k')
    scores = recorded_scores(opened, 'cot', None, path.parent)
    assert [(s.protocol, s.shots, s.value, s.n) for s in scores.table()] == [('cot', 8, 100.0, 1)]
    with pytest.raises(UserError, match='by which one --protocol: cot'):
        all_recorded_scores(opened, [], None, path, default=None)
    with pytest.raises(UserError, match="no checkpoint 'after': these are no predictions of a run"):
        recorded_scores(opened, 'cot', None, f'{path}@after')
    default = Setting('cot', 0, RECORDED)
    (path.parent / 'bbh.snarks.jsonl').write_text('{}\n')
    (found,) = all_recorded_scores(opened, [], None, path.parent, default=default)
    assert found.shots == 0
