"""Runs a program of the operator's that works on a data directory, or on the server of one.

As any program of a job it is bounded in time, cancellable, and ended by the next agent if it
outlives its own. It is started by a shell that becomes it: were it executed from here, a disk that
hangs would hold up the agent until it was found there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from raftha.pg.job import Job

_SHELL: Final = ("/bin/sh", "-c", 'exec "$@" >&2', "raftha")

_OPTIONS: Final = "-c synchronous_commit=local -c statement_timeout=0"
"""For `post_bootstrap`, as in Patroni: no standby is there yet that a commit could wait for."""


def run_program(job: Job, words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run it to its end; each line of its output, of which the last ones are in an error, goes to
    the job's `progress`. Raises CommandFailed, Cancelled, PostgresError."""
    job.run([*_SHELL, *words], name=Path(words[0]).name, environment=environment)


def post_bootstrap(job: Job, words: Sequence[str]) -> None:
    """Run the operator's program with the URL of the new cluster, which lets in nobody else but the
    agent yet. The password is where PGPASSFILE says, and is not needed. Raises as `run_program`."""
    run_program(job, [*words, url(job)], {"PGOPTIONS": _OPTIONS})


def url(job: Job) -> str:
    """The server's Unix socket, as its superuser."""
    user = quote(job.config.authentication.superuser.username, safe="")
    where = urlencode({"host": str(job.layout.run_dir), "port": job.config.port})
    return f"postgresql://{user}@/postgres?{where}"
