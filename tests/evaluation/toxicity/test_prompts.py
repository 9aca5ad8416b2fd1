"""RealToxicityPrompts: the publisher's file, continuations, both figures, and a run that goes on."""

import dataclasses
import json

import jax
import pytest

from flan_tune.data.config import open_tokenizer
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.journal import Journal
from flan_tune.evaluation.sampled import Sampling
from flan_tune.evaluation.scores import ScoreTable
from flan_tune.evaluation.toxicity.prompts import (
    SAMPLING,
    RealToxicityPrompts,
    ToxicityPrompt,
    evaluate_toxicity,
    read_prompts,
    toxicity_report,
    toxicity_scores,
    write_continuations,
)
from flan_tune.evaluation.toxicity.scorers import RecordedScorer, Scored
from flan_tune.models.functional import FunctionalModel
from flan_tune.models.t5 import T5Config
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout

THREE = Sampling(samples=3, temperature=1.0, top_k=40, max_new_tokens=8)


@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    cut: int = 0


class Model:
    """Goes on with 'PROMPT/SAMPLE'; keeps its options."""

    def __init__(self):
        self.asked = []

    def generate(self, prompts, **options):
        self.options = options
        self.asked += prompts
        return [[Answer(f'{p}/{i}') for i in range(options['samples'])] for p in prompts]


class Rule:
    """Scores a continuation by `scores[text]`; stops before `stops_at`."""

    kept = True

    def __init__(self, scores, stops_at=None, name='rule'):
        self.scores, self.stops_at, self.name, self.asked = scores, stops_at, name, []

    def score(self, texts):
        for index, text in enumerate(texts):
            if text == self.stops_at:
                raise RunError('the scorer is down')
            self.asked.append(text)
            score = self.scores[text]
            yield index, Scored(score, '' if score is not None else 'refused')


def record(text, toxicity, challenging=False):
    """A line as the publisher writes it."""
    return {
        'filename': '0766186-bc7f2a64cb271f5f56cf6f25570cd9ed.txt', 'begin': 340, 'end': 564,
        'challenging': challenging,
        'prompt': {'text': text, 'toxicity': toxicity, 'profanity': 0.1},
        'continuation': {'text': ' and so on', 'toxicity': 0.2},
    }  # fmt: skip


def write(path, records):
    path.write_text('\n'.join(map(json.dumps, records)) + '\n')
    return path


def test_the_publishers_file(tmp_path, monkeypatch):
    folder = tmp_path / 'real_toxicity_prompts'
    folder.mkdir()
    rows = [record('a', 0.5), record('b', 0.4999, True), record('c', None)]
    write(folder / 'prompts.jsonl', rows)
    monkeypatch.setenv('FLAN_TUNE_DATA_DIR', str(tmp_path))
    prompts = read_prompts()
    assert prompts == [
        ToxicityPrompt('0', 'a', 0.5),
        ToxicityPrompt('1', 'b', 0.4999, True),
        ToxicityPrompt('2', 'c', None),
    ]
    assert [prompt.group for prompt in prompts] == ['toxic', 'nontoxic', None]


def test_a_draw_of_prompts_is_a_function_of_the_seed(tmp_path):
    path = write(tmp_path / 'p.jsonl', [record(f't{i}', 0.1) for i in range(50)])
    drawn = read_prompts(path, most=10)
    ids = [int(prompt.id) for prompt in drawn]
    assert len(set(ids)) == 10 and ids == sorted(ids) and ids != list(range(10))
    assert drawn == read_prompts(path, most=10) != read_prompts(path, most=10, seed=1)
    assert len(read_prompts(path, most=None)) == len(read_prompts(path, most=99)) == 50


def test_lines_that_cannot_be_used(tmp_path):
    bad = [
        {},
        {'prompt': 'text'},
        record(' ', 0.1),
        record('x', 1.5),
        record('x', 'high'),
        record('x', float('nan')),
    ]
    path = write(tmp_path / 'p.jsonl', [record('good', 0.1), *bad, record('too', 0.2)])
    with pytest.raises(UserError) as raised:
        read_prompts(path)
    for line in range(2, 8):
        assert f'{path}:{line}: ' in str(raised.value)
    assert [p.id for p in read_prompts(path, on_bad_record='skip')] == ['0', '7']
    with pytest.raises(UserError, match='no record that can be used'):
        read_prompts(write(path, bad), on_bad_record='skip')


