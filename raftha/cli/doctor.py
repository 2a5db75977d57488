"""`raftha doctor`: asks every node to examine itself, and compares what they say.

Before a start there is nobody to ask: then the machine it runs on is examined from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec import Struct

from raftha.api.client import ApiClient, ApiError
from raftha.cli import discover
from raftha.cli.asking import ask_all
from raftha.cli.discover import Contact, NobodyAnswers
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.clock import Clock
from raftha.config.load import load
from raftha.errors import ConfigError
from raftha.instants import longest
from raftha.model.finding import Examination, Finding, Grade, Link
from raftha.model.report import ClusterReport, Level
from raftha.model.settings import NodeConfig

CLOCKS_S: Final = 1.0
"""By how much the clocks of two nodes may differ before it is told."""

RELEASE: Final = "release"
"""The check of a member that tells the release of its server."""

_PORTS: Final = ("raft", "http", "postgres")
_MARKS: Final = {Grade.OK: "ok      ", Grade.WARNING: "WARNING ", Grade.PROBLEM: "PROBLEM "}
_STYLES: Final = {Grade.OK: None, Grade.WARNING: "yellow", Grade.PROBLEM: "red"}


class Timed(Struct, frozen=True, kw_only=True):
    """What a node said, and how far its clock is ahead of this one, with the error of that."""

    told: Examination
    ahead: float
    error: float


class Placed(Struct, frozen=True, kw_only=True):
    """A finding, and whose it is."""

    node: str
    finding: Finding


def examine(contact: Contact, clock: Clock, output: str) -> Exit:
    """Examine a cluster that runs."""
    try:
        report = discover.find(contact).report
    except NobodyAnswers as error:
        complain(str(error))
        complain("before the first start: raftha doctor -c FILE --before-start")
        return Exit.UNREACHABLE
    answers = ask_all(contact, report.members, lambda client: _timed(client, clock))
    told = {n: answer for n, answer in answers.items() if isinstance(answer, Timed)}
    found = [
        *(Placed(node=n, finding=f) for n, timed in told.items() for f in timed.told.findings),
        *_silent(answers),
        *_of_links({n: timed.told.links for n, timed in told.items()}),
        *_of_clocks(told),
        *_of_versions({n: timed.told.agent_version for n, timed in told.items()}),
        *_of_releases({n: timed.told.findings for n, timed in told.items()}),
        *_of_report(report),
    ]
    links = {name: timed.told.links for name, timed in told.items()}
    return _tell(found, links, output)


def before_start(file: Path, clock: Clock, output: str, wait: float | None = None) -> Exit:
    """Examine this machine for the node of this file; if it is to `wait` so many seconds, with the
    others, which do the same at the same time."""
    from raftha.agent import doctor
    from raftha.agent.checkup import checkup

    try:
        loaded = load(file, os.environ, witness=not _has_postgresql(file))
    except ConfigError as error:
        wrong = [_problem("configuration", str(each), each.remedy) for each in error.problems]
        return _tell([Placed(node=str(file), finding=each) for each in wrong], {}, output)
    config = loaded.config
    local = doctor.Doctor(
        config=lambda: config,
        clock=clock,
        settings=lambda: config.bootstrap.dynamic,
        timers=lambda: config.bootstrap.dynamic.profile,
        targets=lambda: doctor.partners_of(config) if wait is None else (),
    )
    examined = local.examine()
    obstacles = [
        _problem("start", f"{o.where}: {o.what}", o.remedy) for o in checkup(config, clock)
    ]
    warnings = [
        Finding(check="configuration", grade=Grade.WARNING, what=str(each), remedy=each.remedy)
        for each in loaded.warnings
    ]
    ports = doctor.free_ports(config)
    seen: Sequence[Finding] = tuple(_partners(examined.links))
    links: Mapping[str, Sequence[Link]] = {}
    if wait is not None and config.raft.partner_addrs:
        seen, links = _met(config, clock, wait)
    found = [*warnings, *obstacles, *ports, *examined.findings, *seen]
    placed = [Placed(node=config.name, finding=each) for each in found]
    return _tell(placed, links, output)


def _met(
    config: NodeConfig, clock: Clock, seconds: float
) -> tuple[Sequence[Finding], Mapping[str, Sequence[Link]]]:
    """What a meeting with the others shows."""
    from raftha.agent.meeting import meet

    others = ", ".join(str(a) for a in config.raft.partner_addrs if a != config.raft.self_addr)
    complain(f"waiting {seconds:g} s at most for the same command at {others}")
    try:
        met = meet(config, clock, seconds)
    except (OSError, ConfigError) as error:
        what = f"the others cannot be waited for: {error}"
        remedy = "free the Raft port and mend the credentials; of an agent that runs ask raftha "
        return (_problem("links", what, remedy + "doctor without --before-start"),), {}
    return met.findings, met.links


def _has_postgresql(file: Path) -> bool:
    """Whether the file is a member's, as far as that can be told before it is read in earnest."""
    try:
        return load(file, os.environ, witness=True).of_member
    except ConfigError:
        return True


