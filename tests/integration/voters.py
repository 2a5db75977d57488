"""A Raft group of real processes without PostgreSQL, and the ways to hurt it.

The nodes' files are those of witnesses. A node runs as `raftha witness`, or as `voter.py`, which
also writes when it is told to. Every fault proves its own effect before the method returns.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import psutil
import yaml

from tests.integration import processes
from tests.integration.ports import PortLeases

ANSWER_LIMIT_S: Final = 60.0
START_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 15.0
KILL_LIMIT_S: Final = 5.0
POLL_S: Final = 0.02
VOTER: Final = ("-m", "tests.integration.voter")
WITNESS: Final = ("-m", "raftha", "witness")


@dataclass(slots=True, kw_only=True)
class VoterNode:
    """One node: its file, its addresses, and its process while one runs."""

    name: str
    file: Path
    raft_port: int
    advertised_port: int
    options: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return str(self.options["raft"]["self_addr"])

    @property
    def log(self) -> Path:
        return self.file.with_suffix(".log")

    @property
    def data_dir(self) -> Path:
        return Path(self.options["raft"]["data_dir"])

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def configure(self, raft: Mapping[str, Any]) -> None:
        """Set these options below `raft`, and write the file."""
        self.options["raft"].update(raft)
        self.file.write_text(yaml.safe_dump(self.options), encoding="utf-8")

    def said(self) -> str:
        """Everything that the node has logged or printed to stderr."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""


def certificate_options(folder: Path, name: str) -> dict[str, str]:
    """The `raft` options for what `make_certificates` wrote."""
    return {
        "cafile": str(folder / "ca.pem"),
        "certfile": str(folder / f"{name}.pem"),
        "keyfile": str(folder / f"{name}.key"),
    }


