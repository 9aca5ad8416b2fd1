"""The 14 tasks that OPT (Zhang et al. 2022) and OPT-IML report, ranked, with 0 and 32 exemplars.

A folder holds a folder for each task, named as below, with `train` and what is scored (`validation`, `val`, `dev` or `valid`;
`test` for ARC, OpenBookQA, StoryCloze and Winograd) as `.jsonl`: the publishers' own records, or those that `to_json` of the
Hugging Face library writes. StoryCloze may be the publisher's `.csv`; the labels of PIQA may be in `...-labels.lst`. Tasks
without a folder are read from TFDS, where that has prepared them.

Prompts follow the short layouts of GPT-3's evaluation, which OPT took over; options of Winograd and Winogrande are read with
the rest of their sentence. Ranked by the sum of log-likelihoods unless another rule is asked for.
"""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_jsonl, read_lines
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition
from flan_tune.tasks.suites.labelled import LabelledTask, csv_records, label_number, labelled

SHOTS = 32
FILES = {
    'train': ('train', 'train_xl'),
    'validation': ('validation', 'val', 'dev', 'valid'),
    'test': ('test',),
}
NO_YES = ('no', 'yes')
FALSE_TRUE = ('false', 'true')

Record = Mapping[str, Any]
# Prompt, options, number of the right one, and what follows an option.
Asked = tuple[str, Sequence[str], Any, str]


def _listed(record: Record) -> Asked:
    """ARC and OpenBookQA."""
    question = record.get('question', record.get('question_stem'))
    choices = record.get('choices')
    if isinstance(question, dict):
        choices = question.get('choices', choices)
        if choices is None:
            choices = [{'text': question[f'choice_{k}'], 'label': k} for k in 'ABCD']
        question = question['stem']
    if isinstance(choices, dict):
        texts, labels = choices['text'], choices['label']
    else:
        texts, labels = [c['text'] for c in choices], [c['label'] for c in choices]
    key = record['answerKey']
    if isinstance(key, int) and not isinstance(labels[0], int):
        label = key
    else:
        label = list(labels).index(key)
    return f'Question: {question}\nAnswer:', texts, label, ''


def _boolq(record: Record) -> Asked:
    question = record['question'].strip().rstrip('?')
    prompt = f'{record["passage"]}\nquestion: {question}?\nanswer:'
    return prompt, NO_YES, _label(record, 'label', FALSE_TRUE, 'answer'), ''


def _cb(record: Record) -> Asked:
    label = _label(record, 'label', ('entailment', 'contradiction', 'neutral'))
    hypothesis = record['hypothesis'].strip().rstrip('.')
    prompt = f'{record["premise"]}\nquestion: {hypothesis}. true, false, or neither?\nanswer:'
    return prompt, ('true', 'false', 'neither'), label, ''


def _rte(record: Record) -> Asked:
    label = _label(record, 'label', ('entailment', 'not_entailment'))
    prompt = f'{record["premise"]}\nquestion: {record["hypothesis"]} True or False?\nanswer:'
    return prompt, ('True', 'False'), label, ''


def _copa(record: Record) -> Asked:
    word = {'cause': 'because', 'effect': 'so'}[record['question']]
    options = [_lower(record[name]) for name in ('choice1', 'choice2')]
    return f'{record["premise"].strip().rstrip(".")} {word}', options, record['label'], ''


def _hellaswag(record: Record) -> Asked:
    context = record.get('ctx', record.get('context'))
    return f'{record["activity_label"]}: {context}', record['endings'], record['label'], ''


def _multirc(record: Record) -> Asked:
    prompt = (
        f'{record["paragraph"]}\nquestion: {record["question"]}\nanswer: {record["answer"]}'
        '\nIs the answer right?'
    )
    return prompt, NO_YES, _label(record, 'label', FALSE_TRUE), ''


def _piqa(record: Record) -> Asked:
    return (
        f'Question: {record["goal"]}\nAnswer:',
        _pair(record, 'sol1', 'sol2'),
        record['label'],
        '',
    )


