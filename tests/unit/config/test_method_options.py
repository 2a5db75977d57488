"""Programs that fill a data directory, in a node's file: how they are called, and every mistake."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.model.methods import Method

METHODS = """\
  create_replica_methods: [pgbackrest, basebackup]
  pgbackrest:
    command: sh -c 'exec pgbackrest --pg1-path="$PGDATA" restore'
    no_params: 1
    no_leader: yes
    keep_data: false
    stanza: main
  unused: {command: /not/named}
bootstrap:
  method: backup
  post_init: /etc/raftha/schema --verbose
  backup:
    command: /etc/raftha/restore
    keep_existing_recovery_conf: true
    from: s3://a b
    delta: true
    recovery_conf:
      restore_command: cp /archive/%f %p
      Recovery_Target_Xid: 7
      recovery_target_action: promote
      recovery_target_inclusive: false
"""


def test_methods_are_read_as_they_are_to_be_called(load_text: Any, good: str) -> None:
    config = load_text(good + METHODS).config
    copy, usual = config.postgresql.copy_methods
    assert copy.words(scope="demo") == [
        *("sh", "-c", 'exec pgbackrest --pg1-path="$PGDATA" restore'),
        "--stanza=main",
    ]
    assert copy.no_leader
    assert usual == Method(name="basebackup")
    assert usual.is_basebackup
    method = config.bootstrap.method
    assert method.words(scope="demo", datadir="/d") == [
        "/etc/raftha/restore",
        *("--scope=demo", "--datadir=/d", "--from=s3://a b", "--delta=True"),
    ]
    assert method.keeps_recovery
    assert method.recovery == {
        "restore_command": "cp /archive/%f %p",
        "recovery_target_xid": "7",
        "recovery_target_action": "promote",
        "recovery_target_inclusive": "false",
    }
    assert config.bootstrap.post_bootstrap == ("/etc/raftha/schema", "--verbose")


def test_without_a_word_everything_is_as_usual(load_text: Any, good: str) -> None:
    named = load_text(good + "bootstrap: {method: initdb}\n").config
    assert named == load_text(good).config
    assert named.bootstrap.method is None
    assert named.postgresql.copy_methods == ()


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        ("  create_replica_methods: [wal_g]\n", "create_replica_methods", "names 'wal_g'"),
        ("  create_replica_methods: [pg_hba]\n", "create_replica_methods", "no section"),
        ("  create_replica_methods: basebackup\n", "create_replica_methods", "a list"),
        ("  create_replica_methods: [basebackup, basebackup]\n", "methods", "twice"),
        (
            "  create_replica_methods: [basebackup]\n  create_replica_method: [basebackup]\n",
            "create_replica_method:",
            "says the same as",
        ),
        ("  x: {command: /x, keep_data: true}\n", "postgresql.x.keep_data", "beside"),
        ("  x: {command: /x, datadir: /d}\n", "postgresql.x.datadir", "given to the program"),
        ("  x: {command: /x, recovery_conf: {a: b}}\n", "x.recovery_conf", "must be one value"),
        ("  x: {command: /x, no_leader: 3}\n", "x.no_leader", "true or false"),
        ("  x: {command: /x, a.b: 3}\n", "x.a.b", "not the name of an option"),
        ("  x: {command: }\n", "x.command", "is empty"),
        ("  x: {program: /x}\n", "postgresql.x", "not an option of raftha"),
        ("bootstrap: {method: dcs}\n", "bootstrap.method", "names 'dcs'"),
        ("bootstrap: {post_init: /x, post_bootstrap: /x}\n", "post_init", "says the same as"),
        ("bootstrap: {x: {command: '/x \"'}}\n", "bootstrap.x.command", "No closing quotation"),
        (
            "bootstrap: {x: {command: /x, recovery_conf: {primary_conninfo: a}}}\n",
            "bootstrap.x.recovery_conf",
            "no setting of recovery",
        ),
        (
            "bootstrap: {x: {command: /x, recovery_conf: {recovery_target_action: pause}}}\n",
            "bootstrap.x.recovery_conf",
            "would never begin",
        ),
        (
            "bootstrap: {x: {command: /x, recovery_conf: "
            "{recovery_target_lsn: 0/1, recovery_target_xid: 3}}}\n",
            "bootstrap.x.recovery_conf",
            "more than one target",
        ),
    ],
)
def test_each_mistake_is_told_once_with_its_place(
    refusals: Any, good: str, lines: str, where: str, said: str
) -> None:
    (problem,) = refusals(good + lines)
    assert "node.yml:" in problem
    assert where in problem
    assert said in problem


def test_a_named_method_without_a_command_is_told_once(refusals: Any, good: str) -> None:
    (problem,) = refusals(good + "bootstrap: {method: x, x: {program: /x}}\n")
    assert "bootstrap.x" in problem
