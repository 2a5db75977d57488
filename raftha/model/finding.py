"""What an examination of a node found: the values behind `raftha doctor`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from raftha.model.ids import MemberName


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True, kw_only=True):
    """The outcome of one check; `remedy` is empty where nothing is to be done."""

    check: str
    grade: Grade
    what: str
    remedy: str = ""


class Link(Struct, frozen=True, kw_only=True):
    """Whether a port of another node can be reached: `port` is raft, http or postgres. `problem`
    is empty if it can."""

    to: str
    port: str
    address: str
    problem: str = ""


class Examination(Struct, frozen=True, kw_only=True):
    """All of one node. `wall` is Unix time by its clock."""

    node: MemberName
    wall: float
    findings: tuple[Finding, ...]
    links: tuple[Link, ...] = ()
    agent_version: str = ""