def _partners(links: Sequence[Link]) -> Iterator[Finding]:
    """Before all nodes were started, one that does not answer is no problem yet."""
    for link in links:
        what = f"the Raft port of {link.address} can be reached"
        if link.problem:
            what = f"the Raft port of {link.address} cannot be reached now: {link.problem}"
        yield Finding(
            check="links",
            grade=Grade.WARNING if link.problem else Grade.OK,
            what=what,
            remedy="once its agent runs, this must answer" if link.problem else "",
        )


def _timed(client: ApiClient, clock: Clock) -> Timed:
    """The node's clock was read within the time that the question took."""
    began, wall = clock.now(), clock.wall()
    told = client.examination()
    took = longest(began, clock.now())
    return Timed(told=told, ahead=told.wall - (wall + took / 2), error=took / 2)


def _silent(answers: Mapping[str, Timed | ApiError]) -> Iterator[Placed]:
    for name, answer in answers.items():
        if isinstance(answer, ApiError):
            remedy = "start its agent, or mend the network; if it refuses: -c FILE has its password"
            yield Placed(node=name, finding=_problem("agent", f"no answer: {answer}", remedy))


def _of_links(links: Mapping[str, Sequence[Link]]) -> Iterator[Placed]:
    for name, reached in links.items():
        for link in reached:
            if link.problem:
                what = f"{link.to}'s {link.port} port {link.address}: {link.problem}"
                remedy = f"open it from {name}, or start what listens there"
                yield Placed(node=name, finding=_problem("links", what, remedy))


def _of_clocks(told: Mapping[str, Timed]) -> Iterator[Placed]:
    """How far the clocks are apart, less what could be due to the time of the questions."""
    if len(told) < 2:
        return
    first = min(told, key=lambda name: told[name].ahead)
    last = max(told, key=lambda name: told[name].ahead)
    apart = told[last].ahead - told[first].ahead
    sure = apart - told[last].error - told[first].error
    if sure > CLOCKS_S:
        finding = Finding(
            check="clock",
            grade=Grade.WARNING,
            what=f"its clock is at least {sure:.1f} s ahead of {first}'s",
            remedy="run a time service on both; no lease depends on it, certificates and logs do",
        )
        yield Placed(node=last, finding=finding)


def _of_versions(versions: Mapping[str, str]) -> Iterator[Placed]:
    if len(set(versions.values())) > 1:
        each = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        finding = Finding(
            check="versions",
            grade=Grade.WARNING,
            what=f"agents of different versions: {each}",
            remedy="upgrade the rest, one at a time: docs/upgrade.md",
        )
        yield Placed(node="cluster", finding=finding)


def _of_releases(found: Mapping[str, Sequence[Finding]]) -> Iterator[Placed]:
    """What members say of their PostgreSQL's release, where they do not say the same."""
    releases = {n: f.what for n, each in found.items() for f in each if f.check == RELEASE}
    if len(set(releases.values())) > 1:
        each = ", ".join(f"{name}: {what}" for name, what in sorted(releases.items()))
        finding = Finding(
            check=RELEASE,
            grade=Grade.WARNING,
            what=f"servers of different minor releases: {each}",
            remedy="install the newest on all, standbys first: raftha restart --pg-version X",
        )
        yield Placed(node="cluster", finding=finding)


def _of_report(report: ClusterReport) -> Iterator[Placed]:
    """What the status would say, too."""
    for notice in report.problems:
        grade = Grade.PROBLEM if notice.level is Level.PROBLEM else Grade.WARNING
        check = notice.code or "status"
        finding = Finding(check=check, grade=grade, what=notice.what, remedy=notice.remedy)
        yield Placed(node=notice.subject, finding=finding)


def _problem(check: str, what: str, remedy: str) -> Finding:
    return Finding(check=check, grade=Grade.PROBLEM, what=what, remedy=remedy)


def _tell(found: Sequence[Placed], links: Mapping[str, Sequence[Link]], output: str) -> Exit:
    if output == "json":
        document = {"findings": found, "links": links}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        _print(found, links)
    is_unwell = any(each.finding.grade is Grade.PROBLEM for each in found)
    return Exit.UNWELL if is_unwell else Exit.DONE


def _print(found: Sequence[Placed], links: Mapping[str, Sequence[Link]]) -> None:
    for each in found:
        finding = each.finding
        words = f"{_MARKS[finding.grade]}{each.node}  {finding.check}: {finding.what}"
        click.secho(words, fg=_STYLES[finding.grade])
        if finding.remedy and finding.grade is not Grade.OK:
            click.echo(f"          to do: {finding.remedy}")
    for name, reached in links.items():
        by_node: dict[str, list[str]] = {}
        for link in sorted(reached, key=lambda link: _PORTS.index(link.port)):
            by_node.setdefault(link.to, []).append(f"{link.port} {link.problem or 'ok'}")
        for to, ports in sorted(by_node.items()):
            click.echo(f"{name} -> {to}: {', '.join(ports)}")
    counts = {grade: sum(1 for e in found if e.finding.grade is grade) for grade in Grade}
    click.echo(
        f"{_counted(counts[Grade.PROBLEM], 'problem')}, "
        f"{_counted(counts[Grade.WARNING], 'warning')}, "
        f"{_counted(counts[Grade.OK], 'check')} passed"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
