"""A backup of a cluster that is gone, and the programs that restore it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import psycopg2

from raftha.model.postgres import Binaries

TARGET: Final = "half way"
HALF: Final = [(n,) for n in range(1, 101)]

FILL: Final = """#!/bin/sh
for word in "$@"; do
  case "$word" in --datadir=*) target="${{word#--datadir=}}" ;; esac
done
echo "$@" >> {folder}/called
if [ -e {folder}/hangs ]; then sleep 1000; fi
if [ -e {folder}/fails ]; then echo "the backup is away" >&2; exit 7; fi
cp -a "$(cat {folder}/from)"/. "$target"
"""
"""Copies what the file `from` names; there may be things to do before."""

FETCH: Final = """#!/bin/sh
while [ -e ../hold ]; do sleep 0.05; done
cp {folder}/archive/"$1" "$2"
"""
"""A restore_command that waits while a node has a file `hold`."""


class Backup:
    """A cluster that is gone: its base backup, and the archive of its WAL, in which a hundred rows
    more were written after the target."""

    def __init__(self, folder: Path, binaries: Binaries) -> None:
        self.folder = folder
        self.base = folder / "base"
        self._bin = binaries.bin_dir
        self._origin = folder / "origin"
        (folder / "archive").mkdir()
        self.run("initdb", "-D", self._origin, "-U", "postgres", "-A", "trust")
        with (self._origin / "postgresql.conf").open("a") as conf:
            conf.write(
                f"archive_mode = on\narchive_command = 'cp %p {folder}/archive/%f'\n"
                f"unix_socket_directories = '{folder}'\nlisten_addresses = ''\n"
                "recovery_target_name = 'long ago'\n"
            )
        self.run("pg_ctl", "-D", self._origin, "-w", "-l", folder / "log", "start")
        self.run("pg_basebackup", "-D", self.base, "-h", folder, "-U", "postgres", "-c", "fast")
        self._write(*HALF[0], *HALF[-1])
        self.sql(f"SELECT pg_create_restore_point('{TARGET}')")
        self._write(101, 200)
        self.sql("SELECT pg_switch_wal()")
        self.run("pg_ctl", "-D", self._origin, "-w", "-m", "fast", "stop")
        self.program("fill", FILL)
        self.program("fetch", FETCH)
        self.source(self.base)

    def sql(self, text: str) -> None:
        session = psycopg2.connect(host=str(self.folder), user="postgres", dbname="postgres")
        session.autocommit = True
        session.cursor().execute(text)
        session.close()

    def program(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text.format(folder=self.folder))
        path.chmod(0o700)
        return path

    def source(self, directory: Path) -> None:
        """What is to be copied."""
        (self.folder / "from").write_text(str(directory))

    def called(self) -> list[str]:
        return (self.folder / "called").read_text().splitlines()

    def bootstrap(self, **more: Any) -> dict[str, Any]:
        """The keys of `bootstrap` that restore it up to the target."""
        recovery = {
            "restore_command": f"{self.folder}/fetch %f %p",
            "recovery_target_name": TARGET,
            "recovery_target_timeline": "current",
        }
        method = {"command": str(self.folder / "fill"), "stanza": "a b", "recovery_conf": recovery}
        return {"method": "backup", "backup": {**method, **more}}

    def _write(self, first: int, last: int) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS public.t (id int PRIMARY KEY)")
        self.sql(f"INSERT INTO public.t SELECT generate_series({first}, {last})")

    def run(self, program: str, *words: object) -> None:
        command = [str(self._bin / program), *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
