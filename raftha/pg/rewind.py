"""Turns a diverged directory into one that can follow the new line, and keeps what that undoes.

A marker beside the directory is durable before the first change and goes after the last: while it
is there `inspect` names a problem, so that a rewind cut short is never started (S9). The way out is
a new copy.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

from raftha import files
from raftha.errors import CommandFailed, PostgresError
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import ControlData, ControlState, Upstream
from raftha.pg import argv, configuration, libpq, shared_wal, timeline
from raftha.pg import upstream as upstreams
from raftha.pg.directory import control_data, require_stopped, segment_bytes
from raftha.pg.job import Job, explained
from raftha.pg.run import Cancelled
from raftha.pg.timeline import Relation
from raftha.pg.upstream import UpstreamLine, require_system

_END_OF_WAL: Final = re.compile(
    r"error in WAL record at ([0-9A-F]+/[0-9A-F]+)(?:: .* at ([0-9A-F]+/[0-9A-F]+))?"
)
"""The last whole record, and where what follows cannot be read."""

_NOTHING_THERE: Final = "could not find a valid record after"
_CUT_OFF: Final = re.compile(r'could not find file "([0-9A-F]{24})"')
"""The last record goes on in a segment that could not be made any more, as on a full disk."""

_NOT_HERE: Final = re.compile(
    r'could not (?:open file "[^"]*/([0-9A-F]{24})": No such file|'
    r'restore file "([0-9A-F]{24})" from archive)'
)
"""The segment that pg_rewind would go on in: it reads from the fork back to the last checkpoint
that both sides have, and has changed nothing by then."""

_ASK_TIMEOUT: Final = 10.0
_STANDBY_FILES: Final = ("standby.signal", "recovery.signal")


class Comparison(Struct, frozen=True, kw_only=True):
    """A stopped directory against an upstream; `last_record` is where its newest record begins, and
    `end` where it ends (where it begins, if its end cannot be told). `was_primary`: it holds all
    that was ever written to that timeline."""

    relation: Relation
    timeline: Timeline
    last_record: Lsn
    end: Lsn
    upstream: UpstreamLine
    was_primary: bool = False

    @property
    def diverged_bytes(self) -> int | None:
        """How much WAL lies here behind the fork; None if there is no fork."""
        fork = timeline.fork_point(self.upstream.history, self.timeline)
        return None if fork is None else fork.behind(self.end)


def compare(job: Job, source: Upstream, system_id: SystemId | None = None) -> Comparison:
    """Whether the stopped directory could simply follow `source`.

    PostgreSQL's numbers alone decide here; equal numbers that two servers took on their own (R25)
    are for the caller to know. Raises PostgresError if either side cannot be read.
    """
    require_stopped(job.layout.data_dir)
    with explained(f"writing {job.layout.passfile}"):
        configuration.write_passwords(job.layout, job.config)
    who = job.config.authentication.replication
    found = upstreams.ask(source, who, job.layout.passfile, min(job.left(), _ASK_TIMEOUT))
    control = control_data(job.binaries, job.layout.data_dir, job.clock)
    require_system(found.identity.system_id, system_id or control.system_id)
    require_system(control.system_id, found.identity.system_id)
    line, last_record, end = end_of_wal(job, control)
    return Comparison(
        relation=timeline.relation(
            timeline=line,
            last_record=last_record,
            history=found.history,
            upstream_timeline=found.identity.timeline,
            upstream_position=found.identity.position,
        ),
        timeline=line,
        last_record=last_record,
        end=end,
        upstream=found,
        was_primary=control.was_primary
        and not any((job.layout.data_dir / name).exists() for name in _STANDBY_FILES),
    )


def end_of_wal(job: Job, control: ControlData) -> tuple[Timeline, Lsn, Lsn]:
    """The timeline of the newest local WAL and where its last whole record begins and ends.

    A directory that was shut down as a primary ends with its checkpoint. Any other is read to the
    end: it may hold WAL, of a later timeline too, that was received and not replayed. Raises
    PostgresError.
    """
    if control.state is ControlState.SHUT_DOWN:
        return control.timeline, control.checkpoint, control.checkpoint
    try:
        later = _later_lines(job.layout.data_dir / "pg_wal", control)
    except (OSError, ValueError) as error:
        raise PostgresError(f"the local timeline histories cannot be read: {error}") from error
    for line, start in later:
        found = _last_record(job, line, start)
        if found is not None:
            return line, *found
    line = max(control.timeline, control.minimum_recovery_timeline)
    start = control.redo if line == control.timeline else control.minimum_recovery_end
    # Nothing whole after `start`: the last record begins somewhere before it.
    before = Lsn(max(0, start.value - 1))
    return line, *(_last_record(job, line, start) or (before, start))


class Rewound(Struct, frozen=True, kw_only=True):
    """Where the undone WAL is kept (None: there was none), and how many segments of older WAL had
    to come from the source."""

    kept: Path | None
    fetched: int = 0


def rewind(job: Job, source: Upstream, comparison: Comparison) -> Rewound:
    """Run pg_rewind against `source`, a primary whose checkpoint after promotion is done.

    Afterwards the directory has `standby.signal`, and wants to be configured. Raises PostgresError
    if it cannot be rewound; what began to change it leaves it marked, as does a cancelled rewind.
    """
    with explained(f"rewinding {job.layout.data_dir}"):
        return _rewind(job, source, comparison)


def _rewind(job: Job, source: Upstream, comparison: Comparison) -> Rewound:
    layout = job.layout
    require_stopped(layout.data_dir)
    control = control_data(job.binaries, layout.data_dir, job.clock)
    if not (control.checksums or control.wal_log_hints):
        raise PostgresError(
            f"{layout.data_dir} has neither checksums nor wal_log_hints: it needs a new copy"
        )
    if (layout.data_dir / "backup_label").exists():
        raise PostgresError(f"{layout.data_dir} is an unfinished base backup: it needs a new copy")
    kept = preserve_wal(job, comparison)
    files.replace(layout.rewind_marker, f"{job.stamp}\n".encode())
    if control.state is not ControlState.SHUT_DOWN:
        _recover(job)
    fetched = _run(job, source, comparison.upstream)
    configuration.mark_standby(layout.data_dir)
    layout.rewind_marker.unlink()
    files.sync_directory(layout.data_dir.parent)
    return Rewound(kept=kept, fetched=fetched)


def _run(job: Job, source: Upstream, line: UpstreamLine) -> int:
    """pg_rewind, again each time that it misses WAL and the source has it; how many segments that
    were. It tells of one at a time: each time as many more are fetched as there were already."""
    data_dir = job.layout.data_dir
    who = job.config.authentication.rewind
    connection = libpq.connection(source, who, job.layout.passfile, {"dbname": "postgres"})
    restores = configuration.has_restore_command(data_dir)
    fetched = 0
    while True:
        try:
            job.run(argv.rewind(job.binaries, data_dir, connection, restores=restores))
        except Cancelled:
            raise
        except CommandFailed as error:
            absent = _NOT_HERE.search(str(error))
            if absent is None:
                raise
            name = absent[1] or absent[2]
            fetched += shared_wal.fetch(job, source, line, name, fetched + 1)
        else:
            return fetched


def preserve_wal(job: Job, comparison: Comparison) -> Path | None:
    """Copy the local WAL from the fork on to `<data_dir>.diverged-wal-<stamp>`, durably.

    Raises PostgresError if it cannot be kept: then nothing may be rewound.
    """
    source = job.layout.data_dir / "pg_wal"
    fork = timeline.fork_point(comparison.upstream.history, comparison.timeline)
    try:
        names = timeline.segments_from(
            (path.name for path in source.iterdir()),
            comparison.timeline,
            fork or Lsn(0),
            segment_bytes(source),
        )
        histories = sorted(path.name for path in source.glob("*.history"))
        if not names:
            return None
        target = job.layout.diverged_wal(job.stamp)
        target.mkdir(mode=0o700)
        for name in (*names, *histories):
            if job.cancel():
                raise Cancelled("keeping the diverged WAL was cancelled")
            _copy(source / name, target / name)
        files.sync_directory(target)
        files.sync_directory(target.parent)
    except OSError as error:
        raise PostgresError(
            f"the diverged WAL of {source} cannot be kept: {error}; nothing was rewound"
        ) from error
    return target


def _recover(job: Job) -> None:
    """Crash recovery to a clean stop; a standby's signal is in its way.

    pg_rewind wants it. A standby that was stopped cleanly needs it too: pg_rewind looks at what was
    replayed, and would leave received WAL of the lost line to be replayed at the next start.
    """
    for name in _STANDBY_FILES:
        (job.layout.data_dir / name).unlink(missing_ok=True)
    files.sync_directory(job.layout.data_dir)
    job.run(argv.single_user(job.binaries, job.layout.data_dir))


def _later_lines(pg_wal: Path, control: ControlData) -> list[tuple[Timeline, Lsn]]:
    """Timelines later than pg_control's that were received, newest first, and where each began."""
    known = max(control.timeline, control.minimum_recovery_timeline)
    names = [path.name for path in pg_wal.iterdir()]
    found = []
    for number in filter(None, map(timeline.timeline_of_history, names)):
        if number <= known or not any(name.startswith(f"{number:08X}0") for name in names):
            continue
        history = timeline.parse_history((pg_wal / timeline.history_file(number)).read_text())
        if any(switch.timeline == known for switch in history):
            found.append((number, history[-1].switch))
    return sorted(found, reverse=True)


