"""The suites over the embedded world: their questions, prompts and scores, and that training shows none of them."""

import collections
import dataclasses
import re
import subprocess
import sys

import pytest

from flan_tune.data.tokenizer import Tokenizer
from flan_tune.errors import UserError
from flan_tune.evaluation.suites import definition as suites
from flan_tune.evaluation.suites.runner import run_suite
from flan_tune.evaluation.suites.scoring import score_predictions
from flan_tune.reporting.run_folder import RunFolder
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.collection import TASKS
from flan_tune.tasks.mini.features import VOCABULARY
from flan_tune.tasks.suites import mini_bbh, mini_mgsm, mini_mmlu, mini_tydiqa

MODULES = (mini_mmlu, mini_bbh, mini_tydiqa, mini_mgsm)
DEFINITIONS = {module.NAME: module.SUITES[0] for module in MODULES}
FIRST_WORD = 259  # Behind the special pieces and those of single bytes.


OPENED = {name: suites.open_suite(name) for name in DEFINITIONS}
each_suite = pytest.mark.parametrize('suite', OPENED.values(), ids=OPENED)
each_task = pytest.mark.parametrize(
    ('suite', 'task'),
    [(suite, task) for suite in OPENED.values() for task in suite.tasks.values()],
    ids=[f'{name}-{task}' for name, suite in OPENED.items() for task in suite.tasks],
)


@pytest.fixture(scope='module')
def tokenizer() -> Tokenizer:
    return Tokenizer(str(VOCABULARY))


@each_suite
def test_a_suite_has_several_tasks_and_is_whole(suite):
    assert len(suite.tasks) >= 3
    assert suite.missing == ()
    for group in suite.definition.groups.values():
        assert set(group) <= set(suite.tasks)
    for name, protocol in suite.definition.protocols.items():
        suite.check(name)
        assert 1 <= protocol.shots <= 5


@each_task
def test_questions_are_many_and_different_and_exemplars_are_none_of_them(suite, task):
    asked = [
        (question.fields.get('passage'), question.fields['question']) for question in task.questions
    ]
    answers = [question.answers for question in task.questions]
    assert len(set(zip(asked, answers, strict=True))) == 100
    assert all(question.answerable for question in task.questions)
    protocol = next(iter(suite.definition.protocols))
    exemplars = task.prompt(task.questions[0], protocol, 8).split('\n\n')[:-1]
    for question in task.questions:
        last = task.prompt(question, protocol, 0).split('\n\n')[-1]
        assert not any(exemplar == f'{last} {question.answers[0]}' for exemplar in exemplars)


@each_task
def test_prompts_are_whole_words_of_the_vocabulary_and_short(suite, task, tokenizer):
    words = set()
    for name, protocol in suite.definition.protocols.items():
        for question in task.questions[:20]:
            prompt = task.prompt(question, name, protocol.shots)
            tokens = tokenizer.encode(prompt)
            assert min(tokens) >= FIRST_WORD
            assert len(tokens) <= (352 if name == 'cot' else 256)
            words |= {*re.findall('[A-Za-z]+|[0-9]+', f'{prompt} {question.answers[0]}')}
    assert [word for word in sorted(words) if len(tokenizer.encode(word)) != 1] == []


def _patterns(task) -> list[re.Pattern]:
    """What each template of a task can become: a field stands for as many words as its values have."""
    fields = {}
    for name, value in task.item('train', 0).items():
        if isinstance(value, str):
            counts = {len(task.item('train', index)[name].split()) for index in range(40)}
            fields[name] = rf'\S+(?: \S+){{{min(counts) - 1},{max(counts) - 1}}}'
    return [
        re.compile(
            ''.join(
                fields[part[1:-1]] if part.startswith('{') else re.escape(part)
                for part in re.split(r'(\{\w+\})', template)
            ),
        )
        for template in task.templates + task.reasoned
    ]


def test_training_can_show_none_of_the_questions():
    trained = [pattern for task in TASKS for pattern in _patterns(task)]
    assert any(
        p.fullmatch('Look at this list: fox cat frog. What is the last word?') for p in trained
    )
    for suite in OPENED.values():
        for task in suite.tasks.values():
            for question in task.questions[:25]:
                asked = question.fields['question']
                for shown in (asked, f'{question.fields.get("passage", "")} {asked}'.strip()):
                    assert not any(pattern.fullmatch(shown) for pattern in trained), shown


@each_suite
def test_guessing_scores_what_is_said_to_be_chance(suite):
    """Where there are options, each is right as often; where there are none, no answer is right often."""
    for name, task in suite.tasks.items():
        if name not in suite.definition.chances:
            continue
        chance = suite.definition.chances[name]
        answers = [question.answers[0] for question in task.questions]
        if chance:
            assert {len(question.options) for question in task.questions} == {round(100 / chance)}
            places = [q.options.index(q.answers[0]) for q in task.questions]
            assert max(collections.Counter(places).values()) < 1.6 * chance
        else:
            assert max(collections.Counter(answers).values()) < 50


