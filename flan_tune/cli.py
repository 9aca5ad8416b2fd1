"""`flan_tune VERB ...`: flags to a configuration, the verb's call, and the exit status.

0: done. 1: a failure at work. 2: a mistake in the command or the configuration. 130: interrupted.
"""

import argparse
import contextlib
import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from flan_tune.errors import RunError, UserError, did_you_mean

# Verb -> what it does. The configurable of the same name is the root, and `runs/` has a file to start from; a
# verb without one has flags of its own, which `main` of its module reads.
VERBS = {
    'train': ('finetune a model on a mixture of instruction tasks', 'runs/finetune.gin'),
    'evaluate': ('score a checkpoint on held-out tasks', 'runs/evaluate.gin'),
    'infer': ('answer the prompts of a JSONL file', 'runs/infer.gin'),
    'sample': ('let a model write, for raters or a scorer of toxicity', 'runs/open_ended.gin'),
    'fiat': (
        "tune a small model on a large one's chains of thought, and score both",
        'runs/fiat.gin',
    ),
    'export': ('write a checkpoint as a Hugging Face folder', 'runs/export.gin'),
    'plan': ('compile a step for devices that need not be there: memory, times, what fits', None),
    'inspect': ('show what a run reads: examples, statistics, weights, overlap', None),
    'prepare': ('write what a run reads to files of tokens', 'runs/prepare.gin'),
    'report': ("write the report of a run's folder again", None),
    'study': (
        "re-run a paper's experiment: a grid of runs, its table, figures and findings",
        'studies/flan2022_task_count.gin',
    ),
    'compare-pairs': ('which of two systems people prefer: a blind page for raters', None),
}
# Parameters that a verb does without, where the model's file leaves their macro to the user.
OPTIONAL = {'export': ('export.vocabulary',)}


# Flags of a verb beside those that all have: parameters of its root.
SWITCHES = {
    'export': {'merge': 'write the sum of LoRA adapters and their base'},
    'prepare': {'verify': 'read the files that are there too, and write anew what is damaged'},
    'study': {'quick': 'run the small version, in the folder `quick` of the study'},
}
# Flags that take a value: how argparse reads them. They too are parameters of the root, under the names that
# PARAMETERS gives them; those that it has not are for MODULES.
OPTIONS = {
    'evaluate': {
        'suite': {
            'action': 'append', 'default': [], 'metavar': 'NAME',
            'help': 'a suite, such as bbh; may be given again',
        },
        'protocol': {
            'action': 'append', 'default': [], 'choices': ('direct', 'cot', 'rank'),
            'help': 'how it is asked; by default in all ways that the suite has',
        },
        'shots': {'type': int, 'metavar': 'K', 'help': "exemplars in a prompt; by default the suite's"},
        'on_bad_record': {
            'choices': ('refuse', 'skip'),
            'help': 'what to do with records of suites and tasks that cannot be used; by default refuse',
        },
        'predictions': {
            'metavar': 'PATH', 'help': 'score what another system has answered, TASK.jsonl or a folder of such files'
        },
        'compare': {
            'nargs': 2, 'metavar': 'RUN', 'help': 'two runs, FOLDER or FOLDER@CHECKPOINT, question by question'
        },
    },
    'study': {
        'only': {'metavar': 'PATTERN', 'help': "run those whose name matches, such as 'tuned/size=mini/*'"},
        'shard': {'metavar': 'I/N', 'help': 'run the I-th of N parts; other machines run the others'},
        'rerun': {
            'metavar': 'PATTERN', 'help': 'begin those anew whose name matches; what is there is kept aside'
        },
    },
}  # fmt: skip
PARAMETERS = {
    'evaluate': {
        'suite': 'suites',
        'protocol': 'suite_protocols',
        'shots': 'shots',
        'on_bad_record': 'on_bad_record',
    },
    'study': {'only': 'only', 'shard': 'shard', 'rerun': 'rerun'},
}
# Where one of these flags is given, `run` of the module does the work, without a configuration.
MODULES = {'evaluate': ('flan_tune.evaluation.offline', ('predictions', 'compare'))}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises its complaints."""

    def error(self, message):
        raise UserError(f'{message}; see {self.prog} --help.')


def console() -> NoReturn:
    """The console script."""
    leave(main())


def leave(status: int) -> NoReturn:
    """Ends the process with an exit status.

    After a mistake XLA may still be compiling in a thread. Nothing stops that, and Python would abort while it tears the
    thread down, so that the process ends without ado.
    """
    compilation = sys.modules.get('flan_tune.training.compilation')
    if compilation and compilation.is_compiling():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `argv` (default: the command line) and returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ('-h', '--help'):
        print(_help())
        return 0
    verb, *rest = argv
    return run_verb(verb, rest)


def run_verb(verb: str, argv: Sequence[str] | None = None) -> int:
    """Runs one verb as `flan_tune VERB` does: `python -m flan_tune.VERB` calls this."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return _exit_status(lambda: _run(verb, argv))


