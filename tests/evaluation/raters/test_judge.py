"""A model as a rater."""

import re
import types

import pytest

from flan_tune.evaluation.raters.judge import judge_pairs, judge_prompt, verdict
from flan_tune.evaluation.raters.pairs import Pair, Ratings, order_for
from flan_tune.evaluation.raters.preference import preference_report

HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)>&amp;\n"\'{{ 7*7 }}'
PAIRS = tuple(Pair(f'p{i}', f'request {i}', f'alpha {i}', f'beta {i}') for i in range(6))


class Judge:
    """Prefers what `rule(inputs, first, second)` says, and keeps what it was asked."""

    def __init__(self, rule):
        self.rule, self.prompts = rule, []

    def generate(self, prompts, *, max_new_tokens):
        self.prompts += prompts
        return [[types.SimpleNamespace(text=self._answer(p), cut=0)] for p in prompts]

    def _answer(self, prompt):
        parts = re.split(r'### (?:Request|Response 1|Response 2|Question)\n', prompt)
        return self.rule(*(part.strip() for part in parts[1:4]))


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Verdict: 1', '1'),
        ('Response 1 is long.\n**Verdict: 2**', '2'),
        ('verdict: Tie.', 'tie'),
        ('Verdict: 1, no.\nVerdict: Response 2', '2'),
        ('2', '2'),
        (' Response 1.', '1'),
        ('"Verdict: 12"', None),
        ('the first', None),
        ('1 is good, 2 is bad', None),
        ('', None),
    ],
)
def test_verdicts(text, expected):
    assert verdict(text) == expected


def test_texts_stand_in_the_question_as_they_are():
    prompt = judge_prompt('{first} {0}', HOSTILE, '{second}')
    assert prompt.index('{first} {0}') < prompt.index(HOSTILE) < prompt.index('\n{second}\n')


def test_a_judge_is_asked_in_both_orders_and_goes_on(tmp_path):
    def rule(inputs, first, second):
        number = int(inputs[-1])
        if number < 2:
            return 'Verdict: 1' if first.startswith('beta') else 'Verdict: 2'
        return ['Verdict: 1', 'Verdict: tie', 'no idea', 'Verdict: 2'][number - 2]

    ratings = Ratings(tmp_path / 'r.jsonl', PAIRS)
    judge = Judge(rule)
    counts = judge_pairs(judge, 'm', ratings, PAIRS)
    assert counts == {'written': 6, 'there_before': 0, 'cut': 0}
    assert len(judge.prompts) == len(set(judge.prompts)) == 12
    found = ratings.of('judge:m')
    assert [(found[p.id].choice, found[p.id].reason) for p in PAIRS] == [
        ('b', ''), ('b', ''), ('tie', 'inconsistent'), ('tie', ''), ('tie', 'unparsable'), ('tie', 'inconsistent')
    ]  # fmt: skip
    order = order_for(PAIRS, 0, 'judge:m')
    assert {pair: one.left for pair, one in found.items()} == {s.pair.id: s.left for s in order}
    again = Judge(rule)
    assert judge_pairs(again, 'm', Ratings(tmp_path / 'r.jsonl', PAIRS), PAIRS)['written'] == 0
    assert not again.prompts
    tally = preference_report(PAIRS, ratings)['raters']['judge:m']
    assert (tally['inconsistent'], tally['unparsable'], tally['share_b']) == (2, 1, 4 / 6)
    assert preference_report(PAIRS, ratings)['people'] is None
