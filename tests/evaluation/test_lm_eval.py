"""The adapter of lm-evaluation-harness: what it answers, and that its scores are ours, example by example."""

import dataclasses
import hashlib
import json
import pathlib
import sys
import types

import pytest

from flan_tune import configuration
from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError
from flan_tune.evaluation import lm_eval as adapter
from flan_tune.evaluation.files import read_csv
from flan_tune.evaluation.suites.definition import open_suite
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.interchange.configured import configured_model
from flan_tune.reporting.run_folder import RunFolder

VOCABULARY = pathlib.Path(__file__).parents[2] / 'tasks' / 'mini' / 'vocabulary.model'


@dataclasses.dataclass
class Written:
    text: str
    log_prob: float = -1.0
    ended: bool = True
    cut: int = 0


@dataclasses.dataclass
class Likely:
    log_likelihood: float
    num_tokens: int
    num_characters: int
    cut: int = 0


def number(*texts: str) -> int:
    return hashlib.blake2b('\n'.join(texts).encode(), digest_size=4).digest()[0]


class FakeTextModel:
    """Writes what it is told to, and finds texts as likely as a digest of prompt and choice says."""

    def __init__(self, answers=lambda prompt: '', max_prompt_tokens=4096):
        self.answers = answers
        self.max_prompt_tokens = max_prompt_tokens
        self.calls = []

    def count_tokens(self, text):
        return len(text.split())

    def generate(self, prompts, **options):
        self.calls.append((list(prompts), options))
        return [[Written(self.answers(prompt))] for prompt in prompts]

    def rank(self, prompts, choices, *, separator=' ', choices_end=None, progress=None):
        self.calls.append((list(prompts), {'separator': separator, 'choices_end': choices_end}))
        return [
            [
                Likely(-number(prompt, separator, text) / 8, len(text.split()), len(text))
                for text in texts
            ]
            for prompt, texts in zip(prompts, choices, strict=True)
        ]


def request(*args):
    return types.SimpleNamespace(args=args)


def requests(model, **settings):
    return adapter.HarnessRequests(model, **settings)


def test_continuations_of_a_context_are_ranked_together_and_come_back_in_order():
    model = FakeTextModel()
    asked = [('Q: 1\nA:', ' A'), ('Q: 2\nA:', ' A'), ('Q: 1\nA:', ' B'), ('Q: 1\nA:', ' A')]
    found = requests(model).loglikelihood([request(*pair) for pair in asked])
    expected = [-number(context, ' ', text.strip()) / 8 for context, text in asked]
    assert [value for value, _ in found] == expected
    (prompts, options), _ = model.calls
    assert prompts == ['Q: 1\nA:', 'Q: 2\nA:']
    assert options == {'separator': ' ', 'choices_end': False}


def test_spaces_behind_a_context_go_to_its_continuation():
    model = FakeTextModel()
    asked = [('Answer: ', 'A'), ('Answer:', 'A'), ('Answer:\n', 'A')]
    found = requests(model).loglikelihood([request(*pair) for pair in asked])
    assert [value for value, _ in found] == [
        -number('Answer:', ' ', 'A') / 8,
        -number('Answer:', '', 'A') / 8,
        -number('Answer:', '', '\nA') / 8,
    ]


def test_lone_continuations_are_compared_with_greedy_decoding():
    model = FakeTextModel({'one': 'red fox', 'two': 'red fox', 'three': 'hat'}.get)
    asked = [
        ('one', ' red fox'),
        ('two', ' red'),
        ('three', ' hat'),
        ('four', ' a'),
        ('four', ' b'),
    ]
    model.answers = lambda prompt: {'one': ' red fox', 'two': 'fox', 'three': 'hat'}[prompt]
    found = requests(model).loglikelihood([request(*pair) for pair in asked])
    assert [greedy for _, greedy in found] == [True, False, True, False, False]
    limits = {tuple(prompts): options for prompts, options in model.calls[1:]}
    assert limits == {('one',): {'max_new_tokens': 2}, ('two', 'three'): {'max_new_tokens': 1}}


def test_long_texts_are_taken_in_parts_of_which_each_is_predicted_once():
    model = FakeTextModel(max_prompt_tokens=8)
    text = 'a b c d e f\ng  h i j '
    ranked = []

    def rank(prompts, choices, *, separator, **_):
        ranked.extend(
            (prompt, separator + choice)
            for prompt, texts in zip(prompts, choices, strict=True)
            for choice in texts
        )
        return [[Likely(-1.0, len(c.split()), len(c)) for c in texts] for texts in choices]

    model.rank = rank
    values = requests(model).loglikelihood_rolling([request(text), request('a b'), request('')])
    parts = ['a b c d', ' e f\ng  h', ' i j ']
    assert set(ranked) == {('', parts[0]), (parts[0], parts[1]), (parts[1], parts[2]), ('', 'a b')}
    assert values == [-3.0, -1.0, 0.0]


