"""Asking: a fact of the first, the second or the last word of a list. Some of the pairs are held out."""

from collections.abc import Callable

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask
from flan_tune.tasks.mini.questions import FACTS, about
from flan_tune.tasks.mini.selecting import POSITIONS

# Each fact is held out for one position and trained with the others, each position with most facts.
HELD_OUT = {
    ('last', 'colour'),
    ('first', 'place'),
    ('second', 'kind'),
    ('last', 'initial'),
    ('last', 'zun'),
    ('second', 'english'),
    ('first', 'opposite'),
    ('second', 'next'),
    ('first', 'double'),
    ('last', 'previous'),
}


def asked(
    draws: Draws, fact: str, position: str, rationale: Callable[[str], str] | None = None
) -> dict:
    """Returns the item that asks for a fact of a word by its place, with what `rationale` says of the word."""
    subjects, value_of = FACTS[fact].subjects, FACTS[fact].value_of
    while True:
        words = world.differing(draws, subjects, value_of, 4)
        shown = words[: 3 + draws.integer(2)]
        word = shown[POSITIONS[position]]
        if value_of[word] not in shown:
            break
    return {
        'words': ' '.join(shown),
        **({'rationale': rationale(word)} if rationale else {}),
        'answer': value_of[word],
        'options': draws.shuffled([value_of[one] for one in words]),
    }


def templates(fact: str, position: str) -> tuple[str, ...]:
    """Returns the ways to ask for it."""
    return about(FACTS[fact].templates, f'the {position} {FACTS[fact].noun}')


def _asked(fact: str, position: str) -> MiniTask:
    return MiniTask(
        name=f'{fact}_of_{position}',
        make=lambda draws: asked(draws, fact, position),
        templates=templates(fact, position),
        held_out=(position, fact) in HELD_OUT,
    )


TASKS = [_asked(fact, position) for fact in FACTS for position in POSITIONS]
