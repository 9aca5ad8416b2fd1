"""`flan_tune infer`: answers the prompts of a JSONL file, and goes on where it stopped."""

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from flan_tune import cli
from flan_tune.data.config import check_vocabulary, open_tokenizer
from flan_tune.data.sources import BadRecord, JsonlSource
from flan_tune.decoding.text_model import TextModel
from flan_tune.errors import RunError, UserError
from flan_tune.interchange.text_models import open_text_model
from flan_tune.models.functional import ModelConfig
from flan_tune.partitioning.mesh import make_mesh
from flan_tune.partitioning.processes import join_processes
from flan_tune.partitioning.rules import Layout
from flan_tune.training.compilation import use_compilation_cache

# Batches of lines that are answered, then written, at a time.
_BATCHES = 8

Line = dict[str, Any]


def infer(
    *,
    model: ModelConfig,
    vocabulary: str,
    checkpoint: str,
    input_file: str,
    output_file: str,
    feature_lengths: Mapping[str, int],
    batch_size: int = 32,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    inputs_end: bool | None = None,
    seed: int = 0,
    mesh: Mapping[str, int] | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Writes each line of `input_file` to `output_file` with the model's `prediction` beside its fields.

    A line is {"inputs": "...", …}. `log_prob` is the log-likelihood of the prediction, its end
    included. A line with `options` (a list of texts) also gets `option_scores`, the log-likelihood of
    each, and `choice`, the likeliest. Lines come out in order; the same command after a stop goes on
    behind the last whole line, with the same results.

    Args:
        model: the configuration of the model that wrote the checkpoint.
        vocabulary: a SentencePiece model file, a Hugging Face tokenizer.json or a folder with one, or 'mini'.
        checkpoint: a run of ours, one of its steps, or a Hugging Face folder.
        input_file: JSON lines.
        output_file: JSON lines; appended to.
        feature_lengths: longest inputs, of which longer ones keep their end, and most new tokens ('targets').
        batch_size: rows of a batch.
        temperature: 0 is greedy decoding; else samples.
        top_k: sample among so many of the likeliest tokens; 0: all.
        top_p: sample among the likeliest tokens that hold this share of the probability.
        inputs_end: whether an end of sequence stands behind inputs; None: as a run of ours was trained, and for other
            programs' models as is usual for their family (encoder-decoder: yes, decoder-only: no).
        seed: of sampling, with the number of the line.
        mesh: devices along 'slice', 'data', 'fsdp' and 'model'; one may be -1.
        dry_run: open everything, write nothing.

    Returns:
        Counts of the lines written now, those there before, and truncated prompts.
    """
    join_processes()
    use_compilation_cache()
    layout = Layout(make_mesh(mesh))
    source = JsonlSource({'inputs': input_file})
    lines = source.records('inputs')
    output = Output(epath.Path(output_file).expanduser())
    done = output.whole_lines()
    if done > len(lines):
        raise UserError(
            f'{output_file} has {done} lines, {input_file} only {len(lines)}: it is the output of another '
            'input; choose another OUTPUT_FILE or move it away.'
        )
    counts = {'written': 0, 'there_before': done, 'truncated': 0, 'lines': len(lines)}
    if dry_run:
        check_vocabulary(open_tokenizer(vocabulary), model.vocab_size)
        print(f'{len(lines) - done} of {len(lines)} lines of {input_file} are to be answered')
        return counts
    if done == len(lines):
        return counts
    text_model = open_text_model(
        model,
        checkpoint,
        vocabulary,
        layout,
        max_input_tokens=feature_lengths['inputs'],
        batch_size=batch_size,
        inputs_end=inputs_end,
    )
    settings = {
        'max_new_tokens': feature_lengths['targets'],
        'temperature': temperature,
        'top_k': top_k,
        'top_p': top_p,
        'seed': seed,
    }
    # A part that was written half is answered whole again: the same rows give the same results to the last bit.
    part = batch_size * _BATCHES
    for first in range(done - done % part, len(lines), part):
        numbers = range(first, min(first + part, len(lines)))
        records = [_checked(lines[n], source.where('inputs', n)) for n in numbers]
        answers, cut = answered(text_model, records, first, settings)
        new = answers[max(done - first, 0) :]
        output.append(new)
        counts['written'] += len(new)
        counts['truncated'] += cut
        print(f'{done + counts["written"]} of {len(lines)} lines answered', file=sys.stderr)
    if counts['truncated']:
        print(
            f'{counts["truncated"]} prompts were cut to {feature_lengths["inputs"]} tokens',
            file=sys.stderr,
        )
    return counts


def answered(
    model: TextModel, records: Sequence[Line], first: int, settings: Mapping[str, Any]
) -> tuple[list[Line], int]:
    """Returns the lines with their answers, and how many prompts were cut.

    Args:
        model: what answers.
        records: lines, with `inputs` and perhaps `options`.
        first: the number of the first of them in the file, on which samples depend.
        settings: arguments of `TextModel.generate`.
    """
    prompts = [record['inputs'] for record in records]
    written = [one for (one,) in model.generate(prompts, first_prompt=first, **settings)]
    answers = [
        {**record, 'prediction': one.text, 'log_prob': round(one.log_prob, 4)}
        for record, one in zip(records, written, strict=True)
    ]
    asked = [answer for answer in answers if answer.get('options')]
    ranked = model.rank([one['inputs'] for one in asked], [one['options'] for one in asked])
    for answer, options in zip(asked, ranked, strict=True):
        scores = [option.log_likelihood for option in options]
        answer['option_scores'] = [round(score, 4) for score in scores]
        answer['choice'] = answer['options'][int(np.argmax(scores))]
    return answers, sum(one.cut > 0 for one in written)


class Output:
    """A JSON-lines file that is written whole lines at a time and may have been cut off in one."""

    def __init__(self, path: epath.Path):
        self._path = path

    def whole_lines(self) -> int:
        """Returns how many whole lines there are; a last one that was cut off is dropped."""
        if not self._path.exists():
            return 0
        text = self._path.read_text()
        whole = text[: text.rfind('\n') + 1]
        if whole != text:
            self._path.write_text(whole)
        return whole.count('\n')

    def append(self, lines: Sequence[Line]) -> None:
        if jax.process_index() != 0:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open('a') as file:
                file.write(''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines))
        except OSError as error:
            raise RunError(
                f'{self._path}: cannot be written ({error.strerror}); make room, then run the same '
                'command to go on behind the last whole line.'
            ) from error


def _checked(record: Line, where: str) -> Line:
    if not isinstance(record.get('inputs'), str) or not record['inputs'].strip():
        raise BadRecord(
            f'{where}: a line needs a text under "inputs"; it has {", ".join(record) or "nothing"}.'
        )
    options = record.get('options', [])
    if not isinstance(options, list) or not all(isinstance(o, str) and o for o in options):
        raise BadRecord(f'{where}: "options" must be a list of texts, not {options!r}.')
    return record


main = functools.partial(cli.run_verb, 'infer')

if __name__ == '__main__':
    sys.exit(main())
