"""A place of its own for a node: namespaces that an ordinary user may make, and may hurt.

Everything in there is gone with the last process in it, however the test ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

UNSHARE: Final = ("unshare", "--user", "--map-current-user", "--keep-caps")
LIMIT_S: Final = 10.0


@cache
def is_allowed(*kind: str) -> bool:
    """This kernel lets an ordinary user make a namespace of this kind, as unshare names it."""
    tried = subprocess.run([*UNSHARE, *kind, "true"], capture_output=True, check=False)
    return tried.returncode == 0


class Space:
    """A shell in a new user namespace and another one of this kind (`--mount` or `--net`), where
    it may do what root may. Skips the test where the kernel does not give one."""

    def __init__(self, kind: str) -> None:
        if not is_allowed(kind):
            pytest.skip(f"this kernel gives no {kind[2:]} namespace to an ordinary user")
        self.kind = kind
        # The capabilities stay with this shell and what it runs; a program that enters has none.
        self._shell = subprocess.Popen(
            [*UNSHARE, kind, "sh", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def entrance(self) -> Sequence[str]:
        """The program that runs another one in here."""
        return self.entrance_of(self._shell.pid)

    def entrance_of(self, pid: int) -> Sequence[str]:
        """The program that runs another one where this process is, which was started in here."""
        options = ("--user", self.kind, "--preserve-credentials")
        return ("nsenter", "--target", str(pid), *options, "--")

    def seen(self, path: Path) -> Path:
        """Where a path of this place is found from outside."""
        return Path(f"/proc/{self._shell.pid}/root", *path.parts[1:])

    def run(self, *words: object) -> str:
        """Run a command in here, as root would; what it said. Raises AssertionError."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(" ".join(map(str, words)) + " 2>&1; echo ended with $?\n")
        self._shell.stdin.flush()
        said = ""
        while "ended with " not in said:
            line = self._shell.stdout.readline()
            assert line, f"the shell of the namespace is gone: {said}"
            said += line
        assert said.endswith("ended with 0\n"), f"{words}: {said}"
        return said.removesuffix("ended with 0\n").strip()

    def close(self) -> None:
        """End the shell."""
        self._shell.kill()
        self._shell.communicate(timeout=LIMIT_S)
