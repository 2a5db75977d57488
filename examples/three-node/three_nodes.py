"""Runs the example's nodes in the foreground, and acts on one of them for `node`.

Called by `run` and `node` beside it, with the folder that holds the nodes' files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import psycopg2
import psycopg2.extensions
import yaml
from node_processes import (
    MAY_LIE_IN_MEMORY,
    ExampleFailed,
    Node,
    become_subreaper,
    find,
    is_agent,
    kill,
    raftha,
    read_nodes,
    reap,
    start,
    stop,
    tail,
    wait_until,
)

LEADER_LIMIT_S: Final = 120.0
PLAIN_STATUS_PERIOD_S: Final = 15.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived."""


def is_primary(node: Node) -> bool:
    """What the node says of itself on /primary."""
    try:
        with urllib.request.urlopen(f"http://{node.rest}/primary", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def environment(nodes: Sequence[Node]) -> dict[str, str]:
    """Whom `raftha` is to ask about the cluster: any of the nodes. The folder may be below a /tmp
    in memory, which only a demonstration can live with."""
    addresses = " ".join(f"http://{node.rest}" for node in nodes)
    return {**os.environ, "RAFTHA_URL": addresses, **MAY_LIE_IN_MEMORY}


def run_sql(nodes: Sequence[Node], statement: str) -> None:
    """Run a statement on whichever server takes writes, as any client would find it."""
    servers = [node for node in nodes if node.postgres]
    try:
        connection = connect(servers)
    except psycopg2.OperationalError as error:
        raise ExampleFailed(
            "no server takes writes now; while a lost primary is replaced, about 5 seconds, that is"
            f" so: try again. The servers say:\n{error}".strip()
        ) from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            for row in cursor.fetchall() if cursor.description else ():
                print("\t".join("" if value is None else str(value) for value in row))
            port = str(connection.info.port)
            name = next(node.name for node in servers if node.postgres.endswith(f":{port}"))
            print(f"-- {cursor.statusmessage}, on {name}")
    except psycopg2.Error as error:
        raise ExampleFailed(f"{error}".strip()) from error
    finally:
        connection.close()


def connect(servers: Sequence[Node]) -> psycopg2.extensions.connection:
    """A session on the server that takes writes. Raises psycopg2.OperationalError if none does."""
    role = yaml.safe_load(servers[0].file.read_text())["postgresql"]["authentication"]["superuser"]
    hosts, ports = zip(*(node.postgres.rsplit(":", 1) for node in servers), strict=True)
    return psycopg2.connect(
        host=",".join(hosts),
        port=",".join(ports),
        user=role["username"],
        password=role["password"],
        dbname="postgres",
        target_session_attrs="read-write",
        connect_timeout=2,
    )


@dataclass(slots=True)
class Foreground:
    """What `run` does from the start of the nodes to Ctrl-C."""

    nodes: list[Node]
    helper: str
    watch: subprocess.Popen[bytes] | None = None
    quiet_until: float = 0.0
    known: dict[str, bool] = field(default_factory=dict)

    def prepare(self) -> None:
        """End what an earlier run left behind, and look for free ports. Raises ExampleFailed."""
        for node in self.nodes:
            kill(node)
        self.check_ports()

    def run(self) -> None:
        """Goes on until `Stop`. Raises ExampleFailed."""
        for node in self.nodes:
            start(node)
        names = ", ".join(node.name for node in self.nodes)
        print(f"Started {names}; logs: {self.nodes[0].log.parent}", flush=True)
        self.wait_for_leader()
        print(f"In another terminal: {self.helper} status | sql STATEMENT | kill n1 | start n1")
        print("Ctrl-C here stops everything. The data stays; the next run goes on with it.\n")
        sys.stdout.flush()
        while True:
            reap()
            self.tell_changes()
            if sys.stdout.isatty():
                self.keep_watching()
            elif time.monotonic() >= self.quiet_until:
                self.quiet_until = time.monotonic() + PLAIN_STATUS_PERIOD_S
                print_status(self.nodes)
            time.sleep(0.5)

    def check_ports(self) -> None:
        """Another program on one of the ports would be mistaken for a node."""
        for node in self.nodes:
            options = yaml.safe_load(node.file.read_text(encoding="utf-8"))
            for address in (options["raft"]["self_addr"], node.rest, node.postgres):
                if address and is_taken(address):
                    raise ExampleFailed(f"{address} is used by another program; stop that first")

    def wait_for_leader(self) -> None:
        started = time.monotonic()

        def settled() -> bool:
            dead = [node for node in self.nodes if not find(node, is_agent)]
            if dead:
                raise ExampleFailed(f"{dead[0].name} ended at once; its log says:\n{tail(dead[0])}")
            return any(map(is_primary, self.nodes))

        if not wait_until(settled, LEADER_LIMIT_S):
            last = "\n".join(f"{node.name}:\n{tail(node)}" for node in self.nodes)
            raise ExampleFailed(f"no leader after {LEADER_LIMIT_S:.0f} s; the logs say:\n{last}")
        leader = next((node.name for node in self.nodes if is_primary(node)), "one of them")
        print(f"{leader} is the leader, after {time.monotonic() - started:.1f} s", flush=True)

    def tell_changes(self) -> None:
        for node in self.nodes:
            runs = bool(find(node, is_agent))
            if self.known.get(node.name, True) and not runs:
                print(f"{node.name} ended; start it with: {self.helper} start {node.name}")
            self.known[node.name] = runs

    def keep_watching(self) -> None:
        """Have `raftha status --watch` on the screen, again where it ended."""
        if self.watch is not None and self.watch.poll() is None:
            return
        if time.monotonic() >= self.quiet_until:
            self.quiet_until = time.monotonic() + 2.0
            self.watch = subprocess.Popen(raftha("status", "--watch"), env=environment(self.nodes))

    def close(self) -> None:
        ignore_signals()
        if self.watch is not None and self.watch.poll() is None:
            self.watch.terminate()
            try:
                self.watch.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.watch.kill()
        print("\nStopping all nodes ...", flush=True)
        stop(self.nodes)
        reap()
        print(f"All stopped. The data is kept in {self.nodes[0].file.parent}", flush=True)


def print_status(nodes: Sequence[Node]) -> None:
    print(f"--- {time.strftime('%H:%M:%S')}", flush=True)
    try:
        subprocess.run(raftha("status"), env=environment(nodes), timeout=15, check=False)
    except subprocess.TimeoutExpired:
        print("no answer within 15 s", flush=True)


def is_taken(address: str) -> bool:
    host, _, port = address.rpartition(":")
    wanted = (
        f"{int.from_bytes(bytes(map(int, host.split('.'))), sys.byteorder):08X}:{int(port):04X}"
    )
    listening = "0A"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = (line.split() for line in lines)
    return any(
        row[1] in (wanted, f"00000000:{int(port):04X}") and row[3] == listening for row in rows
    )


def interrupt(number: int, _frame: object) -> NoReturn:
    # Once is enough: a second Ctrl-C must not cut the stopping short.
    ignore_signals()
    raise Stop(number)


def ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def run_foreground(nodes: list[Node], helper: str) -> int:
    become_subreaper()
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    foreground = Foreground(nodes, helper)
    foreground.prepare()
    try:
        foreground.run()
    except Stop:
        return 0
    finally:
        foreground.close()
    return 1


def become_raftha(nodes: dict[str, Node], *words: str) -> NoReturn:
    """Replace this process, so that Ctrl-C and the exit code are those of raftha itself."""
    command = raftha(*words)
    os.execve(command[0], command, environment(list(nodes.values())))


def act(nodes: dict[str, Node], words: Sequence[str]) -> int:
    """One command of `node`."""
    match words:
        case ["status"]:
            become_raftha(nodes, "status")
        case ["sql", statement]:
            run_sql(list(nodes.values()), statement)
        case ["start", name] if name in nodes:
            start(nodes[name])
            print(f"{name} is started; its log: {nodes[name].log}")
        case ["stop", name] if name in nodes:
            stop([nodes[name]])
            print(f"{name} is stopped")
        case ["kill", name] if name in nodes:
            kill(nodes[name])
            print(f"every process of {name} is killed")
        case ["raftha", *rest] if rest:
            become_raftha(nodes, *rest)
        case ["start" | "stop" | "kill", name]:
            raise ExampleFailed(f"{name} is no node of this cluster; {', '.join(nodes)} are")
        case _:
            raise ExampleFailed(
                f"say status, sql STATEMENT, raftha WORDS, or kill, stop or start"
                f" and one of {', '.join(nodes)}"
            )
    return 0


def main(cluster: str, helper: str, words: Sequence[str]) -> int:
    nodes = read_nodes(Path(cluster))
    try:
        if list(words) == ["run"]:
            return run_foreground(list(nodes.values()), helper)
        return act(nodes, words)
    except ExampleFailed as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