def _story_cloze(record: Record) -> Asked:
    if 'AnswerRightEnding' in record:
        record = {key.lower(): value for key, value in record.items()}
    if 'answerrightending' in record:
        sentences = [record[f'inputsentence{k}'] for k in range(1, 5)]
        endings = _pair(record, 'randomfifthsentencequiz1', 'randomfifthsentencequiz2')
        return ' '.join(sentences), endings, int(record['answerrightending']) - 1, ''
    if 'context' in record:
        return record['context'], record['endings'], record['label'], ''
    sentences = [record[f'input_sentence_{k}'] for k in range(1, 5)]
    endings = _pair(record, 'sentence_quiz1', 'sentence_quiz2')
    return ' '.join(sentences), endings, int(record['answer_right_ending']) - 1, ''


def _wic(record: Record) -> Asked:
    prompt = (
        f'{record["sentence1"]}\n{record["sentence2"]}\nquestion: Is the word "{record["word"]}" used '
        'in the same sense in both sentences?\nanswer:'
    )
    return prompt, NO_YES, _label(record, 'label', FALSE_TRUE), ''


def _winograd(record: Record) -> Asked:
    text = record['text']
    if 'pronoun_loc' in record:
        start, end = record['pronoun_loc'], record['pronoun_loc'] + len(record['pronoun'])
        options = record['options']
    else:
        start, end = record['pronoun_start'], record['pronoun_end']
        options = _pair(record, 'option1', 'option2')
    return text[:start].rstrip(), options, record['label'], text[end:]


def _winogrande(record: Record) -> Asked:
    before, mark, after = record['sentence'].partition('_')
    if not mark:
        raise ValueError('its sentence has no blank ("_")')
    label = record['label'] if 'label' in record else int(record['answer']) - 1
    return before.rstrip(), _pair(record, 'option1', 'option2'), label, after


@dataclasses.dataclass(frozen=True)
class OptTask:
    """A task: how its records are asked, the split that is scored, its name in TFDS, and its chance."""

    ask: Callable[[Record], Asked]
    split: str
    tfds_name: str
    chance: float


TASKS = {
    'arc_challenge': OptTask(_listed, 'test', 'ai2_arc/ARC-Challenge', 25.0),
    'arc_easy': OptTask(_listed, 'test', 'ai2_arc/ARC-Easy', 25.0),
    'boolq': OptTask(_boolq, 'validation', 'super_glue/boolq', 50.0),
    'cb': OptTask(_cb, 'validation', 'super_glue/cb', 100 / 3),
    'copa': OptTask(_copa, 'validation', 'super_glue/copa', 50.0),
    'hellaswag': OptTask(_hellaswag, 'validation', 'hellaswag', 25.0),
    'multirc': OptTask(_multirc, 'validation', 'super_glue/multirc', 50.0),
    'openbookqa': OptTask(_listed, 'test', 'openbookqa', 25.0),
    'piqa': OptTask(_piqa, 'validation', 'piqa', 50.0),
    'rte': OptTask(_rte, 'validation', 'super_glue/rte', 50.0),
    'story_cloze': OptTask(_story_cloze, 'test', 'story_cloze/2016', 50.0),
    'wic': OptTask(_wic, 'validation', 'super_glue/wic', 50.0),
    'winograd': OptTask(_winograd, 'test', 'wsc273', 50.0),
    'winogrande': OptTask(_winogrande, 'validation', 'winogrande', 50.0),
}


def _label(record: Record, field: str, names: Sequence[str], other: str = '') -> Any:
    value = record.get(field, record.get(other))
    found = label_number('', value, names)
    if isinstance(found, BadRecord):
        raise ValueError(str(found).removeprefix(': '))
    return found


def _pair(record: Record, *names: str) -> list[str]:
    return [record[name] for name in names]


def _lower(text: str) -> str:
    """A sentence as the second half of one; 'I' stays."""
    text = text.strip()
    return text if re.match(r'I\b', text) else text[:1].lower() + text[1:]


