"""The options of a node's file: what belongs to one machine.

The settings of the whole cluster are declared in `schema`; here they appear below `bootstrap.dcs`.
"""

from __future__ import annotations

from typing import Final

from raftha.config.ctl_options import CTL_OPTIONS
from raftha.config.hook_options import HOOK_OPTIONS
from raftha.config.log_options import LOG_OPTIONS
from raftha.config.login_options import LOGIN_OPTIONS
from raftha.config.method_options import METHOD_OPTIONS
from raftha.config.program_options import PROGRAM_OPTIONS
from raftha.config.rest_options import REST_OPTIONS
from raftha.config.schema import (
    DYNAMIC_OPTIONS,
    Kind,
    Option,
    Reload,
    embedded,
    embedded_foreign,
    schema,
)


def _option(
    path: str,
    kind: Kind,
    reload: Reload,
    doc: str,
    default: str = "",
    words: tuple[str, ...] = (),
) -> Option:
    return Option(path=path, kind=kind, reload=reload, doc=doc, default=default, words=words)


def _required(path: str, kind: Kind, reload: Reload, doc: str) -> Option:
    return Option(path=path, kind=kind, reload=reload, doc=doc, required=True)


def _tag_number(path: str, doc: str) -> Option:
    return Option(
        path=path,
        kind=Kind.INTEGER,
        reload=Reload.RELOAD,
        doc=doc,
        default="1",
        minimum=0,
        maximum=2**31 - 1,
    )


_IDENTITY: Final = (
    _required(
        "scope",
        Kind.NAME,
        Reload.AGENT_RESTART,
        "The name of the cluster, the same on every node.",
    ),
    _required(
        "name",
        Kind.NAME,
        Reload.AGENT_RESTART,
        "The name of this node, unique in the cluster without regard to case: at most 63 letters,"
        " digits, dots, dashes and underscores, not beginning with a dash.",
    ),
    _option(
        "namespace",
        Kind.TEXT,
        Reload.AGENT_RESTART,
        "Accepted from Patroni files. raftha keeps its keys below `/raftha` whatever it says,"
        " and warns if it says something else.",
        default="/raftha",
    ),
)

_RAFT: Final = (
    _required(
        "raft.self_addr",
        Kind.ADDRESS,
        Reload.AGENT_RESTART,
        "The address at which the other nodes reach the Raft port of this one.",
    ),
    _option(
        "raft.bind_addr",
        Kind.BIND,
        Reload.AGENT_RESTART,
        "The address to listen on, where it differs from the advertised one.",
        default="raft.self_addr",
    ),
    _option(
        "raft.partner_addrs",
        Kind.ADDRESSES,
        Reload.AGENT_RESTART,
        "The Raft addresses of the other nodes. This node's own may be among them, so that all"
        " nodes can share one list. At the birth of a cluster they are its voters, and the lists"
        " of all nodes must agree; later they are only addresses to dial.",
        default="none",
    ),
    _required(
        "raft.data_dir",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "The directory of the Raft journal. Keep it outside PostgreSQL's data directory, on a disk"
        " with a quick fsync.",
    ),
    _option(
        "raft.allow_tmpfs",
        Kind.BOOLEAN,
        Reload.AGENT_RESTART,
        "For tests: accept a `raft.data_dir` on tmpfs or ramfs. A restart of the machine empties"
        " it, and a node that forgot its votes can vote twice.",
        default="false",
    ),
    _option(
        "raft.key_file",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "A file with a secret key that all nodes share. Use this or certificates.",
        default="none",
    ),
    _option(
        "raft.cafile",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "The certificate authority of the nodes' certificates.",
        default="none",
    ),
    _option(
        "raft.certfile",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "The certificate of this node; it must carry the node's name, as its common name or as a"
        " DNS name. The content of these three files is read anew when it changes; another path"
        " needs a restart.",
        default="none",
    ),
    _option(
        "raft.keyfile",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "The private key of that certificate.",
        default="none",
    ),
    _option(
        "raft.keyfile_password",
        Kind.SECRET,
        Reload.RELOAD,
        "The password of `raft.keyfile`, where that is encrypted. For a new key with another"
        " password put the key in its place first, then write its password here and reload: until"
        " then the links go on with the old one.",
        default="none",
    ),
)

