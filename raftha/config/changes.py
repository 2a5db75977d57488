"""What differs between two readings of a node's file, and what it takes to act on it. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from raftha.config.hook_options import PREFIX
from raftha.config.login_options import LIBPQ_KEYS, SERVICE_NAME
from raftha.config.login_options import PREFIX as LOGINS
from raftha.config.options import NODE_SCHEMA
from raftha.config.program_options import PREFIX as BINARY
from raftha.config.program_options import PROGRAMS
from raftha.config.schema import Reload
from raftha.model.hooks import Callback
from raftha.model.settings import (
    Credentials,
    NodeConfig,
    PostgresConfig,
    RaftConfig,
    RestConfig,
    TlsFiles,
)


class Change(Struct, frozen=True):
    """An option or section whose value changed. The values are left out: they may be secret."""

    path: str
    reload: Reload


def compare(old: NodeConfig, new: NodeConfig) -> tuple[Change, ...]:
    """Every option that changed, in the order of the reference."""
    before, after = facts(old), facts(new)
    return tuple(
        Change(path, _reload(path))
        for path in dict.fromkeys([*before, *after])
        if before.get(path) != after.get(path)
    )


def in_force(started: NodeConfig, read: NodeConfig) -> NodeConfig:
    """What an agent that was started with `started`, or has gone by it since, goes by once its file
    says `read`: the rest waits for the next agent."""
    return replace(
        read,
        scope=started.scope,
        name=started.name,
        raft=started.raft.followed_by(read.raft),
        restapi=started.restapi.followed_by(read.restapi),
        postgresql=_postgresql_in_force(started.postgresql, read.postgresql),
    )


def _postgresql_in_force(
    started: PostgresConfig | None, read: PostgresConfig | None
) -> PostgresConfig | None:
    """An address that follows from `listen`, or goes with it, is not announced before it."""
    if started is None or read is None:
        return started
    listens = (started.listen_hosts, started.port) == (read.listen_hosts, read.port)
    return replace(
        read,
        listen_hosts=started.listen_hosts,
        port=started.port,
        connect_address=read.connect_address if listens else started.connect_address,
        data_dir=started.data_dir,
        bin_dir=started.bin_dir,
        bin_name=started.bin_name,
        custom_conf=started.custom_conf,
        basebackup=started.basebackup,
        copy_methods=started.copy_methods,
        diverged_wal_keep=started.diverged_wal_keep,
        take_over=started.take_over,
    )


def _reload(path: str) -> Reload:
    option = NODE_SCHEMA.options.get(path)
    if option is not None:
        return option.reload
    return Reload.BOOTSTRAP if path.startswith("bootstrap.") else Reload.RELOAD


def facts(config: NodeConfig) -> Mapping[str, object]:
    """The effective value of each option by its path in the file."""
    return {
        "scope": config.scope,
        "name": config.name,
        **_raft(config.raft),
        **_rest(config.restapi),
        **_postgresql(config.postgresql),
        "bootstrap.dcs": config.bootstrap.dynamic,
        "bootstrap.initdb": config.bootstrap.initdb,
        "bootstrap.method": config.bootstrap.method,
        "bootstrap.post_bootstrap": config.bootstrap.post_bootstrap,
        "tags.nofailover": config.tags.nofailover,
        "tags.nosync": config.tags.nosync,
        "tags.nostream": config.tags.nostream,
        "tags.noloadbalance": config.tags.noloadbalance,
        "tags.clonefrom": config.tags.clonefrom,
        "tags.replicatefrom": config.tags.replicatefrom,
        "tags.failover_priority": config.tags.failover_priority,
        "tags.sync_priority": config.tags.sync_priority,
        **{f"tags.{name}": value for name, value in config.tags.extra.items()},
        "log.level": config.log.level,
        "log.format": config.log.format,
        "log.dir": config.log.dir,
        "log.file_size": config.log.file_size,
        "log.file_num": config.log.file_num,
        "log.loggers": dict(config.log.loggers),
        "log.static_fields": dict(config.log.static_fields),
    }


def _raft(raft: RaftConfig) -> Mapping[str, object]:
    return {
        "raft.self_addr": raft.self_addr,
        "raft.bind_addr": raft.bind_addr,
        "raft.partner_addrs": frozenset(raft.partner_addrs),
        "raft.data_dir": raft.data_dir,
        "raft.allow_tmpfs": raft.allow_tmpfs,
        "raft.key_file": raft.key_file,
        **_tls("raft.", raft.tls),
        "raft.keyfile_password": raft.tls.password if raft.tls else None,
    }


def _rest(rest: RestConfig) -> Mapping[str, object]:
    given = rest.authentication
    return {
        "restapi.listen": rest.listen,
        "restapi.connect_address": rest.connect_address,
        "restapi.authentication.username": given.username if given else None,
        "restapi.authentication.password": given.password if given else None,
        **_tls("restapi.", rest.tls),
        "restapi.verify_client": rest.verify_client,
        "restapi.allowlist": rest.allowlist,
        "restapi.allowlist_include_members": rest.allowlist_include_members,
        "restapi.authenticate_reads": rest.authenticate_reads,
        "restapi.request_queue_size": rest.request_queue_size,
        "restapi.keyfile_password": rest.tls.password if rest.tls else None,
        "restapi.ciphers": rest.ciphers,
        "restapi.http_extra_headers": dict(rest.http_extra_headers),
        "restapi.https_extra_headers": dict(rest.https_extra_headers),
        "restapi.server_tokens": rest.server_tokens,
        "restapi.patroni_metrics": rest.patroni_metrics,
    }


def _tls(prefix: str, files: TlsFiles | None) -> Mapping[str, object]:
    return {
        prefix + "cafile": files.cafile if files else None,
        prefix + "certfile": files.certfile if files else None,
        prefix + "keyfile": files.keyfile if files else None,
    }


def _postgresql(postgres: PostgresConfig | None) -> Mapping[str, object]:
    if postgres is None:
        return {}
    roles = postgres.authentication
    return {
        "postgresql.listen": (postgres.listen_hosts, postgres.port),
        "postgresql.connect_address": postgres.connect_address,
        "postgresql.data_dir": postgres.data_dir,
        "postgresql.proxy_address": postgres.proxy_address,
        "postgresql.bin_dir": postgres.bin_dir,
        **{BINARY + program: postgres.bin_name.get(program) for program in PROGRAMS},
        "postgresql.custom_conf": postgres.custom_conf,
        **_role("superuser", roles.superuser),
        **_role("replication", roles.replication),
        **_role("rewind", roles.rewind),
        SERVICE_NAME: roles.superuser.options.get("krbsrvname"),
        "postgresql.parameters": dict(postgres.parameters),
        "postgresql.pg_hba": postgres.pg_hba,
        "postgresql.pg_ident": postgres.pg_ident,
        "postgresql.basebackup": postgres.basebackup,
        "postgresql.create_replica_methods": postgres.copy_methods,
        "postgresql.diverged_wal_keep": postgres.diverged_wal_keep,
        "postgresql.take_over": postgres.take_over,
        **{PREFIX + callback: postgres.hooks.callbacks.get(callback) for callback in Callback},
        "postgresql.before_stop": postgres.hooks.before_stop,
        "postgresql.pre_promote": postgres.hooks.pre_promote,
    }


def _role(role: str, credentials: Credentials) -> Mapping[str, object]:
    prefix = f"{LOGINS}{role}."
    return {
        prefix + "username": credentials.username,
        prefix + "password": credentials.password,
        prefix + "sslpassword": credentials.key_password,
        **{prefix + key: credentials.options.get(key) for key in LIBPQ_KEYS},
    }