def _questions(
    name: str, ask: Callable[[Record], Asked], records: Callable[[], Iterator[tuple[str, Any]]]
) -> Iterator[Question | BadRecord]:
    index = 0
    for where, raw in records():
        for record in [raw] if isinstance(raw, BadRecord) else _flat(raw):
            yield _question(index, name, where, ask, record)
            index += 1


def _question(
    index: int, name: str, where: str, ask: Callable[[Record], Asked], record: Record | BadRecord
) -> Question | BadRecord:
    if isinstance(record, BadRecord):
        return record
    try:
        prompt, options, label, after = ask(record)
        if not prompt.strip() or not all(isinstance(o, str) and o.strip() for o in options):
            raise ValueError('its question or an option is blank')
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        what = f'no field {error}' if isinstance(error, KeyError) else error
        return BadRecord(f'{where}: no record of {name}: {what}')
    number = label_number(where, label, [str(k) for k in range(len(options))])
    if isinstance(number, BadRecord):
        return number
    return labelled(index, name, prompt, [option.strip() for option in options], number, after)


def _flat(record: Record) -> Iterator[Record]:
    """The answers of a passage of MultiRC, one a record; other records as they are."""
    passage = record.get('passage')
    if not isinstance(passage, dict):
        yield record
        return
    for question in passage.get('questions', ()):
        for answer in question.get('answers', ()):
            yield {
                'paragraph': passage.get('text', ''),
                'question': question.get('question', ''),
                'answer': answer.get('text', ''),
                'label': answer.get('label'),
            }


def _file(path: pathlib.Path) -> Iterator[tuple[str, Any]]:
    if path.suffix == '.csv':
        yield from csv_records(path)
        return
    labels = path.with_name(f'{path.stem}-labels.lst')
    if not labels.exists():
        yield from read_jsonl(path)
        return
    lines = [line for _, line in read_lines(labels)]
    rows = list(read_jsonl(path))
    if len(lines) != len(rows):
        raise UserError(f'{labels}: {len(lines)} labels, but {path.name} has {len(rows)} records')
    for (where, record), label in zip(rows, lines, strict=True):
        yield where, record if isinstance(record, BadRecord) else record | {'label': label}


def _tfds(name: str, split: str) -> Iterator[tuple[str, Any]]:
    from flan_tune.data.tfds_source import TfdsSource

    source = TfdsSource(name, {split: split})
    records = source.records(split)
    for index in range(len(records)):
        try:
            yield source.where(split, index), records[index]
        except BadRecord as error:
            yield source.where(split, index), error


def _find(folder: pathlib.Path, split: str) -> pathlib.Path | None:
    paths = (folder / f'{n}{suffix}' for n in FILES[split] for suffix in ('.jsonl', '.csv'))
    return next((path for path in paths if path.exists()), None)


def _open(folder: pathlib.Path) -> list[LabelledTask]:
    tasks = []
    for name, task in TASKS.items():
        scored, train = (_find(folder / name, split) for split in (task.split, 'train'))
        if scored:
            records = functools.partial(_file, scored)
            exemplars = train and functools.partial(_file, train)
        elif _prepared(task.tfds_name):
            records = functools.partial(_tfds, task.tfds_name, task.split)
            trained = name not in ('story_cloze', 'winograd')
            exemplars = functools.partial(_tfds, task.tfds_name, 'train') if trained else None
        else:
            continue
        ask = functools.partial(_questions, name, task.ask)
        others = exemplars and functools.partial(ask, exemplars)
        tasks.append(LabelledTask(name, functools.partial(ask, records), others))
    return tasks


def _prepared(name: str) -> bool:
    """Whether TFDS has a folder of the data set; TFDS itself is not imported to ask."""
    root = pathlib.Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()
    return (root / name).is_dir()


SUITES = [
    SuiteDefinition(
        name='opt_tasks',
        folder='opt_tasks',
        protocols={'rank': Protocol(0, 'accuracy')},
        chances={name: task.chance for name, task in TASKS.items()},
        open_tasks=_open,
    )
]
