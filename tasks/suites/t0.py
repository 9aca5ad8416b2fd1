"""T0's eleven held-out tasks (Sanh et al. 2022), asked with every template of P3 that asks for the original task.

The folder is the data folder: `promptsource_templates/DATA_SET[/SUBSET]/templates.yaml` and, as `to_json` of the Hugging
Face library writes them, `promptsource_data/DATA_SET[/SUBSET]/{train,validation}.jsonl` (`{train,dev}_r1.jsonl` to `_r3`
for ANLI). Answers are ranked among a template's answer choices. A task's score is the mean over its templates;
`flan_aggregates.over_templates` has the median too.
"""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Protocol, SuiteDefinition
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask

if TYPE_CHECKING:
    from flan_tune.data.rendering import Renderer

# Task -> data set, files of train and of what is scored, chance.
TASKS = {
    'anli_r1': ('anli', 'train_r1', 'dev_r1', 100 / 3),
    'anli_r2': ('anli', 'train_r2', 'dev_r2', 100 / 3),
    'anli_r3': ('anli', 'train_r3', 'dev_r3', 100 / 3),
    'cb': ('super_glue/cb', 'train', 'validation', 100 / 3),
    'copa': ('super_glue/copa', 'train', 'validation', 50.0),
    'hellaswag': ('hellaswag', 'train', 'validation', 25.0),
    'rte': ('super_glue/rte', 'train', 'validation', 50.0),
    'story_cloze': ('story_cloze/2016', 'train', 'validation', 50.0),
    'wic': ('super_glue/wic', 'train', 'validation', 50.0),
    'winogrande': ('winogrande/winogrande_xl', 'train', 'validation', 50.0),
    'wsc': ('super_glue/wsc.fixed', 'train', 'validation', 50.0),
}


def _open(folder: pathlib.Path) -> list[InstructionSuiteTask]:
    tasks = []
    for name, (data_set, train, scored, _) in TASKS.items():
        records = folder / 'promptsource_data' / data_set
        templates = folder / 'promptsource_templates' / data_set / 'templates.yaml'
        if not (records / f'{scored}.jsonl').exists() or not templates.exists():
            continue
        files = {'train': records / f'{train}.jsonl', 'validation': records / f'{scored}.jsonl'}
        files = {split: path for split, path in files.items() if path.exists()}
        renderers = _renderers(name, templates, files)
        tasks.append(InstructionSuiteTask(name, renderers, split='validation'))
    return tasks


def _renderers(
    name: str, templates: pathlib.Path, files: Mapping[str, pathlib.Path]
) -> 'dict[str, Renderer]':
    """A renderer of each template that has answer choices, by the template's name."""
    from flan_tune.data.definition import TaskDefinition, Variant
    from flan_tune.data.few_shot import Between
    from flan_tune.data.prompts import OPTION_STYLES
    from flan_tune.data.rendering import Renderer
    from flan_tune.data.sources import JsonlSource
    from flan_tune.tasks.p3 import AsWritten
    from flan_tune.tasks.p3.metadata import key
    from flan_tune.tasks.p3.source import TemplateSource
    from flan_tune.tasks.p3.templates import load_templates

    source = JsonlSource(files)
    file = load_templates(templates)
    chosen = [t for t in file.templates if t.has_options and t.original_task is not False]
    if not chosen:
        raise UserError(f'{templates}: no template with answer choices asks for the original task')
    return {
        template.name: Renderer(
            TaskDefinition(
                name=f't0_{key(name, template.name)}',
                source=TemplateSource(source, [template]),
                prompts=(AsWritten('{prompt}', '{answer}'),),
                metric_fns=('accuracy',),
                category='',
                collection='t0',
                data_source=name,
                preprocess=None,
                shots=Between(0, 0),
                option_styles=OPTION_STYLES[:1],
                has_options=True,
                mixed_templates=False,
            ),
            Variant(),
        )
        for template in chosen
    }


SUITES = [
    SuiteDefinition(
        name='t0_held_out',
        folder='',
        protocols={
            'rank': Protocol(0, 'accuracy'),
            'direct': Protocol(0, 'accuracy'),
        },
        chances={name: chance for name, (*_, chance) in TASKS.items()},
        open_tasks=_open,
    )
]
