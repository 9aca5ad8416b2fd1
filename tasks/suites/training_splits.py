"""Training files of suites as tasks, for `flan_tune fiat` and any other training; asked as their suites ask.

Importing this module registers
  xor_attriqa                           the 262 training examples of XOR-AttriQA, in five languages
  xtreme_up_qa, xtreme_up_qa_indic      XTREME-UP's cross-lingual question answering: all languages, and the Indic ones
  xtreme_up_qa_LANGUAGE                 one of them
from the files that `xor_attriqa.py` and `xtreme_up.py` describe, below FLAN_TUNE_DATA_DIR.
"""

from collections.abc import Mapping
from typing import Any

from flan_tune.data.mixtures import register_mixture
from flan_tune.data.prompts import Prompt
from flan_tune.data.sources import JsonlSource
from flan_tune.data.tasks import register_task
from flan_tune.data.text_files import BadRecord
from flan_tune.evaluation.suites.definition import Question
from flan_tune.tasks.suites import xor_attriqa, xtreme_up

_FOLDER = '${FLAN_TUNE_DATA_DIR}'


def _attribution(record: Mapping[str, Any]) -> dict[str, Any]:
    question = _checked(xor_attriqa.question(0, 'XOR-AttriQA', record))
    return {
        'question': question.fields['prompt'],
        'answer': question.answers[0],
        'options': list(question.options),
    }


def _passage(record: Mapping[str, Any]) -> dict[str, Any]:
    question = _checked(xtreme_up.question(0, 'XTREME-UP', record, 'train-0'))
    return {**question.fields, 'answer': question.answers[0]}


def _checked(question: Question | BadRecord) -> Question:
    if isinstance(question, BadRecord):
        raise question
    return question


def register() -> None:
    """Registers the tasks with SeqIO; doing so again changes nothing."""
    register_task(
        'xor_attriqa',
        source=JsonlSource({'train': f'{_FOLDER}/xor_attriqa/in-language/train.jsonl'}),
        prompts=[Prompt('{question}')],
        preprocess=_attribution,
        metric_fns=('accuracy',),
        category='cross_lingual',
        collection='xor_attriqa',
        has_options=False,
    )
    tasks = {}
    for language in (*xtreme_up.XOR_TYDI, *xtreme_up.INDIC):
        name = f'xtreme_up_qa_{language}'
        tasks[language] = name
        register_task(
            name,
            source=JsonlSource({'train': f'{_FOLDER}/xtreme_up/train/{language}.jsonl'}),
            prompts=[Prompt(xtreme_up.PROMPT)],
            preprocess=_passage,
            metric_fns=('token_f1',),
            category='cross_lingual',
            collection='xtreme_up_qa',
            has_options=False,
        )
    register_mixture('xtreme_up_qa', list(tasks.values()))
    register_mixture('xtreme_up_qa_indic', [tasks[language] for language in xtreme_up.INDIC])


register()
