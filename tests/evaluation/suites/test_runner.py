"""Suites run on a model that is a table of answers: what is asked, kept, resumed and refused."""

import dataclasses
import json
import math

import pytest

from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.averages.by_name import find_averages
from flan_tune.evaluation.compare import open_run
from flan_tune.evaluation.held_out import no_better, suite_runs
from flan_tune.evaluation.score_files import read_reports, read_table
from flan_tune.evaluation.suites.definition import (
    Protocol,
    Question,
    Suite,
    SuiteDefinition,
    open_suite,
)
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.evaluation.suites.settings import ranking_values
from flan_tune.evaluation.suites.whole_set import WholeSetTask
from flan_tune.reporting.run_folder import RunFolder

TASKS = {'navigate': ['Yes', 'No'], 'snarks': ['(A)', '(B)', '(A)', '(B)']}


@dataclasses.dataclass
class Written:
    text: str
    log_prob: float = -1.0
    num_tokens: int = 1
    ended: bool = True
    cut: int = 0


@dataclasses.dataclass
class Likely:
    log_likelihood: float
    num_tokens: int = 1
    num_characters: int = 1
    cut: int = 0


class FakeModel:
    """Answers with `answer(prompt, sample)`, likelihoods with `likelihood(prompt, choice)`; keeps what it was asked."""

    def __init__(
        self, answer=lambda prompt, sample: '(A)', likelihood=None, max_prompt_tokens=None
    ):
        self.answer, self.likelihood = answer, likelihood
        self.max_prompt_tokens = max_prompt_tokens
        self.asked, self.options = [], []

    def count_tokens(self, text):
        return len(text.split())

    def generate(self, prompts, *, samples=1, progress=None, **options):
        self.asked += prompts
        self.options.append(options | {'samples': samples})
        written = [[self.answer(prompt, sample) for sample in range(samples)] for prompt in prompts]
        progress(len(prompts) * samples, len(prompts) * samples)
        return [[w if isinstance(w, Written) else Written(w) for w in row] for row in written]

    def rank(self, prompts, choices, *, progress=None):
        self.asked += prompts
        return [
            [self.likelihood(prompt, choice) for choice in some]
            for prompt, some in zip(prompts, choices, strict=True)
        ]


@pytest.fixture
def bbh(tmp_path):
    """Two tasks of BBH with one exemplar each, made up."""
    folder = tmp_path / 'bbh'
    for name in ('tasks', 'cot-prompts'):
        (folder / name).mkdir(parents=True)
    for name, golds in TASKS.items():
        examples = [{'input': f'{name} {i}?', 'target': gold} for i, gold in enumerate(golds)]
        (folder / 'tasks' / f'{name}.json').write_text(json.dumps({'examples': examples}))
        prompt = f"canary\n-----\nSay it.\n\nQ: a?\nA: Let's think step by step.\nHm. So the answer is {golds[0]}."
        (folder / 'cot-prompts' / f'{name}.txt').write_text(prompt)
    return open_suite('bbh', folder)


@pytest.fixture
def mmlu(tmp_path):
    folder = tmp_path / 'mmlu'
    for split, rows in {'dev': ['q,1,2,3,4,B'], 'test': ['q0,1,2,3,4,A', 'q1,1,2,3,4,D']}.items():
        (folder / 'data' / split).mkdir(parents=True)
        (folder / 'data' / split / f'anatomy_{split}.csv').write_text('\n'.join(rows) + '\n')
    return open_suite('mmlu', folder)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(str(tmp_path / 'run'))


def lines(folder, task):
    text = (folder.path / 'predictions' / f'{task}.jsonl').read_text()
    return [json.loads(line) for line in text.split('\n') if line]


def test_answers_are_scored_and_kept(bbh, folder):
    model = FakeModel()
    table = run_suite(bbh, 'direct', 1, model, folder, 'after')
    assert [(s.task, s.shots, s.value, s.n) for s in table] == [
        ('navigate', 1, 0.0, 2),
        ('snarks', 1, 50.0, 4),
    ]
    assert model.asked[0] == 'Say it.\n\nQ: a?\nA: Yes\n\nQ: navigate 0?\nA:'
    assert model.options[0]['temperature'] == 0.0
    assert read_table(folder) == table
    row = lines(folder, 'bbh.snarks')[1]
    assert (row['index'], row['prediction'], row['answer'], row['correct']) == (
        1,
        '(A)',
        '(B)',
        False,
    )
    assert row['inputs'] == 'Say it.\n\nQ: snarks 1?\nA:'
    assert row['scores'] == {'exact_match': 0.0}
    (report,) = read_reports(folder)
    assert (
        report['value'] == 25.0 and report['partial'] and 'web_of_lies' in report['missing_tasks']
    )
    assert report['tasks']['snarks']['value'] == 50.0


