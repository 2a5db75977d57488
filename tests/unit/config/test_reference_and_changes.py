"""The printed reference, the tables behind it, and what a reload has to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raftha.config.changes import Change, compare, facts, in_force
from raftha.config.dynamic import dump_every_setting
from raftha.config.options import NODE_SCHEMA
from raftha.config.reference import reference
from raftha.config.schema import DYNAMIC_PREFIX, DYNAMIC_SCHEMA, Reload
from raftha.model.settings import DynamicConfig


def test_the_page_is_fresh() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "run python -m raftha.config.reference > docs/configuration.md"
    )


def test_every_option_is_documented_in_a_sentence() -> None:
    for option in NODE_SCHEMA.options.values():
        assert option.doc.endswith("."), option.path
        assert option.required or option.default, option.path
    assert not set(NODE_SCHEMA.foreign) & set(NODE_SCHEMA.options)


def test_the_written_defaults_are_the_models() -> None:
    dumped = dump_every_setting(DynamicConfig())
    for path, option in DYNAMIC_SCHEMA.options.items():
        if path in ("primary_start_timeout", "maximum_lag_on_failover"):
            assert float(option.default) == dumped[path]
        if path in ("profile", "synchronous_mode"):
            assert option.default == dumped[path]


SPELLINGS = ("bootstrap.post_init", "postgresql.create_replica_method")
"""Old ones of other options, under whose names their values are compared."""


def test_every_option_of_a_node_is_compared(load_text: Any, good: str) -> None:
    known = set(facts(load_text(good).config))
    wanted = {path for path in NODE_SCHEMA.options if not path.startswith(DYNAMIC_PREFIX)}
    elsewhere = {"bootstrap.pg_hba", "postgresql.recovery_conf", *SPELLINGS}
    of_commands = {path for path in wanted if path.startswith("ctl.")}
    assert wanted - known == {"namespace", *elsewhere, *of_commands}


MOVED = """\
scope: other
name: n9
raft:
  self_addr: 10.0.0.9:7001
  bind_addr: 0.0.0.0:7001
  partner_addrs: ["10.0.0.8:7001"]
  data_dir: elsewhere
  allow_tmpfs: true
  {raft}
restapi:
  listen: 127.0.0.1:8009
  authentication: {{username: admin, password: geheim}}
  certfile: http.pem
  keyfile: http.key
  cafile: http-ca.pem
  verify_client: required
  allowlist: [10.0.0.0/8]
  allowlist_include_members: true
  authenticate_reads: true
  request_queue_size: 5
postgresql:
  listen: 127.0.0.1:5439
  data_dir: new
  bin_dir: /usr/local/pgsql/bin
  bin_name:
    {{initdb: a, pg_basebackup: b, pg_controldata: c, pg_rewind: d, pg_waldump: e}}
  custom_conf: /etc/own.conf
  basebackup: [max-rate: 100M]
  create_replica_methods: [basebackup]
  diverged_wal_keep: 1
  take_over: true
"""


def test_whatever_waits_for_a_restart_is_not_in_force(load_text: Any, good: str) -> None:
    """A new option with such a class belongs into the file above."""
    started = load_text(good).config
    changed = set()
    for raft in ("key_file: own.key", "cafile: ca.pem, certfile: r.pem, keyfile: r.key"):
        lines = MOVED.format(raft=raft.replace(", ", "\n  "))
        read = load_text(lines).config
        waiting = {c.path for c in compare(started, read) if "restart" in c.reload.value}
        changed |= waiting
        kept = facts(in_force(started, read))
        assert {path: kept[path] for path in waiting} == {p: facts(started)[p] for p in waiting}
    options = NODE_SCHEMA.options.values()
    wait = {option.path for option in options if "restart" in option.reload.value}
    assert wait - changed == {"namespace", "postgresql.create_replica_method"}


def test_each_change_says_what_it_takes(load_text: Any, good: str) -> None:
    old = load_text(good).config
    text = good.replace("127.0.0.1:5432", "127.0.0.1:5433").replace("8008", "8009")
    text += "  authentication: {superuser: {username: postgres, password: new}}\n"
    new = load_text(text + "tags: {rack: b2}\nbootstrap: {dcs: {ttl: 9}}\n").config
    assert compare(old, old) == ()
    assert compare(old, new) == (
        Change("restapi.listen", Reload.AGENT_RESTART),
        Change("restapi.connect_address", Reload.AGENT_RESTART),
        Change("postgresql.listen", Reload.AGENT_RESTART),
        Change("postgresql.connect_address", Reload.RELOAD),
        Change("postgresql.authentication.superuser.password", Reload.RELOAD),
        Change("postgresql.authentication.rewind.password", Reload.RELOAD),
        Change("bootstrap.dcs", Reload.BOOTSTRAP),
        Change("tags.rack", Reload.RELOAD),
    )