class Voters:
    """Use it as a context manager: at the end every process is killed."""

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        raft: Mapping[str, Any] | None = None,
        *,
        proxied: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        """`proxied` nodes listen on another port than the one they advertise."""
        self._ports = PortLeases()
        ports = [self._ports.take() for _ in range(count)]
        advertised = [self._ports.take() for _ in range(count)] if proxied else ports
        addresses = [f"{host}:{port}" for port in advertised]
        self.nodes: dict[str, VoterNode] = {}
        for number, port in enumerate(ports):
            name = f"n{number + 1}"
            settings = {
                "self_addr": addresses[number],
                "bind_addr": f"{host}:{port}",
                "partner_addrs": [each for each in addresses if each != addresses[number]],
                "data_dir": str(folder / name),
                **(raft or {}),
            }
            options: dict[str, Any] = {
                "scope": "voters",
                "name": name,
                "raft": settings,
                "restapi": {"listen": f"127.0.0.1:{self._ports.take()}"},
            }
            node = VoterNode(
                name=name,
                file=folder / f"{name}.yml",
                raft_port=port,
                advertised_port=advertised[number],
                options=options,
            )
            node.configure({})
            self.nodes[name] = node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for node in self.nodes.values():
            if node.runs:
                self.kill(node.name)
        self._ports.close()

    # Starting and ending

    def start(self, *names: str, program: tuple[str, ...] = VOTER) -> None:
        """Start these nodes, or all of them."""
        for name in names or self.nodes:
            node = self.nodes[name]
            with node.log.open("ab") as log:
                node.process = subprocess.Popen(
                    [sys.executable, *program, str(node.file)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if program == VOTER else log,
                    stderr=log,
                )

    def start_all(self, program: tuple[str, ...] = VOTER) -> str:
        """Start every node and wait until all are in touch; the raft leader's name."""
        self.start(program=program)
        if program == VOTER:
            return self.wait_until_whole()
        return ""

    def stop(self, name: str) -> int:
        """SIGTERM; the exit code."""
        process = self._process(name)
        process.terminate()
        return process.wait(STOP_LIMIT_S)

    def kill(self, name: str) -> None:
        """SIGKILL, and gone."""
        process = self._process(name)
        process.kill()
        process.wait(KILL_LIMIT_S)

    def pause(self, name: str) -> None:
        """SIGSTOP, and it stands."""
        found = psutil.Process(self._process(name).pid)
        found.suspend()
        self.wait_for(lambda: processes.is_stopped(found), KILL_LIMIT_S, f"{name} stands still")

    def resume(self, name: str) -> None:
        """SIGCONT."""
        psutil.Process(self._process(name).pid).resume()

    def refusal(self, name: str, program: tuple[str, ...] = VOTER) -> str:
        """Start a node that must give up by itself: what it said; its exit code is checked."""
        before = len(self.nodes[name].said())
        self.start(name, program=program)
        code = self._process(name).wait(START_LIMIT_S)
        said = self.nodes[name].said()[before:]
        assert code == 2, (code, said)
        assert "Traceback" not in said, said
        return said

    # Asking

    def ask(self, name: str, do: str, **details: Any) -> Any:
        """Send a request to a `voter.py` and wait for the answer."""
        self.send(name, do, **details)
        return self.answer(name)

    def send(self, name: str, do: str, **details: Any) -> None:
        """Send a request; its answer must be fetched before the next one."""
        stdin = self._process(name).stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        stdin.flush()

    def answer(self, name: str, timeout_s: float = ANSWER_LIMIT_S) -> Any:
        """The answer to the last request."""
        stdout = self._process(name).stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], timeout_s)
        line = stdout.readline() if ready else b""
        assert line, f"{name} did not answer\n{self.describe()}"
        return json.loads(line)

    def status(self, name: str) -> dict[str, Any]:
        """The node's `RaftStatus`."""
        found: dict[str, Any] = self.ask(name, "status")
        return found

    def problem(self, name: str, of: str) -> str:
        """What one node says is wrong with another."""
        voters = self.status(name)["voters"]
        return next(v["problem"] or "" for v in voters if v["address"] == self.nodes[of].address)

    def pids(self) -> dict[str, int]:
        """The process of each node that runs."""
        return {name: self._process(name).pid for name in self.running()}

    def ready(self, name: str) -> bool:
        """Whether the HTTP interface of a `raftha witness` says that a majority is in touch."""
        url = f"http://{self.nodes[name].options['restapi']['listen']}/readiness"
        try:
            with urllib.request.urlopen(url, timeout=2.0):
                return True
        except OSError:
            return False

    def running(self) -> Iterator[str]:
        """The names of the nodes whose process lives."""
        return (name for name, node in self.nodes.items() if node.runs)

    def leader(self) -> str | None:
        """The raft leader, if exactly one node says that it is."""
        leaders = [n for n in self.running() if self.status(n)["role"] == "leader"]
        return leaders[0] if len(leaders) == 1 else None

    def wait_until_whole(self) -> str:
        """Every node is in touch with every other one; the raft leader's name."""

        def whole() -> bool:
            found = [self.status(name) for name in self.running()]
            connected = all(
                all(v["connected"] and v["bound"] for v in one["voters"]) for one in found
            )
            return connected and all(one["majority"] for one in found) and self.leader() is not None

        self.wait_for(whole, START_LIMIT_S, "every voter is in touch with every other")
        name = self.leader()
        assert name is not None
        return name

    def wait_for(self, is_true: Callable[[], object], timeout_s: float, what: str) -> None:
        """Poll until it is so. Raises AssertionError with the ends of the logs."""
        deadline = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < deadline, f"not in {timeout_s} s: {what}\n{self.describe()}"
            time.sleep(POLL_S)

    def describe(self) -> str:
        """The ends of the nodes' logs."""
        return "\n".join(f"--- {name}\n{node.said()[-3000:]}" for name, node in self.nodes.items())

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node's process."""
        self._process(name).send_signal(number)

    def _process(self, name: str) -> subprocess.Popen[bytes]:
        process = self.nodes[name].process
        assert process is not None, f"{name} was never started"
        return process
