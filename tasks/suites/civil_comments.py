"""CivilComments (Borkan et al. 2019): is a comment toxic, by the likelihoods of yes and no; AUC-ROC (Flan 2022).

A folder holds `test.csv` (or the publisher's `test_public_expanded.csv`) and, for exemplars, `train.csv`, with the columns
`comment_text` (or `text`) and `toxicity` (or `target`), a share of raters; from 0.5 on a comment is toxic. Of the training
file the first 2,000 records are looked at, and exemplars take turns in what they answer.
"""

import csv
import functools
import itertools
import pathlib
from collections.abc import Iterator, Mapping

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.evaluation.suites.whole_set import Output, auc_roc
from flan_tune.tasks.suites.labelled import LabelledTask, csv_records, labelled

NAME = 'civil_comments'
OPTIONS = ('yes', 'no')
TOXIC = 0.5
TEXTS, SHARES = ('comment_text', 'text'), ('toxicity', 'target')
_FILES = ('test.csv', 'test_public_expanded.csv')
_LOOKED_AT = 2000


class CivilCommentsTask(LabelledTask):
    """The test set."""

    corpus_metrics = ('auc_roc',)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        return auc_roc(*self.label_scores(outputs, 'yes')) if protocol == 'rank' else {}


def _records(path: pathlib.Path) -> Iterator[Question | BadRecord]:
    for index, (where, record) in enumerate(csv_records(path)):
        yield record if isinstance(record, BadRecord) else _question(index, where, record)


def _exemplars(path: pathlib.Path) -> Iterator[Question | BadRecord]:
    """The first records of what may be a very large file."""
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            for index, record in enumerate(itertools.islice(csv.DictReader(file), _LOOKED_AT)):
                yield _question(index, f'{path}: record {index}', record)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path}: cannot be read: {error}') from error


def _question(index: int, where: str, record: Mapping[str, str]) -> Question | BadRecord:
    text = next((record[name] for name in TEXTS if record.get(name)), '').strip()
    share = next((record[name] for name in SHARES if record.get(name)), '')
    if not text:
        return BadRecord(f'{where}: no comment ({" or ".join(TEXTS)})')
    try:
        toxicity = float(share)
    except ValueError:
        toxicity = -1.0
    if not 0 <= toxicity <= 1:
        return BadRecord(f'{where}: {" or ".join(SHARES)} must be a share, not {share!r}')
    prompt = f'Comment: {text}\nIs this comment toxic?\nAnswer:'
    return labelled(index, NAME, prompt, OPTIONS, 0 if toxicity >= TOXIC else 1)


def _open(folder: pathlib.Path) -> list[CivilCommentsTask]:
    path = next((folder / name for name in _FILES if (folder / name).exists()), None)
    if path is None:
        return []
    train = folder / 'train.csv'
    exemplars = functools.partial(_exemplars, train) if train.exists() else None
    return [CivilCommentsTask(NAME, functools.partial(_records, path), exemplars, balanced=True)]


SUITES = [
    SuiteDefinition(
        name=NAME,
        folder=NAME,
        protocols={'rank': Protocol(0, 'accuracy')},
        chances={NAME: 50.0},
        open_tasks=_open,
    )
]
