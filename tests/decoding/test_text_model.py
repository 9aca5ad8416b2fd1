"""Texts in, texts out: what comes is that of one plain batch, whatever is bucketed, shared and spread over devices."""

import functools

import jax
import numpy as np
import pytest

from flan_tune.data.batches import feature_converter
from flan_tune.decoding.generation import generate
from flan_tune.decoding.prefix import shared_tokens
from flan_tune.decoding.scoring import score
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import UserError
from flan_tune.models.functional import FunctionalModel
from flan_tune.models.lamda import LaMDAConfig
from flan_tune.models.opt import OPTConfig
from flan_tune.models.palm import PaLMConfig
from flan_tune.models.t5 import T5Config
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.rules import Layout

SIZES = {'vocab_size': 32, 'emb_dim': 16, 'num_heads': 2, 'mlp_dim': 32}
MODELS = {
    't5': T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=2, head_dim=8),
    'palm': PaLMConfig(**SIZES, head_dim=8, num_layers=2),
    'prefix_lm': PaLMConfig(**SIZES, head_dim=8, num_layers=2, prefix_lm=True),
    'lamda': LaMDAConfig(**SIZES, head_dim=8, num_layers=2),
    'opt': OPTConfig(**SIZES, num_layers=2, max_positions=128),
}
LONGEST, NEW = 100, 6
ONE, FOUR = None, {'data': 2, 'model': 2}


def words(tokens) -> str:
    return ' '.join(map(str, tokens))


@functools.cache
def prompts() -> list[list[int]]:
    """Seven prompts of different lengths behind 66 tokens that all have in common."""
    rng = np.random.default_rng(0)
    shared = rng.integers(2, 32, 66).tolist()
    return [shared + rng.integers(2, 32, n).tolist() for n in (3, 20, 1, 9, 29, 2, 14)]


@functools.cache
def choices() -> list[list[list[int]]]:
    rng = np.random.default_rng(1)
    return [[rng.integers(2, 32, n).tolist() for n in lengths] for lengths in
            ((1, 1), (3, 1, 5), (2,), (), (4, 4, 4, 4), (1, 7), (6, 2))]  # fmt: skip


@functools.cache
def model_of(name):
    return FunctionalModel(MODELS[name])


@functools.cache
def params_of(name):
    """Parameters off their initial values, so that the likeliest tokens differ from row to row."""
    rng = np.random.default_rng(2)
    params = model_of(name).init(0, layout_of(ONE))
    return jax.tree.map(lambda x: x + 0.2 * rng.standard_normal(x.shape).astype('float32'), params)


def layout_of(mesh):
    return Layout(make_mesh(mesh, jax.devices()[: 4 if mesh else 1]))


@functools.cache
def text_model(name, numbers, *, four=False, **options):
    mesh = FOUR if four else ONE
    model, layout = model_of(name), layout_of(mesh)
    params = jax.device_put(jax.device_get(params_of(name)), model.shardings(layout))
    options = {'max_input_tokens': LONGEST, 'batch_size': 4} | options
    return TextModel(model, params, layout, numbers(), **options)


def plain(name, function, rows, **layout):
    """Runs `generate` or `score` on one batch of rows as long as they may be."""
    model = model_of(name)
    converter = feature_converter(model.config, {'inputs': LONGEST, 'targets': 8})
    batch = getattr(converter, layout['laid_out'])(rows, len(rows))
    return jax.device_get(model.jit(function, layout_of(ONE))(params_of(name), batch))


def test_the_beginning_of_these_prompts_is_worth_sharing():
    assert shared_tokens([[0, *prompt] for prompt in prompts()]) == 67


def ends(name):
    """Returns whether prompts of a model have an end of sequence behind them."""
    return [1] * (name == 't5')


@pytest.mark.parametrize('name', ['t5', 'palm', 'opt'])
def test_greedy_texts_are_those_of_one_plain_batch(name, numbers):
    rows = [{'inputs': [*prompt, *ends(name)]} for prompt in prompts()]
    expected = plain(
        name, functools.partial(generate, max_new_tokens=NEW), rows, laid_out='prompts'
    )
    seen = []
    found = text_model(name, numbers).generate(
        [words(prompt) for prompt in prompts()],
        max_new_tokens=NEW,
        progress=lambda *counts: seen.append(counts),
    )
    decoded = [numbers().decode(tokens) for tokens in expected['tokens']]
    assert [one.text for [one] in found] == decoded
    assert len(set(decoded)) > 3
    np.testing.assert_allclose(
        [one.log_prob for [one] in found], expected['log_probs'], rtol=1e-5, atol=1e-5
    )
    for [one], tokens in zip(found, expected['tokens'].tolist(), strict=True):
        assert one.ended == (1 in tokens)
        assert one.num_tokens == (tokens.index(1) + 1 if one.ended else NEW)
    assert seen[-1] == (7, 7)


@pytest.mark.parametrize('name', ['t5', 'palm', 'prefix_lm', 'lamda'])
def test_likelihoods_are_those_of_one_plain_batch(name, numbers):
    rows = [
        {'inputs': [*prompt, *ends(name)], 'targets': [*choice, *ends(name)]}
        for prompt, offered in zip(prompts(), choices(), strict=True)
        for choice in offered
    ]
    expected = plain(name, score, rows, laid_out='padded')
    found = text_model(name, numbers).rank(
        [words(prompt) for prompt in prompts()],
        [[words(choice) for choice in offered] for offered in choices()],
    )
    assert [len(offered) for offered in found] == [len(offered) for offered in choices()]
    flat = [one for offered in found for one in offered]
    np.testing.assert_allclose(
        [one.log_likelihood for one in flat], expected['log_likelihood'], rtol=1e-5, atol=1e-5
    )
    assert [one.num_tokens for one in flat] == expected['num_tokens'].tolist()
    texts = [words(choice) for offered in choices() for choice in offered]
    assert [one.num_characters for one in flat] == [len(text) for text in texts]