def _last_record(job: Job, line: Timeline, start: Lsn) -> tuple[Lsn, Lsn] | None:
    """Where the last whole record from `start` on begins and ends; None if there is none."""
    try:
        job.run(argv.waldump(job.binaries, job.layout.data_dir, line, start))
    except Cancelled:
        raise
    except CommandFailed as error:
        match = _END_OF_WAL.search(str(error))
        if match is not None:
            begin = Lsn.parse(match[1])
            return begin, begin if match[2] is None else max(begin, Lsn.parse(match[2]))
        if _NOTHING_THERE in str(error):
            return None
        if (missing := _CUT_OFF.search(str(error))) is not None:
            end = _end_of_segments(job.layout.data_dir / "pg_wal", line, missing[1])
            if end is not None and end > start:
                # Where that record begins is not told. Too late is safe: what could have followed
                # is rewound; too early, and what has diverged would be started (S9).
                return Lsn(end.value - 1), end
        raise PostgresError(f"the end of the local WAL cannot be found: {error}") from error
    raise PostgresError("the end of the local WAL cannot be found: pg_waldump met none")


def _end_of_segments(pg_wal: Path, line: Timeline, missing: str) -> Lsn | None:
    """Where the segment of this name would begin; None if it is a gap, with later ones behind."""
    size = segment_bytes(pg_wal)
    end = timeline.start_of_segment(missing, size)
    names = (path.name for path in pg_wal.iterdir())
    return None if timeline.segments_from(names, line, end, size) else end


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
