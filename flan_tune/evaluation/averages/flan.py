"""Averages over templates, FLAN's two figures of a data set, and FIAT's means over languages, from the one tidy table.

Wei et al. (2021) report of a data set the mean over its templates, and the test score of the template that is best on the dev
examples; a cluster's score is the mean over its data sets. Sanh et al. (2022) report the median over templates. Wang et al.
(2023) report means over languages, of XTREME-UP over those that are under-represented.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flan_tune.errors import UserError
from flan_tune.evaluation.scores import Score, ScoreTable
from flan_tune.evaluation.suites.definition import find_suite

# Suite -> the one that scores the same data sets on their dev examples.
DEV_SUITES = {'flan2021_rank': 'flan2021_rank_dev', 'flan2021_generated': 'flan2021_generated_dev'}
# What is reported of a data set: the first that it has.
HEADLINES = ('accuracy', 'f1', 'bleu', 'rougeL', 'exact_match')

# FIAT's figures: suite, metric and group of languages.
FIAT = {
    'xor_attriqa_accuracy': ('xor_attriqa', 'accuracy', None),
    'xor_attriqa_auc_pr': ('xor_attriqa', 'auc_pr', None),
    'xtreme_up_f1': ('xtreme_up_qa', 'token_f1', None),
    'xtreme_up_indic_f1': ('xtreme_up_qa', 'token_f1', 'indic'),
}


@dataclasses.dataclass(frozen=True)
class OverTemplates:
    """The scores of one task with several templates.

    Attributes:
        metric: what they are.
        mean, median: over the templates.
        low, high: the quartiles.
        templates: name -> score.
    """

    metric: str
    mean: float
    median: float
    low: float
    high: float
    templates: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class FlanScore:
    """FLAN's figures of one data set.

    Attributes:
        metric: what they are.
        mean: over the templates, on test.
        best: the test score of the template that is best on dev; None where there are no dev scores.
        template: that template.
        dev: its dev score.
    """

    metric: str
    mean: float
    best: float | None
    template: str
    dev: float | None


@dataclasses.dataclass(frozen=True)
class FlanAverages:
    """FLAN's figures of all data sets of a suite.

    Attributes:
        suite: the suite.
        data_sets: name -> figures.
        clusters: cluster -> the mean of `mean`, and that of `best` over those that have it (None where none does).
        missing: data sets of the suite without scores.
        without_dev: data sets whose best template is not known.
    """

    suite: str
    data_sets: Mapping[str, FlanScore]
    clusters: Mapping[str, tuple[float, float | None]]
    missing: tuple[str, ...]
    without_dev: tuple[str, ...]

    @property
    def partial(self) -> bool:
        return bool(self.missing or self.without_dev)


@dataclasses.dataclass(frozen=True)
class LanguageMean:
    """A mean over languages, with the languages that it lacks."""

    value: float
    languages: int
    missing: tuple[str, ...]


def over_templates(
    table: ScoreTable,
    suite: str,
    *,
    metric: str | None = None,
    checkpoint: str | None = None,
    **key: Any,
) -> dict[str, OverTemplates]:
    """Returns task -> its scores over templates, for the tasks of a suite that the table has.

    Args:
        table: rows with a template each.
        suite: the suite.
        metric: by default each task's own, the first of HEADLINES that it has.
        checkpoint: whose scores; needed where the table has those of several.
        key: further conditions, such as `shots=0`; needed where the table has several.

    Raises:
        UserError: the table has no such score, or several of one template.
    """
    conditions = {'suite': suite} | ({'checkpoint': checkpoint} if checkpoint else {}) | key
    by_task: dict[str, list[Score]] = {}
    for row in table.select(**conditions):
        by_task.setdefault(row.task, []).append(row)
    found = {}
    for task, rows in by_task.items():
        there = {row.metric for row in rows}
        wanted = metric or next((name for name in HEADLINES if name in there), None)
        if wanted in there:
            found[task] = _over_templates(f'{suite} {task}', wanted, rows)
    if not found:
        what = ', '.join(f'{name} {value!r}' for name, value in conditions.items())
        raise UserError(f'the table has no score with {what}')
    return found


def flan_averages(
    table: ScoreTable,
    suite: str = 'flan2021_rank',
    *,
    checkpoint: str | None = None,
    shots: int = 0,
) -> FlanAverages:
    """Returns FLAN's two figures of the data sets of a suite, and their means by cluster.

    Args:
        table: rows of the suite, a template each, and those of its dev suite.
        suite: one of DEV_SUITES.
        checkpoint: whose scores; needed where the table has those of several.
        shots: exemplars.

    Raises:
        UserError: another suite, or the table has no score of it.
    """
    if suite not in DEV_SUITES:
        raise UserError(f'{suite!r} has no dev suite: {", ".join(DEV_SUITES)}')
    key = {'checkpoint': checkpoint, 'shots': shots}
    test = over_templates(table, suite, **key)
    dev_rows = table.select(suite=DEV_SUITES[suite], shots=shots)
    has_dev = any(checkpoint in (None, row.checkpoint) for row in dev_rows)
    dev = over_templates(table, DEV_SUITES[suite], **key) if has_dev else {}
    scores = {name: _flan_score(found, dev.get(name)) for name, found in test.items()}
    definition = find_suite(suite)
    clusters = {}
    for cluster, names in definition.groups.items():
        theirs = [scores[name] for name in names if name in scores]
        if theirs:
            best = [score.best for score in theirs if score.best is not None]
            clusters[cluster] = (_mean(s.mean for s in theirs), _mean(best) if best else None)
    return FlanAverages(
        suite=suite,
        data_sets=scores,
        clusters=clusters,
        missing=tuple(name for name in definition.chances if name not in scores),
        without_dev=tuple(name for name, score in scores.items() if score.best is None),
    )


def language_mean(
    table: ScoreTable,
    suite: str,
    metric: str,
    *,
    group: str | None = None,
    checkpoint: str | None = None,
    **key: Any,
) -> LanguageMean:
    """Returns the unweighted mean over the languages that count in a suite, or in one of its groups.

    Raises:
        UserError: the table has no such score, or several of one language.
    """
    definition = find_suite(suite)
    if group is not None and group not in definition.groups:
        raise UserError(f'suite {suite!r} has no group {group!r}: {", ".join(definition.groups)}')
    expected = definition.chances if group is None else definition.groups[group]
    conditions = {'suite': suite, 'metric': metric} | key
    conditions |= {'checkpoint': checkpoint} if checkpoint else {}
    rows = [row for row in table.select(**conditions) if row.task in expected]
    found = {row.task: row.value for row in rows}
    if not found:
        raise UserError(f'the table has no score of {suite} in {metric}')
    if len(found) < len(rows):
        raise UserError(f'the table has several scores of a language of {suite}; say which')
    missing = tuple(language for language in expected if language not in found)
    return LanguageMean(_mean(found.values()), len(found), missing)


def fiat_averages(
    table: ScoreTable, *, checkpoint: str | None = None, shots: int = 0
) -> dict[str, LanguageMean]:
    """Returns FIAT's figures that the table has: accuracy and AUC-PR of XOR-AttriQA, F1 of XTREME-UP, whole and Indic."""
    found = {}
    for name, (suite, metric, group) in FIAT.items():
        expected = find_suite(suite).chances if group is None else find_suite(suite).groups[group]
        rows = table.select(suite=suite, metric=metric, shots=shots)
        if any(row.task in expected and checkpoint in (None, row.checkpoint) for row in rows):
            key = {'group': group, 'checkpoint': checkpoint, 'shots': shots}
            found[name] = language_mean(table, suite, metric, **key)
    return found


def _over_templates(what: str, metric: str, rows: Iterable[Score]) -> OverTemplates:
    counted = [row for row in rows if row.metric == metric]
    # The row of the whole task, if it is there, is the mean over the others.
    named = [row for row in counted if row.template] or counted
    templates = {row.template: row.value for row in named}
    if len(templates) < len(named):
        raise UserError(
            f'{what}: the table has several scores of a template; say which checkpoint, protocol and shots'
        )
    values = list(templates.values())
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return OverTemplates(metric, _mean(values), float(median), float(low), float(high), templates)


def _flan_score(test: OverTemplates, dev: OverTemplates | None) -> FlanScore:
    shared = [t for t in dev.templates if t in test.templates] if dev else []
    if not shared:
        return FlanScore(test.metric, test.mean, None, '', None)
    # The first of equals.
    best = max(shared, key=dev.templates.__getitem__)
    return FlanScore(test.metric, test.mean, test.templates[best], best, dev.templates[best])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
