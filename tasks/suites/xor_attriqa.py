"""XOR-AttriQA (Muller et al. 2023), as FIAT scores it: is an answer supported by its passage, in five languages.

A folder holds the publisher's files, `in-language/{bn,fi,ja,ru,te}.jsonl` and `train.jsonl` for exemplars (with or without
that folder, the language anywhere in a name). A passage is shown in the language in which it was retrieved. Accuracy,
and AUC-PR of the probability of `yes` among the two labels.
"""

import functools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.files import read_jsonl, text_fields
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.evaluation.suites.whole_set import Output, auc_pr
from flan_tune.tasks.suites.labelled import LabelledTask, label_number, labelled

LANGUAGES = ('bn', 'fi', 'ja', 'ru', 'te')
OPTIONS = ('no', 'yes')


class XorAttriqaTask(LabelledTask):
    """One language."""

    corpus_metrics = ('auc_pr',)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        return auc_pr(*self.label_scores(outputs, 'yes')) if protocol == 'rank' else {}


def _records(path: pathlib.Path, language: str = '') -> Iterator[Question | BadRecord]:
    """The records of a file; with a language, those that ask in it."""
    for index, (where, record) in enumerate(read_jsonl(path)):
        if isinstance(record, BadRecord):
            yield record
        elif not language or record.get('query_language', language) == language:
            yield question(index, where, record)


def question(index: int, where: str, record: Mapping) -> Question | BadRecord:
    """Returns what a record of the publisher's file asks, or what is wrong with it."""
    english = record.get('passage_retrieved_language') == 'en'
    passage = 'passage_en' if english else 'passage_in_language'
    fields = text_fields(where, record, 'query', 'prediction', passage)
    if isinstance(fields, BadRecord):
        return fields
    label = label_number(where, record.get('ais'), ('false', 'true'))
    if isinstance(label, BadRecord):
        return label
    prompt = (
        f'question: {fields["query"]} answer: {fields["prediction"]} passage: {fields[passage]}\n'
        'Does the passage show that the answer is right?'
    )
    return labelled(index, 'xor_attriqa', prompt, OPTIONS, label)


def _open(folder: pathlib.Path) -> Sequence[XorAttriqaTask]:
    data = folder / 'in-language' if (folder / 'in-language').is_dir() else folder
    files = sorted(data.glob('*.jsonl'))
    train = next((path for path in files if 'train' in path.stem), None)
    tasks = []
    for language in LANGUAGES:
        named = [
            path
            for path in files
            if language in re.split(r'[^a-z]+', path.stem.lower()) and path != train
        ]
        if named:
            exemplars = functools.partial(_records, train, language) if train else None
            read = functools.partial(_records, named[0])
            aliases = [named[0].stem]
            tasks.append(XorAttriqaTask(language, read, exemplars, balanced=True, aliases=aliases))
    return tasks


SUITES = [
    SuiteDefinition(
        name='xor_attriqa',
        folder='xor_attriqa',
        protocols={'rank': Protocol(0, 'accuracy')},
        chances=dict.fromkeys(LANGUAGES, 50.0),
        open_tasks=_open,
    )
]
