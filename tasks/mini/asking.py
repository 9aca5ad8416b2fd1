"""Asking: a fact of the first, the second or the last word of a list. Some of the pairs are held out."""

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


def _asked(fact: str, position: str) -> MiniTask:
    asked = FACTS[fact]

    def make(draws: Draws) -> dict:
        while True:
            words = world.differing(draws, asked.subjects, asked.value_of, 4)
            shown = words[: 3 + draws.integer(2)]
            answer = asked.value_of[shown[POSITIONS[position]]]
            if answer not in shown:
                break
        return {
            'words': ' '.join(shown),
            'answer': answer,
            'options': draws.shuffled([asked.value_of[word] for word in words]),
        }

    return MiniTask(
        name=f'{fact}_of_{position}',
        make=make,
        templates=about(asked.templates, f'the {position} {asked.noun}'),
        held_out=(position, fact) in HELD_OUT,
    )


TASKS = [_asked(fact, position) for fact in FACTS for position in POSITIONS]
