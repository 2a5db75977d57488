"""Installations of PostgreSQL that only say which version they are."""

from __future__ import annotations

from pathlib import Path

from raftha.pg import versions


def installed(folder: Path, version: str, noting: Path | None = None) -> Path:
    """The folder of programs that say this version; each run adds a line to `noting`."""
    bin_dir = folder / "bin"
    bin_dir.mkdir()
    note = "" if noting is None else f"echo >> {noting}\n"
    for program in versions.PROGRAMS:
        path = bin_dir / program
        path.write_text(f"#!/bin/sh\n{note}echo 'postgres (PostgreSQL) {version}'\n")
        path.chmod(0o755)
    return bin_dir
