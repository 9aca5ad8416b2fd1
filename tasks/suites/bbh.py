"""BIG-Bench Hard (Suzgun et al. 2022): 27 subtasks, answer only and with chains of thought, 3 exemplars.

A folder holds `tasks/NAME.json` (`bbh/NAME.json` in the authors' repository), `cot-prompts/NAME.txt` and
`direct-prompts/NAME.txt`. Without the last, direct prompts are the chain-of-thought ones less their
rationales, as the authors' own are but for the wording of three tasks.
"""

import functools
import pathlib
import re
from collections.abc import Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError
from flan_tune.evaluation.extraction import chain_answer, zero_shot_answer
from flan_tune.evaluation.files import read_json, read_text, text_fields
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

SHOTS = 3
TRIGGER = "Let's think step by step."

_CHANCES = """
boolean_expressions 50, causal_judgement 50, date_understanding 17.2, disambiguation_qa 33.2,
dyck_languages 1.2, formal_fallacies 50, geometric_shapes 11.6, hyperbaton 50,
logical_deduction_five_objects 20, logical_deduction_seven_objects 14.3,
logical_deduction_three_objects 33.3, movie_recommendation 25, multistep_arithmetic_two 0, navigate 50,
object_counting 0, penguins_in_a_table 0, reasoning_about_colored_objects 11.9, ruin_names 25,
salient_translation_error_detection 16.7, snarks 50, sports_understanding 50, temporal_sequences 25,
tracking_shuffled_objects_five_objects 20, tracking_shuffled_objects_seven_objects 14.3,
tracking_shuffled_objects_three_objects 33.3, web_of_lies 50, word_sorting 0
"""
CHANCES = {name: float(chance) for name, chance in (row.split() for row in _CHANCES.split(','))}

# The authors call 12 of their 23 tasks language tasks, and 11 algorithmic; two of the latter have three subtasks each.
NLP = (
    'causal_judgement',
    'date_understanding',
    'disambiguation_qa',
    'formal_fallacies',
    'hyperbaton',
    'movie_recommendation',
    'penguins_in_a_table',
    'reasoning_about_colored_objects',
    'ruin_names',
    'salient_translation_error_detection',
    'snarks',
    'sports_understanding',
)
ALGORITHMIC = tuple(name for name in CHANCES if name not in NLP)

# What is answered where the question does not list it.
_WORDS = {
    'boolean_expressions': ('True', 'False'),
    'sports_understanding': ('yes', 'no'),
    'web_of_lies': ('Yes', 'No'),
}
_NUMBERS = ('multistep_arithmetic_two', 'object_counting')

_HEADER = re.compile(r'^-+\s*\n', re.MULTILINE)
_RATIONALE = re.compile(re.escape(f'A: {TRIGGER}') + r'\s.*So the answer is (.*)\.\Z', re.DOTALL)
_OPTION = re.compile(r'^(\([A-Z]\)) |^- (.+)', re.MULTILINE)


class BbhTask(SuiteTask):
    """One subtask; direct answers count if equal as they stand, those of chains behind 'answer is '.

    Without exemplars nothing shows how a chain ends: it is read by `zero_shot_answer`.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__(path.stem)
        self._path = path
        self._folder = path.parent.parent

    def read(self) -> Iterator[Question | BadRecord]:
        content = read_json(self._path)
        examples = content.get('examples') if isinstance(content, dict) else None
        if not isinstance(examples, list):
            raise UserError(f'{self._path}: a BBH task has a list of "examples"')
        for index, example in enumerate(examples):
            fields = text_fields(f'{self._path}: example {index}', example, 'input', 'target')
            yield fields if isinstance(fields, BadRecord) else self._question(index, **fields)

    def _question(self, index: int, input: str, target: str) -> Question:
        _, mark, listed = input.partition('Options:')
        options = tuple((a or b).strip() for a, b in _OPTION.findall(listed)) if mark else ()
        return Question(index, f'{self.name}-{index}', {'input': input}, (target.strip(),), options)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        description, *exemplars = self._chains if protocol == 'cot' else self._solved
        if shots > len(exemplars):
            raise self.too_few(len(exemplars), shots)
        ending = f' {TRIGGER}' if protocol == 'cot' else ''
        last = f'Q: {question.fields["input"]}\nA:{ending}'
        return '\n\n'.join([description, *exemplars[:shots], last])

    def _extract(self, text: str, protocol: str) -> str | None:
        return (chain_answer(text) or None) if protocol == 'cot' else text.strip()

    def _extract_zero_shot(self, text: str, question: Question, protocol: str) -> str | None:
        if protocol == 'direct':
            return self._extract(text, protocol)
        options = question.options or _WORDS.get(self.name, ())
        return zero_shot_answer(text, options, number=self.name in _NUMBERS)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [answer in question.answers]

    @functools.cached_property
    def _chains(self) -> list[str]:
        """The description and the exemplars with their rationales."""
        return _parts(_prompt_text(self._folder / 'cot-prompts' / f'{self.name}.txt'))

    @functools.cached_property
    def _solved(self) -> list[str]:
        """The description and the exemplars with their answers alone."""
        path = self._folder / 'direct-prompts' / f'{self.name}.txt'
        if path.exists():
            return _parts(_prompt_text(path))
        return [_RATIONALE.sub(r'A: \1', part) for part in self._chains]


def _parts(prompt: str) -> list[str]:
    return re.split(r'\n\n(?=Q: )', prompt)


def _prompt_text(path: pathlib.Path) -> str:
    """What stands behind the line of dashes that ends the header with the canary, stripped."""
    parts = _HEADER.split(read_text(path), maxsplit=1)
    if len(parts) != 2:
        raise UserError(f'{path}: no line of dashes between header and prompt')
    return parts[1].strip()


def _open(folder: pathlib.Path) -> list[BbhTask]:
    files = [*folder.glob('tasks/*.json'), *folder.glob('bbh/*.json')]
    return [BbhTask(path) for path in sorted(files, key=lambda path: path.name)]


SUITES = [
    SuiteDefinition(
        name='bbh',
        folder='bbh',
        protocols={'direct': Protocol(SHOTS), 'cot': Protocol(SHOTS)},
        chances=CHANCES,
        open_tasks=_open,
        groups={'nlp': NLP, 'alg': ALGORITHMIC},
    )
]
