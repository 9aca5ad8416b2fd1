"""MMLU (Hendrycks et al. 2021): 57 subjects of four-way choice, in three layouts of the prompt.

A folder holds `data/{dev,val,test}/SUBJECT_{dev,val,test}.csv` as published (or those folders without
`data/`), and `flan_cot_prompts.json` with the prompts of Flan 2022 for chains of thought.

- `mmlu`: Flan 2022's layout. Direct answers `(B)` by generation, or by rank over `(A)` to `(D)`; and chains of thought.
- `mmlu_hendrycks`: that of the authors' own code (two spaces before the subject are theirs): the likeliest of
  ` A` to ` D`, exemplars dropped from the end while the prompt exceeds 2,048 tokens.
- `mmlu_harness`: the same as lm-evaluation-harness writes it: one space, questions stripped, no exemplar dropped.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

from flan_tune.data.text_files import BadRecord
from flan_tune.errors import UserError, did_you_mean
from flan_tune.evaluation.extraction import chain_answer, match_option, zero_shot_answer
from flan_tune.evaluation.files import read_csv, read_json
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

SHOTS = 5
CHANCE = 25.0
LETTERS = ('A', 'B', 'C', 'D')
TRIGGER = "Let's think step by step."

_CATEGORIES = {
    'stem': """abstract_algebra astronomy college_biology college_chemistry college_computer_science
        college_mathematics college_physics computer_security conceptual_physics electrical_engineering
        elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
        high_school_mathematics high_school_physics high_school_statistics machine_learning""",
    'humanities': """formal_logic high_school_european_history high_school_us_history
        high_school_world_history international_law jurisprudence logical_fallacies moral_disputes
        moral_scenarios philosophy prehistory professional_law world_religions""",
    'social_sciences': """econometrics high_school_geography high_school_government_and_politics
        high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality
        professional_psychology public_relations security_studies sociology us_foreign_policy""",
    'other': """anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging
        management marketing medical_genetics miscellaneous nutrition professional_accounting
        professional_medicine virology""",
}
CATEGORIES = {name: tuple(subjects.split()) for name, subjects in _CATEGORIES.items()}
SUBJECTS = sorted(subject for subjects in CATEGORIES.values() for subject in subjects)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a subject's questions are written.

    Attributes:
        header: ahead of all, with {subject}.
        question: one question with {question} and {A} to {D}; its answer follows behind one space.
        option: an answer, with {letter}.
        stripped: the cells that lose the white space around them.
        max_tokens: longest prompt.
    """

    header: str
    question: str
    option: str
    stripped: tuple[str, ...] = ()
    max_tokens: int | None = None

    def render(self, question: Question) -> str:
        return self.question.format_map(question.fields)


_HEADER = 'The following are multiple choice questions (with answers) about {subject}.\n\n'
_LISTED = '{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nAnswer:'
FLAN = Layout(
    _HEADER,
    'Q: {question}\n(A) {A} (B) {B} (C) {C} (D) {D}\nA:',
    '({letter})',
    ('question', *LETTERS),
)
HENDRYCKS = Layout(
    _HEADER.replace(' {subject}', '  {subject}'), _LISTED, '{letter}', max_tokens=2048
)
HARNESS = Layout(_HEADER, _LISTED, '{letter}', ('question',))


