"""Suites of what is registered: instruction tasks, their variants, and mixtures of them."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flan_tune.data.definition import Variant
from flan_tune.data.rendering import Renderer
from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Protocol, SuiteDefinition
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask, can_rank

if TYPE_CHECKING:
    from flan_tune.data.tasks import InstructionTask

TEMPLATES = ('drawn', 'each')
_log = logging.getLogger(__name__)


def open_instruction_tasks(
    names: str | Sequence[str],
    *,
    split: str | Sequence[str] = 'validation',
    templates: str = 'drawn',
    style: str = 'flan',
    ranked: bool | None = None,
    limit: int | None = None,
    metric_fns: Sequence[str] | None = None,
    seed: int = 0,
) -> list[InstructionSuiteTask]:
    """Makes tasks of a suite from what is registered.

    Args:
        names: tasks, their variants, or mixtures. Those of NAME that only differ in protocol (`_few_shot`, `_rank`) are
            one task; a variant NAME_template_K is asked with that template.
        split: the split that is asked; of several the first that a task has.
        templates: 'drawn' for each question as the variant does, or 'each': every template that asks for the answer.
        style: of prompts, 'flan' or 'opt_iml'.
        ranked: only tasks that can be ranked, or only those that cannot.
        limit: at most so many records of a task.
        metric_fns: names of metrics; by default those of each task.
        seed: of the draws.

    Raises:
        UserError: nothing of a name is registered, or it is no instruction task, or it has no such split.
    """
    if templates not in TEMPLATES:
        raise ValueError(f'templates {templates!r} is none of {", ".join(TEMPLATES)}')
    grouped: dict[str, dict[str, Renderer]] = {}
    splits: dict[str, str] = {}
    for task in _leaves(names):
        definition = task.definition
        if ranked not in (None, can_rank(definition)):
            continue
        splits[definition.name] = _split(task, [split] if isinstance(split, str) else split)
        if templates == 'each':
            found = each_template(task.renderer)
        elif task.variant.template is not None:
            prompt = definition.prompts[task.variant.template]
            found = {definition.prompt_name(prompt): task.renderer}
        else:
            found = {'': task.renderer}
        styled = {template: _styled(renderer, style) for template, renderer in found.items()}
        grouped.setdefault(definition.name, {}).update(styled)
    return [
        InstructionSuiteTask(
            name, renderers, split=splits[name], limit=limit, metric_fns=metric_fns, seed=seed
        )
        for name, renderers in grouped.items()
    ]


def each_template(renderer: Renderer) -> dict[str, Renderer]:
    """Returns name -> renderer of each template that asks for the answer, without those that reason where others do not."""
    definition = renderer.definition
    asking = [(k, p) for k, p in enumerate(definition.prompts) if not p.inverts]
    direct = [(k, p) for k, p in asking if not p.uses_rationale] or asking
    return {
        definition.prompt_name(p): type(renderer)(
            definition,
            Variant(f'_template_{k}', rationale=p.uses_rationale, template=k),
        )
        for k, p in direct
    }


def without_absent(tasks: Sequence[InstructionSuiteTask]) -> list[InstructionSuiteTask]:
    """Returns the tasks whose records are there; the others are named in the log.

    Raises:
        UserError: there are none; it says what is wrong with the first.
    """
    found, errors = [], []
    for task in tasks:
        try:
            task.check_there()
            found.append(task)
        except UserError as error:
            _log.warning('%s is not scored: %s', task.name, error)
            errors.append(error)
    if errors and not found:
        raise errors[0]
    return found


def task_suite(
    name: str,
    members: str | Sequence[str],
    *,
    protocols: Mapping[str, Protocol],
    folder: str = '',
    before: Callable[[], Any] | None = None,
    **options: Any,
) -> SuiteDefinition:
    """Returns a suite of registered tasks, for `register_suite`; it is looked at when it is opened.

    Tasks whose records are not there are missing then.

    Args:
        name: of the suite.
        members: see `open_instruction_tasks`.
        protocols: see SuiteDefinition.
        folder: a folder of the data folder that has to be there, by default the data folder.
        before: is called first, to import what registers the tasks.
        options: further arguments of `open_instruction_tasks`.
    """
    chances = _Members(members, before, options.get('ranked'))

    def opened(_: Any) -> list[InstructionSuiteTask]:
        chances.read()
        return without_absent(open_instruction_tasks(members, **options))

    return SuiteDefinition(name, folder, protocols, chances, opened)


class _Members(Mapping):
    """The names of the tasks, with 0 for chance: read when they are asked for."""

    def __init__(
        self, members: str | Sequence[str], before: Callable[[], Any] | None, ranked: bool | None
    ):
        self._members, self._before, self._ranked = members, before, ranked
        self._names: dict[str, float] | None = None

    def read(self) -> dict[str, float]:
        """Returns them as they are registered now."""
        if self._before:
            self._before()
        self._names = {
            task.definition.name: 0.0
            for task in _leaves(self._members)
            if self._ranked in (None, can_rank(task.definition))
        }
        return self._names

    def __getitem__(self, name: str) -> float:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, float]:
        return self.read() if self._names is None else self._names


def _leaves(names: str | Sequence[str]) -> 'list[InstructionTask]':
    """Returns the tasks of names and mixtures, each variant once."""
    from flan_tune.data import mixtures
    from flan_tune.data.tasks import InstructionTask

    names = [names] if isinstance(names, str) else names
    leaves = dict.fromkeys(leaf for name in names for leaf in mixtures.leaf_names(name))
    tasks = [mixtures.find(leaf) for leaf in leaves]
    for task in tasks:
        if not isinstance(task, InstructionTask):
            raise UserError(
                f'{task.name!r} is no task that register_task made, which a suite needs'
            )
    return tasks


def _split(task: 'InstructionTask', wanted: Sequence[str]) -> str:
    found = next((split for split in wanted if split in task.splits), None)
    if found is None:
        raise UserError(
            f'task {task.name!r} has no split {" or ".join(map(repr, wanted))}, only {list(task.splits)}'
        )
    return found


def _styled(renderer: Renderer, style: str) -> Renderer:
    if style == renderer.variant.style:
        return renderer
    variant = dataclasses.replace(renderer.variant, style=style)
    return type(renderer)(renderer.definition, variant)
