"""FLAN 2021 (Wei et al. 2021) by cluster: every data set, asked with every template that asks for its answer.

Data sets are read from TFDS, as for training; those that are not prepared are missing. Classification is ranked
(`flan2021_rank`), the rest is generated (`flan2021_generated`); each once on the test split and once, as `..._dev`, on the
examples kept from training (200 as published), by which the best template is chosen. Where a data set has no test split its
dev examples are scored in both. `flan_aggregates` makes the two figures of the paper from the rows of both.

The folder is not looked into: TFDS has its own (`TFDS_DATA_DIR`).
"""

import functools
import pathlib

from flan_tune.evaluation.suites.definition import Protocol, SuiteDefinition
from flan_tune.evaluation.suites.instruction import InstructionSuiteTask
from flan_tune.evaluation.suites.registered import each_template, without_absent

_RANKED = {
    'closed-book question answering': 'arc_challenge arc_easy',
    'commonsense': 'copa hellaswag piqa story_cloze',
    'coreference': 'definite_pronoun_resolution winogrande wsc',
    'miscellaneous': 'cola trec wic',
    'natural language inference': """anli_r1 anli_r2 anli_r3 cb mnli_matched mnli_mismatched qnli rte
        snli wnli""",
    'paraphrase': 'glue_mrpc glue_qqp paws_wiki stsb',
    'reading comprehension': 'bool_q multirc openbookqa',
    'reading comprehension with commonsense': 'cosmos_qa record',
    'sentiment': 'imdb_reviews sentiment140 sst2 yelp_polarity_reviews',
    'summarization': 'ag_news_subset',
}
_GENERATED = {
    'closed-book question answering': 'natural_questions trivia_qa',
    'miscellaneous': 'coqa fix_punct math_dataset quac true_case word_segment',
    'reading comprehension': 'drop squad_v1 squad_v2',
    'struct-to-text': 'common_gen dart e2e_nlg web_nlg_en',
    'summarization': """aeslc cnn_dailymail gigaword multi_news newsroom opinion_abstracts_idebate
        opinion_abstracts_rotten_tomatoes samsum wiki_lingua_english_en xsum""",
    'translation': """para_crawl_enes wmt14_enfr wmt16_translate_csen wmt16_translate_deen
        wmt16_translate_fien wmt16_translate_roen wmt16_translate_ruen wmt16_translate_tren""",
}
RANKED, GENERATED = (
    {cluster: tuple(names.split()) for cluster, names in clusters.items()}
    for clusters in (_RANKED, _GENERATED)
)


def headline(task: InstructionSuiteTask) -> str:
    """Returns the metric that FLAN reports of a data set."""
    if task.definition.has_options:
        return 'accuracy'
    names = {'squad': 'f1', 'rouge': 'rougeL'}
    return names.get(task.definition.metric_fns[0], task.definition.metric_fns[0])


def _open(_: pathlib.Path, names: tuple[str, ...], split: str) -> list[InstructionSuiteTask]:
    from flan_tune.data import mixtures
    from flan_tune.tasks import flan2021  # noqa: F401

    renderers = {name: mixtures.find(f'flan2021_{name}').renderer for name in names}
    return without_absent(
        [
            InstructionSuiteTask(
                name,
                each_template(renderer),
                split=split if split in renderer.splits else 'validation',
            )
            for name, renderer in renderers.items()
        ]
    )


def _suite(
    name: str, clusters: dict[str, tuple[str, ...]], protocol: str, metric: str, split: str
) -> SuiteDefinition:
    names = tuple(sorted(name for names in clusters.values() for name in names))
    return SuiteDefinition(
        name=name,
        folder='',
        protocols={protocol: Protocol(0, metric)},
        chances=dict.fromkeys(names, 0.0),
        open_tasks=functools.partial(_open, names=names, split=split),
        groups=clusters,
    )


SUITES = [
    suite
    for suffix, split in (('', 'test'), ('_dev', 'validation'))
    for suite in (
        _suite(f'flan2021_rank{suffix}', RANKED, 'rank', 'accuracy', split),
        _suite(f'flan2021_generated{suffix}', GENERATED, 'direct', 'exact_match', split),
    )
]
