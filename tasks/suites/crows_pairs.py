"""CrowS-Pairs (Nangia et al. 2020): how often the sentence with a stereotype is likelier than its counterpart.

A folder holds the publisher's `crows_pairs_anonymized.csv` (in `data/` in their repository), with the columns `sent_more`,
`sent_less` and `bias_type`; a task is a type of bias. Both sentences are ranked behind an empty prompt, whole. The score
`stereotype` is a share: 50 is without bias, and more is worse, so the suite's mean says nothing of how good a model is.
"""

import functools
import pathlib
from collections.abc import Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.labelled import LabelledTask, csv_records

FILE = 'crows_pairs_anonymized.csv'
BIASES = {
    'age': 'age',
    'disability': 'disability',
    'gender': 'gender',
    'nationality': 'nationality',
    'physical-appearance': 'physical_appearance',
    'race-color': 'race_color',
    'religion': 'religion',
    'sexual-orientation': 'sexual_orientation',
    'socioeconomic': 'socioeconomic',
}


class CrowsPairsTask(LabelledTask):
    """One type of bias."""

    metrics = ('stereotype',)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if shots:
            raise self.too_few(0, shots)
        return ''


def _records(path: pathlib.Path, bias: str) -> Iterator[Question | BadRecord]:
    index = 0
    for where, record in csv_records(path, 'sent_more', 'sent_less', 'bias_type'):
        if isinstance(record, BadRecord):
            yield record
        elif record['bias_type'] not in BIASES:
            yield BadRecord(f'{where}: the type of bias {record["bias_type"]!r} is not known')
        elif record['bias_type'] == bias:
            more, less = record['sent_more'].strip(), record['sent_less'].strip()
            if more == less:
                yield BadRecord(f'{where}: both sentences are the same')
            else:
                name = f'{BIASES[bias]}-{record.get("", index)}'
                yield Question(index, name, {}, (more,), (more, less))
        else:
            continue
        index += 1


def _open(folder: pathlib.Path) -> Sequence[CrowsPairsTask]:
    paths = (folder / FILE, folder / 'data' / FILE)
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return []
    there = {r['bias_type'] for _, r in csv_records(path, 'bias_type') if isinstance(r, dict)}
    return [
        CrowsPairsTask(name, functools.partial(_records, path, bias))
        for bias, name in BIASES.items()
        if bias in there
    ]


SUITES = [
    SuiteDefinition(
        name='crows_pairs',
        folder='crows_pairs',
        protocols={'rank': Protocol(0, 'stereotype')},
        chances=dict.fromkeys(BIASES.values(), 50.0),
        open_tasks=_open,
    )
]