def test_what_is_there_is_not_run_again_and_what_changed_is(bbh, folder):
    def again(**changes):
        model = FakeModel()
        given = {
            'protocol': 'direct',
            'shots': 1,
            'checkpoint': 'after',
            'parameters': 'x',
        } | changes
        names = (given.pop(name) for name in ('protocol', 'shots'))
        checkpoint = given.pop('checkpoint')
        run_suite(bbh, *names, model, folder, checkpoint, **given)
        return len(model.asked)

    assert again() == 6
    assert again() == 0
    path = folder.path / 'predictions' / 'bbh.snarks.jsonl'
    path.write_text('\n'.join(path.read_text().split('\n')[:3]))
    assert again() == 4  # Only the file that is not whole.
    assert again(parameters='y') == 6
    assert again(parameters='y', shots=0) == 6
    assert again(parameters='y') == 0  # Another number of shots is kept beside it.
    assert again(parameters='y', seed=1) == 6
    assert again(parameters='y', seed=1, max_examples=1) == 2
    assert again(parameters='y', seed=1, checkpoint='before') == 6
    assert {row['checkpoint'] for row in lines(folder, 'bbh.snarks')} == {'after', 'before'}
    (folder.path / 'scores.json').unlink()
    assert again(parameters='y', seed=1, checkpoint='before') == 0
    assert len(read_table(folder)) == 2  # The table comes again from the predictions.


def test_a_stop_loses_one_task_at_most(bbh, folder):
    def answer(prompt, sample):
        if 'snarks 2' in prompt:
            raise KeyboardInterrupt
        return 'Yes'

    with pytest.raises(KeyboardInterrupt):
        run_suite(bbh, 'direct', 1, FakeModel(answer), folder, 'after')
    assert [(s.task, s.value) for s in read_table(folder)] == [('navigate', 50.0)]
    model = FakeModel()
    table = run_suite(bbh, 'direct', 1, model, folder, 'after')
    assert len(model.asked) == 4 and len(table) == 2


def test_chains_vote_and_those_without_an_answer_are_counted(bbh, folder):
    texts = ['So the answer is (B).', 'The answer is (A).', 'Hm. So the answer is (A).', 'Hm.']

    def answer(prompt, sample):
        return 'Hm.' if 'navigate' in prompt.rsplit('Q: ', 1)[1] else texts[sample]

    model = FakeModel(answer)
    table = run_suite(bbh, 'cot', 1, model, folder, 'after', chains=4, temperature=0.5)
    assert {s.task: s.value for s in table} == {'navigate': 0.0, 'snarks': 50.0}
    assert model.options[0]['samples'] == 4 and model.options[0]['temperature'] == 0.5
    (report,) = read_reports(folder)
    assert report['tasks']['navigate']['unparsable'] == 2
    assert lines(folder, 'bbh.snarks')[0]['prediction'] == texts
    assert report['protocol'] == 'cot_4_chains'
    with pytest.raises(UserError, match='temperature 0'):
        run_suite(bbh, 'cot', 1, model, folder, 'after', chains=2, temperature=0.0)


