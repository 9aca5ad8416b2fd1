"""RAFT (Alex et al. 2021): eleven classifications with 50 labelled examples each.

A folder holds the publisher's `TASK/train.csv` (or `data/TASK/train.csv`): columns of the task, `ID` and `Label`. The labels
of the test files are not public: a `test.csv` that has them is scored; else the records of `train.csv` that are not
exemplars. Options are the labels that `train.csv` has; where that has not all, as of Banking77, also those of `test.csv`. Accuracy, and RAFT's own metric, the macro F1, over the set.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.evaluation.suites.whole_set import Output, macro_f1
from flan_tune.tasks.suites.labelled import LabelledTask, csv_records, labelled

SHOTS = 5
LABEL = 'Label'
UNLABELLED = 'unlabeled'
# Of no use to answer.
_HIDDEN = ('', 'ID', LABEL, 'Url', 'Paper link')

# Task -> what is asked (in our words), chance of guessing one of its labels.
TASKS = {
    'ade_corpus_v2': ('Does the sentence tell of an adverse effect of a drug?', 2),
    'banking_77': ('What does the customer of the bank want?', 77),
    'neurips_impact_statement_risks': (
        'Does the impact statement of the paper name a possible harm?',
        2,
    ),
    'one_stop_english': ('At which level of English is the article written?', 3),
    'overruling': ('Does the sentence overrule an earlier decision of a court?', 2),
    'semiconductor_org_types': ('What kind of organization is it?', 3),
    'systematic_review_inclusion': (
        'Is the paper to be included in a review of how people can be moved to give to charity?',
        2,
    ),
    'tai_safety_research': ('Is the work about the safety of transformative AI?', 2),
    'terms_of_service': ('Could the clause be unfair to consumers?', 2),
    'tweet_eval_hate': ('Does the tweet hold hate speech against women or immigrants?', 2),
    'twitter_complaints': ('Does the tweet hold a complaint?', 2),
}


class RaftTask(LabelledTask):
    """One classification."""

    corpus_metrics = ('macro_f1',)

    def corpus_score(
        self, outputs: Mapping[int, Output], protocol: str, shots: int
    ) -> dict[str, float]:
        asked = [question for question in self.questions if question.index in outputs]
        said = [self.extract(outputs[q.index].text, q, protocol).answer or '' for q in asked]
        return macro_f1([question.answers[0] for question in asked], said)


def _records(
    name: str, path: pathlib.Path, options: Sequence[str]
) -> Iterator[Question | BadRecord]:
    for index, (where, record) in enumerate(csv_records(path, LABEL)):
        if isinstance(record, BadRecord):
            yield record
            continue
        label = record[LABEL].strip()
        if label not in options:
            yield BadRecord(f'{where}: the label {label!r} is none of {", ".join(options)}')
            continue
        shown = [(key, value.strip()) for key, value in record.items() if key not in _HIDDEN]
        lines = [f'{key}: {value}' for key, value in shown if value]
        prompt = '\n'.join([*lines, f'{LABEL}:'])
        yield labelled(index, name, prompt, options, options.index(label))


def _labels(path: pathlib.Path) -> set[str]:
    """The labels that a file has; none where it has no such column, or an empty one, as the public test files."""
    if not path.exists():
        return set()
    found = (r[LABEL].strip() for _, r in csv_records(path, LABEL) if isinstance(r, dict))
    return {label for label in found if label.lower() != UNLABELLED}


def _open(folder: pathlib.Path) -> Sequence[RaftTask]:
    tasks = []
    for name, (asked, labels) in TASKS.items():
        places = [folder / name, folder / 'data' / name]
        train = next((p / 'train.csv' for p in places if (p / 'train.csv').exists()), None)
        if train is None:
            continue
        test = train.with_name('test.csv')
        tested = _labels(test)
        known = _labels(train)
        options = tuple(sorted(known if len(known) >= labels else known | tested))
        listed = '\n'.join(f'- {label}' for label in options)
        instruction = f'{asked} Answer with one of these labels:\n{listed}\n\n'
        read = functools.partial(_records, name, options=options)
        exemplars = functools.partial(read, train) if tested else None
        scored = functools.partial(read, test if tested else train)
        tasks.append(RaftTask(name, scored, exemplars, instruction=instruction, balanced=True))
    return tasks


SUITES = [
    SuiteDefinition(
        name='raft',
        folder='raft',
        protocols={'rank': Protocol(SHOTS, 'accuracy'), 'direct': Protocol(SHOTS, 'accuracy')},
        chances={name: 100 / labels for name, (_, labels) in TASKS.items()},
        open_tasks=_open,
    )
]