def test_the_papers_sampling(tmp_path):
    model = Model()
    rows = write_continuations(model, [ToxicityPrompt('4', 'p', 0.9, True)], tmp_path / 'c.jsonl')
    assert (SAMPLING.samples, SAMPLING.top_k, SAMPLING.temperature) == (25, 40, 1.0)
    assert (model.options['samples'], model.options['top_k'], model.options['temperature']) == (
        25,
        40,
        1,
    )
    (row,) = rows
    assert row['continuations'] == [f'p/{i}' for i in range(25)]
    assert (row['id'], row['inputs'], row['toxicity'], row['challenging']) == ('4', 'p', 0.9, True)


def rows_of(groups: dict[str, tuple[float | None, list[float | None]]]):
    """Rows and scores from prompt -> (its toxicity, scores of its continuations)."""
    rows, scored = [], {}
    for prompt, (toxicity, scores) in groups.items():
        texts = [f'{prompt}/{i}' for i in range(len(scores))]
        rows.append({'id': prompt, 'continuations': texts, 'toxicity': toxicity})
        scored |= {
            text: Scored(score, '' if score is not None else 'refused')
            for text, score in zip(texts, scores, strict=True)
        }
    return rows, scored


def test_both_figures_by_hand():
    rows, scored = rows_of(
        {
            'a': (0.8, [0.1, 0.9, 0.3]),
            'b': (0.5, [0.2, 0.5, 0.4]),
            'c': (0.1, [0.49, 0.0, 0.0]),
            'd': (None, [0.7, 0.6, 0.1]),
        }
    )
    report = toxicity_report(rows, scored)
    figures = {
        name: (
            group['n'],
            *(group[m]['value'] for m in ('expected_maximum_toxicity', 'toxicity_probability')),
        )
        for name, group in report['groups'].items()
    }
    assert figures['toxic'] == (2, pytest.approx((0.9 + 0.5) / 2), 1.0)
    assert figures['nontoxic'] == (1, 0.49, 0.0)
    assert figures['all'] == (4, pytest.approx((0.9 + 0.5 + 0.49 + 0.7) / 4), 0.75)
    assert report['without_toxicity'] == 1 and not report['partial']
    both = report['groups']['all']['expected_maximum_toxicity']
    assert 0.49 <= both['low'] < both['value'] < both['high'] <= 0.9
    assert report == toxicity_report(rows, scored)


def test_what_has_no_score_is_counted_and_never_a_zero():
    rows, scored = rows_of(
        {'a': (0.8, [None, 0.9]), 'b': (0.8, [None, None]), 'c': (0.1, [0.2, 0.4])}
    )
    rows[2]['continuations'].append('')
    scored[''] = Scored(None, 'blank')
    report = toxicity_report(rows, scored)
    toxic = report['groups']['toxic']
    assert (toxic['n'], toxic['unscored'], toxic['incomplete']) == (1, 1, 1)
    assert toxic['expected_maximum_toxicity']['value'] == 0.9
    assert (report['continuations'], report['blank'], report['unscored']) == (7, 1, 3)
    assert report['why'] == {'refused': 3} and report['partial']


def test_groups_without_prompts_have_no_figures_and_no_rows():
    rows, scored = rows_of({'a': (0.8, [0.25]), 'b': (0.1, [None])})
    report = toxicity_report(rows, scored)
    assert report['groups']['nontoxic']['expected_maximum_toxicity']['value'] is None
    table = toxicity_scores(report, 'after')
    assert [(s.task, s.metric, s.value, s.n) for s in table] == [
        ('all', 'expected_maximum_toxicity', 25, 1), ('all', 'toxicity_probability', 0, 1),
        ('toxic', 'expected_maximum_toxicity', 25, 1), ('toxic', 'toxicity_probability', 0, 1),
    ]  # fmt: skip
    assert {(s.suite, s.protocol, s.checkpoint) for s in table} == {
        ('real_toxicity_prompts', 'generation', 'after')
    }


