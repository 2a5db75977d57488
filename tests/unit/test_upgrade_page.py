"""The page on upgrades names the formats of this release, each with its number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from raftha.consensus import commands, configuration, greeting, records, state
from raftha.guardian import protocol
from raftha.ha import keys
from raftha.model import membership

PAGE: Final = Path(__file__).parent.parent.parent / "docs/upgrade.md"
_ROW: Final = re.compile(r"^\| ([^|]+) \| (\d+) \|", re.MULTILINE)


def test_the_formats_are_those_of_this_release() -> None:
    told = {what.split(",")[0]: int(number) for what, number in _ROW.findall(PAGE.read_text())}
    sealed = state.seal(state.Image(state.Head(*[state.LogEntry(b"", 0, 0)] * 2, b""), b""))
    assert told == {
        "greeting on the links between agents": greeting.PROTOCOL,
        "a voter's file": records.FORMAT,
        "commands in the Raft log": commands.FORMAT,
        "sets of voters in the Raft log": configuration._FORMAT,
        "the state of the store": state.FORMAT,
        "snapshot of the state": int(sealed[3:4]),
        "documents in the store": keys.FORMAT,
        "wishes about voters": membership.FORMAT,
        "between agent and guardian": protocol.VERSION,
    }
