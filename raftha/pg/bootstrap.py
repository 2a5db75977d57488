"""Makes the first data directory of a cluster.

It is made beside its place and renamed, so that a half-made one is never taken for a cluster. Where
there is data already, nothing is done.
"""

from __future__ import annotations

from pathlib import Path

from raftha import files
from raftha.errors import ConfigError, PostgresError
from raftha.model.ids import SystemId
from raftha.pg import argv, elsewhere
from raftha.pg.directory import IN_ONE_GO, control_data
from raftha.pg.job import Job, begin_copy, explained, finish_copy, set_aside


def initialise(job: Job, options: argv.ProgramOptions, *, in_one_go: bool = False) -> SystemId:
    """Run initdb; the new cluster's system identifier. `in_one_go`: nobody may go on with the
    directory but who makes it.

    Raises ConfigError for options that may not be used, PostgresError if there is data already,
    CommandFailed if initdb fails: what it made is then kept as `<data_dir>.failed-<stamp>`.
    """
    problems = argv.initdb_problems(options)
    if problems:
        raise ConfigError(problems)
    layout = job.layout
    if layout.data_dir.exists() and any(layout.data_dir.iterdir()):
        raise PostgresError(f"{layout.data_dir} is not empty: it is not initialised again")
    filled = {
        (name, value): elsewhere.beside(Path(value), layout.attempt)
        for name, value in options
        if name == argv.WAL_DIRECTORY and value is not None
    }
    with explained(f"making {layout.data_dir}"):
        begin_copy(layout, job.clock, tuple(filled.values()))
    made = IN_ONE_GO if in_one_go else b"made by initdb, not announced to the cluster yet\n"
    files.replace(layout.birth_marker, made)
    try:
        _initdb(
            job,
            [
                (name, str(filled.get((name, value), value)) if value else None)
                for name, value in options
            ],
        )
        system_id = control_data(job.binaries, layout.copy, job.clock).system_id
        finish_copy(layout, layout.failed(job.stamp))
    except PostgresError:
        set_aside(layout.copy, layout.failed(job.stamp))
        layout.copy_marker.unlink(missing_ok=True)
        raise
    return system_id


def _initdb(job: Job, options: argv.ProgramOptions) -> None:
    superuser = job.config.authentication.superuser
    pwfile = None
    if superuser.password is not None:
        pwfile = job.layout.password_input
        with explained(f"writing {pwfile}"):
            pwfile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(pwfile, superuser.password.reveal().encode() + b"\n")
    try:
        job.run(argv.initdb(job.binaries, job.layout.copy, superuser.username, pwfile, options))
    finally:
        if pwfile is not None:
            pwfile.unlink(missing_ok=True)
