"""A node's file: what is accepted, what is refused, and how the refusal reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raftha.config.load import load
from raftha.errors import ConfigError
from raftha.model.settings import Address, Secret, SynchronousMode

PATRONI = """\
scope: batman
namespace: /service/
name: postgresql0
restapi:
  listen: 127.0.0.1:8008
  connect_address: 127.0.0.1:8008
raft:
  data_dir: raft
  self_addr: 127.0.0.1:2222
  partner_addrs: ['127.0.0.1:2223', '127.0.0.1:2224']
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    synchronous_mode: false
    failsafe_mode: true
    master_start_timeout: 60
    postgresql:
      use_pg_rewind: true
      pg_hba:
      - host replication replicator 127.0.0.1/32 md5
      parameters:
        hot_standby: "on"
        max_connections: 100
  initdb:
  - encoding: UTF8
  - data-checksums
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: data/postgresql0
  pgpass: /tmp/pgpass0
  authentication:
    replication: {username: replicator, password: rep-pass}
    superuser: {username: postgres, password: top}
    rewind: {username: rewind_user, password: rewind_password}
  parameters:
    unix_socket_directories: '..'
tags:
  noloadbalance: false
  nostream: false
"""


def test_a_small_file_gets_every_default(load_text: Any, good: str, tmp_path: Path) -> None:
    loaded = load_text(good)
    config = loaded.config
    assert loaded.warnings == ()
    assert config.raft.bind_addr == config.raft.self_addr
    assert config.restapi.connect_address == config.restapi.listen
    assert config.raft.data_dir == tmp_path / "raft"
    assert config.postgresql.authentication.rewind.username == "postgres"
    assert config.bootstrap.dynamic.ttl == 5.0
    assert loaded.dynamic_document == {"format_version": 1}


def test_a_patroni_file_is_accepted_as_it_stands(load_text: Any) -> None:
    loaded = load_text(PATRONI)
    dynamic = loaded.config.bootstrap.dynamic
    assert (dynamic.ttl, dynamic.loop_wait, dynamic.retry_timeout) == (30.0, 10.0, 10.0)
    assert dynamic.heartbeat + 2 * dynamic.retry_timeout + dynamic.fence_budget < 29.7
    assert dynamic.synchronous_mode is SynchronousMode.OFF
    assert loaded.config.bootstrap.initdb == (("encoding", "UTF8"), ("data-checksums", None))
    assert [warning.where.rpartition(" ")[2] for warning in loaded.warnings] == [
        "bootstrap.dcs.failsafe_mode",
        "bootstrap.dcs.master_start_timeout",
        "postgresql.pgpass",
        "namespace",
        "bootstrap.dcs.postgresql.parameters.hot_standby",
    ]
    assert "failsafe_mode" not in loaded.dynamic_document
    assert loaded.dynamic_document["ttl"] == 30
    assert loaded.dynamic_document["primary_start_timeout"] == 60
    assert "master_start_timeout" not in loaded.dynamic_document
    assert dynamic.primary_start_timeout == 60.0


def test_an_unknown_key_is_refused_with_the_nearest_known_one(refusals: Any, good: str) -> None:
    assert refusals(good.replace("self_addr", "self_adr").replace("  data_dir: data\n", "")) == [
        "node.yml:4: raft.self_adr: is not an option of raftha (did you mean raft.self_addr?)",
        "node.yml:3: raft.self_addr: is missing (The address at which the other nodes reach the"
        " Raft port of this one.)",
        "node.yml:9: postgresql.data_dir: is missing (PostgreSQL's data directory.)",
    ]


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(refusals: Any, good: str) -> None:
    (told,) = refusals(good + "ttl: 5\n")
    assert "did you mean bootstrap.dcs.ttl?" in told


def test_a_missing_section_is_one_problem(refusals: Any) -> None:
    told = refusals("scope: demo\nname: n1\n")
    assert [line.split(" (")[0] for line in told] == [
        "node.yml:1: raft: is missing",
        "node.yml:1: restapi: is missing",
        "node.yml:1: postgresql: is missing",
    ]


def test_all_mistakes_are_told_at_once_with_their_lines(refusals: Any, good: str) -> None:
    text = good.replace("name: n1", "name: -n1").replace("127.0.0.1:7001", "127.0.0.1:70010")
    text += "bootstrap:\n  dcs:\n    ttl: soon\n    synchronous_mode: quorom\ntags: 7\n"
    told = refusals(text)
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in told] == [
        "node.yml:2 name",
        "node.yml:4 raft.self_addr",
        "node.yml:14 bootstrap.dcs.ttl",
        "node.yml:15 bootstrap.dcs.synchronous_mode",
        "node.yml:16 tags",
    ]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("scope: 12", "must be text, not a whole number (12) (put it in quotes)"),
        ("scope: [a]", "must be text, not a list"),
        ("scope: '*'", "is not a valid name"),
        ("scope: " + "x" * 64, "is not a valid name"),
        ("scope: ''", "is empty"),
        ('scope: "a\\nb"', "line break"),
    ],
)
def test_a_name_of_the_wrong_form_is_refused(
    refusals: Any, good: str, line: str, part: str
) -> None:
    (told,) = refusals(good.replace("scope: demo", line))
    assert told.startswith("node.yml:1: scope: ")
    assert part in told


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("n1", "has no port"),
        ("n1:0", "out of range"),
        ("n1:x", "has no port"),
        ("-n1:80", "has no valid host"),
        ("::1:5432", "put an IPv6 address in brackets"),
        ("'[::g]:5432'", "is not an IPv6 address"),
        ("300.1.1.1:5432", "is not an IPv4 address"),
        ("a b:5432", "has no valid host"),
        ("'*:5432'", "must name one host"),
        ("5432", "must be text"),
    ],
)
def test_a_bad_address_is_refused(refusals: Any, good: str, address: str, part: str) -> None:
    (told,) = refusals(good.replace("self_addr: 127.0.0.1:7001", f"self_addr: {address}"))
    assert told.startswith("node.yml:4: raft.self_addr: ")
    assert part in told


def test_listen_takes_several_hosts_wildcards_and_ipv6(load_text: Any, good: str) -> None:
    text = good.replace("listen: 127.0.0.1:5432", "listen: '127.0.0.1,[::1]:6000'")
    postgres = load_text(text).config.postgresql
    assert (postgres.listen_hosts, postgres.port) == (("127.0.0.1", "::1"), 6000)
    assert postgres.connect_address == Address("127.0.0.1", 6000)
    text = good.replace("listen: 127.0.0.1:5432", "listen: '*'\n  connect_address: db1:5432")
    assert load_text(text).config.postgresql.listen_hosts == ("*",)


def test_a_wildcard_needs_an_address_for_others(refusals: Any, good: str) -> None:
    told = refusals(good.replace("listen: 127.0.0.1:", "listen: 0.0.0.0:"))
    assert ["connect_address: is missing" in line for line in told] == [True, True]


def test_a_duplicate_key_is_refused_with_both_lines(refusals: Any, good: str) -> None:
    assert refusals(good + "name: n2\n") == [
        "node.yml:12: the key 'name' was given before, in node.yml:2"
    ]


def test_broken_yaml_is_refused_with_its_line(refusals: Any) -> None:
    (told,) = refusals("scope: demo\nraft: [1\nname: n1\n")
    assert told.startswith("node.yml:3: is not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &a [*a]", "alias"),
        ("scope: !!python/name:os.system x", "YAML cannot read this value"),
        ("scope: 2001-13-45", "YAML cannot read this value"),
        ("? [a]\n: b", "a key must be a word"),
        ("[1, 2]", "must be a mapping"),
        ("[" * 3000, "nested too deeply"),
        ("a: 1\n---\nb: 2", "is not valid YAML"),
    ],
)
def test_strange_yaml_is_refused(refusals: Any, text: str, part: str) -> None:
    assert any(part in line for line in refusals(text))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yml", {})
    (tmp_path / "latin.yml").write_bytes(b"name: \xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.yml", {})


def test_raft_off_loopback_needs_a_key(refusals: Any, load_text: Any, good: str) -> None:
    text = good.replace("127.0.0.1:7002", "10.0.0.2:7002")
    (told,) = refusals(text)
    assert "10.0.0.2:7002 (add raft.key_file, or raft.cafile" in told
    keyed = text.replace("  data_dir: raft", "  data_dir: raft\n  key_file: key")
    assert load_text(keyed).config.raft.key_file.name == "key"


def test_certificates_come_in_threes_and_not_beside_a_key(refusals: Any, good: str) -> None:
    text = good.replace("  data_dir: raft", "  data_dir: raft\n  certfile: c\n  key_file: k")
    told = refusals(text)
    assert "add raft.cafile and raft.keyfile" in told[0]
    assert "cannot be used beside certificates" in told[1]


def test_own_address_among_the_partners_is_no_partner(load_text: Any, good: str) -> None:
    loaded = load_text(good.replace("partner_addrs: [", 'partner_addrs: ["127.0.0.1:7001", '))
    assert loaded.config.raft.partner_addrs == (
        Address("127.0.0.1", 7002),
        Address("127.0.0.1", 7003),
    )


def test_warnings_for_voters_and_an_open_rest_interface(load_text: Any, good: str) -> None:
    text = good.replace(', "127.0.0.1:7003"', "").replace("127.0.0.1:8008", "10.0.0.1:8008")
    told = [str(warning) for warning in load_text(text).warnings]
    assert "2 voters" in told[0]
    assert "will be refused there" in told[1]
    alone = good.replace('partner_addrs: ["127.0.0.1:7002", "127.0.0.1:7003"]', "partner_addrs: []")
    assert "a single voter" in str(load_text(alone).warnings[0])


def test_an_even_number_says_so_if_a_shared_list_lacks_this_node(load_text: Any, good: str) -> None:
    shared = good.replace(', "127.0.0.1:7003"]', ', "127.0.0.1:7003", "127.0.0.1:7004"]')
    (warning,) = load_text(shared).warnings
    assert "4 voters survive no more losses than 3" in warning.what
    assert "127.0.0.1:7001, is not one of the 3 of raft.partner_addrs" in warning.what
    assert "correct raft.self_addr" in warning.remedy
    listed = shared.replace("partner_addrs: [", 'partner_addrs: ["127.0.0.1:7001", ')
    (warning,) = load_text(listed).warnings
    assert warning.what == "4 voters survive no more losses than 3"
    assert warning.remedy == "add a witness"


def test_the_environment_wins_and_takes_text_as_it_stands(load_text: Any, good: str) -> None:
    environ = {
        "RAFTHA_NAME": "n9",
        "RAFTHA_RAFT__PARTNER_ADDRS": "[127.0.0.1:1, '127.0.0.1:2']",
        "RAFTHA_BOOTSTRAP__DCS__TTL": "7",
        "RAFTHA_POSTGRESQL__AUTHENTICATION__SUPERUSER__PASSWORD": "12: {#x",
        "RAFTHA_POSTGRESQL__PARAMETERS__WORK_MEM": "8MB",
        "RAFTHA_URL": "http://n1",
        "RAFTHA_LOG__LEVEL": "",
        "PATH": "/bin",
    }
    config = load_text(good, environ).config
    assert config.name == "n9"
    assert len(config.raft.partner_addrs) == 2
    assert config.bootstrap.dynamic.ttl == 7.0
    assert config.postgresql.authentication.superuser.password == Secret("12: {#x")
    assert config.postgresql.parameters == {"work_mem": "8MB"}


def test_unknown_and_unreadable_variables_are_refused(refusals: Any, good: str) -> None:
    (told,) = refusals(good, {"RAFTHA_RAFT__SELF_ADR": "127.0.0.1:1"})
    assert told.startswith("environment RAFTHA_RAFT__SELF_ADR: raft.self_adr: is not an option")
    (told,) = refusals(good, {"RAFTHA_BOOTSTRAP__DCS__TTL": "[1"})
    assert told == "environment RAFTHA_BOOTSTRAP__DCS__TTL: is not valid YAML (quote the value)"


def test_a_password_is_never_shown(refusals: Any, load_text: Any, good: str) -> None:
    text = good + "  authentication: {superuser: {username: postgres, password: 81234567}}\n"
    (told,) = refusals(text)
    assert "must be text" in told
    assert "81234567" not in told
    assert "hunter2" not in repr(load_text(text.replace("81234567", "hunter2")))


def test_a_file_with_passwords_that_everybody_reads_is_warned_of(tmp_path: Path, good: str) -> None:
    path = tmp_path / "node.yml"
    path.write_text(good + "  authentication: {superuser: {password: hunter2}}\n")
    path.chmod(0o644)
    assert "can be read by everybody" in str(load(path, {}).warnings[0])


def test_a_witness_needs_no_postgresql_and_ignores_one(load_text: Any, good: str) -> None:
    loaded = load_text(good, witness=True)
    assert loaded.config.postgresql is None
    assert [str(warning) for warning in loaded.warnings] == [
        "node.yml:9: postgresql: ignored by a witness (remove it)"
    ]
    assert load_text(good.split("postgresql:")[0], witness=True).warnings == ()


def test_the_raft_directory_may_not_lie_in_the_data_directory(refusals: Any, good: str) -> None:
    (told,) = refusals(good.replace("data_dir: raft", "data_dir: data/x/../raft"))
    assert "lies in postgresql.data_dir" in told


def test_what_stands_in_each_line_of_the_log_is_text(load_text: Any, good: str) -> None:
    log = load_text(good + "log: {static_fields: {dc: east, rack: 7, spare: false}}\n").config.log
    assert log.static_fields == {"dc": "east", "rack": "7", "spare": "false"}


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("etcd: {host: x}", "describe the group under `raft`"),
        ("consul: {host: x}", "raftha has its own key store"),
        ("citus: {group: 0}", "Citus is not supported"),
        ("tags: {replicatefrom: n1}", "names this node itself"),
        ("log: {type: json}", "write log.format"),
        ("log: {static_fields: east}", "a section of name: value"),
        ("log: {static_fields: {level: x}}", "which each line of the log has"),
        ("log: {static_fields: {'a b': x}}", "impossible name"),
        ("log: {static_fields: {dc: [x]}}", "no value for dc"),
        ('log: {static_fields: {dc: "x\\ny"}}', "does not fit a line"),
        ("log: {loggers: {raftha.agent: LOUD}}", "use one of DEBUG"),
        ("log: {loggers: {psycopg2: INFO}}", "no part of the program"),
        ("log: {format: xml}", "use one of plain, json"),
        ("restapi.x: 1", "is not an option"),
        ("bootstrap: {initdb: [pgdata: x]}", "cannot set pgdata"),
        ("bootstrap: {initdb: [[x]]}", "holds a list"),
        ("bootstrap: {initdb: [waldir: wal]}", "must be an absolute path"),
        ("tags: {a: [1]}", "must be one value"),
        ("bootstrap: {pg_hba: [x], dcs: {postgresql: {pg_hba: [y]}}}", "keep one of the two"),
        ("bootstrap: {dcs: {postgresql: {parameters: {A: 1, a: 2}}}}", "gives a twice"),
        ("bootstrap: {dcs: {postgresql: {parameters: {'a b': 1}}}}", "impossible name"),
        ("bootstrap: {dcs: {postgresql: {parameters: {a: [1]}}}}", "must be one value"),
    ],
)
def test_further_mistakes_are_refused(refusals: Any, good: str, extra: str, part: str) -> None:
    (told,) = refusals(good + extra + "\n")
    assert part in told


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("format: tar", "cannot set format"),
        ("waldir: wal", "must be an absolute path"),
        ("compress: gzip", "a copy is not stored compressed"),
    ],
)
def test_options_of_a_copy_that_cannot_be_are_refused(
    refusals: Any, good: str, option: str, part: str
) -> None:
    given = f"postgresql:\n  basebackup:\n  - {option}\n"
    (told,) = refusals(good.replace("postgresql:\n", given))
    assert part in told


def test_options_of_a_copy(load_text: Any, good: str) -> None:
    given = "postgresql:\n  basebackup: [no-manifest, max-rate: 1M, waldir: /wal]\n"
    loaded = load_text(good.replace("postgresql:\n", given))
    options = (("no-manifest", None), ("max-rate", "1M"), ("waldir", "/wal"))
    assert loaded.config.postgresql.basebackup == options


def test_keys_that_ask_for_nothing_pass(load_text: Any, good: str) -> None:
    assert load_text(good + "etcd: {}\nwatchdog:\ntags: {nostream: false, mine:}\n").warnings == ()
    (warning,) = load_text(good + "watchdog: {mode: off}\n").warnings
    assert "guardian" in str(warning)


def test_tags_keep_what_is_the_users_own_and_flags_win(load_text: Any, good: str) -> None:
    loaded = load_text(
        good + "tags: {nofailover: false, failover_priority: 0, sync_priority: 0, rack: b2}\n"
    )
    tags = loaded.config.tags
    assert (tags.may_lead, tags.nosync, tags.extra) == (True, True, {"rack": "b2"})
    assert "nofailover wins" in str(loaded.warnings[0])


def test_bootstrap_pg_hba_is_the_clusters(load_text: Any, good: str) -> None:
    loaded = load_text(good + "bootstrap: {pg_hba: [local all all trust]}\n")
    assert loaded.config.bootstrap.dynamic.postgresql.pg_hba == ("local all all trust",)
    assert loaded.dynamic_document["postgresql"] == {"pg_hba": ["local all all trust"]}
