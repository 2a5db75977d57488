"""The examination of a machine: what is measured, and how it is judged."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from raftha.agent import doctor, wellness
from raftha.agent.doctor import Target, free_ports, links, targets_of
from raftha.agent.serverdoctor import of_guardian, of_release, of_setup
from raftha.api.tls import TlsError, dates
from raftha.clock import SystemClock
from raftha.config.dynamic import parse_dynamic
from raftha.instants import Seconds
from raftha.model.finding import Finding, Grade
from raftha.model.postgres import ServerSetup
from raftha.model.settings import (
    Address,
    Authentication,
    Credentials,
    DynamicConfig,
    NodeConfig,
    PostgresConfig,
    Profile,
    RaftConfig,
    RestConfig,
    SynchronousMode,
)
from raftha.model.view import GuardianView
from tests.certificates import make_certificates
from tests.unit.api.fake_responder import tls_files
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1

OK, WARNING, PROBLEM = Grade.OK, Grade.WARNING, Grade.PROBLEM
DAY = 86400.0
ROLES = Authentication(
    superuser=Credentials(username="postgres"),
    replication=Credentials(username="replicator"),
    rewind=Credentials(username="postgres"),
)
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "data_checksums": "on",
    "wal_log_hints": "off",
    "synchronous_commit": "on",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
}
RIGHTS = {
    "postgres": frozenset({"login", "superuser", "valid"}),
    "replicator": frozenset({"login", "replication", "valid"}),
}


def grades(**settings: str) -> set[Grade]:
    setup = ServerSetup(settings={**SETTINGS, **settings}, roles=RIGHTS)
    return {finding.grade for finding in of_setup(setup, ROLES, 3)}


@pytest.mark.parametrize(
    ("settings", "worst"),
    [
        ({}, OK),
        ({"fsync": "off"}, PROBLEM),
        ({"full_page_writes": "off"}, PROBLEM),
        ({"data_checksums": "off"}, WARNING),
        ({"data_checksums": "off", "wal_log_hints": "on"}, OK),
        ({"synchronous_commit": "local"}, WARNING),
        ({"synchronous_commit": "remote_apply"}, OK),
        ({"max_wal_senders": "2"}, PROBLEM),
        ({"max_replication_slots": "2"}, PROBLEM),
        ({"max_wal_senders": "3"}, OK),
    ],
)
def test_settings_that_a_cluster_depends_on_are_judged(
    settings: dict[str, str], worst: Grade
) -> None:
    found = grades(**settings)

    assert (worst in found, PROBLEM in found) == (True, worst is PROBLEM)
    assert (WARNING in found) is (worst is WARNING)


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        ({"login", "replication", "valid"}, ""),
        ({"login", "superuser", "valid"}, ""),
        ({"login", "valid"}, "replication"),
        ({"replication", "valid"}, "login"),
        ({"login", "replication"}, "valid"),
        (None, "no role replicator"),
    ],
)
def test_roles_must_be_able_to_log_in_and_replicate(rights: set[str] | None, lacks: str) -> None:
    roles = {"postgres": RIGHTS["postgres"]}
    if rights is not None:
        roles["replicator"] = frozenset(rights)
    found = list(of_setup(ServerSetup(settings=SETTINGS, roles=roles), ROLES, 3))

    wrong = [finding.what for finding in found if finding.grade is PROBLEM]
    assert [lacks in what for what in wrong] == ([True] if lacks else [])


def test_an_unsafe_release_is_a_problem_in_synchronous_mode_alone() -> None:
    assert of_release(150018, SynchronousMode.QUORUM).grade is OK
    assert of_release(150001, SynchronousMode.QUORUM).grade is PROBLEM
    assert of_release(150001, SynchronousMode.OFF).grade is WARNING


def test_a_disk_is_judged_by_its_space_and_its_syncs() -> None:
    assert wellness.of_disk("raft disk", "/x", (256 << 20) - 1).grade is PROBLEM
    assert wellness.of_disk("raft disk", "/x", 256 << 20).grade is WARNING
    assert wellness.of_disk("raft disk", "/x", 1 << 30).grade is OK
    assert wellness.of_disk("raft disk", "/x", None).grade is OK
    assert wellness.of_syncs("/x", [0.001] * 20).grade is OK
    assert wellness.of_syncs("/x", [0.001] * 19 + [0.11]).grade is PROBLEM
    assert wellness.of_syncs("/x", [0.03] * 20).grade is WARNING


def test_the_budget_of_a_ttl_is_that_of_the_rule() -> None:
    assert wellness.of_budget(DynamicConfig(), Profile.LAN).grade is OK
    tight = replace(DynamicConfig(), ttl=Seconds(4.0), retry_timeout=Seconds(1.3))
    assert wellness.of_budget(tight, Profile.LAN).grade is PROBLEM


def test_a_ttl_is_too_short_while_the_timers_of_a_slower_profile_run() -> None:
    """The settings were changed, and this agent was not started anew."""
    fast = parse_dynamic({"profile": "fast"}, "settings")
    assert wellness.of_budget(fast, Profile.FAST).grade is OK
    found = wellness.of_budget(fast, Profile.SLOW)
    assert (found.grade, "longest election of slow" in found.what) == (PROBLEM, True)
    assert "restart the agents" in found.remedy


@pytest.mark.parametrize(
    ("days", "grade"), [((400,), OK), ((-9, 400), OK), ((-9, 20), WARNING), ((-9, -3), PROBLEM)]
)
def test_authorities_are_judged_by_the_one_that_ends_last(
    days: tuple[int, ...], grade: Grade
) -> None:
    found = wellness.of_authorities(
        "raft certificate", "ca.pem", [1e9 + d * DAY for d in days], 1e9
    )
    assert found.grade is grade
    assert bool(found.remedy) == (grade is not OK)


def test_the_certificates_of_a_node_and_their_authority_are_looked_at(tmp_path: Path) -> None:
    make_certificates(tmp_path, "n1", end=timedelta(days=40))
    old = (tmp_path / "ca.pem").read_bytes()
    make_certificates(tmp_path, "n1", end=timedelta(days=20))
    (tmp_path / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes() + old)
    config = config_in(tmp_path, 1)
    config = replace(config, raft=replace(config.raft, tls=tls_files(tmp_path, "n1")))
    found = list(doctor._certificates(config, SystemClock().wall()))

    assert [(f.check, f.grade) for f in found] == [
        ("raft certificate", WARNING),
        ("raft certificate", OK),
    ]
    assert "ca.pem is valid for 39 days more" in found[1].what


def test_wal_that_lies_elsewhere_has_a_disk_of_its_own(tmp_path: Path) -> None:
    member = replace(
        config_in(tmp_path, 1),
        postgresql=PostgresConfig(
            listen_hosts=("127.0.0.1", "::1"),
            connect_address=Address("127.0.0.1", 1),
            data_dir=tmp_path / "data",
            authentication=ROLES,
            port=1,
        ),
    )
    for name in ("data", "wal"):
        (tmp_path / name).mkdir()

    def checks() -> list[str]:
        return [finding.check for finding in doctor._disks(member, SystemClock())]

    assert checks() == ["raft disk", "raft disk", "data disk"]
    (tmp_path / "data" / "pg_wal").symlink_to(tmp_path / "wal")
    assert checks() == ["raft disk", "raft disk", "data disk", "wal disk"]
    ports = [finding.check for finding in free_ports(member)]
    assert ports == ["raft port", "http port", "postgres port", "postgres port"]


@pytest.mark.parametrize(
    ("end", "grade"),
    [(timedelta(days=-1), PROBLEM), (timedelta(days=20), WARNING), (timedelta(days=40), OK)],
)
def test_a_certificate_is_judged_by_its_end(end: timedelta, grade: Grade, tmp_path: Path) -> None:
    make_certificates(tmp_path, "node", begin=timedelta(days=-9), end=end)
    files = tls_files(tmp_path, "node")
    wall = SystemClock().wall()

    begins, ends = dates(files)
    assert abs(ends - wall - end.total_seconds()) < 60
    assert wellness.of_dates("http certificate", "node.pem", (begins, ends), wall).grade is grade
    assert wellness.of_dates("-", "-", (begins, ends), begins - 1).grade is PROBLEM


def test_a_certificate_of_a_strange_authority_has_no_dates(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    files = tls_files(tmp_path, "node")
    other = tmp_path / "other"
    other.mkdir()
    make_certificates(other, "node")

    with pytest.raises(TlsError):
        dates(replace(files, cafile=other / "ca.pem"))


def test_each_port_of_the_others_is_tried() -> None:
    found = {(t.to, t.port) for t in targets_of("n1", b.cluster(), b.raft())}

    assert found == {(n, port) for n in ("n2", "n3") for port in ("raft", "http", "postgres")}


def test_a_link_is_what_can_be_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        there = Target(to="n2", port="raft", address=Address("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", 0)) as gone:
            closed = Address("127.0.0.1", gone.getsockname()[1])
        nowhere = Target(to="n3", port="http", address=closed)
        reached, refused = links([there, nowhere])

    assert (reached.to, reached.problem) == ("n2", "")
    assert (refused.to, refused.problem) == ("n3", "Connection refused")


def config_in(folder: Path, port: int) -> NodeConfig:
    return NodeConfig(
        scope=b.SCOPE,
        name=N1,
        raft=RaftConfig(
            self_addr=Address("127.0.0.1", port),
            bind_addr=Address("127.0.0.1", port),
            partner_addrs=(Address("127.0.0.1", port),),
            data_dir=folder / "raft",
        ),
        restapi=RestConfig(
            listen=Address("127.0.0.1", 0), connect_address=Address("127.0.0.1", port)
        ),
    )


def test_a_port_that_is_taken_is_a_problem_before_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = free_ports(config_in(tmp_path, taken.getsockname()[1]))

    assert [(f.check, f.grade) for f in found] == [("raft port", PROBLEM), ("http port", OK)]


def test_an_examination_leaves_nothing_behind(tmp_path: Path) -> None:
    config = config_in(tmp_path, 1)
    examined = doctor.Doctor(
        config=lambda: config,
        clock=SystemClock(),
        settings=DynamicConfig,
        timers=lambda: Profile.LAN,
        targets=lambda: doctor.partners_of(config),
        more=lambda: [Finding(check="x", grade=OK, what="y")],
    ).examine()

    checks = [finding.check for finding in examined.findings]
    assert checks == ["raft disk", "raft disk", "clock", "ttl budget", "x"]
    assert list(tmp_path.iterdir()) == []
    assert examined.links == ()


@pytest.mark.parametrize(
    ("guardian", "grade", "words"),
    [
        (pg.guardian(armed=True), OK, "ends the primary with the lease 1.40"),
        (pg.STANDBY_GUARDIAN, OK, "a standby runs"),
        (pg.IDLE_GUARDIAN, OK, "no server runs"),
        (pg.guardian(disarmed=True), WARNING, "without a deadline"),
        (GuardianView(alive=False, problem="of another release"), PROBLEM, "of another release"),
        (GuardianView(alive=False), PROBLEM, "does not answer"),
    ],
)
def test_the_guardian_is_named_whatever_it_does(
    guardian: GuardianView, grade: Grade, words: str
) -> None:
    found = of_guardian(guardian)

    assert (found.check, found.grade) == ("guardian", grade)
    assert words in found.what
    assert bool(found.remedy) == (grade is not OK)