class MmluTask(SuiteTask):
    """One subject, one split; exemplars are the rows of `dev` in their order."""

    metrics = ('accuracy',)

    def __init__(
        self, path: pathlib.Path, split: str, layout: Layout, chains: Callable[[], dict[str, str]]
    ):
        self.subject = path.stem.removesuffix(f'_{split}')
        super().__init__(self.subject, aliases=[path.stem])
        self.max_prompt_tokens = layout.max_tokens
        self._path = path
        self._layout = layout
        self._published_chains = chains

    def read(self) -> Iterator[Question | BadRecord]:
        return self._rows(self._path)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        if protocol == 'cot':
            return self._chains(shots) + f'{self._layout.render(question)} {TRIGGER}'
        if shots > len(self._exemplars):
            raise self.too_few(len(self._exemplars), shots)
        header = self._layout.header.format(subject=self.subject.replace('_', ' '))
        solved = [f'{self._layout.render(q)} {q.answers[0]}\n\n' for q in self._exemplars[:shots]]
        return ''.join([header, *solved, self._layout.render(question)])

    def _chains(self, shots: int) -> str:
        """The published prompt with chains of thought: as it stands at the suite's own shots, else its first exemplars.

        Three subjects have one exemplar less than five; at five their prompts are taken as published.
        """
        prompts = self._published_chains()
        if self.subject not in prompts:
            raise UserError(
                f'{self.name}: no chain-of-thought prompt for this subject in flan_cot_prompts.json'
            )
        text = prompts[self.subject].strip()
        header, *exemplars = re.split(r'\n\n(?=Q: )', text)
        if shots == SHOTS:
            return f'{text}\n\n'
        if shots > len(exemplars):
            raise self.too_few(len(exemplars), shots)
        return ''.join(f'{part}\n\n' for part in [header, *exemplars[:shots]])

    def _extract(self, text: str, protocol: str) -> str | None:
        options = tuple(self._layout.option.format(letter=letter) for letter in LETTERS)
        said = chain_answer(text) if protocol == 'cot' else text
        return match_option(said or '', options)

    def _extract_zero_shot(self, text: str, question: Question, protocol: str) -> str | None:
        if protocol == 'cot':
            return zero_shot_answer(text, question.options)
        return self._extract(text, protocol)

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        return [answer in question.answers]

    @functools.cached_property
    def _exemplars(self) -> list[Question]:
        path = self._path.parents[1] / 'dev' / f'{self.subject}_dev.csv'
        rows = list(self._rows(path))
        for row in rows:
            if isinstance(row, BadRecord):
                raise row
        return rows

    def _rows(self, path: pathlib.Path) -> Iterator[Question | BadRecord]:
        for index, (where, row) in enumerate(read_csv(path)):
            yield self._question(index, where, row)

    def _question(self, index: int, where: str, row: list[str]) -> Question | BadRecord:
        if len(row) != 6:
            return BadRecord(
                f'{where}: {len(row)} columns; a row has question, A, B, C, D and the answer'
            )
        letter = row[5].strip()
        if letter not in LETTERS:
            return BadRecord(f'{where}: the answer {row[5]!r} is none of the options A, B, C, D')
        if not all(cell.strip() for cell in row):
            return BadRecord(f'{where}: the question or an option is blank')
        cells = zip(('question', *LETTERS), row[:5], strict=True)
        stripped = self._layout.stripped
        fields = {name: cell.strip() if name in stripped else cell for name, cell in cells}
        options = tuple(self._layout.option.format(letter=option) for option in LETTERS)
        answer = options[LETTERS.index(letter)]
        return Question(index, f'{self.subject}-{index}', fields, (answer,), options)


def _cot_prompts(data: pathlib.Path) -> dict[str, str]:
    for folder in (data, data.parent):
        if (path := folder / 'flan_cot_prompts.json').exists():
            return read_json(path)
    raise UserError(
        f'{data}: no flan_cot_prompts.json there or in the folder above; chains of thought need it'
    )


def _open(folder: pathlib.Path, split: str, layout: Layout) -> list[MmluTask]:
    data = folder / 'data' if (folder / 'data').is_dir() else folder
    if not (data / split).is_dir():
        raise UserError(
            f'{data}: no split {split!r}.{did_you_mean(split, [p.name for p in data.iterdir()])}'
        )
    chains = functools.cache(functools.partial(_cot_prompts, data))
    return [
        MmluTask(path, split, layout, chains)
        for path in sorted((data / split).glob(f'*_{split}.csv'))
    ]


def _suite(name: str, split: str, layout: Layout) -> SuiteDefinition:
    protocols = ('direct', 'cot', 'rank') if layout is FLAN else ('rank',)
    return SuiteDefinition(
        name=name,
        folder='mmlu',
        protocols=dict.fromkeys(protocols, Protocol(SHOTS, 'accuracy')),
        chances=dict.fromkeys(SUBJECTS, CHANCE),
        open_tasks=functools.partial(_open, split=split, layout=layout),
        groups=CATEGORIES,
    )


SUITES = [
    _suite(f'{name}{suffix}', split, layout)
    for name, layout in (('mmlu', FLAN), ('mmlu_hendrycks', HENDRYCKS), ('mmlu_harness', HARNESS))
    for suffix, split in (('', 'test'), ('_validation', 'val'))
]