def _run(verb: str, argv: Sequence[str]) -> None:
    if verb not in VERBS:
        raise UserError(f'no verb {verb!r}: use {", ".join(VERBS)}.{did_you_mean(verb, VERBS)}')
    if os.getcwd() not in sys.path:  # For MIXTURE_OR_TASK_MODULE=my_tasks, as `python -m` has it.
        sys.path.append(os.getcwd())
    if VERBS[verb][1] is None:
        importlib.import_module(f'flan_tune.{verb.replace("-", "_")}').main(argv)
        return
    argv, bindings = split_bindings(argv)
    parser = _verb_parser(verb)
    if {'-h', '--help'} & {*argv}:
        parser.print_help()
        return
    flags, rest = parser.parse_known_args(argv)
    if rest:
        near = did_you_mean(rest[0].partition('=')[0], [f'--{name}' for name in vars(flags)])
        if not rest[0].startswith('-'):
            near = f' Write --gin_file={rest[0]} or --gin.NAME=VALUE.'
        raise UserError(f'unknown argument {rest[0]!r}.{near}')
    module, instead = MODULES.get(verb, ('', ()))
    if any(getattr(flags, name) for name in instead):
        with only_json(flags.json) as put:
            put(importlib.import_module(module).run(flags, bindings))
        return
    check_configured(verb, flags.gin_file, bindings, VERBS[verb][1])
    from flan_tune import configuration

    optional = OPTIONAL.get(verb, ())
    loaded = configuration.load(verb, flags.gin_file, bindings, flags.gin_search_path, optional)
    with only_json(flags.json) as put:
        switches = ('dry_run', *SWITCHES.get(verb, {}))
        given = {name: True for name in switches if getattr(flags, name)}
        for flag, parameter in PARAMETERS.get(verb, {}).items():
            if (value := getattr(flags, flag)) not in (None, []):
                given[parameter] = value
        put(loaded.call(**given))


def split_bindings(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits `--gin.NAME=VALUE` and `--gin.NAME VALUE` off: returns (other arguments, bindings).

    Raises:
        UserError: a `--gin.NAME` without a value.
    """
    rest, bindings = [], []
    remaining = iter(argv)
    for argument in remaining:
        if not argument.startswith('--gin.'):
            rest.append(argument)
            continue
        binding = argument.removeprefix('--gin.')
        if '=' not in binding:
            value = next(remaining, None)
            if value is None:
                raise UserError(f'{argument} has no value: write {argument}=VALUE.')
            binding = f'{binding}={value}'
        bindings.append(binding)
    return rest, bindings


def check_configured(
    verb: str, gin_files: Sequence[str], bindings: Sequence[str], run_file: str
) -> None:
    """Raises a UserError that says where to start if the command names no configuration at all."""
    if not gin_files and not bindings:
        raise UserError(
            f'{verb} needs a configuration: --gin_file={run_file}, then a model, e.g. '
            f'--gin_file=models/t5_1_1/small.gin; see flan_tune {verb} --help.'
        )


def _verb_parser(verb: str) -> argparse.ArgumentParser:
    summary, run_file = VERBS[verb]
    parser = Parser(
        prog=f'flan_tune {verb}',
        usage=f'flan_tune {verb} --gin_file=FILE [...] --gin.NAME=VALUE [...]',
        description=f'{summary[0].upper()}{summary[1:]}. To start from: {run_file}.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_comment_of(run_file),
        allow_abbrev=False,
    )
    add = functools.partial(parser.add_argument, metavar='FILE', action='append', default=[])
    add('--gin_file', help='a gin file; later ones override')
    add(
        '--gin_search_path',
        metavar='FOLDER',
        help='searched for gin files before the packaged ones',
    )
    add = functools.partial(parser.add_argument, action='store_true')
    add('--dry_run', help='print the plan of the run and stop')
    for switch, meaning in SWITCHES.get(verb, {}).items():
        add(f'--{switch}', help=meaning)
    for option, reading in OPTIONS.get(verb, {}).items():
        parser.add_argument(f'--{option}', **reading)
    add('--json', help='print one JSON document on standard output')
    group = parser.add_argument_group('configuration', 'macros of the gin files, or parameters')
    group.add_argument(
        '--gin.NAME', metavar='VALUE', help='e.g. BATCH_SIZE=8, adafactor.decay_rate=0.9'
    )
    return parser


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = '\n'.join(f'  {verb:{width}}  {summary}' for verb, (summary, _) in VERBS.items())
    return (
        'usage: flan_tune VERB --gin_file=FILE [...] --gin.NAME=VALUE [...]\n\n'
        f'Instruction finetuning in JAX. Verbs:\n\n{verbs}\n\n'
        'flan_tune VERB --help says more. Exit status: 0 done, 1 failed, 2 wrong usage.'
    )


def _comment_of(run_file: str) -> str:
    """The comment at the head of a packaged run file: what it does, and the command."""
    from flan_tune.configuration.statements import find_file, search_path

    lines = []
    for line in find_file(run_file, search_path()).read_text(encoding='utf-8').splitlines():
        if not line.startswith('#'):
            break
        lines.append(line.removeprefix('#').removeprefix(' '))
    return f'{run_file}:\n\n' + '\n'.join(lines)


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[Callable[[Any], None]]:
    """With --json, all that a verb prints goes to standard error, and its result to standard output."""
    if not wanted:
        yield lambda result: None
        return
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda result: print(json.dumps(result, indent=2, default=str), file=output)


def _exit_status(work: Callable[[], None]) -> int:
    """Calls `work`; a mistake or a failure that a message explains needs no traceback."""
    try:
        work()
    except UserError as error:
        print(f'flan_tune: error: {error}', file=sys.stderr)
        return 2
    except RunError as error:
        print(f'flan_tune: failed: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('flan_tune: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    console()