@each_task
def test_exemplars_are_solved_right_by_the_suites_own_rules(suite, task):
    """Each solution that an exemplar shows, taken as a prediction of that question, scores 100."""
    for protocol in suite.definition.protocols:
        wanted = {}
        for question, item in zip(task.questions, task._items[8:], strict=True):
            wanted[question.index] = task._solution(item, protocol)
        if protocol == 'rank':
            assert [*map(task.choices, task.questions)] == [q.options for q in task.questions]
        scores = score_predictions(task, protocol, 1, wanted)
        assert not scores.unparsable
        assert {value for values in scores.values.values() for value in values} == {1.0}


@each_task
def test_what_gives_no_answer_is_wrong_and_counted(suite, task):
    if 'cot' in suite.definition.protocols:
        said = dict.fromkeys(range(100), 'Let us see.')
        assert len(score_predictions(task, 'cot', 1, said).unparsable) == 100
    scores = score_predictions(task, next(iter(suite.definition.protocols)), 1, {0: ' '})
    assert scores.unparsable == (0,)
    assert set(scores.values[0]) == {0.0}


def test_mmlu_prompts_as_they_are():
    task = OPENED['mini_mmlu'].task('same_colour')
    question = task.questions[0]
    options = '; '.join(question.options)
    asked = f'Q: {question.fields["question"]}\nPossible answers: {options}\nA:'
    assert task.prompt(question, 'direct', 0) == asked
    assert task.prompt(question, 'cot', 0) == f'{asked} Let us think step by step.'
    assert task.prompt(question, 'rank', 5).count('Q: ') == 6
    assert task.prompt(question, 'rank', 5).endswith(f'\n\n{asked}')
    assert re.search(r'A: Let us .* The answer is \w+\.\n\n', task.prompt(question, 'cot', 1))
    with pytest.raises(UserError, match='9 shots, but there are 8 exemplars'):
        task.prompt(question, 'direct', 9)


def test_mmlu_answers_are_matched_to_the_options_of_the_question():
    task = OPENED['mini_mmlu'].task('same_colour')
    question = task.questions[0]
    right = question.answers[0]
    for text, protocol in [
        (f' {right}', 'direct'),
        (f'{right.capitalize()}.\nQ: Which', 'direct'),
        (f'It is so. The answer is {right}.', 'cot'),
        (right, 'rank'),
    ]:
        assert task.extract(text, question, protocol).answer == right
    assert task.extract('barn', question, 'direct').answer is None


def fact(name: str, thing: str) -> str:
    return {'colour': world.COLOUR_OF, 'place': world.PLACE_OF, 'kind': world.KIND_OF}[name][thing]


@pytest.mark.parametrize('name', ['colour', 'place', 'kind'])
def test_mmlu_has_one_right_option(name):
    for question in OPENED['mini_mmlu'].task(f'same_{name}').questions:
        thing = re.search(r'as the (\w+)\?', question.fields['question'])[1]
        alike = [o for o in question.options if fact(name, o) == fact(name, thing)]
        assert alike == list(question.answers)
        assert thing not in question.options


def test_bbh_answers_by_another_way():
    """Solves each kind of question from its text."""

    def swapped(text):
        having = dict(re.findall(r'(\w+) has the (\w+)\.', text))
        for a, b in re.findall(r'(\w+) and (\w+) swapped', text):
            having[a], having[b] = having[b], having[a]
        return having[re.search(r'does (\w+) have', text)[1]]

    def counted(text):
        one, other, words = re.search(r'are (\w+) or (\w+): (.*)\?', text).groups()
        return str(sum(world.COLOUR_OF[word] in (one, other) for word in words.split()))

    def arithmetic(text):
        terms = re.search('is (.*)[?]', text)[1]
        return str(eval(terms.replace('plus', '+').replace('minus', '-')))

    def second(text):
        below = collections.Counter()
        pairs = re.findall(r'(\w+) is taller than (\w+)', text)
        for _ in pairs:
            for a, b in pairs:
                below[a] = max(below[a], below[b] + 1)
        return next(name for name, count in below.items() if count == 2)

    def coloured(text):
        colour = re.search(r'the (\w+) thing\?', text)[1]
        having = re.findall(r'(\w+) has the (\w+)\.', text)
        return next(who for who, what in having if world.COLOUR_OF[what] == colour)

    def before(text):
        thing, start = re.match(r'The (\w+) is in the (\w+)\.', text).groups()
        way = [start, *re.findall(rf'takes the {thing} to the (\w+)\.', text)]
        return way[way.index(re.search(r'before the (\w+)\?', text)[1]) - 1]

    def both(text):
        one, colour, two, place = re.match(
            r'Is the (\w+) (\w+) and is the (\w+) from the (\w+)\?', text
        ).groups()
        right = world.COLOUR_OF[one] == colour and world.PLACE_OF[two] == place
        return 'yes' if right else 'no'

    def odd(text):
        words = re.search(r'others: (.*)\?', text)[1].split()
        colours = [world.COLOUR_OF[word] for word in words]
        return next(w for w, c in zip(words, colours, strict=True) if colours.count(c) == 1)

    solvers = {
        'swapped_things': swapped,
        'counting_colours': counted,
        'arithmetic': arithmetic,
        'sorting_down': lambda text: ' '.join(
            sorted(re.findall(r'\d+', text), key=int, reverse=True)
        ),
        'second_tallest': second,
        'coloured_things': coloured,
        'places_before': before,
        'two_facts': both,
        'odd_colour': odd,
    }
    tasks = OPENED['mini_bbh'].tasks
    assert solvers.keys() == tasks.keys()
    for name, solve in solvers.items():
        for question in tasks[name].questions:
            assert solve(question.fields['question']) == question.answers[0]