PROMPTS = [ToxicityPrompt(str(i), f'p{i}', i / 4) for i in range(4)]
SCORES = {f'p{i}/{j}': (i + j) / 10 for i in range(4) for j in range(3)}


def test_a_run_goes_on_in_both_stages_and_is_the_same(tmp_path):
    model, seen = Model(), []
    with pytest.raises(RunError, match='down'):
        evaluate_toxicity(model, PROMPTS, Rule(SCORES, stops_at='p2/1'), tmp_path, sampling=THREE)
    assert not (tmp_path / 'toxicity.json').exists()
    rule = Rule(SCORES)
    report = evaluate_toxicity(
        model, PROMPTS, rule, tmp_path, sampling=THREE, progress=lambda *at: seen.append(at)
    )
    assert model.asked == [prompt.text for prompt in PROMPTS]  # Once.
    assert rule.asked == list(SCORES)[7:]
    assert seen[-1] == ('scored', 12, 12)
    assert report['groups']['all']['expected_maximum_toxicity']['value'] == pytest.approx(0.35)
    assert report['groups']['toxic']['toxicity_probability']['value'] == 0.5
    assert json.loads((tmp_path / 'toxicity.json').read_text()) == report
    whole = evaluate_toxicity(Model(), PROMPTS, Rule(SCORES), tmp_path / 'new', sampling=THREE)
    assert whole == report
    # What was kept scores again without the scorer.
    recorded = RecordedScorer(tmp_path / 'toxicity_scores.jsonl')
    again = evaluate_toxicity(model, PROMPTS, recorded, tmp_path, sampling=THREE)
    assert again['groups'] == report['groups']
    with pytest.raises(UserError, match="scores of 'rule', not of 'other'"):
        evaluate_toxicity(model, PROMPTS, Rule(SCORES, name='other'), tmp_path, sampling=THREE)
    with pytest.raises(UserError, match='was drawn with'):
        evaluate_toxicity(model, PROMPTS, rule, tmp_path)


def test_the_work_of_sample_puts_its_figures_into_the_table(tmp_path):
    path = tmp_path / 'prompts.jsonl'
    path.write_text(''.join(json.dumps(record(f'p{i}', i / 4)) + '\n' for i in range(4)))
    work = RealToxicityPrompts(
        scorer='local',
        prompts=str(path),
        scorer_options={'function': lambda texts: [SCORES[text] for text in texts]},
        samples=3,
    )
    assert work.plan()['inputs'] == 4
    for _ in range(2):  # The second goes on where all is done.
        report = work.run(Model(), tmp_path / 'run', 0)
    table = ScoreTable.read(tmp_path / 'run' / 'scores.json')
    assert set(table) == set(toxicity_scores(report, 'after'))
    assert len(table) == 6


def test_a_real_model_is_asked_as_it_wants(tmp_path):
    """The mini model, with random parameters, through TextModel."""
    tokenizer = open_tokenizer('mini')
    config = T5Config(
        vocab_size=1536, emb_dim=16, num_heads=2, head_dim=8, num_encoder_layers=1,
        num_decoder_layers=1, mlp_dim=32, mlp_activations=('gelu', 'linear'), dtype='float32',
    )  # fmt: skip
    model, layout = FunctionalModel(config), Layout(make_mesh(None, jax.devices()[:1]))
    text_model = TextModel(
        model, model.init(0, layout), layout, tokenizer, max_input_tokens=16, batch_size=4
    )
    rows = write_continuations(
        text_model, PROMPTS[:2], tmp_path / 'c.jsonl', sampling=Sampling(3, 1.0, 40, 4)
    )
    assert [len(row['continuations']) for row in rows] == [3, 3]
    assert Journal(tmp_path / 'c.jsonl').rows() == rows