def test_generations_end_where_a_task_says():
    model = FakeTextModel(lambda prompt: f'{prompt} 4\n\nQ: next')
    greedy = {'until': ['</s>', 'Q', '\n\n'], 'do_sample': False, 'temperature': 0.0}
    asked = [
        ('one', greedy),
        ('two', {'until': '4'}),
        ('three', {'max_gen_toks': 7, 'until': []}),
        ('four', {'do_sample': True, 'temperature': 0.7, 'top_p': 0.9, 'max_new_tokens': 7}),
    ]
    texts = requests(model, max_gen_toks=32).generate_until([request(*one) for one in asked])
    assert texts == ['one 4', 'two ', 'three 4\n\nQ: next', 'four 4\n\nQ: next']
    assert model.calls == [
        (['one', 'two'], {'max_new_tokens': 32, 'seed': 0}),
        (['three'], {'max_new_tokens': 7, 'seed': 0}),
        (
            ['four'],
            {'max_new_tokens': 7, 'seed': 0, 'temperature': 0.7, 'top_k': 0, 'top_p': 0.9},
        ),
    ]


def test_what_names_no_model_is_answered_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r'neither a run of ours .*gin_file=models/'):
        adapter.open_text_model(str(tmp_path))


def test_a_run_names_its_own_model_and_vocabulary(tmp_path):
    bindings = [f'MODEL_DIR={tmp_path}', 'T5Config.emb_dim=64']
    configuration.load('train', ['runs/quickstart.gin'], bindings).write(str(tmp_path))
    for checkpoint in (tmp_path, tmp_path / 'checkpoints' / '3600'):
        model, vocabulary = configured_model(str(checkpoint), [])
        assert (model.emb_dim, vocabulary) == (64, 'mini')
    model, vocabulary = configured_model(str(tmp_path), ['models/mini/tiny.gin'])
    assert (model.emb_dim, vocabulary) == (16, 'mini')


def test_a_hugging_face_folder_names_its_own_model_and_vocabulary():
    folder = pathlib.Path(__file__).parent / 'goldens' / 'lm_eval' / 'opt'
    model, vocabulary = configured_model(str(folder), [])
    assert (type(model).__name__, model.emb_dim, vocabulary) == ('OPTConfig', 16, str(folder))


def test_a_checkpoint_without_the_harness_is_answered_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'lm_eval', None)
    adapter.model_class.cache_clear()
    with pytest.raises(UserError, match=r'pip install "flan_tune\[lm_eval\]"'):
        adapter.model_class()


# -- with the harness


@pytest.fixture
def harness(monkeypatch, tmp_path):
    """Runs a task of the harness, written as YAML, and returns its samples."""
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('HF_DATASETS_CACHE', str(tmp_path / 'cache'))
    lm_eval = pytest.importorskip('lm_eval', reason='lm-evaluation-harness ([lm_eval]) is absent')
    from lm_eval.tasks import TaskManager

    def run(task: dict, text_model, **settings):
        folder = tmp_path / 'harness'
        folder.mkdir(exist_ok=True)
        (folder / f'{task["task"]}.yaml').write_text(json.dumps(task))
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        results = lm_eval.simple_evaluate(
            model=adapter.model_class()(text_model=text_model, **settings),
            tasks=[task['task']],
            task_manager=manager,
            bootstrap_iters=0,
        )
        samples = results['samples'][task['task']]
        return sorted(samples, key=lambda sample: sample['doc_id'])

    run.tasks = pathlib.Path(lm_eval.__file__).parent / 'tasks'
    return run


def jsonl(path: pathlib.Path, rows: list[dict]) -> str:
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return str(path)


