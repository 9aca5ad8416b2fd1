"""The categories of the embedded world with their tasks, and the collections that they are in."""

from dataclasses import dataclass

from flan_tune.tasks.mini import (
    asking,
    checking,
    comparing,
    counting,
    days,
    dialogue,
    extremes,
    facts,
    gifts,
    numbers,
    ordering,
    owning,
    problems,
    reasoning,
    searching,
    selecting,
    several,
    steps,
    stories,
    strings,
    telling,
    translation,
    whereabouts,
    writing,
    zun_stories,
)
from flan_tune.tasks.mini.definition import MiniTask

CATEGORIES: dict[str, list[MiniTask]] = {
    'selecting': selecting.TASKS,
    'facts': facts.TASKS,
    'asking': asking.TASKS,
    'searching': searching.TASKS,
    'telling': telling.TASKS,
    'translation': translation.TASKS,
    'numbers': numbers.TASKS,
    'days': days.TASKS,
    'ordering': ordering.TASKS,
    'strings': strings.TASKS,
    'comparing': comparing.TASKS,
    'counting': counting.TASKS,
    'checking': checking.TASKS,
    'stories': stories.TASKS,
    'zun_stories': zun_stories.TASKS,
    'writing': writing.TASKS,
    'dialogue': dialogue.TASKS,
    'reasoning': reasoning.TASKS,
    'steps': steps.TASKS,
    'several': several.TASKS,
    'gifts': gifts.TASKS,
    'problems': problems.TASKS,
    'owning': owning.TASKS,
    'extremes': extremes.TASKS,
    'whereabouts': whereabouts.TASKS,
}
TASKS = [task for tasks in CATEGORIES.values() for task in tasks]


@dataclass(frozen=True)
class Collection:
    """Categories under one roof; its tasks have about `examples` to train on."""

    categories: tuple[str, ...]
    examples: int


# As in the published collections, some have few tasks with very many examples and others many with few.
COLLECTIONS = {
    'mini_skills': Collection(
        ('selecting', 'searching', 'ordering', 'strings', 'comparing', 'counting'), 16_384
    ),
    'mini_knowledge': Collection(('facts', 'translation', 'numbers', 'days'), 65_536),
    'mini_compositions': Collection(('asking', 'telling', 'extremes'), 1_024),
    'mini_reading': Collection(
        ('stories', 'zun_stories', 'checking', 'writing', 'owning', 'whereabouts'), 4_096
    ),
    'mini_reasoning': Collection(('reasoning', 'steps', 'several', 'gifts', 'problems'), 4_096),
    'mini_dialogue': Collection(('dialogue',), 16_384),
}
COLLECTION_OF = {
    category: name for name, held in COLLECTIONS.items() for category in held.categories
}


def train_examples(category: str, place: int) -> int:
    """Returns how many examples the task in this place of its category has: a quarter to four times the usual."""
    return COLLECTIONS[COLLECTION_OF[category]].examples * (16, 4, 1)[place % 3] // 4
