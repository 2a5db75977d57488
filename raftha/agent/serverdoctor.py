"""Examines PostgreSQL for `raftha doctor`: its guardian, release, settings and roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from typing import Final

from raftha.agent.wellness import bad, ok, warn
from raftha.errors import PostgresError
from raftha.instants import Seconds
from raftha.model.cluster import Cluster, Member
from raftha.model.finding import Finding
from raftha.model.postgres import ServerSetup, Upstream, version_text
from raftha.model.settings import Authentication, Credentials, DynamicConfig, SynchronousMode
from raftha.model.view import GuardianView
from raftha.pg import versions
from raftha.pg.instance import Instance
from raftha.pg.upstream import ask, started, tablespaces

_ASK_S: Final = Seconds(2.0)


def server_findings(instance: Instance, settings: DynamicConfig, members: int) -> Iterator[Finding]:
    """What PostgreSQL says of itself, where it runs; `members` is how many there are."""
    try:
        setup = instance.setup(_ASK_S)
    except PostgresError as error:
        remedy = "raftha status says what it is doing, postgresql.log why it does not run"
        yield bad("postgres", str(error), remedy)
        return
    yield of_release(int(setup.settings["server_version_num"]), settings.synchronous_mode)
    yield from of_setup(setup, instance.config.authentication, members)


def member_findings(
    instance: Instance, guardian: GuardianView, settings: DynamicConfig, cluster: Cluster
) -> Iterator[Finding]:
    """What only a member can find out: of its guardian, of its server, and at the others'."""
    yield of_guardian(guardian)
    yield from server_findings(instance, settings, len(cluster.members))
    yield from _address(instance, cluster)
    yield from _logins(instance, settings, cluster)


def _address(instance: Instance, cluster: Cluster) -> Iterator[Finding]:
    """Whether the address that everybody else is told leads to the server of this node."""
    me = next((m for m in cluster.members.values() if m.name == instance.name), None)
    if me is None:
        return
    roles, address = instance.config.authentication, me.postgres
    upstream = Upstream(address=address, slot=None, application_name="raftha doctor")
    try:
        here = datetime.fromisoformat(instance.status(_ASK_S).started)
        there = started(upstream, roles.rewind, instance.layout.passfile, _ASK_S)
    except ValueError:
        return  # a style of dates that is not read
    except PostgresError as error:
        what = f"postgresql.connect_address, {address}, could not be tried from here: {error}"
        yield warn("address", what, "see that it is right; some networks do not lead back")
        return
    if here == there:
        yield ok("address", f"{address} leads to this node's server")
        return
    what = f"postgresql.connect_address, {address}, leads to another server than this node's"
    yield bad("address", what, "correct it in the file of this node, then raftha reload")


def _logins(instance: Instance, settings: DynamicConfig, cluster: Cluster) -> Iterator[Finding]:
    """Whether this node may stream from each other member, and be rewound to it: it has to, once
    that one leads."""
    others = [m for m in cluster.members.values() if m.name != instance.name]
    if not others:
        return
    pool = ThreadPoolExecutor(max_workers=len(others), thread_name_prefix="doctor")
    tries = [pool.submit(_login, instance, settings, member, cluster) for member in others]
    wait(tries, timeout=2 * _ASK_S)
    pool.shutdown(wait=False)
    for member, attempt in zip(others, tries, strict=True):
        late = f"{member.name} at {member.postgres} did not answer in time"
        yield attempt.result() if attempt.done() else bad("logins", late, "see its links, its log")


def _login(
    instance: Instance, settings: DynamicConfig, member: Member, cluster: Cluster
) -> Finding:
    roles, passfile = instance.config.authentication, instance.layout.passfile
    place = f"{member.name} at {member.postgres}"
    upstream = Upstream(address=member.postgres, slot=None, application_name="raftha doctor")
    try:
        line = ask(upstream, roles.replication, passfile, _ASK_S)
    except PostgresError as error:
        what = f"{place} does not let this node stream: {error}"
        return bad("logins", what, _let_in(roles.replication, "replication"))
    known = cluster.initialize
    if known is not None and known.system_id not in (None, line.identity.system_id):
        remedy = f"correct postgresql.connect_address of {member.name}, or what answers there"
        return bad("logins", f"{place} answers as another cluster's server", remedy)
    if settings.postgresql.use_pg_rewind:
        try:
            tablespaces(upstream, roles.rewind, passfile, _ASK_S)
        except PostgresError as error:
            what = f"{place} does not let this node be rewound, it would be copied anew: {error}"
            return warn("logins", what, _let_in(roles.rewind, "the database postgres"))
    return ok("logins", f"{place} lets this node stream as {roles.replication.username}")


