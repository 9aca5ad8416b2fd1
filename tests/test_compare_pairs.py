"""`flan_tune compare-pairs`: what it prints, writes and serves."""

import http.client
import json
import pathlib
import re
import signal
import subprocess
import sys
import types

import pytest

from flan_tune import cli
from flan_tune.evaluation.raters.pairs import Pair, Rating, Ratings, order_for

PAIRS = tuple(Pair(f'p{i}', f'request {i}', f'alpha {i}', f'beta {i}') for i in range(6))


def write_rows(path: pathlib.Path, rows) -> str:
    path.write_text('\n'.join(map(json.dumps, rows)) + '\n')
    return str(path)


@pytest.fixture
def files(tmp_path) -> tuple[str, str, str]:
    a = [{'id': p.id, 'inputs': p.inputs, 'prediction': p.a} for p in PAIRS]
    b = [{'id': p.id, 'prediction': p.b} for p in reversed(PAIRS)]
    return (
        f'--a={write_rows(tmp_path / "first.jsonl", a)}',
        f'--b={write_rows(tmp_path / "second.jsonl", b)}',
        f'--output={tmp_path / "ratings.jsonl"}',
    )


class Judge:
    """Prefers what `rule(inputs, first, second)` says, and keeps what it was asked."""

    def __init__(self, rule):
        self.rule, self.prompts = rule, []

    def generate(self, prompts, *, max_new_tokens):
        self.prompts += prompts
        return [[types.SimpleNamespace(text=self._answer(p), cut=0)] for p in prompts]

    def _answer(self, prompt):
        parts = re.split(r'### (?:Request|Response 1|Response 2|Question)\n', prompt)
        return self.rule(*(part.strip() for part in parts[1:4]))


def rated(path, choices: dict[str, str]) -> Ratings:
    """Writes ratings: rater -> a letter for each pair ('.': none)."""
    ratings = Ratings(path, PAIRS)
    names = {'a': 'a', 'b': 'b', 't': 'tie'}
    for rater, letters in choices.items():
        for shown in order_for(PAIRS, 0, rater):
            letter = letters[int(shown.pair.id[1])]
            if letter != '.':
                ratings.add([Rating(shown.pair.id, rater, names[letter], shown.left)])
    return ratings


def request(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection('127.0.0.1', server.server_port, timeout=10)
    headers = {'X-Token': server.token} | {k.replace('_', '-'): v for k, v in headers.items()}
    connection.request(method, path, body if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    as_json = response.headers['Content-Type'] == 'application/json'
    return response.status, json.loads(data) if as_json else data.decode(), response.headers


def rate(server, rater, at, choice):
    body = {'rater': rater, 'at': at, 'choice': choice}
    status, document, _ = request(server, 'POST', '/rating', body)
    assert status == 200, document
    return document


def test_the_report_is_printed_and_written(files, tmp_path, capsys):
    rated(tmp_path / 'ratings.jsonl', {'ann': 'bbbat.', 'bo': 'bbab..'})
    assert cli.main(['compare-pairs', *files, '--report']) == 0
    printed = capsys.readouterr().out
    assert re.search(r'^ann +5 +1 +1 +3 +70\.0% \(', printed, re.M), printed
    assert 'all people' in printed and "Cohen's kappa" in printed
    document = json.loads((tmp_path / 'ratings.report.json').read_text())
    assert document['raters']['ann']['share_b'] == 0.7
    assert cli.main(['compare-pairs', *files, '--report', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == document


def test_a_report_without_ratings_has_no_figures(files, capsys):
    assert cli.main(['compare-pairs', *files, '--report']) == 0
    assert 'no ratings' in capsys.readouterr().out


def test_the_verb_with_a_judge(files, tmp_path, capsys, monkeypatch):
    judge = Judge(lambda inputs, first, second: 'Verdict: 1' if 'beta' in first else 'Verdict: 2')
    module = types.SimpleNamespace(judge=judge, make=lambda: judge, wrong=3)
    monkeypatch.setitem(sys.modules, 'my_judges', module)
    assert cli.main(['compare-pairs', *files, '--judge=my_judges:make', '--json']) == 0
    document = json.loads(capsys.readouterr().out)
    assert document['raters']['judge:my_judges:make']['share_b'] == 1
    for name, message in {
        'my_judges:juge': 'Did you mean judge',
        'my_judges:wrong': 'no method `generate`',
        'my_judges': 'write module:function',
        'nowhere_at_all:x': 'no module nowhere_at_all',
    }.items():
        assert cli.main(['compare-pairs', *files, f'--judge={name}']) == 2
        assert message in capsys.readouterr().err


def test_the_verb_serves_until_it_is_interrupted(files, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'flan_tune.cli', 'compare-pairs', *files, '--rater=ann'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith('6 pairs at http://127.0.0.1:'), process.stderr.read()
        port = int(re.search(r':(\d+)/', line)[1])
        server = types.SimpleNamespace(server_port=port, token='')
        _, page, _ = request(server, 'GET', '/')
        server.token = re.search(r"token = '([^']+)'", page)[1]
        assert 'value="ann"' in page
        rate(server, 'ann', 0, 'tie')
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert re.search(r'^ann +1 +0 +1 +0 +50\.0%', output, re.M), output


def test_wrong_usage(files, capsys, tmp_path):
    assert cli.main(['compare-pairs', files[0]]) == 2
    assert cli.main(['compare-pairs', files[0], '--b=none.jsonl', files[2]]) == 2
    assert 'no such file' in capsys.readouterr().err
    folder = tmp_path / 'folder'
    folder.mkdir()
    assert cli.main(['compare-pairs', *files[:2], f'--output={folder}']) == 2
    inside_a_file = tmp_path / 'first.jsonl' / 'r.jsonl'
    assert cli.main(['compare-pairs', *files[:2], f'--output={inside_a_file}', '--report']) == 2
    assert 'Not a directory' in capsys.readouterr().err
