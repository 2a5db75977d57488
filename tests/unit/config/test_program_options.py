"""PostgreSQL's programs under other names, and the pool beside it."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.model.settings import Address

NAMES = (
    "  bin_name: {initdb: initdb15, pg_rewind: pg_rewind, postgres: postgres, pg_ctl: pg_ctl15}\n"
)


def test_names_that_differ_are_kept(load_text: Any, good: str) -> None:
    loaded = load_text(good + NAMES)
    assert loaded.config.postgresql.bin_name == {"initdb": "initdb15"}
    assert any("bin_name.pg_ctl" in str(warning) for warning in loaded.warnings)
    assert load_text(good).config.postgresql.bin_name == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bin_name: {initdb: /usr/bin/initdb}", "is a path, not the name of a program"),
        ("bin_name: {postgres: postgres15}", "the server is called postgres"),
        ("bin_name: {pg_basebakup: x}", "did you mean postgresql.bin_name.pg_basebackup?"),
        ("bin_name: {initdb: 5}", "must be text"),
        ("bin_name: initdb15", "must be a section"),
        ("proxy_address: '*:6432'", "must name one host"),
        ("proxy_address: 10.0.0.1", "has no port"),
    ],
)
def test_a_mistake_is_told(refusals: Any, good: str, line: str, said: str) -> None:
    (problem,) = refusals(f"{good}  {line}\n")
    assert "node.yml:12: postgresql." in problem
    assert said in problem


def test_the_pool_is_an_address(load_text: Any, good: str) -> None:
    config = load_text(good + "  proxy_address: 10.0.0.1:6432\n").config
    assert config.postgresql.proxy_address == Address("10.0.0.1", 6432)