def test_tydiqa_answers_are_spans_of_the_passage_and_zun_is_no_english():
    for name, task in OPENED['mini_tydiqa'].tasks.items():
        for question in task.questions:
            passage = question.fields['passage']
            assert question.answers[0] in passage
            zun = [word for word in re.findall(r'\b[a-z]+', passage) if word in world.ENGLISH_OF]
            assert bool(zun) == (name != 'english')
            if name == 'zun':
                assert len(zun) == len(re.findall(r'\b[a-z]+', passage))
    english = OPENED['mini_tydiqa'].task('english')
    half = {0: english.questions[0].answers[0].split()[-1]}
    em, f1 = score_predictions(english, 'direct', 1, half).values[0]
    assert em == 0
    assert 0 < f1 < 1
    assert 'english' not in OPENED['mini_tydiqa'].definition.chances


def test_mgsm_answers_by_their_steps_and_in_their_language():
    for name, task in OPENED['mini_mgsm'].tasks.items():
        for question in task.questions:
            words = set(re.findall(r'\b[a-z]+', question.fields['question']))
            assert words.isdisjoint(world.COLOURS) == (name != 'english')
            if name == 'zun':
                assert words <= set(world.ENGLISH_OF)
        text = task.prompt(task.questions[0], 'cot', 8)
        for a, sign, b, c in re.findall(r'(\d+) (\S+) (\d+) (?:=|is) (\d+)\.', text):
            value = {'plus': '+', 'minus': '-', 'times': '*'}.get(sign, sign)
            assert eval(f'{a} {value} {b}') == int(c)
    zun = OPENED['mini_mgsm'].task('zun')
    question = zun.questions[0]
    colour = world.ZUN_OF['red']
    text = f'2 + 3 = 5. {colour}: 7. 8\nQ: Ann: 9 {colour}.'
    assert zun.extract(text, question, 'cot').answer == '7'


def test_questions_are_the_same_in_another_process_without_seqio_or_a_data_folder():
    program = """
import sys
from flan_tune.evaluation.suites import definition as suites
task = suites.open_suite('mini_mmlu').task('third_fact')
print(task.prompt(task.questions[7], 'cot', 2))
assert not {'seqio', 'tensorflow', 'jax'} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True, env={}
    )
    task = OPENED['mini_mmlu'].task('third_fact')
    assert done.stdout == task.prompt(task.questions[7], 'cot', 2) + '\n'


@dataclasses.dataclass
class Answered:
    text: str = ''
    log_prob: float = -1.0
    log_likelihood: float = 0.0
    num_tokens: int = 1
    num_characters: int = 1
    ended: bool = True
    cut: int = 0


class Oracle:
    """Knows the solution of each question, and goes on with a question of its own."""

    def __init__(self, suite, protocol):
        shots = suite.definition.protocol(protocol).shots
        self.solutions = {
            task.prompt(question, protocol, shots): task._solution(item, protocol)
            for task in suite.tasks.values()
            for question, item in zip(task.questions, task._items[8:], strict=True)
        }

    def count_tokens(self, text):
        return len(text.split())

    def generate(self, prompts, **_):
        return [[Answered(f' {self.solutions[prompt]}\n\nQ: What?')] for prompt in prompts]

    def rank(self, prompts, choices, **_):
        return [
            [Answered(log_likelihood=float(self.solutions[prompt] == text)) for text in texts]
            for prompt, texts in zip(prompts, choices, strict=True)
        ]


@each_suite
def test_every_protocol_runs_and_an_oracle_scores_all(suite, tmp_path):
    for protocol in suite.definition.protocols:
        oracle = Oracle(suite, protocol)
        table = run_suite(
            suite, protocol, None, oracle, RunFolder(str(tmp_path)), 'oracle', max_examples=5
        )
        rows = [score for score in table if score.protocol == protocol]
        assert {score.task for score in rows} == set(suite.tasks)
        assert {score.value for score in rows} == {100.0}
