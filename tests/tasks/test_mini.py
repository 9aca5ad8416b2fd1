"""The embedded collection: its tasks, their answers, what is held out, and its vocabulary."""

import hashlib
import itertools
import re
import subprocess
import sys

import pytest
import seqio
from hypothesis import given
from hypothesis import strategies as st

from flan_tune.data.tokenizer import Tokenizer
from flan_tune.tasks import mini
from flan_tune.tasks.mini import vocabulary, world
from flan_tune.tasks.mini.collection import CATEGORIES, COLLECTIONS, TASKS
from flan_tune.tasks.mini.features import VOCABULARY

BY_NAME = {task.name: task for task in TASKS}
SPLITS = ('train', 'validation', 'test')
UNKNOWN, BYTES = 2, range(3, 259)
WHOLLY_HELD_OUT = {'owning', 'extremes', 'whereabouts'}
# Held-out tasks that are no pair of a fact and a thing.
OTHERS_HELD_OUT = {
    *('zun_place', 'two_days_before', 'given_three_times', 'problem_zun_lost'),
    *('zun_who_has_in_english', 'where_is_thing', 'thing_in_place'),
    *(f'{several}_3' for several in ('coins', 'numbers', 'swapped', 'after', 'days_after')),
}
each_task = pytest.mark.parametrize('task', TASKS, ids=lambda task: task.name)


@pytest.fixture(scope='module')
def tokenizer() -> Tokenizer:
    return Tokenizer(str(VOCABULARY))


def mixture_definitions(name: str) -> dict:
    return {task.definition.name: task.definition for task in seqio.MixtureRegistry.get(name).tasks}


def test_there_are_enough_tasks_categories_and_templates():
    assert len(BY_NAME) == len(TASKS) >= 100
    assert len(CATEGORIES) >= 20
    assert len(COLLECTIONS) >= 4
    assert all(len(task.templates) >= 5 for task in TASKS)
    assert sum(bool(task.reasoned) for task in TASKS) >= 5


@each_task
def test_items_are_answerable_and_splits_share_none(task):
    asked = {}
    for split in SPLITS:
        asked[split] = []
        for index in range(mini.SIZES[split] if split != 'train' else 1000):
            item = task.item(split, index)
            assert item['answer'].strip()
            if 'options' in item:
                assert item['answer'] in item['options']
                assert len(set(item['options'])) == len(item['options'])
            asked[split].append(task.templates[0].format(**item))
    assert not set(asked['train']) & {*asked['validation'], *asked['test']}
    assert not set(asked['validation']) & set(asked['test'])
    # The least is that of numbers_1, with 96 items, of which one in eight is for testing.
    assert len(set(asked['test'])) >= 12


def test_held_out_tasks_are_never_trained_on():
    trained, held_out = mixture_definitions('mini'), mixture_definitions('mini_held_out')
    assert {f'mini_{task.name}' for task in TASKS if task.held_out} == set(held_out)
    assert {f'mini_{task.name}' for task in TASKS if not task.held_out} == set(trained)
    assert len(held_out) >= 15
    categories = {definition.category for definition in trained.values()}
    assert not categories & WHOLLY_HELD_OUT
    assert {d.category for d in held_out.values()} - categories == WHOLLY_HELD_OUT
    for suffix in ('_no_options', '_rank'):
        assert mixture_definitions(f'mini_held_out{suffix}').keys() == held_out.keys()


def test_held_out_tasks_have_options_to_rank_and_parts_seen_in_training():
    trained = {task.name for task in TASKS if not task.held_out}
    for task in TASKS:
        if not task.held_out:
            continue
        assert len(task.item('test', 0)['options']) > 2
        if task.name in OTHERS_HELD_OUT:
            continue
        fact, _, thing = re.fullmatch('([a-z]+)_(of|by)_([a-z]+)', task.name).groups()
        assert any(name.startswith(f'{fact}_of_') for name in trained)
        assert any(name.endswith(f'_{thing}') for name in trained if not name.startswith(fact))


def number_after(word: str, text: str) -> int:
    return int(re.search(rf'{word} (\d+)', text)[1])


FACTS = {
    'colour': world.COLOUR_OF,
    'place': world.PLACE_OF,
    'kind': world.KIND_OF,
    'zun': world.ZUN_OF,
    'english': {zun: english for english, zun in world.ZUN_OF.items()},
    'opposite': world.OPPOSITES,
}