def test_self_consistency_stands_beside_the_plain_run(bbh, folder):
    greedy = FakeModel(lambda prompt, sample: 'The answer is (A).')
    sampled = FakeModel(lambda prompt, sample: 'The answer is (B).')
    run_suite(bbh, 'cot', 1, greedy, folder, 'after')
    run_suite(bbh, 'cot', 1, sampled, folder, 'after', chains=3)
    run_suite(bbh, 'cot', 1, FakeModel(), folder, 'after')  # Both are kept, and not run again.
    names = ['cot', 'cot_3_chains']
    assert [(s.task, s.protocol) for s in read_table(folder)] == [
        (task, name) for name in names for task in TASKS
    ]
    assert {row['protocol'] for row in lines(folder, 'bbh.snarks')} == {*names}
    assert [report['protocol'] for report in read_reports(folder)] == names[::-1]
    averages = find_averages(read_table(folder))['averages']
    parts = {name: averages[name]['parts'][0]['protocol'] for name in averages if 'avera' in name}
    assert parts == {
        'normalized_average': 'cot',
        'normalized_average_3_chains': 'cot_3_chains',
        'cot_average': 'cot',
        'cot_average_3_chains': 'cot_3_chains',
    }
    assert {'bbh-cot-nlp', 'bbh-cot_3_chains-nlp'} < averages.keys()
    both = open_run(str(folder.path), ['bbh'], ['cot'])
    assert [setting[1] for setting in both.columns] == names
    assert [s[1] for s in open_run(str(folder.path), [], ['cot_3_chains']).columns] == names[1:]


def test_questions_of_the_models_own_are_no_part_of_its_answer(bbh, folder):
    model = FakeModel(lambda prompt, sample: ' (A)\n\nQ: snarks 9?\nA: (B)')
    table = run_suite(bbh, 'direct', 1, model, folder, 'after')
    assert {s.task: s.value for s in table}['snarks'] == 50.0
    # Without exemplars nothing says that a blank line ends an answer.
    run_suite(bbh, 'direct', 0, model, folder, 'after')
    assert lines(folder, 'bbh.snarks')[-1]['prediction'].endswith('A: (B)')


def test_exemplars_are_dropped_before_a_prompt_is_cut(bbh, folder):
    model = FakeModel(max_prompt_tokens=8)
    run_suite(bbh, 'direct', 1, model, folder, 'after')
    assert model.asked[0] == 'Say it.\n\nQ: navigate 0?\nA:'
    assert read_reports(folder)[0]['tasks']['snarks']['dropped_exemplars'] == 4
    model = FakeModel(max_prompt_tokens=100)
    run_suite(bbh, 'direct', 1, model, folder, 'b', max_positions=20, max_new_tokens=10)
    assert model.asked[0] == 'Say it.\n\nQ: navigate 0?\nA:'


@pytest.mark.parametrize(
    ('rank_by', 'chosen'),
    [('sum', '(A)'), ('token', '(B)'), ('character', '(C)'), ('unconditional', '(D)')],
)
def test_options_are_ranked_in_four_ways(mmlu, folder, rank_by, chosen):
    found = {
        '(A)': Likely(-1.0, 1, 1), '(B)': Likely(-2.0, 8, 2), '(C)': Likely(-3.0, 4, 99), '(D)': Likely(-4.0, 4, 4)
    }  # fmt: skip
    alone = {'(A)': -1.0, '(B)': -2.0, '(C)': -3.0, '(D)': -9.0}

    def likelihood(prompt, choice):
        return Likely(alone[choice]) if prompt == 'A:' else found[choice]

    model = FakeModel(likelihood=likelihood)
    table = run_suite(mmlu, 'rank', 1, model, folder, 'after', rank_by=rank_by)
    assert [(s.metric, s.value, s.n) for s in table] == [
        ('accuracy', 50.0 if chosen in ('(A)', '(D)') else 0.0, 2)
    ]
    assert [row['prediction'] for row in lines(folder, 'mmlu.anatomy')] == [chosen] * 2
    assert model.asked.count('A:') == (rank_by == 'unconditional')
    assert table.select(protocol='rank' if rank_by == 'sum' else f'rank_by_{rank_by}') == table
    with pytest.raises(UserError, match='rank_by'):
        run_suite(mmlu, 'rank', 1, model, folder, 'after', rank_by='mean')


def test_scores_that_are_not_finite_name_task_and_example(bbh, mmlu, folder):
    def answer(prompt, sample):
        return Written('(A)', math.nan if 'snarks 2' in prompt else -1.0)

    with pytest.raises(RunError, match=r'snarks: the score of example 2 \(snarks-2\) is nan'):
        run_suite(bbh, 'direct', 1, FakeModel(answer), folder, 'after')
    assert [s.task for s in read_table(folder)] == ['navigate']
    model = FakeModel(
        likelihood=lambda prompt, choice: Likely(math.nan if choice == '(C)' else -1.0)
    )
    with pytest.raises(RunError, match=r'anatomy: the score of example 0 \(anatomy-0\) is nan'):
        run_suite(mmlu, 'rank', 1, model, folder, 'after')
    with pytest.raises(UserError, match="'bbh' has no protocol 'rank'"):
        run_suite(bbh, 'rank', 1, FakeModel(), folder, 'after')


