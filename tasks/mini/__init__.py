"""The embedded world: small instruction tasks about a made-up world, generated from a seed, and text to pre-train on.

Importing this module registers the tasks `mini_*` with SeqIO, over a vocabulary of their own, and mixtures:
  mini                    all training tasks: zero-shot with and without options, with reasoning, few-shot
  mini_quickstart         those of them that a new model learns in minutes; mini_quickstart_held_out is held out from them
  mini_COLLECTION         the training tasks of a collection (collection.COLLECTIONS)
  mini_cot, mini_non_cot  the training tasks with and without rationales
  mini_held_out           the tasks that are never trained on, with options
  mini_fully_held_out, mini_partially_held_out, mini_supervised
                          OPT-IML's levels: whole categories, further tasks of categories that are trained, and new
                          examples of two training tasks of each category
  mini_no_template, mini_data_set_name
                          the training tasks without instructions, and with their names in place of them
The held-out ones and the levels also come as NAME_no_options and NAME_rank (ranking the options). `mini_text_*` are
corpora (text/corpora.py), `mini_crosslingual_*` questions in Zun about English passages (crosslingual.py).

Held out are compositions of what is trained apart: some tasks of trained categories, and all of the categories 'owning',
'extremes' and 'whereabouts'.
"""

import re
from collections.abc import Iterable

from flan_tune.data.mixtures import register_mixture
from flan_tune.data.prompts import OptionStyle, Prompt
from flan_tune.data.sources import GeneratedSource
from flan_tune.data.tasks import register_task
from flan_tune.tasks.mini import crosslingual
from flan_tune.tasks.mini.collection import (
    CATEGORIES,
    COLLECTION_OF,
    COLLECTIONS,
    train_examples,
)
from flan_tune.tasks.mini.definition import SIZES, MiniTask
from flan_tune.tasks.mini.features import FEATURES
from flan_tune.tasks.mini.text import corpora

OPTION_STYLES = (
    OptionStyle(),
    OptionStyle(heading='Possible answers: ', item='{option}', separator='; '),
)
# What an example of the training mixture is, by the suffix of the task's variant: prompts without options are
# short, so that most examples are; those with exemplars are long, and there are few.
SHARES = {
    '_no_options': 0.67,
    '': 0.3,
    '_direct': 0.5,
    '_few_shot_no_options': 0.02,
    '_few_shot': 0.01,
}
# To find a word by its place, or beside another one, is what most else builds on.
WEIGHTS = {'selecting': 2.0, 'searching': 1.5, 'stories': 3.0}
SUPERVISED_TASKS = 2  # Of each category.
# Lists, facts and short stories: what mini_quickstart is of.
QUICKSTART = (
    *('selecting', 'facts', 'asking', 'searching', 'telling', 'translation', 'numbers', 'days'),
    *('ordering', 'strings', 'comparing', 'counting', 'extremes', 'stories'),
)


def _register(task: MiniTask, category: str, place: int) -> list[str]:
    """Registers a task and, if it is trained on, the two forms of it that have no instruction."""
    shared = {
        'source': GeneratedSource(task.item, SIZES | {'train': train_examples(category, place)}),
        'output_features': FEATURES,
        'category': category,
        'data_source': f'mini_{task.name}',
        'option_styles': OPTION_STYLES,
        'has_options': 'options' in task.item('train', 0),
    }
    if not task.held_out:
        bare = '\n'.join(dict.fromkeys(re.findall(r'\{\w+\}', task.templates[0])))
        for form, text in (
            ('no_template', bare),
            ('data_set_name', f'[{task.name.replace("_", " ")}] {bare}'),
        ):
            register_task(
                f'mini_{form}_{task.name}',
                prompts=[Prompt(text)],
                collection=f'mini_{form}',
                shots=0,
                **shared,
            )
    return register_task(
        f'mini_{task.name}',
        prompts=[
            *(Prompt(template, '{answer}') for template in task.templates),
            *(
                Prompt(template, '{rationale} The answer is {answer}.')
                for template in task.reasoned
            ),
        ],
        collection=COLLECTION_OF[category],
        shots=(1, 3),
        **shared,
    )


def _rates(category: str, name: str, variants: list[str]) -> list[tuple[str, float]]:
    """Returns the variants of a task with their rates in the mixture of all."""
    shares = {name + suffix: share for suffix, share in SHARES.items()}
    shares = {v: share for v, share in shares.items() if v in (name, *variants)}
    scale = WEIGHTS.get(category, 1.0) / sum(shares.values())
    return [(variant, scale * share) for variant, share in shares.items()]


def _register_evaluation(name: str, tasks: Iterable[str]) -> None:
    """Registers a mixture of tasks with options, and the same without and ranking them."""
    for suffix in ('', '_no_options', '_rank'):
        register_mixture(f'{name}{suffix}', [(task + suffix, 1.0) for task in tasks])


def register() -> None:
    """Registers the tasks and mixtures with SeqIO; doing so again changes nothing."""
    rates: dict[str, list[tuple[str, float]]] = {}
    levels: dict[str, list[str]] = {
        'fully_held_out': [],
        'partially_held_out': [],
        'supervised': [],
    }
    trained: dict[str, list[MiniTask]] = {}
    for category, tasks in CATEGORIES.items():
        seen = trained[category] = [task for task in tasks if not task.held_out]
        with_options = [task for task in seen if 'options' in task.item('train', 0)]
        levels['supervised'] += [f'mini_{t.name}' for t in with_options[:SUPERVISED_TASKS]]
        for place, task in enumerate(tasks):
            name, *variants = _register(task, category, place)
            if task.held_out:
                levels['partially_held_out' if seen else 'fully_held_out'].append(name)
            else:
                rates.setdefault(category, []).extend(_rates(category, name, variants))
    register_mixture('mini', [rate for rated in rates.values() for rate in rated])
    register_mixture(
        'mini_quickstart', [rate for name in QUICKSTART for rate in rates.get(name, ())]
    )
    _register_evaluation(
        'mini_quickstart_held_out',
        [f'mini_{t.name}' for name in QUICKSTART for t in CATEGORIES[name] if t.held_out],
    )
    for level, names in levels.items():
        _register_evaluation(f'mini_{level}', names)
    _register_evaluation('mini_held_out', levels['fully_held_out'] + levels['partially_held_out'])

    all_trained = [task for tasks in trained.values() for task in tasks]
    groups = {
        name: [task for category in held.categories for task in trained[category]]
        for name, held in COLLECTIONS.items()
    }
    groups['mini_cot'] = [task for task in all_trained if task.reasoned]
    groups['mini_non_cot'] = [task for task in all_trained if not task.reasoned]
    for group, tasks in groups.items():
        register_mixture(group, [f'mini_{task.name}' for task in tasks])
    for form in ('mini_no_template', 'mini_data_set_name'):
        register_mixture(form, [f'{form}_{task.name}' for task in all_trained])


register()
corpora.register()
crosslingual.register()
