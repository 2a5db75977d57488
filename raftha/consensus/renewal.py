"""Keeps the certificates of the Raft links fresh: reads changed files, and warns in time.

A thread looks every few seconds, and at once when asked (SIGHUP). Files that cannot be used change
nothing: the old ones stay, the log and the status say why, and the next change is tried again.
Links that are up stay up; new credentials serve the next greeting.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from raftha.clock import Clock
from raftha.consensus.certificates import (
    CertificateError,
    Credentials,
    Signature,
    date_problem,
    load_credentials,
    signature_of,
)
from raftha.instants import Seconds
from raftha.logs import RateLimiter, event
from raftha.model.settings import TlsFiles

_LOG: Final = logging.getLogger(__name__)
LOOK_PERIOD_S: Final = 5.0
SAY_AGAIN: Final = Seconds(86400.0)


class Renewal:
    """The credentials of a node as they are now. From any thread."""

    def __init__(self, files: TlsFiles, name: str, clock: Clock) -> None:
        self._files = files
        self._name = name
        self._clock = clock
        self._seen: Signature | None = None
        self._broken: str | None = None
        self._sayings = RateLimiter(clock, SAY_AGAIN)
        self._due = threading.Event()
        self._looking = threading.Lock()
        self._ended = False
        self.problem: str | None = None
        self.credentials: Credentials

    def load(self) -> None:
        """The first look. Raises CertificateError or OSError."""
        self._seen = signature_of(self._files)
        self.credentials = load_credentials(self._files, self._name)
        self._judge()

    def start(self) -> None:
        """Look every few seconds from now on, on a thread."""
        threading.Thread(target=self._run, name="raft-certificates", daemon=True).start()

    def take(self, files: TlsFiles) -> None:
        """Read these from now on: the same, with another password. Raises CertificateError or
        OSError if they cannot be used, and nothing has changed then."""
        with self._looking:
            if files == self._files:
                return
            seen, credentials = signature_of(files), load_credentials(files, self._name)
            self._files, self._seen, self.credentials = files, seen, credentials
            self._broken = None
            self._judge()

    def look_now(self) -> None:
        """Look soon. From any thread."""
        self._due.set()

    def stop(self) -> None:
        """Look no more."""
        self._ended = True
        self._due.set()

    def look(self) -> None:
        """Read the files if they changed, and say what is wrong with them."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        try:
            found = signature_of(self._files)
        except OSError as error:
            self._broken = f"{error.filename}: {error.strerror}"
        else:
            if found != self._seen:
                self._seen = found
                self._read()
        self._judge()

    def _run(self) -> None:
        while not self._ended:
            self._due.wait(LOOK_PERIOD_S)
            self._due.clear()
            self.look()

    def _read(self) -> None:
        try:
            self.credentials = load_credentials(self._files, self._name)
        except (CertificateError, OSError) as error:
            self._broken = str(error)
            return
        self._broken = None
        event(_LOG, logging.INFO, "certificates read anew", file=str(self._files.certfile))

    def _judge(self) -> None:
        problem = date_problem(self.credentials, self._clock.wall())
        if self._broken is not None:
            problem = f"the new certificates cannot be used, the old ones stay: {self._broken}"
        self.problem = problem
        if problem is not None and self._sayings.admit(problem) is not None:
            event(_LOG, logging.WARNING, "certificate", problem=problem)