def test_what_files_lack_is_told_before_the_model_runs(bbh, folder):
    model = FakeModel()
    with pytest.raises(UserError, match='2 shots, but there are 1 exemplars'):
        run_suite(bbh, 'direct', 2, model, folder, 'after')
    (bbh.folder / 'tasks' / 'snarks.json').write_text('{"examples": [{"input": "q"}]}')
    suite = open_suite('bbh', bbh.folder)
    with pytest.raises(UserError, match=r'snarks.json: example 0'):
        run_suite(suite, 'direct', 1, model, folder, 'after')
    assert not model.asked


class Pair(WholeSetTask):
    """Two questions with two options, and a metric of the set that needs likelihoods."""

    metrics = ('accuracy',)
    corpus_metrics = ('margin',)

    def read(self):
        for index, answer in enumerate('ab'):
            yield Question(index, f'{self.name}-{index}', {}, (answer,), ('a', 'b'))

    def _prompt(self, question, protocol, shots):
        return f'{question.index}?'

    def _extract(self, text, protocol):
        return text.strip()

    def _score(self, question, answer):
        return [answer in question.answers]

    def corpus_score(self, outputs, protocol, shots):
        if protocol == 'rank':
            values = [output.log_likelihoods for output in outputs.values()]
            return {'margin': sum(a - b for a, b in values)}
        return {'margin': sum(output.text == ' b' for output in outputs.values())}


def test_metrics_of_a_whole_set_get_rows_too(folder, tmp_path):
    protocols = {'rank': Protocol(0, 'accuracy'), 'direct': Protocol(0, 'accuracy')}
    definition = SuiteDefinition('pairs', '', protocols, {'pair': 50.0}, lambda _: [Pair('pair')])
    suite = Suite(definition, tmp_path)
    model = FakeModel(likelihood=lambda prompt, choice: Likely(-1.0 if choice == 'a' else -3.0))
    table = run_suite(suite, 'rank', None, model, folder, 'after')
    assert {s.metric: s.value for s in table} == {'accuracy': 50.0, 'margin': 4.0}
    assert read_table(folder) == table
    # Of several chains, one that has the answer that counts.
    model = FakeModel(lambda prompt, sample: [' a', ' b', ' b'][sample])
    table = run_suite(suite, 'direct', None, model, folder, 'after', chains=3)
    assert {s.metric: s.value for s in table} == {'accuracy': 50.0, 'margin': 2.0}
    protocols['rank'] = Protocol(0, 'margin')
    with pytest.raises(UserError, match="'pairs' is the mean of 'margin', but task 'pair' has acc"):
        run_suite(suite, 'rank', None, model, folder, 'after')


def test_ranking_values_of_nothing_do_not_divide_by_zero():
    assert ranking_values([Likely(-1.0, 0, 0)], 'token') == [-1.0]
    assert ranking_values([Likely(-1.0, 0, 0)], 'character') == [-1.0]


def test_suites_are_paired_with_the_protocols_they_have(data_dir):
    runs = suite_runs(['bbh', 'tydiqa', 'bbh'], ['direct', 'cot'])
    assert [(run.suite.definition.name, run.protocol, run.shots) for run in runs] == [
        ('bbh', 'direct', 3),
        ('bbh', 'cot', 3),
        ('tydiqa', 'direct', 1),
    ]
    assert [run.shots for run in suite_runs(['mgsm'], shots=2)] == [2]
    with pytest.raises(UserError, match="'tydiqa' has no protocol 'cot'"):
        suite_runs(['tydiqa'], ['cot'])
    with pytest.raises(UserError, match="no suite 'bbhh'.*bbh"):
        suite_runs(['bbhh'])


def test_when_evaluations_are_no_better():
    assert not no_better([], 2)
    assert not no_better([1.0, 2.0], 2)
    assert no_better([2.0, 1.0, 2.0], 2)
    assert not no_better([2.0, 1.0, 2.1], 2)
    assert not no_better([1.0, 3.0, 2.0], 2)