_POSTGRESQL: Final = (
    _required(
        "postgresql.listen",
        Kind.LISTEN,
        Reload.AGENT_RESTART,
        "The hosts that PostgreSQL listens on and its port, as in `127.0.0.1,10.0.0.1:5432` or"
        " `*:5432`. The port may be left out if it is 5432. A server that runs keeps its port, and"
        " its hosts until it is restarted: stop the agent, which stops its server, then start it.",
    ),
    _option(
        "postgresql.connect_address",
        Kind.ADDRESS,
        Reload.RELOAD,
        "The address at which clients and standbys reach PostgreSQL.",
        default="the first host of postgresql.listen, where that is a concrete one",
    ),
    _option(
        "postgresql.proxy_address",
        Kind.ADDRESS,
        Reload.RELOAD,
        "The address of a connection pool beside PostgreSQL. It is only told: as `proxy_url` in the"
        " member's record and in `/cluster`, and by `raftha status -e`.",
        default="none",
    ),
    _required(
        "postgresql.data_dir",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "PostgreSQL's data directory.",
    ),
    *PROGRAM_OPTIONS,
    _option(
        "postgresql.custom_conf",
        Kind.PATH,
        Reload.AGENT_RESTART,
        "A configuration file of PostgreSQL that is included in the place of"
        " `postgresql.base.conf`, before what raftha writes, which wins.",
        default="`postgresql.base.conf` in the data directory, if it is there",
    ),
    *LOGIN_OPTIONS,
    _option(
        "postgresql.parameters",
        Kind.PARAMETERS,
        Reload.RELOAD,
        "Parameters of PostgreSQL for this node only; they win over those of the cluster.",
        default="none",
    ),
    _option(
        "postgresql.recovery_conf",
        Kind.PARAMETERS,
        Reload.RELOAD,
        "Accepted as Patroni has it: another place for `parameters` of recovery, such as"
        " `restore_command`; the same name under `parameters` wins.",
        default="none",
    ),
    _option(
        "postgresql.pg_hba",
        Kind.LINES,
        Reload.RELOAD,
        "Lines of pg_hba.conf for this node only.",
        default="none",
    ),
    _option(
        "postgresql.pg_ident",
        Kind.LINES,
        Reload.RELOAD,
        "Lines of pg_ident.conf for this node only.",
        default="none",
    ),
    _option(
        "postgresql.basebackup",
        Kind.BASEBACKUP,
        Reload.AGENT_RESTART,
        "Options for pg_basebackup, as `- max-rate: 100M` or `- waldir: /wal/n1`. A `waldir` that"
        " is in use is left alone, and the WAL of the copy lies beside it.",
        default="none",
    ),
    Option(
        path="postgresql.diverged_wal_keep",
        kind=Kind.INTEGER,
        reload=Reload.AGENT_RESTART,
        doc="How many bytes of undone WAL are kept beside the data directory. Above that the oldest"
        " of it is removed; the newest stays in any case.",
        default="all of it",
        minimum=0,
        maximum=2**63 - 1,
    ),
    Option(
        path="postgresql.take_over",
        kind=Kind.BOOLEAN,
        reload=Reload.AGENT_RESTART,
        doc="A server that somebody else started on `data_dir`, which was never part of a raftha"
        " cluster, is stopped (fast shutdown) once the cluster can use it, and started again at"
        " once under a guardian. Otherwise the agent does not start beside it.",
        default="off",
    ),
)

_BOOTSTRAP: Final = (
    _option(
        "bootstrap.initdb",
        Kind.INITDB,
        Reload.BOOTSTRAP,
        "Options for initdb, as `- data-checksums` or `- encoding: UTF8`.",
        default="none",
    ),
    _option(
        "bootstrap.pg_hba",
        Kind.LINES,
        Reload.BOOTSTRAP,
        "Accepted from Patroni files: another way to write bootstrap.dcs.postgresql.pg_hba.",
        default="none",
    ),
    *embedded(DYNAMIC_OPTIONS),
)


def _tag(path: str, doc: str) -> Option:
    return _option(path, Kind.BOOLEAN, Reload.RELOAD, doc, default="false")


_TAGS: Final = (
    _tag("tags.nofailover", "Never promote this node."),
    _tag("tags.nosync", "Never count this node as a synchronous standby."),
    _tag(
        "tags.nostream",
        "Have this node get its WAL by `restore_command` alone, and never stream. It is not"
        " promoted, no commit waits for it, and no slot is kept for it. No effect while it leads.",
    ),
    _tag("tags.noloadbalance", "Answer 503 to `/replica`, so that balancers leave it out."),
    _tag("tags.clonefrom", "Prefer this node as the source of new copies while it streams."),
    _option(
        "tags.replicatefrom",
        Kind.NAME,
        Reload.RELOAD,
        "The member to stream from while that one gets WAL itself; else it is the leader. Such a"
        " node is no synchronous standby.",
        default="none",
    ),
    _tag_number(
        "tags.failover_priority",
        "Among standbys that hold the same WAL the highest is promoted; 0 means never.",
    ),
    _tag_number(
        "tags.sync_priority",
        "The highest are chosen first as synchronous standbys; 0 means never.",
    ),
)

NODE_SCHEMA: Final = schema(
    (
        *_IDENTITY,
        *_RAFT,
        *REST_OPTIONS,
        *CTL_OPTIONS,
        *_POSTGRESQL,
        *HOOK_OPTIONS,
        *METHOD_OPTIONS,
        *_BOOTSTRAP,
        *_TAGS,
        *LOG_OPTIONS,
    ),
    embedded_foreign(),
    open_sections=frozenset({"tags"}),
    takes_methods=True,
)
"""A node's file. Any further key below `tags` is a tag of the user's own."""
