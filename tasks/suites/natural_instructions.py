"""Super-NaturalInstructions (Wang et al. 2022): its official test tasks, 100 instances each, by ROUGE-L.

A folder is a checkout of natural-instructions: `tasks/NAME.json` and `splits/{default,xlingual}/test_tasks.txt`, which
lists the 119 tasks of the English track or those of the cross-lingual one. Prompts are laid out as for Tk-Instruct:
definition, as many positive examples of the file as there are shots (0 or 2), the input.

Groups are the categories that the task files name, as the authors' evaluation prints them, and in the cross-lingual track
also the languages other than English. A listed task whose file is not there is in no group.

Scores are the best over an instance's references. English is stemmed, as ROUGE's own tokenizer does it. The authors score
the cross-lingual track over the pieces of GPT-2's vocabulary: where the folder holds it (`gpt2/vocab.json`,
`gpt2/merges.txt`) so do we; else over words, and over characters in scripts that put no spaces between words.
"""

import functools
import pathlib
import re
import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flan_tune.data.text_files import BadRecord, expand_path
from flan_tune.errors import UserError
from flan_tune.evaluation.files import read_text
from flan_tune.evaluation.suites.definition import Protocol, Question, SuiteDefinition, SuiteTask

if TYPE_CHECKING:
    from flan_tune.tasks.niv2.files import TaskFile

FOLDER = 'niv2'
SHOTS = 2
INSTANCES = 100
# What the files of a track are grouped by.
KEYS = {
    'default': ('Categories',),
    'xlingual': ('Categories', 'Input_language', 'Output_language'),
}

_HEAD = 1 << 14
_PUNCTUATION = str.maketrans('', '', string.punctuation)
# Han, kana, Thai, Lao, Khmer, Burmese.
_UNSPACED = '\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff\u1000-\u109f'
_WORD = re.compile(rf'[{_UNSPACED}]|[^\W{_UNSPACED}]+')


class NaturalInstructionsTask(SuiteTask):
    """One task file; `scorer` scores texts against one reference."""

    metrics = ('rougeL', 'exact_match')

    def __init__(self, path: pathlib.Path, scorer: Any):
        super().__init__(path.stem)
        self._path = path
        self._scorer = scorer

    def read(self) -> Iterator[Question | BadRecord]:
        for index in range(min(INSTANCES, len(self._file))):
            try:
                instance = self._file.instance(index)
            except BadRecord as error:
                yield error
                continue
            fields = {name: instance[name] for name in ('definition', 'input')}
            references = tuple(dict.fromkeys(instance['references']))
            yield Question(index, instance['id'], fields, references)

    def _prompt(self, question: Question, protocol: str, shots: int) -> str:
        others = [e for e in self._file.positive if e.input != question.fields['input']]
        if shots > len(others):
            raise self.too_few(len(others), shots)
        solved = [
            f' Positive Example {number} -\nInput: {_ended(example.input)}\n'
            f' Output: {_ended(example.output)}\n\n'
            for number, example in enumerate(others[:shots], 1)
        ]
        definition = f'Definition: {_ended(question.fields["definition"])}\n\n'
        asked = f'Now complete the following example -\nInput: {_ended(question.fields["input"])}'
        return ''.join([definition, *solved, f'{asked}\nOutput:'])

    def _extract(self, text: str, protocol: str) -> str | None:
        return text.strip()

    def _score(self, question: Question, answer: str) -> Sequence[float]:
        rouge = max(
            self._scorer.score(reference, answer)['rougeL'].fmeasure
            for reference in question.answers
        )
        return [rouge, normalize(answer) in map(normalize, question.answers)]

    @functools.cached_property
    def _file(self) -> 'TaskFile':
        from flan_tune.tasks.niv2.files import TaskFile

        return TaskFile(self._path)


class TestTasks(Mapping):
    """The tasks that a track's list names, with their chance, 0: read when they are asked for, or a folder is opened.

    Attributes:
        folder: the checkout that was read, or None.
    """

    def __init__(self, track: str):
        self._track = track
        self._names: dict[str, float] | None = None
        self.folder: pathlib.Path | None = None

    def read(self, folder: pathlib.Path) -> None:
        """Reads the list of a checkout; raises a UserError if it has none."""
        path = folder / 'splits' / self._track / 'test_tasks.txt'
        try:
            self._names = dict.fromkeys(read_text(path).split(), 0.0)
            self.folder = folder
        except UserError as error:
            raise UserError(f'{error}. It lists the tasks to score') from error

    def __getitem__(self, name: str) -> float:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, float]:
        if self._names is None:
            try:
                self.read(expand_path(f'${{FLAN_TUNE_DATA_DIR}}/{FOLDER}'))
            except UserError:
                return {}
        return self._names