def _let_in(who: Credentials, where: str) -> str:
    return (
        f"let {who.username} in there from this machine for {where}: pg_hba, and the password or "
        "the certificate in postgresql.authentication of both files"
    )


def of_guardian(guardian: GuardianView) -> Finding:
    """The process that ends PostgreSQL with its lease, as it answers now."""
    if not guardian.alive:
        why = guardian.problem or "it does not answer"
        remedy = (
            "its log, guardian.log in raft.data_dir/run, says why; the agent tries on by itself"
        )
        return bad("guardian", why, remedy)
    if guardian.disarmed:
        what = "it answers; the primary runs without a deadline, as in a maintenance pause"
        return warn("guardian", what, "raftha resume ends the pause")
    if guardian.primary:
        return ok("guardian", f"it answers; it ends the primary with the lease {guardian.epoch}")
    runs = "a standby" if guardian.running else "no server"
    return ok("guardian", f"it answers; {runs} runs, which needs no deadline")


def of_release(number: int, mode: SynchronousMode) -> Finding:
    """Rule R18."""
    problem = versions.synchronous_problem(number)
    if problem is None:
        return ok("release", f"PostgreSQL {version_text(number)}")
    if mode is SynchronousMode.OFF:
        return warn("release", problem.what, problem.remedy)
    return bad("release", problem.what, problem.remedy)


def of_setup(setup: ServerSetup, authentication: Authentication, members: int) -> Iterator[Finding]:
    """The settings and roles of a server that runs; `members` is how many there are."""
    settings = setup.settings
    yield from _of_settings(settings)
    needed = members - 1
    for name, why in (
        ("max_wal_senders", "streams, and one more for a copy"),
        ("max_replication_slots", "slots"),
    ):
        here = int(settings[name])
        what = f"{name} is {here}; {needed} other members need as many {why}"
        remedy = f"raftha edit-config --pg {name}={needed + 3}, then raftha restart --pending"
        yield ok("settings", what) if here > needed else bad("settings", what, remedy)
    yield from _of_roles(setup.roles, authentication)


def _of_settings(settings: Mapping[str, str]) -> Iterator[Finding]:
    wrong = []
    for name, meaning in (
        ("fsync", "a crash of the machine destroys the data"),
        ("full_page_writes", "a crash of the machine can leave torn pages"),
    ):
        if settings[name] != "on":
            wrong.append(name)
            remedy = f"raftha edit-config --pg {name}=on"
            yield bad("settings", f"{name} is {settings[name]}: {meaning}", remedy)
    if settings["data_checksums"] != "on" and settings["wal_log_hints"] != "on":
        yield warn(
            "settings",
            "neither data checksums nor wal_log_hints: pg_rewind cannot work, and a diverged "
            "member is copied anew",
            "stop it and run pg_checksums --enable, or set wal_log_hints to on",
        )
    if settings["synchronous_commit"] in ("off", "local", "remote_write"):
        yield warn(
            "settings",
            f"synchronous_commit is {settings['synchronous_commit']} by default: such commits may "
            "be lost in a failover",
            "raftha edit-config --pg synchronous_commit=on; sessions may still choose less",
        )
    if not wrong:
        yield ok("settings", "fsync and full_page_writes are on")


def _of_roles(roles: Mapping[str, frozenset[str]], wanted: Authentication) -> Iterator[Finding]:
    needs = {
        wanted.superuser.username: "superuser",
        wanted.replication.username: "replication",
    }
    for name, right in needs.items():
        has = roles.get(name)
        if has is None:
            what, remedy = f"there is no role {name}", f'CREATE ROLE "{name}" LOGIN {right.upper()}'
            yield bad("roles", what, remedy)
        elif not {"login", "valid"} <= has or not {right, "superuser"} & has:
            lack = ", ".join(sorted({"login", "valid", right} - has))
            yield bad("roles", f"role {name} lacks: {lack}", "correct it with ALTER ROLE")
        else:
            yield ok("roles", f"role {name} may log in, with {right}")
