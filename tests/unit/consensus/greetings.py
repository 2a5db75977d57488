"""What nodes say of themselves, for tests of who is let in."""

from __future__ import annotations

import msgspec

from raftha.consensus.greeting import PROTOCOL, Hello
from raftha.consensus.members import Identity

OWN = Identity(
    scope="main",
    address="a:1",
    name="n1",
    incarnation="i1",
    witness=False,
    partners=("b:1", "c:1"),
    process="p1",
)
PEER = Hello(
    protocol=PROTOCOL,
    scope="main",
    address="b:1",
    to="a:1",
    name="n2",
    incarnation="i2",
    process="p2",
    witness=True,
    api_url="http://b:8008",
    partners=["a:1", "c:1"],
    is_new=True,
    term=0,
    has_voted=False,
    last_index=1,
    last_term=0,
    voters=b"",
    voters_index=0,
    voters_settled=False,
    nonce=b"",
)


def said(**changes: object) -> Hello:
    """What n2 at b:1 says on its first day, but for these changes."""
    return msgspec.structs.replace(PEER, **changes)
