"""What the tags of a file say together with the rest of it."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("tags: {nostream: true}", ["tags.nostream"]),
        ("tags: {nostream: false}", []),
        ("tags: {nostream: true, replicatefrom: n2}", ["tags.nostream", "tags.replicatefrom"]),
    ],
)
def test_a_node_that_only_restores_wants_a_restore_command(
    load_text: Any, good: str, extra: str, told: list[str]
) -> None:
    loaded = load_text(good + extra + "\n")
    assert [warning.where.rpartition(" ")[2] for warning in loaded.warnings] == told
    restoring = {"RAFTHA_POSTGRESQL__PARAMETERS": "{Restore_Command: cp /a/%f %p}"}
    warnings = load_text(good + extra + "\n", restoring).warnings
    assert [warning.where.rpartition(" ")[2] for warning in warnings] == told[1:]
