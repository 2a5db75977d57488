"""One node of the example: its processes, and how they are started, stopped and killed.

A process is looked for by what it is (its arguments, its program, its working directory) and
signalled through a pidfd, so that nothing is ever killed by a name or by a stale number.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

STOP_LIMIT_S: Final = 30.0
KILL_LIMIT_S: Final = 10.0
START_LIMIT_S: Final = 5.0
START_MARK: Final = "--- started by the example"
PR_SET_CHILD_SUBREAPER: Final = 36
MAY_LIE_IN_MEMORY: Final = {"RAFTHA_RAFT__ALLOW_TMPFS": "true"}
SERVER_PROGRAMS: Final = ("postgres", "initdb", "pg_")


class ExampleFailed(Exception):
    """The example cannot go on; the message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its file, and what the file says."""

    name: str
    file: Path
    rest: str
    postgres: str

    @property
    def verb(self) -> str:
        return "run" if self.postgres else "witness"

    @property
    def log(self) -> Path:
        return self.file.parent / "log" / f"{self.name}.log"

    @property
    def data(self) -> Path:
        return self.file.parent / "data" / self.name


def read_nodes(cluster: Path) -> dict[str, Node]:
    nodes = {}
    for file in sorted(cluster.glob("*.yml")):
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
        server = options.get("postgresql", {}).get("listen", "")
        nodes[options["name"]] = Node(
            options["name"], file.resolve(), options["restapi"]["listen"], server
        )
    return nodes


def is_agent(pid: int, node: Node) -> bool:
    words = arguments_of(pid)
    return str(node.file) in words and any(Path(word).name == "raftha" for word in words[:3])


def is_guardian(pid: int, node: Node) -> bool:
    words = arguments_of(pid)
    is_one = any(word.endswith("/raftha/guardian/__main__.py") for word in words[:6])
    return is_one and any(is_below(word, node.data) for word in words)


def is_server(pid: int, node: Node) -> bool:
    try:
        program = Path(os.readlink(f"/proc/{pid}/exe")).name
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    places = (folder, *arguments_of(pid))
    return program.startswith(SERVER_PROGRAMS) and any(is_below(p, node.data) for p in places)


def is_any(pid: int, node: Node) -> bool:
    return is_agent(pid, node) or is_guardian(pid, node) or is_server(pid, node)


def arguments_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def is_below(text: str, folder: Path) -> bool:
    return text == str(folder) or text.startswith(f"{folder}/")


def find(node: Node, belongs: Callable[[int, Node], bool]) -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and belongs(pid, node)]


def send(node: Node, belongs: Callable[[int, Node], bool], number: signal.Signals) -> int:
    """Signal every process of the node that `belongs`; how many there were."""
    reached = 0
    for pid in find(node, belongs):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if belongs(pid, node):
                signal.pidfd_send_signal(handle, number)
                reached += 1
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)
    return reached


def wait_until(is_true: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
        reap()
    return True


def reap() -> list[int]:
    """Collect the children that ended: the nodes, and what they left (see `become_subreaper`)."""
    ended: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append(pid)


def become_subreaper() -> None:
    """Orphans of the nodes become children of this process, so that none is left as a zombie."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def raftha(*words: str) -> tuple[str, ...]:
    return (str(Path(sys.executable).parent / "raftha"), *words)


def start(node: Node) -> None:
    if find(node, is_agent):
        raise ExampleFailed(f"{node.name} runs already")
    for folder in (node.log.parent, node.data, node.file.parent / "run"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with node.log.open("ab") as log:
        log.write(f"{START_MARK}\n".encode())
        log.flush()
        process = subprocess.Popen(
            raftha(node.verb, str(node.file)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **MAY_LIE_IN_MEMORY},
            start_new_session=True,
        )
    (node.file.parent / "run" / f"{node.name}.pid").write_text(f"{process.pid}\n")
    wait_for_program(process, lambda: is_agent(process.pid, node))


def wait_for_program(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    """Until it can be seen, or has ended: a program that is just being executed has no arguments
    yet, and whoever looked for it would take it for dead (for up to 14 ms, measured)."""
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and not is_there() and time.monotonic() < deadline:
        time.sleep(0.002)


def stop(nodes: Sequence[Node]) -> None:
    """Ask the agents to stop, which stops PostgreSQL too; whatever is left then is killed."""
    for node in nodes:
        send(node, is_agent, signal.SIGTERM)
    wait_until(lambda: not any(find(node, is_agent) for node in nodes), STOP_LIMIT_S)
    # A guardian stays a little for an agent that comes back; told to stop, it goes at once.
    for node in nodes:
        send(node, is_guardian, signal.SIGTERM)
    if not wait_until(lambda: not any(find(node, is_any) for node in nodes), KILL_LIMIT_S):
        print("something did not stop when asked to, so it is killed")
    for node in nodes:
        kill(node)


def kill(node: Node) -> None:
    """SIGKILL every process of the node until none is left."""
    if not wait_until(lambda: not send(node, is_any, signal.SIGKILL), KILL_LIMIT_S):
        raise ExampleFailed(f"some processes of {node.name} could not be killed")
    (node.file.parent / "run" / f"{node.name}.pid").unlink(missing_ok=True)


def tail(node: Node, lines: int = 8) -> str:
    """The end of what it has logged since its last start."""
    try:
        text = node.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    said = text.rpartition(START_MARK)[2].strip().splitlines()
    return "\n".join(f"    {line}" for line in said[-lines:]) or "    (nothing)"
