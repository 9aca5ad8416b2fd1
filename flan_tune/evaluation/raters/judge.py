"""A model as a rater of pairs: asked in both orders, and believed where its two answers agree."""

import re
from collections.abc import Callable, Sequence

from flan_tune.evaluation.raters.pairs import JUDGE, Pair, Rating, Ratings, Shown, Side, order_for
from flan_tune.evaluation.sampled import Generator

CHUNK = 16
_PROMPT = """\
Two assistants were given the same request. Decide whose response is better.

A good response does what was asked, is correct, and is clear. Length and order count for nothing.

### Request
{inputs}

### Response 1
{first}

### Response 2
{second}

### Question
Which response is better? Reason briefly if you must, then end with a line that reads "Verdict: 1", \
"Verdict: 2" or "Verdict: tie".
"""
_MARKED = re.compile(r'verdict\W*(?:response\W*)?(1|2|tie)\b', re.IGNORECASE)
_ALONE = re.compile(r'\W*(?:response\W*)?(1|2|tie)\W*', re.IGNORECASE)


def judge_prompt(inputs: str, first: str, second: str) -> str:
    """Returns what the model is asked; the texts stand in it as they are."""
    return _PROMPT.format(inputs=inputs, first=first, second=second)


def verdict(text: str) -> str | None:
    """Returns '1', '2' or 'tie': what stands behind the last 'Verdict:', or is all of the text; else None."""
    marked = _MARKED.findall(text)
    if marked:
        return marked[-1].lower()
    alone = _ALONE.fullmatch(text)
    return alone[1].lower() if alone else None


def judge_pairs(
    model: Generator,
    name: str,
    ratings: Ratings,
    pairs: Sequence[Pair],
    *,
    seed: int = 0,
    max_new_tokens: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Rates the pairs that the model has not rated yet, greedily decoded, and appends as it goes.

    A pair is asked for in both orders. Two answers that name the same system are its choice; answers that
    contradict each other are a tie ('inconsistent'), and so is a text that holds no answer ('unparsable').

    Returns:
        Counts: `written`, `there_before`, `cut` (questions too long for the model, of those written).
    """
    rater = JUDGE + name
    there = ratings.of(rater)
    rest = [shown for shown in order_for(pairs, seed, rater) if shown.pair.id not in there]
    cut = 0
    for start in range(0, len(rest), CHUNK):
        some = rest[start : start + CHUNK]
        prompts = [
            judge_prompt(shown.pair.inputs, shown.pair.text(first), shown.pair.text(second))
            for shown in some
            for first, second in ((shown.left, shown.right), (shown.right, shown.left))
        ]
        answers = [one[0] for one in model.generate(prompts, max_new_tokens=max_new_tokens)]
        cut += sum(answer.cut > 0 for answer in answers)
        pairs_of_texts = zip(answers[::2], answers[1::2], strict=True)
        ratings.add(
            [
                _rating(shown, rater, first.text, second.text)
                for shown, (first, second) in zip(some, pairs_of_texts, strict=True)
            ]
        )
        if progress:
            progress(len(there) + start + len(some), len(pairs))
    return {'written': len(rest), 'there_before': len(there), 'cut': cut}


def _rating(shown: Shown, rater: str, first: str, second: str) -> Rating:
    choices = [
        _choice(verdict(first), shown.left, shown.right),
        _choice(verdict(second), shown.right, shown.left),
    ]
    reason = ''
    if None in choices:
        reason = 'unparsable'
    elif choices[0] != choices[1]:
        reason = 'inconsistent'
    return Rating(shown.pair.id, rater, 'tie' if reason else choices[0], shown.left, reason)


def _choice(answer: str | None, first: Side, second: Side) -> str | None:
    return {'1': first, '2': second, 'tie': 'tie', None: None}[answer]
