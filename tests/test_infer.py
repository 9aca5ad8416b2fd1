"""`flan_tune infer` on another program's decoder-only model: as the model was trained, and from where it stopped."""

import json
import pathlib

import pytest

from flan_tune import cli

GOLDENS = pathlib.Path(__file__).parent / 'evaluation' / 'goldens' / 'lm_eval'
MODEL = [
    '--gin_file=models/opt/125m.gin', '--gin.OPTConfig.vocab_size=320', '--gin.OPTConfig.emb_dim=16',
    '--gin.OPTConfig.num_layers=1', '--gin.OPTConfig.num_heads=2', '--gin.OPTConfig.mlp_dim=32',
    '--gin.OPTConfig.max_positions=480', "--gin.DTYPE='float32'",
    f'--gin.VOCABULARY={GOLDENS / "opt"}', f'--gin.INITIAL_CHECKPOINT_PATH={GOLDENS / "opt"}',
    '--gin.TASK_FEATURE_LENGTHS={"inputs": 480, "targets": 3}', '--gin.BATCH_SIZE=4',
]  # fmt: skip


def infer(folder, lines, *flags, name='answers.jsonl') -> list[dict]:
    """Writes the lines, answers them in `name`, and returns its lines."""
    (folder / 'questions.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    files = [
        f'--gin.INPUT_FILE={folder / "questions.jsonl"}',
        f'--gin.OUTPUT_FILE={folder / name}',
    ]
    assert cli.main(['infer', '--gin_file=runs/infer.gin', *MODEL, *files, *flags]) == 0
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_options_of_a_foreign_decoder_only_model_score_as_in_the_harness(tmp_path):
    asked = [json.loads(line) for line in (GOLDENS / 'mmlu_opt.jsonl').read_text().splitlines()]
    lines = [
        {'inputs': one['context'], 'options': [text.strip() for text in one['behind']]}
        for one in asked
    ]
    for line, one in zip(infer(tmp_path, lines), asked, strict=True):
        expected = [log_likelihood for log_likelihood, _ in one['answers']]
        assert line['option_scores'] == pytest.approx(expected, abs=2e-4)
        assert line['choice'] == line['options'][expected.index(max(expected))]
    ended = infer(tmp_path, lines[:1], '--gin.INPUTS_END=True', name='ended.jsonl')
    assert ended[0]['option_scores'] != pytest.approx(
        [log_likelihood for log_likelihood, _ in asked[0]['answers']], abs=0.1
    )


def test_samples_depend_on_the_number_of_the_line_alone(tmp_path):
    """The last lines, in a part of their own (8 batches of 4), in one go and behind those that are there."""
    lines = [{'inputs': 'the same prompt', 'id': number} for number in range(40)]
    sampled = ['--gin.TEMPERATURE=1.0', '--gin.SEED=3']
    whole = infer(tmp_path, lines, *sampled)
    assert [line['id'] for line in whole] == list(range(40))
    assert len({line['prediction'] for line in whole}) > 20
    for there in (34, 5):
        (tmp_path / 'again.jsonl').write_text(
            ''.join(json.dumps(line) + '\n' for line in whole[:there])
        )
        assert infer(tmp_path, lines, *sampled, name='again.jsonl') == whole
    again = (tmp_path / 'again.jsonl').stat()
    infer(tmp_path, lines, *sampled, '--gin.SEED=4', name='again.jsonl')
    assert (tmp_path / 'again.jsonl').stat().st_mtime_ns == again.st_mtime_ns