def fact_of(fact: str, subject: str) -> str:
    """Looks a fact up, or counts it out."""
    change = {'next': lambda n: n + 1, 'previous': lambda n: n - 1, 'double': lambda n: n + n}
    if fact in change:
        return str(change[fact](int(subject)))
    return subject[0] if fact == 'initial' else FACTS[fact][subject]


def meant(thing: str, item: dict) -> str:
    """Finds what a question is about from the fields that it shows."""
    if thing == 'owned':
        return re.search(rf'{item["name"]} has the (\w+)\.', item['story'])[1]
    if thing == 'one':
        return re.search(rf'{item["name"]} (?:says|has) (\w+)', item['story'])[1]
    words = item['words'].split()
    if thing in ('largest', 'smallest'):
        return sorted(words, key=int)[-1 if thing == 'largest' else 0]
    if 'clue' in item:
        (word,) = [word for word in words if fact_of(thing, word) == item['clue']]
        return word
    return words[{'first': 0, 'second': 1, 'last': len(words) - 1}[thing]]


@pytest.mark.parametrize('name', [name for name in BY_NAME if re.search('_(of|by)_', name)])
def test_answers_of_compositions(name):
    fact, _, thing = re.fullmatch('(?:steps_)?([a-z]+)_(of|by)_([a-z]+)', name).groups()
    for index in range(50):
        item = BY_NAME[name].item('test', index)
        subject = meant(thing, item)
        assert item['answer'] == (subject if fact == 'thing' else fact_of(fact, subject))


SOLVERS = {
    'reverse': lambda item: ' '.join(reversed(item['words'].split())),
    'without_first': lambda item: item['words'].split(' ', 1)[1],
    'without_last': lambda item: item['words'].rsplit(' ', 1)[0],
    'sort_numbers': lambda item: ' '.join(map(str, sorted(map(int, item['words'].split())))),
    'initials': lambda item: ' '.join(word[0] for word in item['words'].split()),
    'replace': lambda item: re.sub(rf'\b{item["old"]}\b', item['new'], item['words']),
    'repeat': lambda item: f'{item["words"]} {item["words"]}',
    'contains': lambda item: 'yes' if item['word'] in item['words'].split() else 'no',
    'same_kind': lambda item: 'no' if len({world.KIND_OF[item[k]] for k in 'ab'}) > 1 else 'yes',
    'sum': lambda item: str(int(item['a']) + int(item['b'])),
    'purse': lambda item: str(int(item['a']) + int(item['b']) - int(item['c'])),
    'count_kind': lambda item: str(
        sum(world.KIND_OF[word] == item['kind'] for word in item['words'].split())
    ),
    'who_has': lambda item: re.search(rf'(\w+) has the {item["thing"]}\.', item['story'])[1],
    'who_is_where': lambda item: re.search(rf'(\w+) is in the {item["place"]}\.', item['story'])[1],
    'where_is_who': lambda item: re.search(rf'{item["name"]} is in the (\w+)\.', item['story'])[1],
    'twice': lambda item: max(item['words'].split(), key=item['words'].split().count),
    'in_both': lambda item: ' '.join({*item['one'].split()} & {*item['two'].split()}),
    'moved': lambda item: re.search(rf'{item["thing"]} to the (\w+)', item['story'])[1],
    'tallest': lambda item: (
        {*re.findall(r'(\w+) is', item['story'])} - {*re.findall(r'than (\w+)', item['story'])}
    ).pop(),
    'shortest': lambda item: (
        {*re.findall(r'than (\w+)', item['story'])} - {*re.findall(r'(\w+) is', item['story'])}
    ).pop(),
    'grandparent': lambda item: parent(parent(item['name'], item['story']), item['story']),
    'not_tallest': lambda item: (
        {*re.findall(r'(\w+) is', item['story'])} & {*re.findall(r'than (\w+)', item['story'])}
    ).pop(),
    'twice_and_more': lambda item: str(2 * int(item['a']) + int(item['b'])),
    'plus_second': lambda item: str(sum(map(int, item['words'].split()[:2]))),
    'opposite_in_zun': lambda item: world.ZUN_OF[world.OPPOSITES[item['word']]],
    'was_before': lambda item: re.findall(r'(?:in|to) the (\w+)\.', item['story'])[1],
    'who_has_kind': lambda item: next(
        who for who, what in told(item['story']) if world.KIND_OF[what] == item['kind']
    ),
    'kind_and_colour': lambda item: next(
        thing
        for thing in world.THINGS
        if (world.KIND_OF[thing], world.COLOUR_OF[thing]) == (item['kind'], item['colour'])
    ),
    'same_colour_thing': lambda item: next(
        word
        for word in item['words'].split()
        if world.COLOUR_OF[word] == world.COLOUR_OF[item['thing']]
    ),
    'count_words': lambda item: str(len(item['words'].split())),
    'count_one_word': lambda item: str(item['words'].split().count(item['word'])),
    'two_days_after': lambda item: world.DAYS[(world.DAYS.index(item['day']) + 2) % 7],
    'given_three_times': lambda item: re.findall(r'to (\w+)\.', item['story'])[-1],
    'exchanged': lambda item: exchanged(item),
    'problem_lost': lambda item: remaining(item['story'], item['colour']),
    'problem_both': lambda item: total(item['story'], item['colour']),
    'problem_zun_both': lambda item: total(item['story'], item['colour']),
    'problem_zun_lost': lambda item: remaining(item['story'], item['colour']),
    'zun_has_what_in_english': lambda item: world.ENGLISH_OF[
        re.search(rf'{item["name"]}: (\w+)\.', item['story'])[1]
    ],
    'check_story': lambda item: 'yes' if item['said'] in item['story'] else 'no',
    'where_is_thing': lambda item: where_is(item['thing'], item['story']),
    'zun_place': lambda item: world.PLACE_OF[world.ENGLISH_OF[item['word']]],
    'phrase_to_english': lambda item: ' '.join(
        FACTS['english'][word] for word in item['phrase'].split()
    ),
    'zun_colour_who_has': lambda item: next(
        who for who, what in told(item['story']) if world.COLOUR_OF[what] == english(item['word'])
    ),
    'zun_thing_is_there': lambda item: (
        'yes' if english(item['word']) in dict(map(reversed, told(item['story']))) else 'no'
    ),
    'coins_4': lambda item: str(
        sum(
            int(n) * (-1 if what == 'loses' else 1)
            for what, n in re.findall(r'(has|finds|loses) (\d+)', item['story'])
        )
    ),
    'numbers_4': lambda item: doubled(item['story']),
    'swapped_4': lambda item: swapped(item),
    'after_3': lambda item: after(item['name'], item['story'], 3),
    'days_after_4': lambda item: world.DAYS[(world.DAYS.index(item['day']) + 4) % 7],
    'which_language': lambda item: language(item['words'].split()),
    'odd_one': lambda item: odd_one(item['words'].split()),
}


