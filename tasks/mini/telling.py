"""Telling: a fact of the thing that another fact picks out, such as the colour of the animal."""

from flan_tune.data.draws import Draws
from flan_tune.tasks.mini import world
from flan_tune.tasks.mini.definition import MiniTask
from flan_tune.tasks.mini.questions import FACTS, about
from flan_tune.tasks.mini.searching import MEANT_BY

HELD_OUT = {('colour', 'place'), ('kind', 'colour'), ('place', 'zun')}


def _told(clue: str, fact: str) -> MiniTask:
    thing, clue_of = MEANT_BY[clue]
    told = FACTS[fact]

    def make(draws: Draws) -> dict:
        while True:
            words = world.differing(draws, world.THINGS, clue_of, 4)
            values = [told.value_of[word] for word in words]
            if len(set(values)) == 4:
                break
        i = draws.integer(3)
        return {
            'words': ' '.join(words[:3]),
            'clue': clue_of[words[i]],
            'answer': values[i],
            'options': draws.shuffled(values),
        }

    return MiniTask(
        name=f'{fact}_by_{clue}',
        make=make,
        templates=about(told.templates, thing),
        held_out=(clue, fact) in HELD_OUT,
    )


TASKS = [
    _told(clue, fact)
    for clue in MEANT_BY
    for fact in ('colour', 'place', 'kind', 'zun')
    if clue != fact
]
