"""How far the runs of a study are: what each was configured as, and the record that stays in its folder."""

import dataclasses
import datetime
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from flan_tune import cli, configuration
from flan_tune.configuration import Configuration
from flan_tune.errors import UserError
from flan_tune.evaluation.journal import digest
from flan_tune.reporting.records import Records
from flan_tune.studies.grid import Job

RECORD = 'study_run.json'
LOG = 'log.txt'
_SHOWN = 6
# Where a run lies decides nothing, and a folder that studies share may have been made elsewhere.
_OWN_FOLDER = re.compile(r'^\w+\.model_dir = .*\n', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        name: 'done', 'part done', 'to do', 'failed' or 'changed'.
        step: of a training run.
        seconds: spent on it.
        difference: of a changed one, the lines of its configuration that are other than they were.
    """

    name: str
    step: int | None = None
    seconds: float | None = None
    difference: tuple[str, ...] = ()

    def text(self) -> str:
        return (
            f'{self.name} at step {self.step:,}'
            if self.name == 'part done' and self.step
            else self.name
        )


def configure(job: Job, search_path: Sequence[str] = ()) -> Configuration:
    """Reads and checks the configuration of a job; its mistakes are told with the name of the run."""
    verbs = [verb for verb, (_, file) in cli.VERBS.items() if file and verb != 'study']
    if job.verb not in verbs:
        raise UserError(f'{job.label}: verb {job.verb!r}: use one of {", ".join(verbs)}.')
    try:
        optional = cli.OPTIONAL.get(job.verb, ())
        return configuration.load(job.verb, job.gin_files, job.bindings, search_path, optional)
    except UserError as error:
        raise UserError(f'run {job.label} of the study: {error}') from None


def places(folder: str, jobs: Sequence[Job]) -> dict[str, str]:
    """Returns a name for each folder of a study: the same wherever it lies, and in all studies that share a run."""
    inside = folder.rstrip('/') + '/'
    return {folder: 'STUDY_DIR'} | {
        job.folder: job.label
        if job.folder.startswith(inside)
        else f'shared/{epath.Path(job.folder).name}'
        for job in jobs
    }


class RunRecord:
    """What a study knows of one of its runs, in the run's own folder.

    A run is done if it ended well with the configuration that it would have now, and so did what it starts from. One
    that was started by hand with the same command counts as well.

    Attributes:
        folder: of the run.
        configured: the operative configuration, with names in the place of folders, which may lie elsewhere one day.
    """

    def __init__(
        self,
        job: Job,
        configured: Configuration,
        names: Mapping[str, str],
        records: Mapping[str, 'RunRecord'],
    ):
        """`names` are those of `places`; `records` has those of what the job needs."""
        self.job = job
        self._needs = {
            names[records[label].job.folder]: records[label].digest for label in job.needs
        }
        self.folder = epath.Path(job.folder)
        self._names = sorted(names.items(), key=lambda item: -len(item[0]))
        self.configured = self._neutral(configured.operative())

    def state(self) -> State:
        records = Records(self.folder)
        record, facts = records.facts(RECORD), records.facts('run.json')
        step = facts.get('steps')
        seconds = record.get('seconds')
        before, needs = record.get('configured'), record.get('needs', self._needs)
        if before is None and (given := records.texts('operative_config.gin')):
            before = self._neutral(given[0][1])
        if before is not None and before != self.configured:
            return State('changed', step, seconds, tuple(_difference(before, self.configured)))
        if needs != self._needs:
            others = [label for label in self._needs if needs.get(label) != self._needs[label]]
            return State('changed', step, seconds, (f'it starts from another {", ".join(others)}',))
        by_hand = not record and facts.get('finished')
        if record.get('state') == 'done' or by_hand:
            return State('done', step, seconds or sum(facts.get('stages', {}).values()))
        if record.get('state') == 'failed':
            return State('failed', step, seconds)
        return State('part done' if before is not None else 'to do', step, seconds)

    @property
    def digest(self) -> str:
        """Stands for its configuration and those of all that it starts from."""
        return digest(self.configured, json.dumps(self._needs, sort_keys=True))

    def write(self, state: str, seconds: float) -> None:
        """Records 'running', 'stopped', 'failed' or 'done', and the seconds spent in all."""
        self._write(
            {
                'state': state,
                'seconds': round(seconds, 1),
                'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
                'configured': self.configured,
                'needs': self._needs,
            }
        )

    def put_aside(self) -> epath.Path | None:
        """Renames the folder of the run, so that it begins anew; returns the name, None where there is none."""
        if not self.folder.exists():
            return None
        number = 1
        while (aside := self.folder.with_name(f'{self.folder.name}.replaced_{number}')).exists():
            number += 1
        self.folder.rename(aside)
        return aside

    def _neutral(self, text: str) -> str:
        text = _OWN_FOLDER.sub('', text)
        for folder, name in self._names:
            text = text.replace(folder, name)
        return text

    def _write(self, record: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f'{RECORD}.part'
        part.write_text(json.dumps(record, indent=1) + '\n')
        part.replace(self.folder / RECORD)


def refuse_changed(states: Mapping[str, State]) -> None:
    """Raises a UserError that names the runs whose configuration is another one than they were run with."""
    changed = {label: state for label, state in states.items() if state.name == 'changed'}
    if not changed:
        return
    lines = [
        f'{len(changed)} of {len(states)} runs were run with another configuration than they have now:'
    ]
    for label, state in [*changed.items()][:_SHOWN]:
        lines += [f'  {label}', *(f'    {line}' for line in state.difference[:_SHOWN])]
    if len(changed) > _SHOWN:
        lines.append(f'  and {len(changed) - _SHOWN} more')
    lines.append(
        "Give the study another STUDY_DIR, or run them anew with --rerun='PATTERN' (such as "
        f"--rerun='{next(iter(changed))}'), which keeps what is there beside them."
    )
    raise UserError('\n'.join(lines))


def _difference(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm='')
    return [line for line in lines if line[:1] in '+-' and line[:3] not in ('+++', '---')]