def parent(name: str, story: str) -> str:
    return re.search(rf'(\w+) is the parent of {name}\.', story)[1]


def told(story: str) -> list[tuple[str, str]]:
    return re.findall(r'(\w+) has the (\w+)\.', story)


def where_is(thing: str, story: str) -> str:
    who = {what: name for name, what in told(story)}[thing]
    return re.search(rf'{who} is in the (\w+)', story)[1]


def exchanged(item: dict) -> str:
    having = dict(told(item['story']))
    a, b = re.search(r'(\w+) and (\w+) swapped', item['story']).groups()
    having[a], having[b] = having[b], having[a]
    return having[item['name']]


def english(word: str) -> str:
    return {zun: english for english, zun in world.ZUN_OF.items()}[word]


def doubled(story: str) -> str:
    number = int(re.search(r'\d+', story)[0])
    for step in re.findall('Double|Add', story):
        number = 2 * number if step == 'Double' else number + 1
    return str(number)


def swapped(item: dict) -> str:
    having = dict(told(item['story']))
    for a, b in re.findall(r'(\w+) and (\w+) swapped', item['story']):
        having[a], having[b] = having[b], having[a]
    return next(who for who, what in having.items() if what == item['thing'])


def after(name: str, story: str, steps: int) -> str:
    for _ in range(steps):
        name = re.search(rf'(\w+) is after {name}\.', story)[1]
    return name


def counts(story: str, colour: str) -> list[int]:
    return [int(n) for n in re.findall(rf'(\d+) {colour}\b', story)]


def total(story: str, colour: str) -> str:
    return str(sum(counts(story, colour)))


def remaining(story: str, colour: str) -> str:
    first, lost = counts(story, colour)
    return str(first - lost)


def language(words: list[str]) -> str:
    zun = sum(word in world.ENGLISH_OF for word in words)
    return {0: 'English', len(words): 'Zun'}.get(zun, 'both')


def odd_one(words: list[str]) -> str:
    kinds = [world.KIND_OF[word] for word in words]
    return words[next(i for i, kind in enumerate(kinds) if kinds.count(kind) == 1)]