@pytest.mark.parametrize('name', ['t5', 'palm'])
def test_results_depend_on_neither_batch_nor_order_nor_devices(name, numbers):
    texts = [words(prompt) for prompt in prompts()]
    offered = [[words(choice) for choice in some] for some in choices()]
    one = text_model(name, numbers)
    other = text_model(name, numbers, four=True, batch_size=3, max_input_tokens=97)
    drawn = {'max_new_tokens': NEW, 'temperature': 1.0, 'samples': 2, 'seed': 5}

    def equal(found, expected):
        for some, others in zip(found, expected, strict=True):
            assert [x.text for x in some] == [x.text for x in others]
            np.testing.assert_allclose(
                [x.log_prob for x in some], [x.log_prob for x in others], atol=1e-5, rtol=1e-6
            )

    sampled = one.generate(texts, **drawn)
    equal(other.generate(texts, **drawn), sampled)
    assert len({x.text for some in sampled for x in some}) > 10
    greedy = one.generate(texts, max_new_tokens=NEW)
    equal(one.generate(texts[::-1], max_new_tokens=NEW)[::-1], greedy)
    again = other.rank(texts[::-1], offered[::-1])[::-1]
    for some, others in zip(one.rank(texts, offered), again, strict=True):
        np.testing.assert_allclose(
            [x.log_likelihood for x in some],
            [x.log_likelihood for x in others],
            atol=1e-5,
            rtol=1e-6,
        )


def test_a_long_prompt_keeps_its_end_and_tells_what_it_lost(numbers):
    model = text_model('t5', numbers, max_input_tokens=8)
    assert model.max_prompt_tokens == 7
    long, short = '9 8 7 6 5 4 3 2 10 11', '6 5 4 3 2 10 11'
    assert model.count_tokens(short) == 7
    [[cut], [whole]] = model.generate([long, short], max_new_tokens=3)
    assert (cut.cut, whole.cut) == (3, 0)
    assert cut.text == whole.text
    [[cut], [whole]] = model.rank([long, short], [['3'], ['3']])
    assert (cut.cut, whole.cut) == (3, 0)
    assert cut.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-6)


def test_prompts_leave_room_for_new_tokens_among_limited_positions(numbers):
    model = text_model('opt', numbers, max_input_tokens=1000)
    [[written]] = model.generate(['5 ' * 200], max_new_tokens=4)
    # 128 positions: the start token, 124 of the prompt, and three new ones (the last is not fed).
    assert written.cut == 200 - 124
    assert np.isfinite(written.log_prob)
    with pytest.raises(UserError, match='200 new tokens leave no room'):
        model.generate(['5'], max_new_tokens=200)


def test_without_temperature_all_samples_are_one(numbers):
    [some] = text_model('t5', numbers).generate(['5 6'], max_new_tokens=3, samples=3)
    assert len(some) == 3
    assert len(set(some)) == 1


def test_no_prompts_have_no_results(numbers):
    model = text_model('t5', numbers)
    assert model.generate([], max_new_tokens=3) == []
    assert model.rank([], []) == []


class Merging:
    """Words are tokens, but 'ab cd' is one token where both stand side by side."""

    eos_id = 1

    def encode(self, text):
        known = {'x': 5, 'y': 6, 'ab': 7, 'cd': 8, 'ab_cd': 9, 'z': 10}
        return [known[word] for word in text.replace('ab cd', 'ab_cd').split()]


def test_a_token_that_spans_prompt_and_choice_belongs_to_the_choice(numbers):
    merging = text_model('palm', Merging)
    plain = text_model('palm', numbers)
    [[merged, apart]] = merging.rank(['x y ab'], [['cd z', 'z']])
    [[expected]] = plain.rank(['5 6'], [['9 10']])
    [[other]] = plain.rank(['5 6 7'], [['10']])
    assert (merged.num_tokens, apart.num_tokens) == (2, 1)
    assert merged.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-5)
    assert apart.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-5)


def test_an_end_of_sequence_separates_and_counts_where_it_is_asked_for(numbers):
    model = text_model('palm', numbers)
    [[with_end]] = model.rank(['5 6'], [['7']], choices_end=True)
    [[spelled]] = model.rank(['5 6'], [['7 1']])
    assert with_end.num_tokens == 2
    assert with_end.log_likelihood == pytest.approx(spelled.log_likelihood, abs=1e-5)
    apart = text_model('palm', numbers, inputs_end=True)
    for end in (False, True):
        [[found]] = apart.rank(['5 6'], [['7']], choices_end=end)
        [[expected]] = model.rank(['5 6 1'], [['7']], choices_end=end)
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-5)
        assert found.num_tokens == 1 + end
    assert apart.rank(['5 6'], [['7']])[0][0].num_tokens == 2
    # The same compiled programs serve parameters of either kind.
    apart.inputs_end = None
    assert apart.rank(['5 6'], [['7']])[0] == model.rank(['5 6'], [['7']])[0]
