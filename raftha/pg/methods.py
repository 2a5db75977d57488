"""Makes a copy by a program of the operator's, such as a restore of a backup.

The program fills a directory beside the data directory, as pg_basebackup does, and never the data
directory itself. Only what proves to be of this cluster and on its line takes that place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from raftha import files
from raftha.errors import PostgresError
from raftha.model.ids import SystemId
from raftha.model.methods import Method
from raftha.model.postgres import ControlData, Upstream
from raftha.model.settings import Credentials
from raftha.pg import configuration, libpq, timeline
from raftha.pg import upstream as upstreams
from raftha.pg.directory import require_stopped
from raftha.pg.job import Job, abandon_copy, begin_copy, explained, finish_copy
from raftha.pg.program import run_program
from raftha.pg.restore import filled_by, keep_failed
from raftha.pg.upstream import UpstreamLine, require_system

_ASK_TIMEOUT: Final = 10.0

Ask = Callable[[Upstream, Credentials, Path, float], UpstreamLine]


class Wanted(Struct, frozen=True, kw_only=True):
    """What a copy is to be of: the cluster of this name, identifier and `birth`. Without a `source`
    it is made of nobody that runs. `diverged` says that what it replaces has left the line."""

    scope: str
    system_id: SystemId | None
    birth: str
    source: Upstream | None
    diverged: bool = False


def copy_by(job: Job, method: Method, wanted: Wanted, ask: Ask = upstreams.ask) -> None:
    """Make the data directory a standby's copy by this method's program. `ask` tells of the source.

    What was there is kept as `clone` keeps it. Of a program that fails nothing is kept. A directory
    that is not of this cluster, or not on its line, is kept as `<data_dir>.failed-<stamp>`, in the
    place of an earlier one. Raises PostgresError, CommandFailed, Cancelled.
    """
    layout = job.layout
    has_left = wanted.diverged or layout.rewind_marker.exists()
    kept = layout.diverged(job.stamp) if has_left else layout.replaced(job.stamp)
    with explained(f"copying by {method.name} to {layout.data_dir}"):
        require_stopped(layout.data_dir)
        configuration.write_passwords(layout, job.config)
        line = _line(job, wanted, ask)
        begin_copy(layout, job.clock)
        try:
            _fill(job, method, wanted, line)
            require_stopped(layout.data_dir)
            finish_copy(layout, kept)
            layout.birth_marker.unlink(missing_ok=True)
        except (PostgresError, OSError):
            abandon_copy(layout)
            raise


def _line(job: Job, wanted: Wanted, ask: Ask) -> UpstreamLine | None:
    if wanted.source is None:
        return None
    who = job.config.authentication.replication
    timeout = min(job.left(), _ASK_TIMEOUT)
    line = ask(wanted.source, who, job.layout.passfile, timeout)
    require_system(line.identity.system_id, wanted.system_id)
    return line


def _fill(job: Job, method: Method, wanted: Wanted, line: UpstreamLine | None) -> None:
    copy = job.layout.copy
    words = method.words(
        scope=wanted.scope,
        role="replica",
        datadir=str(copy),
        connstring=_connection(job, wanted.source),
    )
    run_program(job, words, {"PGDATA": str(copy)})
    birth = configuration.birth(copy)
    copied = filled_by(job, method)
    why = _unfit(copied, birth, wanted, line)
    if why:
        raise PostgresError(f"what {method.name} made is {why}; {keep_failed(job, copy)}")
    # Before it takes its place: there it must never be able to start as a primary.
    configuration.mark_standby(copy)
    configuration.write_birth(copy, wanted.birth)
    configuration.mark_from_backup(copy)
    if line is not None:
        _write_histories(job, copied, line)


def _connection(job: Job, source: Upstream | None) -> str:
    if source is None:
        return ""
    who = job.config.authentication.replication
    parameters = libpq.connection(source, who, job.layout.passfile, {"dbname": "postgres"})
    return libpq.handed_out(parameters)


def _unfit(copied: ControlData, birth: str, wanted: Wanted, line: UpstreamLine | None) -> str:
    """Why this directory must not take the place of the data directory; empty if it may."""
    if wanted.system_id is not None and copied.system_id != wanted.system_id:
        return (
            f"of another cluster: its system identifier is {copied.system_id}, this cluster's is "
            f"{wanted.system_id}"
        )
    if line is None:
        return ""
    end = max(copied.checkpoint, copied.minimum_recovery_end)
    number = max(copied.timeline, copied.minimum_recovery_timeline)
    here = line.identity.timeline
    where = f"timeline {number} at {end}"
    if not timeline.is_ancestor(line.history, number, end, here):
        return f"not on the line of this cluster: it is on {where}"
    # Two clusters that came from one backup each have a line of their own under the same numbers.
    if birth not in ("", wanted.birth) and number == here:
        return f"not on the line of this cluster: it was part of another one, on {where}"
    if number == here and end > line.identity.position:
        return f"not on the line of this cluster: {where} is ahead of {line.identity.position}"
    return ""


def _write_histories(job: Job, copied: ControlData, line: UpstreamLine) -> None:
    """Tell the copy where its line goes on: an archive may hold WAL from behind that place."""
    numbers = [switch.timeline for switch in line.history] + [line.identity.timeline]
    folder = job.layout.copy / "pg_wal"
    folder.mkdir(mode=0o700, exist_ok=True)
    for index, number in enumerate(numbers):
        if number > copied.timeline:
            text = timeline.render_history(line.history[:index])
            files.replace(folder / timeline.history_file(number), text.encode())
