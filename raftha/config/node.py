"""A node's file, read without a problem, as the typed `NodeConfig`. PURE."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from raftha.config.checks import partners
from raftha.config.dynamic import given_timings
from raftha.config.hook_options import PREFIX as CALLBACKS
from raftha.config.logins import build_logins
from raftha.config.managed import parameters_at
from raftha.config.method_options import bootstrap_method, copy_methods, post_bootstrap
from raftha.config.program_options import names_of
from raftha.config.reading import Reading
from raftha.config.schema import DYNAMIC_PREFIX
from raftha.config.values import Listen
from raftha.model.hooks import Callback, Hooks
from raftha.model.ids import MemberName, Scope
from raftha.model.settings import (
    Address,
    BasicAuth,
    BootstrapConfig,
    DynamicConfig,
    LogConfig,
    NodeConfig,
    PostgresConfig,
    RaftConfig,
    RestConfig,
    Secret,
    ServerTokens,
    Tags,
    TlsFiles,
    VerifyClient,
)

T = TypeVar("T")


def build_node(reading: Reading, dynamic: DynamicConfig, folder: Path, witness: bool) -> NodeConfig:
    """Put the options together. `folder` is what relative paths are relative to.

    The reading must have passed `require` and `check_node` without a problem.
    """
    assert not reading.problems, "a file with problems is never built"
    return NodeConfig(
        scope=Scope(_need(reading, "scope", str)),
        name=MemberName(_need(reading, "name", str)),
        raft=_raft(reading, folder),
        restapi=_rest(reading, folder),
        postgresql=None if witness else _postgres(reading, folder),
        bootstrap=_bootstrap(reading, dynamic),
        tags=_tags(reading),
        log=_log(reading, folder),
    )


def _log(reading: Reading, folder: Path) -> LogConfig:
    log = LogConfig()
    return LogConfig(
        level=reading.get("log.level", str) or log.level,
        format=reading.get("log.format", str) or log.format,
        dir=_path(reading, "log.dir", folder),
        file_size=reading.get("log.file_size", int) or log.file_size,
        file_num=reading.get("log.file_num", int) or log.file_num,
        loggers=reading.get("log.loggers", dict) or {},
        static_fields=reading.get("log.static_fields", dict) or {},
    )


def _need(reading: Reading, path: str, kind: type[T]) -> T:
    value = reading.get(path, kind)
    assert value is not None, f"{path} is required and was looked for"
    return value


def _raft(reading: Reading, folder: Path) -> RaftConfig:
    own = _need(reading, "raft.self_addr", Address)
    return RaftConfig(
        self_addr=own,
        bind_addr=reading.get("raft.bind_addr", Address) or own,
        partner_addrs=partners(reading),
        data_dir=folder / _need(reading, "raft.data_dir", Path),
        allow_tmpfs=reading.get("raft.allow_tmpfs", bool) or False,
        key_file=_path(reading, "raft.key_file", folder),
        tls=_tls(reading, "raft.", folder),
    )


def _rest(reading: Reading, folder: Path) -> RestConfig:
    listen = _need(reading, "restapi.listen", Address)
    username = reading.get("restapi.authentication.username", str)
    password = reading.get("restapi.authentication.password", Secret)
    tls = _tls(reading, "restapi.", folder)
    usual = RestConfig(listen=listen, connect_address=listen)
    tokens = reading.get("restapi.server_tokens", str)
    queue = reading.get("restapi.request_queue_size", int)
    return RestConfig(
        listen=listen,
        connect_address=reading.get("restapi.connect_address", Address) or listen,
        authentication=(
            BasicAuth(username=username, password=password) if username and password else None
        ),
        tls=tls,
        verify_client=reading.get("restapi.verify_client", VerifyClient) or VerifyClient.NONE,
        allowlist=reading.get("restapi.allowlist", tuple) or (),
        allowlist_include_members=reading.get("restapi.allowlist_include_members", bool) or False,
        authenticate_reads=reading.get("restapi.authenticate_reads", bool) or False,
        ciphers=reading.get("restapi.ciphers", str) or "",
        http_extra_headers=reading.get("restapi.http_extra_headers", dict) or {},
        https_extra_headers=reading.get("restapi.https_extra_headers", dict) or {},
        server_tokens=ServerTokens(tokens) if tokens else usual.server_tokens,
        request_queue_size=queue or usual.request_queue_size,
        patroni_metrics=reading.get("restapi.patroni_metrics", bool) is not False,
    )


def _postgres(reading: Reading, folder: Path) -> PostgresConfig:
    listen = _need(reading, "postgresql.listen", Listen)
    connect = reading.get("postgresql.connect_address", Address)
    return PostgresConfig(
        listen_hosts=listen.hosts,
        port=listen.port,
        connect_address=connect or Address(listen.hosts[0], listen.port),
        data_dir=folder / _need(reading, "postgresql.data_dir", Path),
        bin_dir=_path(reading, "postgresql.bin_dir", folder),
        bin_name=names_of(reading),
        proxy_address=reading.get("postgresql.proxy_address", Address),
        custom_conf=_path(reading, "postgresql.custom_conf", folder),
        authentication=build_logins(reading, folder),
        parameters=parameters_at(reading, "postgresql."),
        pg_hba=reading.get("postgresql.pg_hba", tuple) or (),
        pg_ident=reading.get("postgresql.pg_ident", tuple) or (),
        basebackup=reading.get("postgresql.basebackup", tuple) or (),
        copy_methods=copy_methods(reading),
        diverged_wal_keep=reading.get("postgresql.diverged_wal_keep", int),
        take_over=reading.get("postgresql.take_over", bool) or False,
        hooks=_hooks(reading),
    )


def _hooks(reading: Reading) -> Hooks:
    commands = {each: reading.get(CALLBACKS + each, tuple) for each in Callback}
    return Hooks(
        callbacks={callback: words for callback, words in commands.items() if words},
        before_stop=reading.get("postgresql.before_stop", tuple) or (),
        pre_promote=reading.get("postgresql.pre_promote", tuple) or (),
    )


def _bootstrap(reading: Reading, dynamic: DynamicConfig) -> BootstrapConfig:
    shared = dynamic.postgresql
    shared = replace(
        shared,
        pg_hba=shared.pg_hba or reading.get("bootstrap.pg_hba", tuple) or (),
    )
    return BootstrapConfig(
        dynamic=replace(dynamic, postgresql=shared),
        given_timings=given_timings(reading, DYNAMIC_PREFIX),
        initdb=reading.get("bootstrap.initdb", tuple) or (),
        method=bootstrap_method(reading),
        post_bootstrap=post_bootstrap(reading),
    )


def _tags(reading: Reading) -> Tags:
    nofailover, failover_priority = _tag(reading, "nofailover", "failover_priority")
    nosync, sync_priority = _tag(reading, "nosync", "sync_priority")
    return Tags(
        nofailover=nofailover,
        nosync=nosync,
        nostream=reading.get("tags.nostream", bool) or False,
        noloadbalance=reading.get("tags.noloadbalance", bool) or False,
        clonefrom=reading.get("tags.clonefrom", bool) or False,
        replicatefrom=reading.get("tags.replicatefrom", str) or "",
        failover_priority=failover_priority,
        sync_priority=sync_priority,
        extra=dict(reading.extra),
    )


def _tag(reading: Reading, flag: str, priority: str) -> tuple[bool, int]:
    """A flag and the priority it goes with; the flag wins where they contradict each other."""
    forbids = reading.get(f"tags.{flag}", bool)
    number = reading.get(f"tags.{priority}", int)
    if number is None:
        return forbids or False, 1
    if forbids is None:
        return number == 0, number
    return forbids, number if forbids else max(1, number)


def _path(reading: Reading, path: str, folder: Path) -> Path | None:
    value = reading.get(path, Path)
    return None if value is None else folder / value


def _tls(reading: Reading, prefix: str, folder: Path) -> TlsFiles | None:
    cafile = _path(reading, prefix + "cafile", folder)
    certfile = _path(reading, prefix + "certfile", folder)
    keyfile = _path(reading, prefix + "keyfile", folder)
    if cafile is None or certfile is None or keyfile is None:
        return None
    password = reading.get(prefix + "keyfile_password", Secret)
    return TlsFiles(cafile=cafile, certfile=certfile, keyfile=keyfile, password=password)