def ours(
    suite: str, task: str, protocol: str, model, folder: pathlib.Path, count: int
) -> list[dict]:
    """Returns the lines that our own evaluation writes of a task's first questions."""
    opened = open_suite(suite)
    opened.tasks = {task: opened.task(task)}
    run_suite(opened, protocol, None, model, RunFolder(str(folder)), 'now', max_examples=count)
    lines = (folder / 'predictions' / f'{suite}.{task}.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_harness_runs_a_task_of_its_own(harness, tmp_path):
    rows = [{'q': f'{n}', 'a': str(number(str(n)) % 2)} for n in range(6)]
    task = {
        'task': 'local_digits',
        'dataset_path': 'json',
        'dataset_kwargs': {'data_files': {'test': jsonl(tmp_path / 'digits.jsonl', rows)}},
        'test_split': 'test',
        'output_type': 'generate_until',
        'doc_to_text': 'Q: {{q}}\nA:',
        'doc_to_target': '{{a}}',
        'generation_kwargs': {'until': ['\n'], 'do_sample': False},
        'metric_list': [{'metric': 'exact_match', 'aggregation': 'mean', 'higher_is_better': True}],
    }
    samples = harness(task, FakeTextModel(lambda prompt: '1\nQ: 7'))
    assert [sample['exact_match'] for sample in samples] == [float(row['a']) for row in rows]


@pytest.mark.parametrize('protocol', ['direct', 'cot'])
def test_scores_of_bbh_equal_the_harness(harness, data_dir, tmp_path, protocol):
    name, count = 'causal_judgement', 40
    suite = open_suite('bbh').task(name)
    questions = suite.questions[:count]
    rows = [{'input': q.fields['input'], 'target': q.answers[0]} for q in questions]

    def answer(prompt):
        """Yes or no, with or without a question of its own behind it, as a digest of the question says."""
        asked = prompt.rsplit('Q: ', 1)[1]
        said = ('Yes', 'No')[number(asked) % 2]
        if protocol == 'cot':
            said = f'It was so. So the answer is {said}.'
        return said + ('', '\n\nQ: Why?')[number(asked) // 2 % 2]

    part = {'direct': 'fewshot', 'cot': 'cot_fewshot'}[protocol]
    task = {
        'task': f'local_bbh_{part}',
        'include': str(harness.tasks / 'bbh' / part / f'{name}.yaml'),
        'dataset_path': 'json',
        'dataset_name': None,
        'dataset_kwargs': {'data_files': {'test': jsonl(tmp_path / 'bbh.jsonl', rows)}},
    }
    if (
        protocol == 'cot'
    ):  # The harness has one more line end behind the last trigger than the authors.
        task['doc_to_text'] = "Q: {{input}}\nA: Let's think step by step."
        task['target_delimiter'] = '\n'
    samples = harness(task, FakeTextModel(answer))
    lines = ours('bbh', name, protocol, FakeTextModel(answer), tmp_path / 'ours', count)
    assert [sample['arguments'][0][0] for sample in samples] == [
        suite.prompt(question, protocol, 3) for question in questions
    ]
    scores = [sample['exact_match'] for sample in samples]
    assert scores == [line['scores']['exact_match'] for line in lines]
    assert 5 < sum(scores) < 35


def mmlu_task(subject: str, tests, data: pathlib.Path, folder: pathlib.Path, count: int) -> dict:
    """The harness's task over local files: its own template, with rows as its data set has them."""
    files = {}
    for split in ('test', 'dev'):
        table = [row for _, row in read_csv(data / 'data' / split / f'{subject}_{split}.csv')]
        rows = [
            {'question': row[0], 'choices': row[1:5], 'answer': 'ABCD'.index(row[5])}
            for row in table[: count if split == 'test' else None]
        ]
        files[split] = jsonl(folder / f'{split}.jsonl', rows)
    return {
        'task': f'local_mmlu_{subject}',
        'include': str(tests / 'mmlu' / 'default' / f'mmlu_{subject}.yaml'),
        'dataset_path': 'json',
        'dataset_name': None,
        'dataset_kwargs': {'data_files': files},
        'num_fewshot': 5,
    }


def test_scores_of_mmlu_equal_the_harness(harness, data_dir, tmp_path):
    subject, count = 'astronomy', 40
    task = mmlu_task(subject, harness.tasks, data_dir / 'mmlu', tmp_path, count)
    samples = harness(task, FakeTextModel())
    lines = ours('mmlu_harness', subject, 'rank', FakeTextModel(), tmp_path / 'ours', count)
    suite = open_suite('mmlu_harness').task(subject)
    assert [sample['arguments'][0][0] for sample in samples] == [
        suite.prompt(question, 'rank', 5) for question in suite.questions[:count]
    ]
    assert [sample['acc'] for sample in samples] == [line['scores']['accuracy'] for line in lines]
    assert 2 < sum(sample['acc'] for sample in samples) < 30


@pytest.mark.parametrize('architecture', ['decoder_only', 'encoder_decoder'])
def test_likelihoods_of_a_real_model_equal_the_harness(harness, data_dir, tmp_path, architecture):
    subject, count = 'astronomy', 6
    task = mmlu_task(subject, harness.tasks, data_dir / 'mmlu', tmp_path, count)
    model = real_model(architecture)
    ends = architecture == 'encoder_decoder'  # As our rank scoring has it.
    samples = harness(task | {'num_fewshot': 0}, model, choices_end=ends)
    suite = open_suite('mmlu_harness').task(subject)
    prompts = [suite.prompt(question, 'rank', 0) for question in suite.questions[:count]]
    ranked = model.rank(prompts, [suite.choices(q) for q in suite.questions[:count]])
    for sample, likelihoods in zip(samples, ranked, strict=True):
        found = [float(one[0][0]) for one in sample['resps']]
        assert found == pytest.approx([one.log_likelihood for one in likelihoods], abs=1e-5)


def real_model(architecture: str):
    from flan_tune.decoding.text_model import TextModel
    from flan_tune.models.functional import FunctionalModel
    from flan_tune.models.palm import PaLMConfig
    from flan_tune.models.t5 import T5Config
    from flan_tune.partitioning.mesh import make_mesh
    from flan_tune.partitioning.rules import Layout

    sizes = {'vocab_size': 1536, 'emb_dim': 16, 'num_heads': 2, 'head_dim': 8, 'mlp_dim': 32}
    config = (
        PaLMConfig(**sizes, num_layers=1)
        if architecture == 'decoder_only'
        else T5Config(**sizes, num_encoder_layers=1, num_decoder_layers=1)
    )
    model, layout = FunctionalModel(config), Layout(make_mesh({'data': -1}))
    return TextModel(
        model,
        model.init(0, layout),
        layout,
        Tokenizer(str(VOCABULARY)),
        max_input_tokens=512,
        batch_size=8,
    )
