"""`flan_tune compare-pairs`: which of two systems people, or a judge model, prefer, output by output."""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flan_tune import cli
from flan_tune.errors import RunError, UserError

if TYPE_CHECKING:  # Help is to come at once, without NumPy.
    from flan_tune.evaluation.raters.pairs import PairFile, Ratings

_EPILOG = """\
FILE holds JSON lines with `id` (or `index`), `prediction`, and in one of the two `inputs`, what was asked.
Ratings are kept one by one; the same command goes on where a rater has stopped. A judge is an object, or a
function without arguments that returns one, with `generate` of flan_tune.decoding.text_model.TextModel.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the verb on its arguments: serves the page, asks a judge, or prints the report."""
    flags = _parser().parse_args(argv)
    with cli.only_json(flags.json) as put:
        put(_run(flags))


def _run(flags: argparse.Namespace) -> dict[str, Any]:
    from flan_tune.evaluation.raters.pairs import Ratings, read_pairs

    found = read_pairs(flags.a, flags.b, on_bad_record=flags.on_bad_record)
    ratings = Ratings(flags.output, found.pairs)
    for reason, names in found.left_out.items():
        if names:
            print(f'{len(names)} left out ({reason}): {_some(names)}', file=sys.stderr)
    if flags.judge:
        _judge(flags, found, ratings)
    elif not flags.report:
        _serve(flags, found, ratings)
    document = report(found, ratings, flags)
    path = _write(document, ratings.path)
    print(render(document), end='')
    print(f'report: {path}')
    return document


def report(found: 'PairFile', ratings: 'Ratings', flags: argparse.Namespace) -> dict[str, Any]:
    """Returns `preference_report`, with the names of the files and what was left out."""
    from flan_tune.evaluation.raters.preference import preference_report

    return {
        'a': flags.a,
        'b': flags.b,
        'ratings': str(ratings.path),
        'left_out': found.left_out,
        **preference_report(found.pairs, ratings, seed=flags.seed),
    }


def render(document: Mapping[str, Any]) -> str:
    """Returns the report as lines for a terminal."""
    from flan_tune.evaluation.raters.pairs import JUDGE

    lines = [f'a: {document["a"]}', f'b: {document["b"]}', f'{document["pairs"]} pairs', '']
    tallies = dict(document['raters'])
    if sum(not name.startswith(JUDGE) for name in tallies) > 1:
        tallies = {'all people': document['people'], **tallies}
    if not tallies:
        return '\n'.join([*lines, 'no ratings', ''])
    width = max(map(len, tallies))
    lines.append(
        f'{"":{width}}   rated      a    tie      b   prefers b, 95% interval   left of decided'
    )
    for name, tally in tallies.items():
        interval = (
            f'{_percent(tally["share_b"])} ({_percent(tally["low"])} to {_percent(tally["high"])})'
        )
        counts = ' '.join(f'{tally[key]:6}' for key in ('a', 'tie', 'b'))
        remarks = [f'{tally[key]} {key}' for key in ('inconsistent', 'unparsable') if key in tally]
        lines.append(
            f'{name:{width}}  {tally["pairs"]:6} {counts}   {interval:24}  '
            f'{_percent(tally["left_of_decided"]):>6}{"   ties: " if remarks else ""}{", ".join(remarks)}'
        )
    for row in document['agreement']:
        lines.append(
            f'{" and ".join(row["raters"])}: the same on {_percent(row["same"])} of {row["n"]} pairs, '
            f"Cohen's kappa {_figure(row['kappa'])}"
        )
    if fleiss := document['fleiss']:
        lines.append(
            f"{fleiss['raters']} people on {fleiss['n']} pairs: Fleiss's kappa {_figure(fleiss['kappa'])}"
        )
    return '\n'.join([*lines, ''])


def _serve(flags: argparse.Namespace, found: 'PairFile', ratings: 'Ratings') -> None:
    from flan_tune.reporting.pairs_page import PairsServer, Session

    session = Session(found.pairs, ratings, seed=flags.seed, rater=flags.rater)
    with PairsServer(session, flags.port) as server:
        print(f'{len(found.pairs)} pairs at {server.url} (Ctrl-C ends)', flush=True)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            print()  # Behind the terminal's ^C; what was rated is on the disk.


def _judge(flags: argparse.Namespace, found: 'PairFile', ratings: 'Ratings') -> None:
    from flan_tune.evaluation.plugins import load
    from flan_tune.evaluation.raters.judge import judge_pairs

    model = load(flags.judge, '--judge')
    if not hasattr(model, 'generate') and callable(model):
        model = model()
    if not hasattr(model, 'generate'):
        raise UserError(f'--judge={flags.judge}: it has no method `generate`.')

    def progress(done: int, total: int) -> None:
        print(f'{done} of {total} pairs judged', file=sys.stderr)

    counts = judge_pairs(
        model, flags.judge, ratings, found.pairs, seed=flags.seed, progress=progress
    )
    if counts['cut']:
        print(f"{counts['cut']} questions were longer than the judge's inputs", file=sys.stderr)


def _write(document: Mapping[str, Any], ratings: pathlib.Path) -> pathlib.Path:
    path = ratings.with_name(f'{ratings.stem}.report.json')
    part = path.with_name(f'{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(document, indent=2) + '\n', encoding='utf-8')
        part.replace(path)
    except OSError as error:
        raise RunError(f'{path}: the report cannot be written ({error.strerror}).') from error
    return path


def _parser() -> cli.Parser:
    parser = cli.Parser(
        prog='flan_tune compare-pairs',
        description=f'{__doc__.split(": ")[1].capitalize()}',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--a', required=True, metavar='FILE', help='outputs of one system')
    add('--b', required=True, metavar='FILE', help='outputs of the other')
    add('--output', required=True, metavar='FILE', help='ratings, JSON lines; appended to')
    add('--port', type=int, default=0, help='of the page on 127.0.0.1; 0: a free one')
    add('--seed', type=int, default=0, help='of the order of pairs and sides, and of the interval')
    add('--rater', default='', metavar='NAME', help='the name that the page proposes')
    add('--judge', metavar='MODULE:NAME', help='ask a model instead of people')
    add('--report', action='store_true', help='print the report and stop')
    add(
        '--on_bad_record',
        choices=('refuse', 'skip'),
        default='refuse',
        help='what malformed lines of the two files do',
    )
    add('--json', action='store_true', help='print the report as one JSON document')
    return parser


def _percent(share: float | None) -> str:
    return '-' if share is None else f'{share:.1%}'


def _figure(value: float | None) -> str:
    return 'undefined' if value is None else f'{value:.3f}'


def _some(names: Sequence[str], most: int = 5) -> str:
    return ', '.join(names[:most]) + (', …' if len(names) > most else '')


if __name__ == '__main__':
    sys.exit(cli.run_verb('compare-pairs'))
