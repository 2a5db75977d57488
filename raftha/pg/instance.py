"""One PostgreSQL instance of this machine: its files, its state, its answers.

It does not start, promote or stop the server: whoever does gets the command from here. It decides
nothing, and has never heard of leases.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftha import files
from raftha.clock import Clock, SystemClock
from raftha.errors import PostgresError, PostgresUnavailable, Problem
from raftha.instants import remaining
from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import (
    Binaries,
    DataDirectory,
    ServerPlan,
    ServerRole,
    ServerSetup,
    ServerStatus,
    TimelineSwitch,
)
from raftha.model.settings import Authentication, PermanentSlot, PostgresConfig
from raftha.pg import (
    argv,
    conf,
    configuration,
    directory,
    gucs,
    libraries,
    logical,
    queries,
    receiver,
    roles,
    versions,
)
from raftha.pg.book import SlotBook
from raftha.pg.histories import Histories, PgWal
from raftha.pg.layout import Layout
from raftha.pg.probe import DiskProbe
from raftha.pg.run import environment
from raftha.pg.session import ORDINARY_OPTIONS, OWN_OPTIONS, Row, Session

_STATEMENT_TIMEOUT: Final = 5.0
_POLL: Final = 0.01  # seconds between two looks for the effect of a reload


class SlotChanges(Struct, frozen=True, kw_only=True):
    """What `ensure_slots` did; a slot in both lists had lost its WAL and was made anew."""

    created: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class Instance:
    """`status` belongs to one thread and `probe` to one; other methods may be called from any.

    Times are seconds. Methods that talk to the server raise PostgresUnavailable if it does not
    answer within `timeout`, PostgresError if it refuses.
    """

    def __init__(
        self,
        config: PostgresConfig,
        scope: str,
        name: str,
        run_dir: Path,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.scope = scope
        self.name = name
        self.layout = Layout(data_dir=config.data_dir, run_dir=run_dir)
        self.clock: Clock = clock or SystemClock()
        self._histories = Histories(PgWal(config.data_dir))
        self._binaries: dict[int | None, Binaries] = {}
        self._kept = self._session()
        self._disk = DiskProbe(config.data_dir)
        self._book = SlotBook(self.layout.slot_book)

    def log_in_as(self, authentication: Authentication) -> None:
        """Use these roles and passwords from the next file or connection on."""
        self.config = replace(self.config, authentication=authentication)

    def binaries(self, data_major: int | None) -> Binaries:
        """The installation for a directory of this major (None: the newest). Raises ConfigError.

        It is looked for once; a new minor release in the same place needs no new look.
        """
        known = self._binaries.get(data_major)
        newest = self._binaries.get(None)
        if known is None and newest is not None and newest.major == data_major:
            known = newest  # a search for that major alone would find the same
        if known is None:
            known = versions.choose(self.config.bin_dir, data_major, self.config.bin_name)
        self._binaries[data_major] = known
        return known

    def inspect(self) -> DataDirectory:
        """What lies at `data_dir`; a directory with a `problem` must not be started."""
        return directory.inspect(self.layout, self.binaries, self.clock)

    def has_control_file(self) -> bool:
        """Whether the directory is there; a look at it costs a program."""
        return (self.layout.data_dir / "global" / "pg_control").exists()

    def is_unborn(self) -> bool:
        """Whether initdb made the directory here, for a cluster that was not announced yet."""
        return self.layout.birth_marker.exists()

    def is_closed(self) -> bool:
        """Whether pg_hba.conf lets no session in but the agent's."""
        return directory.is_closed(self.config.data_dir)

    def start_command(self, binaries: Binaries) -> tuple[list[str], dict[str, str]]:
        """Arguments and environment by which the server is to be started."""
        command = argv.postgres(binaries, self.config.data_dir, self.layout.run_dir)
        found = configuration.key_passwords(self.layout, self.config)
        return command, environment(os.environ, found)

    def configure(self, plan: ServerPlan) -> bool:
        """Write every file of the plan; whether any changed. It reloads nothing.

        `standby.signal` is removed only for a primary's plan, and never under a running server: a
        promotion removes it itself and fails without it. On a stopped standby reserved timeline
        numbers are freed, or it would not start. Raises ConfigError, OSError.
        """
        found = self.inspect()
        major = found.major or conf.OLDEST_MAJOR
        changed = configuration.apply(
            self.layout, self.config, self.scope, plan, found.control, major
        )
        if directory.running_pid(self.config.data_dir) is not None:
            return changed
        current = found.control.timeline if found.control is not None else None
        changed |= self._histories.before_start(plan.role, current)
        if plan.role is ServerRole.PRIMARY:
            changed |= configuration.unmark_standby(self.config.data_dir)
        return changed

    def confirm_birth(self) -> None:
        """The directory that initdb made here is the cluster's. Raises OSError."""
        self.layout.birth_marker.unlink(missing_ok=True)
        files.sync_directory(self.layout.data_dir.parent)

    def forks(self, timeline: Timeline) -> tuple[TimelineSwitch, ...]:
        """The switches on the way to this timeline, by its history file; none without one."""
        return self._histories.forks(timeline)

    def status(self, timeout: float) -> ServerStatus:
        """The server's state, over a connection that is kept. See also `probe`."""
        deadline = self.clock.now().plus(timeout)
        try:
            rows = self._kept.query(queries.STATUS, (), timeout)
        except PostgresUnavailable:
            raise
        except PostgresError:
            # A promotion between two expressions of the statement makes it fail, once.
            left = remaining(deadline, self.clock.now())
            rows = self._kept.query(queries.STATUS, (), max(left, _POLL))
        status = queries.parse_status(rows[0][0])
        if status.is_primary or status.receiver is not None:
            return status
        replayed = self._replayed_timeline(remaining(deadline, self.clock.now()))
        return replace(status, timeline=max(status.timeline, replayed or status.timeline))

    def probe(self, timeout: float) -> None:
        """Whether this server could serve a client that comes now, and its disks take writes.

        A new connection, a read, and beside them a synced write on each file system. Writes no WAL
        and waits for no standby. Raises PostgresUnavailable within `timeout`.
        """
        deadline = self.clock.now().plus(timeout)
        self._disk.start()
        self._once(queries.READ, (), timeout)
        self._disk.finish(remaining(deadline, self.clock.now()))

    def reload(self, timeout: float) -> str:
        """Have the files read again; the new load time, once the postmaster has read them.

        Backends and the checkpointer take the new settings later: a changed synchronous set counts
        only after a `checkpoint` that follows (R18).
        """
        deadline = self.clock.now().plus(timeout)
        before = self.conf_loaded(timeout)
        self._once(queries.RELOAD, (), timeout)
        while (left := remaining(deadline, self.clock.now())) > 0:
            if (loaded := self.conf_loaded(left)) != before:
                return loaded
            threading.Event().wait(_POLL)
        raise PostgresUnavailable(f"the configuration was not read again within {timeout:g} s")

    def refused_settings(self, timeout: float) -> tuple[str, ...]:
        """What in the files the server does not take, with its reasons."""
        rows = self._once(queries.SETTING_ERRORS, (), timeout)
        settings = [f"{name} = {setting!r}: {error}" for name, setting, error in rows]
        lines = self._once(queries.HBA_ERRORS, (), timeout)
        return (*settings, *(f"pg_hba.conf, line {number}: {error}" for number, error in lines))

    def refused_parameters(self, parameters: Mapping[str, str], timeout: float) -> list[Problem]:
        """What PostgreSQL has against these values, before they are written; the server need not
        run. `timeout` is for each of them. Raises PostgresError, ConfigError."""
        binaries = self.binaries(self.inspect().major)
        folder = self.layout.run_dir
        found = [*gucs.refused(binaries, folder, parameters, self.clock, timeout)]
        if directory.running_pid(self.config.data_dir) is None:
            return found
        known = {problem.where for problem in found}
        more = gucs.refused_by_extensions(
            parameters, lambda name, value: self._once(queries.TRY_SETTING, (name, value), timeout)
        )
        return [*found, *(problem for problem in more if problem.where not in known)]

    def missing_libraries(self, parameters: Mapping[str, str], timeout: float) -> list[Problem]:
        """Of the libraries that these parameters would load, those that are not here. Only a server
        that runs knows where they would be; without one nothing is found. Raises PostgresError."""
        named = any(parameters.get(name) for name in libraries.PARAMETERS)
        if not named or directory.running_pid(self.config.data_dir) is None:
            return []
        folder, search_path = self._once(queries.LIBRARY_FOLDERS, (), timeout)[0]
        return libraries.missing(parameters, Path(str(folder)), str(search_path))

    def setup(self, timeout: float) -> ServerSetup:
        """The settings and roles that a cluster depends on, not with our own options."""
        names = [who.username for who in self.config.authentication.users]
        found = self._once(queries.SETUP, (names,), timeout, ORDINARY_OPTIONS)
        return queries.parse_setup(found[0][0])

    def conf_loaded(self, timeout: float) -> str:
        """When the postmaster last read its files, as text, seen by a new connection."""
        return str(self._once(queries.CONF_LOADED, (), timeout)[0][0])

    def checkpoint(self, timeout: float) -> None:
        """Run a checkpoint (on a standby, a restart point) to its end."""
        self._once(queries.CHECKPOINT, (), timeout)

    def flush_position(self, timeout: float) -> Lsn:
        """A primary's flushed WAL position; PostgresError on a standby."""
        return Lsn.parse(str(self._once(queries.FLUSHED, (), timeout)[0][0]))

    def slots(self, timeout: float) -> tuple[queries.Slot, ...]:
        """The lasting physical slots."""
        return queries.parse_slots(self._once(queries.SLOTS, (), timeout))

    def create_slot(self, name: str, timeout: float = _STATEMENT_TIMEOUT) -> bool:
        """Make a physical slot that keeps WAL from now on; False if there is a sound one."""
        return bool(self.ensure_slots({name}, timeout).created)

    def drop_slot(self, name: str, timeout: float = _STATEMENT_TIMEOUT) -> bool:
        """Drop a slot, ending a stream that uses it; False if there is none. PostgresError if the
        stream does not end in half the time, or another takes its place at once."""
        if name not in self._slot_names(timeout):
            return False
        self._once(queries.END_STREAM, (int(timeout * 500), name), timeout)
        self._once(queries.DROP_SLOT, (name,), timeout)
        self._book.write(self._book.made() - {name})
        return True

    def made_slots(self) -> frozenset[str]:
        """The names of the slots that were made from here, whether they are still there or not."""
        return self._book.made()

    def ensure_slots(
        self, wanted: Iterable[str], timeout: float = _STATEMENT_TIMEOUT
    ) -> SlotChanges:
        """Make the wanted slots, and anew those of them that lost their WAL, unless in use."""
        names = frozenset(wanted)
        present = self.slots(timeout)
        dropped = [s.name for s in present if s.lost and not s.active and s.name in names]
        there = {slot.name for slot in present} - set(dropped)
        missing = sorted(names - there)
        self._book.write(self._book.made() | set(missing))
        for name in dropped:
            self._once(queries.DROP_SLOT, (name,), timeout)
        for name in missing:
            self._once(queries.CREATE_SLOT, (name,), timeout)
        return SlotChanges(created=tuple(missing), dropped=tuple(dropped))

    def make_logical_slot(self, slot: PermanentSlot, *, synced: bool, timeout: float) -> None:
        """Make a logical slot on a primary, unless one of that name is there. It waits for the
        transactions that run. It must have been noted before."""
        if slot.name in self._slot_names(timeout):
            return
        create = queries.CREATE_SYNCED_SLOT if synced else queries.CREATE_LOGICAL_SLOT
        session = self._session(dbname=slot.database)
        try:
            session.query(create, (slot.name, slot.plugin), timeout)
        finally:
            session.close()

    def note_slots(self, names: Iterable[str]) -> None:
        """These slots are about to be made from here. Raises OSError."""
        self._book.write(self._book.made() | set(names))

    def forget_slots(self) -> None:
        """The directory was replaced by one without slots. Raises OSError."""
        self._book.write(())

    def install_slots(self) -> tuple[str, ...]:
        """Take fetched logical slots into the stopped standby; their names. Raises OSError."""
        new = logical.install(self.layout)
        if new:
            self._book.write(self._book.made() | set(new))
        return new

    def discard_slots(self, names: Iterable[str]) -> None:
        """Remove these slots, and those that were made from here, from the stopped directory: what
        was rewound is not where they say. Raises OSError."""
        logical.discard(self.layout, self._book.made() | set(names))
        self._book.write(())

    def advance_slots(self, targets: Mapping[str, Lsn], timeout: float) -> None:
        """Move these slots up to there, where nobody uses them and they are not further."""
        positions = [str(target) for target in targets.values()]
        self._once(queries.ADVANCE_SLOTS, (list(targets), positions), timeout)

    def cut_stream(self, timeout: float = 0.3) -> bool:
        """Stop the WAL receiver for good; whether one had been there. See `receiver.cut`."""
        session = self._session()
        try:
            return receiver.cut(session, self.config.data_dir, self.clock, timeout)
        finally:
            session.close()

    def terminate_duplicates(
        self, names: Iterable[str], timeout: float = _STATEMENT_TIMEOUT
    ) -> tuple[str, ...]:
        """Of the streams that share one of these names, without regard to case, end all but the
        newest, or but one that holds a slot (R21).

        Returns the names of those that were ended. `ANY k` counts connections, so two of one name
        could acknowledge for two members. Others' tools may share a name of their own.
        """
        wanted = [name.lower() for name in names]
        rows = self._once(queries.DUPLICATES, (wanted,), timeout)
        for pid, _ in rows:
            self._once(queries.TERMINATE, (pid,), timeout)
        return tuple(str(name) for _, name in rows)

    def place_history_files(
        self, current: Timeline, burned: Iterable[Timeline]
    ) -> tuple[Timeline, ...]:
        """Reserve the burned timeline numbers above `current`, right before a promotion (R25), and
        let nobody who follows miss one below it."""
        return self._histories.before_promotion(current, burned)

    def create_roles(
        self, authentication: Authentication, timeout: float = _STATEMENT_TIMEOUT
    ) -> bool:
        """Make or repair the roles; whether anything was written."""
        session = self._session()
        try:
            return roles.create_roles(session, authentication, timeout)
        finally:
            session.close()

    def close(self) -> None:
        """Close the connection that `status` keeps."""
        self._kept.close()

    def _slot_names(self, timeout: float) -> set[str]:
        return {str(name) for (name,) in self._once(queries.SLOT_NAMES, (), timeout)}

    def _session(self, options: Mapping[str, str] = OWN_OPTIONS, **extra: str) -> Session:
        parameters = {
            "host": str(self.layout.run_dir),
            "port": str(self.config.port),
            "user": self.config.authentication.superuser.username,
            **extra,
        }
        return Session(parameters, self.clock, options)

    def _once(
        self, sql: str, values: Row, timeout: float, options: Mapping[str, str] = OWN_OPTIONS
    ) -> list[Row]:
        session = self._session(options)
        try:
            return session.query(sql, values, timeout)
        finally:
            session.close()

    def _replayed_timeline(self, timeout: float) -> Timeline | None:
        """What a standby has replayed, which only a replication connection tells."""
        session = self._session(replication="true")
        try:
            rows = session.query(queries.IDENTIFY_SYSTEM, (), timeout)
        except PostgresError:
            return None
        finally:
            session.close()
        return queries.parse_identity(rows[0]).timeline
