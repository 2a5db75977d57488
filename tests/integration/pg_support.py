"""Servers for the tests of `raftha.pg`: made, started and stopped here, as an ordinary user.

PostgreSQL refuses to run as root. Run these tests as another user, for example
`runuser -u postgres -- python -m pytest -p no:cacheprovider tests/integration/test_pg_layer.py`;
as root they are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from raftha.clock import SystemClock
from raftha.errors import PostgresUnavailable
from raftha.instants import remaining
from raftha.model.ids import SystemId
from raftha.model.postgres import Binaries, ServerPlan, ServerRole, Upstream
from raftha.model.settings import Address, Authentication, Credentials, PostgresConfig, Secret
from raftha.pg import bootstrap, clone
from raftha.pg.instance import Instance
from raftha.pg.job import Job, new_job
from raftha.pg.run import Progress, ignore

CLOCK = SystemClock()
SECRETS = ("super: \\'pass", "repl:pass'\\word", "rewind pass")


def authentication() -> Authentication:
    superuser, replication, rewind = (Secret(text) for text in SECRETS)
    return Authentication(
        superuser=Credentials(username="postgres", password=superuser),
        replication=Credentials(username="replicator", password=replication),
        rewind=Credentials(username='re"wind%er', password=rewind),
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Node:
    """An instance in a directory of its own, with a postmaster that the test starts and stops."""

    def __init__(self, base: Path, name: str, binaries: Binaries) -> None:
        self.binaries = binaries
        self.config = PostgresConfig(
            listen_hosts=("127.0.0.1",),
            connect_address=Address("127.0.0.1", free_port()),
            data_dir=base / name / "data",
            authentication=authentication(),
            port=0,
            bin_dir=binaries.bin_dir,
            parameters={"shared_buffers": "8MB", "max_connections": "30"},
        )
        self.config = replace(self.config, port=self.config.connect_address.port)
        self.instance = Instance(self.config, "demo", name, base / name / "run", CLOCK)
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None

    def job(self, timeout: float = 60.0, stamp: str = "stamp", progress: Progress = ignore) -> Job:
        return new_job(
            config=self.config,
            run_dir=self.instance.layout.run_dir,
            binaries=self.binaries,
            clock=CLOCK,
            stamp=stamp,
            timeout=timeout,
            progress=progress,
        )

    def set(self, **parameters: str) -> None:
        """Parameters of the server, in force from its next start on."""
        config = replace(self.config, parameters={**self.config.parameters, **parameters})
        self.config = self.instance.config = config

    def upstream_for(self, other: str, slot: str | None) -> Upstream:
        return Upstream(address=self.config.connect_address, slot=slot, application_name=other)

    def start(self, plan: ServerPlan) -> None:
        self.instance.configure(plan)
        command, environment = self.instance.start_command(self.binaries)
        with (self.config.data_dir.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stderr=log, stdout=log, start_new_session=True
            )
        deadline = CLOCK.now().plus(20)
        while True:
            try:
                self.instance.conf_loaded(2.0)
                return
            except PostgresUnavailable as error:
                if remaining(deadline, CLOCK.now()) <= 0 or self.process.poll() is not None:
                    raise AssertionError(self.log()) from error

    def stop(self, mode: str = "fast") -> None:
        """Stop with pg_ctl; "crash" is an immediate stop."""
        self.instance.close()
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        how = {"crash": "immediate"}.get(mode, mode)
        program = str(self.binaries.bin_dir / "pg_ctl")
        subprocess.run(
            [program, "-D", str(self.config.data_dir), "-m", how, "-w", "stop"],
            check=False,
            capture_output=True,
            timeout=30,
        )
        if self.process.poll() is None:
            self.process.wait(timeout=20)
        self.process = None

    def promote(self) -> None:
        program = str(self.binaries.bin_dir / "pg_ctl")
        subprocess.run(
            [program, "-D", str(self.config.data_dir), "-w", "promote"],
            check=True,
            capture_output=True,
            timeout=30,
        )

    def sql(self, text: str) -> list[tuple[object, ...]]:
        return self.instance._once(text, (), 10.0)

    def log(self) -> str:
        return (self.config.data_dir.parent / "log").read_text(errors="replace")


@contextmanager
def nodes(binaries: Binaries, *names: str) -> Iterator[tuple[Node, ...]]:
    """Nodes below a short path (a socket's path has 107 bytes); all are stopped at the end."""
    base = Path(tempfile.mkdtemp(prefix="raftha-pg-"))
    made = tuple(Node(base, name, binaries) for name in names)
    try:
        yield made
    finally:
        for node in made:
            node.stop("crash")
        shutil.rmtree(base, ignore_errors=True)


def is_root() -> bool:
    return os.geteuid() == 0


PRIMARY = ServerPlan(role=ServerRole.PRIMARY)


def standby_of(upstream: Upstream | None) -> ServerPlan:
    return ServerPlan(role=ServerRole.STANDBY, upstream=upstream)


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def first_primary(node: Node) -> SystemId:
    system_id = bootstrap.initialise(node.job(), ())
    node.start(PRIMARY)
    assert node.instance.create_roles(node.config.authentication)
    node.sql("CREATE TABLE public.t (id bigint PRIMARY KEY)")
    return system_id


def attach(primary: Node, standby: Node, system_id: SystemId, progress: Progress = ignore) -> None:
    upstream = primary.upstream_for(standby.name, standby.name)
    primary.instance.create_slot(standby.name)
    clone.clone(standby.job(progress=progress), upstream, system_id)
    standby.start(standby_of(upstream))
    until(lambda: is_streaming(standby))


def is_streaming(node: Node) -> bool:
    receiver = node.instance.status(2.0).receiver
    return receiver is not None and receiver.status == "streaming"


def caught_up(primary: Node, standby: Node) -> bool:
    goal, status = primary.instance.flush_position(2.0), standby.instance.status(2.0)
    return status.replayed is not None and status.replayed >= goal


def ids(node: Node) -> list[object]:
    return [row[0] for row in node.sql("SELECT id FROM public.t ORDER BY id")]
