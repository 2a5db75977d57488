"""Examines this machine: what `raftha doctor` asks of each node, and of one that was never started.

It measures and connects; `wellness` judges. It changes nothing but a file of its own, removed at
once, by which the disk of the Raft directory is timed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from raftha import __version__
from raftha.agent import wellness
from raftha.api.tls import TlsError, dates
from raftha.clock import Clock
from raftha.consensus.medium import free_bytes
from raftha.instants import longest
from raftha.model.cluster import Cluster
from raftha.model.finding import Examination, Finding, Grade, Link
from raftha.model.settings import Address, DynamicConfig, NodeConfig, Profile, TlsFiles
from raftha.model.store import RaftStatus

SYNCS: Final = 20
_BLOCK: Final = b"\0" * 4096
_CONNECT_S: Final = 1.0
_LINKS_S: Final = 2.0
"""For all links together; a name that is not looked up by then counts as out of reach."""

_TIME_ERROR: Final = 5
"""What adjtimex answers while no time service has set the clock."""


class Target(Struct, frozen=True, kw_only=True):
    """A port to reach."""

    to: str
    port: str
    address: Address


class Doctor(Struct, frozen=True, kw_only=True):
    """`settings` are the shared ones, `timers` is the profile by which Raft runs here, `targets`
    are the ports of the other nodes, `more` what only somebody else can find out, such as whoever
    may ask PostgreSQL."""

    config: Callable[[], NodeConfig]
    clock: Clock
    settings: Callable[[], DynamicConfig]
    timers: Callable[[], Profile]
    targets: Callable[[], Sequence[Target]]
    more: Callable[[], Iterable[Finding]] = tuple

    def examine(self) -> Examination:
        """All checks; about two seconds where a node cannot be reached."""
        config = self.config()
        findings = [
            *_disks(config, self.clock),
            wellness.of_clock(_is_synchronised()),
            *_certificates(config, self.clock.wall()),
            wellness.of_budget(self.settings(), self.timers()),
            *self.more(),
        ]
        return Examination(
            node=config.name,
            wall=self.clock.wall(),
            findings=tuple(findings),
            links=tuple(links(self.targets())),
            agent_version=__version__,
        )


def targets_of(me: str, cluster: Cluster, raft: RaftStatus) -> list[Target]:
    """Every port of the others that a member has to reach."""
    found = []
    for voter in raft.voters:
        if not voter.is_self:
            name = voter.name or voter.address
            found.append(_raft_target(name, voter.address))
            if voter.witness and voter.api_url:
                found.append(_http_target(name, voter.api_url))
    for member in cluster.members.values():
        if member.name != me:
            found.append(_http_target(member.name, member.api_url))
            found.append(Target(to=member.name, port="postgres", address=member.postgres))
    return found


def partners_of(config: NodeConfig) -> list[Target]:
    """What the file of a node alone tells of the others."""
    others = (a for a in config.raft.partner_addrs if a != config.raft.self_addr)
    return [Target(to=str(address), port="raft", address=address) for address in others]


def links(targets: Sequence[Target]) -> list[Link]:
    """Connect to all at once."""
    if not targets:
        return []
    pool = ThreadPoolExecutor(max_workers=len(targets), thread_name_prefix="doctor")
    tries = [pool.submit(_reach, target.address) for target in targets]
    wait(tries, timeout=_LINKS_S)
    pool.shutdown(wait=False)
    return [
        Link(
            to=target.to,
            port=target.port,
            address=str(target.address),
            problem=attempt.result() if attempt.done() else "no answer in time",
        )
        for target, attempt in zip(targets, tries, strict=True)
    ]


def free_ports(config: NodeConfig) -> list[Finding]:
    """Whether a node that does not run yet could listen where its file says."""
    listens = {"raft port": config.raft.bind_addr, "http port": config.restapi.listen}
    postgres = config.postgresql
    found = [_listen(check, address) for check, address in listens.items()]
    if postgres is not None:
        hosts = postgres.listen_hosts
        found += [_listen("postgres port", Address(host, postgres.port)) for host in hosts]
    return found


def _listen(check: str, address: Address) -> Finding:
    host = "0.0.0.0" if address.host == "*" else address.host
    try:
        family, kind, *_, where = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return Finding(
            check=check,
            grade=Grade.PROBLEM,
            what=f"cannot listen on {address}: {error.strerror or error}",
            remedy="stop what listens there, or choose another address",
        )
    return Finding(check=check, grade=Grade.OK, what=f"{address} is free")


def _reach(address: Address) -> str:
    try:
        with socket.create_connection((address.host, address.port), _CONNECT_S):
            return ""
    except OSError as error:
        return str(error.strerror or error)


def _raft_target(name: str, address: str) -> Target:
    host, _, port = address.rpartition(":")
    return Target(to=name, port="raft", address=Address(host.strip("[]"), int(port)))


def _http_target(name: str, url: str) -> Target:
    parts = urlsplit(url)
    return Target(to=name, port="http", address=Address(parts.hostname or "", parts.port or 80))


def _disks(config: NodeConfig, clock: Clock) -> Iterable[Finding]:
    places = {"raft disk": config.raft.data_dir}
    if config.postgresql is not None:
        places["data disk"] = config.postgresql.data_dir
        wal = config.postgresql.data_dir / "pg_wal"
        if wal.is_symlink():
            places["wal disk"] = wal.resolve()
    for check, path in places.items():
        ground = _nearest(path)
        try:
            yield wellness.of_disk(check, str(path), free_bytes(ground))
            if check == "raft disk":
                yield wellness.of_syncs(str(path), _syncs(ground, clock))
        except OSError as error:
            what = f"{ground} cannot be written: {error.strerror or error}"
            remedy = "give it to the user of the agent, or choose another directory"
            yield Finding(check=check, grade=Grade.PROBLEM, what=what, remedy=remedy)


def _nearest(path: Path) -> Path:
    whole = path.absolute()
    return next((each for each in (whole, *whole.parents) if each.is_dir()), Path("/"))


def _syncs(ground: Path, clock: Clock) -> list[float]:
    """How long so many small writes took to be durable, each by itself. Raises OSError."""
    times: list[float] = []
    with tempfile.TemporaryFile(dir=ground) as file:
        for _ in range(SYNCS):
            began = clock.now()
            os.write(file.fileno(), _BLOCK)
            os.fdatasync(file.fileno())
            times.append(longest(began, clock.now()))
    return times


def _certificates(config: NodeConfig, wall: float) -> Iterable[Finding]:
    files: dict[str, TlsFiles | None] = {
        "raft certificate": config.raft.tls,
        "http certificate": config.restapi.tls,
    }
    for check, given in files.items():
        if given is None:
            continue
        try:
            yield wellness.of_dates(check, str(given.certfile), dates(given), wall)
            yield wellness.of_authorities(check, str(given.cafile), _ends(given.cafile), wall)
        except TlsError as error:
            yield Finding(
                check=check, grade=Grade.PROBLEM, what=str(error), remedy="correct these files"
            )


def _ends(cafile: Path) -> list[float]:
    """When each authority in a file ends that was read without a problem, in Unix time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile)
    return [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]


class _Timex(ctypes.Structure):
    """The kernel's structure, of which only the size matters here: with its first field, the
    modes, zero nothing is changed, and the answer is the state of the clock."""

    _fields_ = [("modes", ctypes.c_uint), ("rest", ctypes.c_char * 252)]


def _is_synchronised() -> bool | None:
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
