"""A real PostgreSQL under a real guardian, both as an unprivileged user, for the tests beside this.

PostgreSQL refuses to run as root. Where the tests do, guardian and server run as `postgres`, and
the test's own client as root, whom the guardian admits.
"""

from __future__ import annotations

import os
import pwd
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import psycopg2.extensions

from raftha.clock import SystemClock
from raftha.guardian.client import GuardianClient, spawn
from raftha.guardian.events import GuardianEvent, ServerProcess
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision

BIN = Path(os.environ.get("RAFTHA_TEST_PG_BIN", "/usr/lib/postgresql/15/bin"))
EPOCH = Epoch(1, 10)
CPU_BOUND = "SELECT count(*) FROM generate_series(1, 2000000000)"
CLOCK = SystemClock()


def server_user() -> str:
    """Whom the server runs as: ourselves, unless we are root."""
    return "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def as_server_user() -> list[str]:
    """The words in front of a command that make it run as that user."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def interpreter() -> list[str]:
    """A Python that the server's user may run."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        command = [*as_server_user(), candidate]
        if subprocess.run([*command, "-c", ""], capture_output=True, check=False).returncode == 0:
            return command
    raise RuntimeError("the user postgres can run no Python here")


def skip_reason() -> str | None:
    """Why these tests cannot run here; None if they can."""
    if not (BIN / "postgres").exists():
        return f"no PostgreSQL in {BIN}"
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "running as root without setpriv"
    return None


@contextmanager
def server_directory() -> Iterator[Path]:
    """An empty directory of the server's user, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="raftha-guardian-"))
    shutil.chown(path, server_user())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def initialise(path: Path) -> None:
    """Run initdb."""
    options = ["-D", str(path), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale"]
    command = [*as_server_user(), str(BIN / "initdb"), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/")


def eventually(condition: Callable[[], bool], within: float) -> float:
    """Wait until the condition holds; how long that took. Raises AssertionError."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within, f"not within {within} s"
        time.sleep(0.01)
    return time.monotonic() - start


class Host:
    """A data directory with its guardian, a client that is the agent, and what that has heard."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.socket = root / "guardian.sock"
        self.log = root / "guardian.log"
        self.heard: queue.SimpleQueue[GuardianEvent] = queue.SimpleQueue()
        self.agent = GuardianClient(self.socket, on_event=self.heard.put)
        self._sessions: list[psycopg2.extensions.connection] = []

    def spawn(self, idle_exit_seconds: float = 1.0, dead_man_seconds: float = 5.0) -> None:
        """Start the guardian and connect as its agent."""
        spawn(
            self.socket,
            self.data,
            self.log,
            idle_exit_seconds,
            dead_man_seconds=dead_man_seconds,
            interpreter=interpreter(),
        )
        self.connect()

    def connect(self) -> None:
        """Be the agent, over a new connection."""
        self.heard = queue.SimpleQueue()
        self.agent = GuardianClient(self.socket, on_event=self.heard.put)
        self.agent.connect()

    def arm(self, seconds: float, *, epoch: Epoch = EPOCH, renewal: int = 1) -> Instant:
        """Arm so many seconds ahead."""
        kill_at = CLOCK.now().plus(seconds)
        self.agent.arm(epoch, Revision(renewal), kill_at)
        return kill_at

    def start(self, epoch: Epoch | None) -> ServerProcess:
        """Start the server and wait until it answers."""
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        server = self.agent.start_server(self.argv(), env, self.root / "server.log", epoch)
        eventually(self.answers, 10)
        return server

    def argv(self) -> list[str]:
        """The command line of the server: only a Unix socket, few buffers, no crash restart."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.root),
            "shared_buffers": "2MB",
            "max_connections": "120",
            "restart_after_crash": "off",
            "fsync": "off",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(BIN / "postgres"), "-D", str(self.data), *options]

    def session(self) -> psycopg2.extensions.connection:
        """A new connection as superuser, kept until the end of the test."""
        session = psycopg2.connect(host=str(self.root), user="postgres", dbname="postgres")
        session.autocommit = True
        self._sessions.append(session)
        return session

    def busy(self) -> int:
        """Keep a backend busy with the processor only; its process number."""
        session = psycopg2.connect(
            host=str(self.root), user="postgres", dbname="postgres", async_=1
        )
        while session.poll() != psycopg2.extensions.POLL_OK:
            time.sleep(0.005)
        self._sessions.append(session)
        session.cursor().execute(CPU_BOUND)
        return int(session.info.backend_pid)

    def answers(self) -> bool:
        """Whether the server accepts a session."""
        try:
            psycopg2.connect(host=str(self.root), user="postgres", dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def in_recovery(self) -> bool:
        """Whether the server is a standby."""
        with self.session().cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            return bool((cursor.fetchone() or [None])[0])

    def processes(self) -> list[int]:
        """Every live process of the server, found without the guardian's own code."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                is_here = os.readlink(f"/proc/{name}/cwd") == str(self.data)
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
                comm = Path(f"/proc/{name}/comm").read_text().strip()
            except OSError:
                continue
            if is_here and comm == "postgres" and state not in "ZX":
                found.append(int(name))
        return found

    def hear(self, within: float) -> GuardianEvent:
        """The next event."""
        return self.heard.get(timeout=within)

    def close(self) -> None:
        """End everything that the test began."""
        for session in self._sessions:
            session.close()
        try:
            self.agent = GuardianClient(self.socket)
            self.agent.connect()
            self.agent.kill(Seconds(5.0))
            self.agent.quit()
        except Exception as problem:
            print(f"guardian is gone already: {problem}")
        finally:
            self.agent.close()
