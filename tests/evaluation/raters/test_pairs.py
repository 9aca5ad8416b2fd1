"""Pairs of outputs, the order in which raters see them, and their ratings."""

import dataclasses
import json
import pathlib

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation.raters.pairs import Pair, Rating, Ratings, order_for, read_pairs

PAIRS = tuple(Pair(f'p{i}', f'request {i}', f'alpha {i}', f'beta {i}') for i in range(6))


def write_rows(path: pathlib.Path, rows) -> str:
    path.write_text('\n'.join(map(json.dumps, rows)) + '\n')
    return str(path)


def test_pairs_are_joined_by_id_in_the_order_of_the_first_file(tmp_path):
    a = [{'id': p.id, 'inputs': p.inputs, 'prediction': p.a} for p in PAIRS]
    b = [{'id': p.id, 'prediction': p.b} for p in reversed(PAIRS)]
    found = read_pairs(write_rows(tmp_path / 'a.jsonl', a), write_rows(tmp_path / 'b.jsonl', b))
    assert found.pairs == PAIRS
    assert not any(found.left_out.values())


def test_what_makes_no_pair_is_named(tmp_path):
    a = write_rows(
        tmp_path / 'a.jsonl',
        [
            {'index': 0, 'prediction': 'x', 'inputs': 'q'},
            {'index': 1, 'prediction': None, 'inputs': 'q'},
            {'index': 2, 'prediction': 'x', 'inputs': 'q'},
        ],
    )
    b = write_rows(
        tmp_path / 'b.jsonl',
        [
            {'index': 0, 'prediction': ''},
            {'index': 1, 'prediction': 'y'},
            {'index': 3, 'prediction': 'y'},
            {'index': 0, 'prediction': 'again'},
            {'prediction': 'y'},
            {'index': 4},
        ],
    )
    found = read_pairs(a, b, on_bad_record='skip')
    assert [pair.id for pair in found.pairs] == ['0']
    assert found.left_out['only_a'] == ['2'] and found.left_out['only_b'] == ['3']
    assert found.left_out['no_prediction'] == ['1']
    with pytest.raises(UserError) as raised:
        read_pairs(a, b)
    for line in (4, 5, 6):
        assert f'b.jsonl:{line}: ' in str(raised.value)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    rows = [{'id': 'x', 'inputs': 'q', 'prediction': 'p'}]
    a = write_rows(tmp_path / 'a.jsonl', rows)
    with pytest.raises(UserError, match='differ in the inputs of'):
        read_pairs(a, write_rows(tmp_path / 'b.jsonl', [{**rows[0], 'inputs': 'other'}]))
    with pytest.raises(UserError, match='no output on the same input'):
        read_pairs(a, write_rows(tmp_path / 'b.jsonl', [{**rows[0], 'id': 'y'}]))
    bare = write_rows(tmp_path / 'c.jsonl', [{'id': 'x', 'prediction': 'p'}])
    with pytest.raises(UserError, match='neither has `inputs`'):
        read_pairs(bare, bare)
    with pytest.raises(UserError, match='no such file'):
        read_pairs(a, tmp_path / 'd.jsonl')


def test_order_and_sides_are_a_function_of_seed_and_rater_and_balanced():
    pairs = [Pair(str(i), '', 'a', 'b') for i in range(101)]
    order = order_for(pairs, 0, 'ann')
    assert order == order_for(pairs, 0, 'ann')
    assert {shown.pair.id for shown in order} == {pair.id for pair in pairs}
    assert sum(shown.left == 'a' for shown in order) in (50, 51)
    others = [order_for(pairs, 1, 'ann'), order_for(pairs, 0, 'bo')]
    for one in others:
        assert [s.pair for s in one] != [s.pair for s in order]
        assert {s.pair.id: s.left for s in one} != {s.pair.id: s.left for s in order}


def test_ratings_are_read_back_and_the_last_of_a_pair_counts(tmp_path):
    path = tmp_path / 'ratings.jsonl'
    ratings = Ratings(path, PAIRS)
    ratings.add([Rating('p0', 'ann', 'a', 'a'), Rating('p1', 'ann', 'tie', 'b')])
    ratings.add([Rating('p0', 'ann', 'b', 'a')])
    ratings.add([Rating('p0', 'bo', 'a', 'b')])
    with path.open('a') as file:
        file.write('{"pair": "p2", "rat')
    again = Ratings(path, PAIRS)
    assert again.of('ann')['p0'].choice == 'b' and len(again.of('ann')) == 2
    assert again.raters == ['ann', 'bo']
    again.add([Rating('p2', 'bo', 'tie', 'b')])
    assert len(path.read_text().splitlines()) == 5
    changed = [dataclasses.replace(PAIRS[0], b='rewritten'), *PAIRS[1:]]
    with pytest.raises(UserError, match="the rating of 'p0' is of other outputs"):
        Ratings(path, changed)
    row = {'pair': 'p0', 'digest': PAIRS[0].digest, 'rater': 'x', 'choice': 'left', 'left': 'a'}
    write_rows(path, [row])
    with pytest.raises(UserError, match='is no rating'):
        Ratings(path, PAIRS)
