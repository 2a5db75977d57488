"""Rows for programs: what stands between the tabs, for every command that lists something."""

from __future__ import annotations

import pytest

from raftha.cli.exits import Exit
from raftha.cli.tabular import separated, tsv
from tests.unit.api.fake_responder import FakeResponder
from tests.unit.cli.test_restart_command import raftha, responder, url

__all__ = ("responder", "url")


def test_what_would_break_a_line_is_escaped_as_copy_does() -> None:
    rows = [{"a": "x\ty\nz\\", "b": None}, {"b": True, "c": {"k": [1]}, "a": 2}]
    assert tsv(rows) == 'a\tb\tc\nx\\ty\\nz\\\\\t\t\n2\ttrue\t{"k": [1]}\n'
    assert tsv([]) == ""
    assert separated([("a", 1.5)]) == "a\t1.5\n"


@pytest.mark.parametrize(
    ("command", "heading", "first"),
    [
        (("status",), "name\trole\tstate", "n1\tleader\trunning"),
        (("topology",), "name\trole\tstate", "n1\tleader\trunning"),
        (("history",), "timeline\tswitch\treason", "1\t33554432\tthe lease of n2 ended"),
        (("member", "list"), "name\taddress\trole", "n1\t10.0.0.1:2380\tleader"),
        (("version",), "name\tagent\tpostgres", "n1\t"),
        (("show-config",), "setting\tvalue\torigin", "profile\tlan"),
        (("store", "list"), "key\tvalue", "/raftha/main/leader\t"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_every_list_is_given_as_rows(
    responder: FakeResponder, url: str, command: tuple[str, ...], heading: str, first: str
) -> None:
    responder.key_store.put("/raftha/main/leader", b'{"name": "n1"}')
    told = raftha(*command, "--url", url, "-o", "tsv")

    assert told.exit_code == Exit.DONE, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith(heading)
    assert lines[1].startswith(first)
    assert {line.count("\t") for line in lines} == {lines[0].count("\t")}
