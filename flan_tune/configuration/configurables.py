"""What gin files may name: the table of ours, imported when named, and what users register."""

import dataclasses
import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import gin

from flan_tune.errors import UserError

CONFIGURABLES = {
    # The roots, one to a verb.
    'train': 'flan_tune.train:train',
    'evaluate': 'flan_tune.evaluate:evaluate',
    'infer': 'flan_tune.infer:infer',
    'sample': 'flan_tune.sample:sample',
    'fiat': 'flan_tune.fiat:fiat',
    'export': 'flan_tune.export:export',
    'prepare': 'flan_tune.prepare:prepare',
    'inspect': 'flan_tune.inspect:inspect',
    'study': 'flan_tune.study:study',
    # What they are made of.
    'DataConfig': 'flan_tune.data.config:DataConfig',
    'MixtureConfig': 'flan_tune.data.mixture_config:MixtureConfig',
    'T5Config': 'flan_tune.models.t5:T5Config',
    'PaLMConfig': 'flan_tune.models.palm:PaLMConfig',
    'LaMDAConfig': 'flan_tune.models.lamda:LaMDAConfig',
    'OPTConfig': 'flan_tune.models.opt:OPTConfig',
    'LoRAConfig': 'flan_tune.models.lora:LoRAConfig',
    'SoftPromptConfig': 'flan_tune.models.soft_prompt:SoftPromptConfig',
    'CheckpointConfig': 'flan_tune.training.checkpoints:CheckpointConfig',
    'EvaluationConfig': 'flan_tune.evaluation.config:EvaluationConfig',
    'OpenEnded': 'flan_tune.evaluation.open_ended:OpenEnded',
    'RealToxicityPrompts': 'flan_tune.evaluation.toxicity.prompts:RealToxicityPrompts',
    'Reasoning': 'flan_tune.chains.prompts:Reasoning',
    'TaskPrompt': 'flan_tune.chains.prompts:TaskPrompt',
    'ModelChains': 'flan_tune.chains.writers:ModelChains',
    'RecordedChains': 'flan_tune.chains.writers:RecordedChains',
    'Ingredients': 'flan_tune.chains.config:Ingredients',
    'FiatTest': 'flan_tune.chains.config:FiatTest',
    'Hardware': 'flan_tune.partitioning.roofline:Hardware',
    # Studies.
    'Run': 'flan_tune.studies.grid:Run',
    'Measure': 'flan_tune.studies.results:Measure',
    'Figure': 'flan_tune.reporting.study_figure:Figure',
    'Finding': 'flan_tune.studies.findings:Finding',
    'Difference': 'flan_tune.studies.findings:Difference',
    'Trend': 'flan_tune.studies.findings:Trend',
    'GainShare': 'flan_tune.studies.findings:GainShare',
    'AllOf': 'flan_tune.studies.findings:AllOf',
    # Optimizers and their schedules.
    'adafactor': 'flan_tune.training.optimizers:adafactor',
    'adam': 'flan_tune.training.optimizers:adam',
    'constant': 'flan_tune.training.schedules:constant',
    'linear_warmup_linear_decay': 'flan_tune.training.schedules:linear_warmup_linear_decay',
    'linear_warmup_cosine': 'flan_tune.training.schedules:linear_warmup_cosine',
    'rsqrt': 'flan_tune.training.schedules:rsqrt',
}


@dataclasses.dataclass(frozen=True)
class Configurable:
    """A function or class under its gin name."""

    name: str
    target: Callable[..., Any]

    @functools.cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters that a binding may name."""
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        given = inspect.signature(self.target).parameters
        return {name: p for name, p in given.items() if p.kind not in variable}

    @functools.cached_property
    def takes_any(self) -> bool:
        """Whether it has `**kwargs`, so that every parameter name is valid."""
        given = inspect.signature(self.target).parameters.values()
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in given)

    @functools.cached_property
    def hints(self) -> Mapping[str, Any]:
        """Annotations by parameter, with the result under 'return'; unresolvable ones are absent."""
        target = self.target
        source = target.__init__ if inspect.isclass(target) else target
        try:
            hints = typing.get_type_hints(inspect.unwrap(source))
        except (NameError, TypeError):  # A name imported for type checkers only, or a builtin.
            hints = {}
        return {**hints, 'return': target} if inspect.isclass(target) else hints


def find(name: str) -> Configurable | None:
    """Returns the configurable that a gin file calls `name`, or None.

    Raises:
        UserError: several registered names end in `name`.
    """
    if name in CONFIGURABLES:
        return _ours(name, CONFIGURABLES[name])
    matches = {n: c for n, c in _registered().items() if f'.{n}'.endswith(f'.{name}')}
    if name in matches:
        matches = {name: matches[name]}
    if len(matches) > 1:
        raise UserError(f'{name!r} may be {" or ".join(sorted(matches))}: write more of the name.')
    return next((Configurable(n, target) for n, target in matches.items()), None)


def names() -> list[str]:
    """Returns all valid names, the users' own in full."""
    return [*CONFIGURABLES, *_registered()]


@functools.cache
def _ours(name: str, place: str) -> Configurable:
    module, attribute = place.split(':')
    return Configurable(name, getattr(importlib.import_module(module), attribute))


def _registered() -> dict[str, Callable[..., Any]]:
    """What `@gin.configurable` registered; gin has no public way to list it."""
    found = gin.config._REGISTRY.items()
    return {name: c.wrapped for name, c in found if not name.startswith('gin.')}