@pytest.mark.parametrize('name', SOLVERS)
def test_answers_of_other_tasks(name):
    for split in ('train', 'test'):
        for index in range(100):
            item = BY_NAME[name].item(split, index)
            assert item['answer'] == SOLVERS[name](item)


@pytest.mark.parametrize(
    'task',
    # A count is not among the words that it counts.
    [t for t in TASKS if t.reasoned and t.name != 'count_kind'],
    ids=lambda task: task.name,
)
def test_rationales_lead_to_the_answer(task):
    for index in range(30):
        item = task.item('train', index)
        assert item['answer'] in re.findall(r'\w+', item['rationale'])


@pytest.mark.parametrize('category', ['facts', 'asking', 'telling', 'owning', 'translation'])
def test_questions_do_not_show_the_answer(category):
    for task in CATEGORIES[category]:
        if task.name == 'which_language':
            continue  # Its templates name the languages.
        for index in range(60):
            item = task.item('test', index)
            for template in task.templates + task.reasoned:
                shown = re.findall(r'\w+', template.format(**item))
                assert not set(item['answer'].split()) & set(shown)


@each_task
def test_templates_differ_in_tokens(task, tokenizer):
    templates = [re.sub('[{}]', '', ' '.join(t.split())) for t in task.templates + task.reasoned]
    assert len({tuple(tokenizer.encode(template)) for template in templates}) == len(templates)


def test_rendered_examples_are_short_and_made_of_whole_words(tokenizer):
    names = [
        name
        for name in seqio.TaskRegistry.names()
        if name.startswith('mini_') and not name.startswith('mini_text_')
    ]
    words = set()
    for task in map(seqio.TaskRegistry.get, names):
        for index in range(3):
            example = task.example('test', index)
            inputs, targets = (tokenizer.encode(example[k]) for k in ('inputs', 'targets'))
            assert not {UNKNOWN, *BYTES} & {*inputs, *targets}
            assert len(targets) < 36  # The runs on these tasks have room for 40.
            assert len(inputs) < 80 or task.variant.few_shot
            words |= {*re.findall(r'\w+', example['inputs'] + ' ' + example['targets'])}
    assert all(len(tokenizer.encode(word)) == 1 for word in words)


def test_words_of_the_world_are_single_pieces(tokenizer):
    words = [*world.DICTIONARY, *world.ENGLISH_OF, *world.NAMES, *world.PLACES, *world.NUMBERS]
    assert len(set(words)) == len(words)
    for word in words:
        assert len(tokenizer.encode(word)) == 1
        assert len(tokenizer.encode(f'a\n{word}')) == 3


def test_any_two_facts_single_out_a_thing_and_no_fact_follows_from_another():
    assert len(world.THINGS) == 40
    facts = (world.KIND_OF, world.COLOUR_OF, world.PLACE_OF)
    for one, other in itertools.combinations(facts, 2):
        assert len({(one[thing], other[thing]) for thing in world.THINGS}) == 40
    for fact in (world.COLOUR_OF, world.PLACE_OF):
        assert {list(fact.values()).count(value) for value in fact.values()} == {5}


def test_items_are_the_same_in_another_process():
    code = (
        'import hashlib\n'
        'from flan_tune.tasks.mini.collection import TASKS\n'
        'items = [t.item(s, i) for t in TASKS for s in ("train", "test") for i in range(5)]\n'
        'print(hashlib.sha256(repr(items).encode()).hexdigest())'
    )
    items = [task.item(split, i) for task in TASKS for split in ('train', 'test') for i in range(5)]
    here = hashlib.sha256(repr(items).encode()).hexdigest()
    there = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_registering_again_is_no_error():
    mini.register()


def test_the_vocabulary_is_what_its_module_writes():
    model = VOCABULARY.read_bytes()
    assert model == vocabulary.build()
    assert len(model) <= 60_000


def test_the_vocabulary_is_small_and_like_t5s(tokenizer):
    assert tokenizer.vocab_size <= 2048
    features = seqio.TaskRegistry.get('mini_first_word').output_features
    assert features['inputs'].vocabulary.vocab_size == tokenizer.vocab_size
    assert (features['inputs'].vocabulary.pad_id, tokenizer.eos_id) == (0, 1)


@given(st.text(st.characters(exclude_characters='\0\u2581', codec='utf-8')))
def test_any_text_comes_back_from_its_tokens(text):
    tokens = Tokenizer(str(VOCABULARY)).encode(text)
    assert Tokenizer(str(VOCABULARY)).decode(tokens) == text
    assert UNKNOWN not in tokens
