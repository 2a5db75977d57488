"""What every slow job has: its directory, its programs, its limits."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from raftha import files
from raftha.clock import Clock
from raftha.errors import PostgresError
from raftha.instants import Instant, remaining
from raftha.model.postgres import Binaries
from raftha.model.settings import PostgresConfig
from raftha.pg import elsewhere, orphan
from raftha.pg.configuration import key_passwords
from raftha.pg.layout import MARKED, Layout
from raftha.pg.run import Cancel, Progress, ignore, never, run


class Job(Struct, frozen=True, kw_only=True):
    """`stamp` names what is kept aside, `deadline` ends the whole job, `cancel` is asked often."""

    config: PostgresConfig
    layout: Layout
    binaries: Binaries
    clock: Clock
    stamp: str
    deadline: Instant
    cancel: Cancel = never
    progress: Progress = ignore

    def run(
        self, argv: Sequence[str], *, name: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a program within what is left of the job's time, alone: one that an earlier agent
        left is killed. Raises CommandFailed, PostgresError."""
        return run(
            argv,
            name=name,
            clock=self.clock,
            timeout=max(0.1, self.left()),
            cancel=self.cancel,
            progress=self.progress,
            extra_environment={
                "PGPASSFILE": str(self.layout.passfile),
                **key_passwords(self.layout, self.config),
                **(environment or {}),
            },
            lock=self.layout.work_lock,
        )

    def left(self) -> float:
        """Seconds until the deadline."""
        return remaining(self.deadline, self.clock.now())


def new_job(
    *,
    config: PostgresConfig,
    run_dir: Path,
    binaries: Binaries,
    clock: Clock,
    stamp: str,
    timeout: float,
    cancel: Cancel = never,
    progress: Progress = ignore,
) -> Job:
    """A job that begins now and may take `timeout` seconds."""
    return Job(
        config=config,
        layout=Layout(data_dir=config.data_dir, run_dir=run_dir, attempt=f"{stamp}-{os.getpid()}"),
        binaries=binaries,
        clock=clock,
        stamp=stamp,
        deadline=clock.now().plus(timeout),
        cancel=cancel,
        progress=progress,
    )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns an OSError of a job's own file work into a PostgresError that says what failed."""
    try:
        yield
    except OSError as error:
        raise PostgresError(f"{what} failed: {error}") from error


def begin_copy(layout: Layout, clock: Clock, parts: Sequence[Path] = ()) -> None:
    """Make a directory to be filled, of a name that no attempt has had; what earlier ones left is
    removed, after the program that fills it was ended if it outlived its agent. `parts` are the
    directories that will be filled elsewhere.

    Only a directory that our marker names is removed. Raises PostgresError, OSError.
    """
    layout.data_dir.parent.mkdir(parents=True, exist_ok=True)
    os.close(orphan.take(layout.work_lock, clock))
    pattern = f"{glob.escape(layout.data_dir.name)}.new-*{MARKED}"
    for marker in layout.data_dir.parent.glob(pattern):
        half_made = marker.with_name(marker.name.removesuffix(MARKED))
        if half_made.exists():
            shutil.rmtree(half_made)
        elsewhere.remove(marker.read_text())
        marker.unlink()
    content = "a data directory in the making lies beside\n" + elsewhere.listed(parts)
    files.replace(layout.copy_marker, content.encode())
    layout.copy.mkdir(mode=0o700)


def abandon_copy(layout: Layout) -> None:
    """Remove a copy that failed, as far as that can be done: the next attempt does the rest."""
    shutil.rmtree(layout.copy, ignore_errors=True)
    try:
        elsewhere.remove(layout.copy_marker.read_text())
    except OSError:
        return
    if not layout.copy.exists():
        layout.copy_marker.unlink()


def finish_copy(layout: Layout, replaced: Path) -> None:
    """Put the complete copy in place; a directory that was there is moved to `replaced`.

    A crash in between leaves no data directory and the old one aside: nothing is lost, and the
    copy is made again. Raises PostgresError if the directories cannot be exchanged.
    """
    target = layout.data_dir
    try:
        elsewhere.settle(layout.copy, layout.attempt)
        if target.exists() and any(target.iterdir()):
            files.rename(target, _free(replaced))
        files.rename(layout.copy, target)
        layout.rewind_marker.unlink(missing_ok=True)
        layout.copy_marker.unlink()
        files.sync_directory(target.parent)
    except OSError as error:
        raise PostgresError(
            f"{layout.copy} cannot become {target}: {error.strerror}; data_dir must be an ordinary "
            "directory, not a mount point, in a directory that raftha may write"
        ) from error


def set_aside(path: Path, target: Path) -> Path | None:
    """Move what lies at `path` to a free name like `target`; None if nothing lies there."""
    if not path.exists():
        return None
    free = _free(target)
    files.rename(path, free)
    return free


def _free(target: Path) -> Path:
    """A rename onto an empty directory would succeed, so a name in use gets a number."""
    candidate, number = target, 1
    while candidate.exists():
        number += 1
        candidate = target.with_name(f"{target.name}-{number}")
    return candidate