class TaskGroups(Mapping):
    """Category, or language other than English, in lower case -> the listed tasks that have it in their files.

    Args:
        listed: the tasks.
        keys: the fields of a task file that name groups.
    """

    def __init__(self, listed: TestTasks, keys: Sequence[str]):
        self._listed, self._keys = listed, tuple(keys)
        self._read_from: pathlib.Path | None = None
        self._groups: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, tuple[str, ...]]:
        names, folder = list(self._listed), self._listed.folder
        if folder != self._read_from:
            found: dict[str, dict[str, None]] = {}
            for name in names:
                for label in read_labels(folder / 'tasks' / f'{name}.json', self._keys):
                    found.setdefault(group_name(label), {})[name] = None
            found.pop('english', None)
            self._groups = {name: tuple(found[name]) for name in sorted(found)}
            self._read_from = folder
        return self._groups


def read_labels(path: pathlib.Path, keys: Sequence[str]) -> list[str]:
    """Returns the labels that a task file has under some keys, most often from its first 16 KB; [] without a file.

    The package of the training tasks, which has such a reader too, would bring TensorFlow to whoever lists groups.
    """
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read(_HEAD)
            if not all(f'"{key}"' in text for key in keys):
                text += file.read()
    except OSError:
        return []
    # Quotes inside of a text are escaped: unescaped, the key is a key.
    lists = [re.search(rf'"{key}"\s*:\s*\[([^\]]*)\]', text) for key in keys]
    return [label for found in lists if found for label in re.findall(r'"([^"]+)"', found[1])]


def group_name(label: str) -> str:
    """Returns the name of a category or language as groups have it: 'Textual Entailment' is 'textual_entailment'."""
    return '_'.join(_WORD.findall(label.lower()))


class CrossLingualTokenizer:
    """Words, in lower case; characters where a script puts no spaces between words."""

    def tokenize(self, text: str) -> list[str]:
        """Returns the tokens of a text."""
        return _WORD.findall(unicodedata.normalize('NFKC', text).lower())


class Gpt2Tokenizer:
    """The pieces of GPT-2's vocabulary, less the mark of a space ahead of some."""

    def __init__(self, folder: pathlib.Path):
        import tokenizers

        try:
            pieces = tokenizers.models.BPE.from_file(
                str(folder / 'vocab.json'), str(folder / 'merges.txt')
            )
        except Exception as error:  # which is all that the package raises
            raise UserError(
                f'{folder}: no vocabulary of GPT-2 (vocab.json, merges.txt): {error}'
            ) from error
        self._tokenizer = tokenizers.Tokenizer(pieces)
        self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)

    def tokenize(self, text: str) -> list[str]:
        """Returns the tokens of a text."""
        return [piece.lstrip('Ġ') for piece in self._tokenizer.encode(text).tokens]


def normalize(text: str) -> str:
    """Returns a text as the official exact match compares it: lower case, no punctuation, single spaces."""
    return ' '.join(text.lower().translate(_PUNCTUATION).split())


def rouge_scorer(track: str, folder: pathlib.Path) -> Any:
    """Returns the scorer of ROUGE-L of a track."""
    from rouge_score import rouge_scorer as rouge

    if track == 'default':
        return rouge.RougeScorer(['rougeL'], use_stemmer=True)
    pieces = folder / 'gpt2'
    tokenizer = Gpt2Tokenizer(pieces) if pieces.is_dir() else CrossLingualTokenizer()
    return rouge.RougeScorer(['rougeL'], tokenizer=tokenizer)


def _ended(text: str) -> str:
    """Returns a text that ends in a sign of punctuation."""
    text = text.strip()
    return text if text[-1:] in string.punctuation else f'{text}.'


def _open(folder: pathlib.Path, track: str, listed: TestTasks) -> Sequence[NaturalInstructionsTask]:
    listed.read(folder)
    scorer = rouge_scorer(track, folder)
    paths = [folder / 'tasks' / f'{name}.json' for name in listed]
    return [NaturalInstructionsTask(path, scorer) for path in paths if path.exists()]


def _suite(name: str, track: str) -> SuiteDefinition:
    listed = TestTasks(track)
    return SuiteDefinition(
        name=name,
        folder=FOLDER,
        protocols={'direct': Protocol(SHOTS, 'rougeL')},
        chances=listed,
        open_tasks=functools.partial(_open, track=track, listed=listed),
        groups=TaskGroups(listed, KEYS[track]),
    )


SUITES = [
    _suite('natural_instructions', 'default'),
    _suite('natural_instructions_xlingual', 'xlingual'),
]
