"""What nodes that do not run yet have seen of one another, and what is to be said of it. PURE.

Each tells the others what it reaches of whom, so that every one of them can tell both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Struct, field

from raftha.agent.wellness import bad, ok
from raftha.model.finding import Finding, Link
from raftha.model.settings import NodeConfig

RAFT: Final = "raft"
LONGEST_PROBLEM: Final = 80
_Text = Annotated[str, msgspec.Meta(max_length=300)]
_Found = dict[_Text, _Text]


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What one node says to another: where it is at each port, `found` of everybody by Raft address
    and port (empty: reached), and whether it `sees_all`, both ways."""

    doctor: bool
    address: _Text
    ports: _Found
    found: dict[_Text, _Found]
    sees_all: bool


class Partner(Struct, kw_only=True):
    """Another node, by its Raft address. `found` is what was found of its ports here, `told` what
    it has told of everybody's. If it `runs`, an agent is there already; it `knows` if it was told
    that all is seen here."""

    address: str
    name: str = ""
    ports: Mapping[str, str] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runs: bool = False
    was_here: bool = False
    sees_all: bool = False
    knows: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.name} ({self.address})" if self.name else self.address

    def sees(self, own: Mapping[str, str]) -> bool:
        """It is seen here at each port, and this node is from there at each of its `own`."""
        if self.runs:
            return True
        there = self.told.get(own[RAFT], {})
        return (
            self.was_here
            and all(self.found.get(port) == "" for port in self.ports)
            and all(there.get(port) == "" for port in own)
        )


def ports_of(config: NodeConfig) -> dict[str, str]:
    """Where a node is for the others."""
    ports = {RAFT: str(config.raft.self_addr), "http": str(config.restapi.connect_address)}
    if config.postgresql is not None:
        ports["postgres"] = str(config.postgresql.connect_address)
    return ports


def judge(own: Mapping[str, str], partner: Partner, waited: float) -> Iterator[Finding]:
    """What is to be said of one partner, after so many seconds."""
    if partner.runs:
        what = f"{partner.title}: its agent runs and takes the credentials of this node"
        yield ok("links", f"{what}; raftha doctor tries the other ports once this one runs too")
        return
    if partner.sees(own):
        yield ok("links", f"{partner.title} and this node reach each other at every port")
        return
    if not partner.was_here and partner.found.get(RAFT) != "":
        yield bad(
            "links",
            f"{partner.title} is not seen either way: {partner.found.get(RAFT, 'not tried')}",
            f"start the same command there within {waited:.0f} s; if it runs, open the ports, and "
            "compare the key file or the authorities of both",
        )
        return
    yield from _there(partner)
    yield from _here(own, partner, waited)


def _there(partner: Partner) -> Iterator[Finding]:
    for port, address in {RAFT: partner.address, **partner.ports}.items():
        problem = partner.found.get(port, "not tried")
        if problem:
            yield bad(
                "links",
                f"{partner.title}: its {port} port {address} is not reached from here: {problem}",
                "open it there for this node; see that its file names the right address",
            )


def _here(own: Mapping[str, str], partner: Partner, waited: float) -> Iterator[Finding]:
    if not partner.was_here:
        yield bad(
            "links",
            f"{partner.title} is reached, and did not come to {own[RAFT]} within {waited:.0f} s",
            f"open {own[RAFT]} here for it; see that its raft.partner_addrs names this address",
        )
        return
    for port, problem in partner.told.get(own[RAFT], {}).items():
        if problem:
            yield bad(
                "links",
                f"{partner.title} does not reach the {port} port of this node, "
                f"{own.get(port, 'unknown')}: {problem}",
                "open it here for that node; see that connect_address is the right one",
            )


def table(
    me: str, own: Mapping[str, str], partners: Mapping[str, Partner]
) -> dict[str, tuple[Link, ...]]:
    """Who reaches whom at which port, as far as it is known here, by the names of who tried."""
    names = {own[RAFT]: me, **{a: p.name or a for a, p in partners.items()}}
    places = {own[RAFT]: own, **{a: p.ports for a, p in partners.items()}}
    seen: dict[str, Mapping[str, Mapping[str, str]]] = {
        me: {address: partner.found for address, partner in partners.items()}
    }
    seen |= {partner.name: partner.told for partner in partners.values() if partner.was_here}
    return {
        name: tuple(
            Link(
                to=names.get(address, address),
                port=port,
                address=places.get(address, {}).get(port, address),
                problem=problem,
            )
            for address, found in sorted(told.items())
            for port, problem in found.items()
        )
        for name, told in seen.items()
    }
