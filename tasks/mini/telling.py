"""Telling: a fact of the thing that another fact picks out, such as the colour of the animal."""

from collections.abc import Callable

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask
from flan_tune.tasks.mini.questions import FACTS, about
from flan_tune.tasks.mini.searching import MEANT_BY

HELD_OUT = {('colour', 'place'), ('kind', 'colour'), ('place', 'zun')}


def told(draws: Draws, clue: str, fact: str, rationale: Callable[[str], str] | None = None) -> dict:
    """Returns the item that asks for a fact of a thing by a clue, with what `rationale` says of the thing."""
    clue_of, value_of = MEANT_BY[clue][1], FACTS[fact].value_of
    while True:
        words = world.differing(draws, world.THINGS, clue_of, 4)
        values = [value_of[word] for word in words]
        if len(set(values)) == 4:
            break
    i = draws.integer(3)
    return {
        'words': ' '.join(words[:3]),
        'clue': clue_of[words[i]],
        **({'rationale': rationale(words[i])} if rationale else {}),
        'answer': values[i],
        'options': draws.shuffled(values),
    }


def _told(clue: str, fact: str) -> MiniTask:
    return MiniTask(
        name=f'{fact}_by_{clue}',
        make=lambda draws: told(draws, clue, fact),
        templates=about(FACTS[fact].templates, MEANT_BY[clue][0]),
        held_out=(clue, fact) in HELD_OUT,
    )


TASKS = [
    _told(clue, fact)
    for clue in MEANT_BY
    for fact in ('colour', 'place', 'kind', 'zun')
    if clue != fact
]
