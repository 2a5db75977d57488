"""Keys that people bring along from Patroni and that raftha does not have.

Each has an answer of its own. A key whose loss would change what the cluster does is refused; one
that has simply no work left to do is ignored with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Foreign(Struct, frozen=True):
    """The answer to a key: refused, or only a warning.

    A key whose value is one of `harmless` asks for nothing that raftha would not do, and passes
    without a word. One that is the old name of another key `means` that, and is read as it.
    """

    what: str
    remedy: str = ""
    refused: bool = True
    harmless: tuple[object, ...] = ()
    means: str = ""


_STORE: Final = Foreign(
    "raftha has its own key store and joins no other",
    "remove this section and describe the group under `raft`",
)
_LATER: Final = Foreign("not supported by this version", "remove it")


def _idle(what: str, remedy: str = "remove it") -> Foreign:
    return Foreign(f"ignored: {what}", remedy, refused=False)


def _old(name: str) -> Foreign:
    return Foreign(f"is the old name of {name}", f"write {name}", refused=False, means=name)


_BY_ROLE: Final = {
    f"postgresql.{what}_{role}": Foreign(
        f"{what} by role are not supported: any member may become the primary at any time",
        f"write postgresql.{what}, which holds in each role",
    )
    for what in ("parameters", "pg_hba", "pg_ident")
    for role in ("primary", "replica", "standby_leader")
}

NODE_FOREIGN: Final[Mapping[str, Foreign]] = {
    "etcd": _STORE,
    "etcd3": _STORE,
    "consul": _STORE,
    "zookeeper": _STORE,
    "exhibitor": _STORE,
    "kubernetes": _STORE,
    "citus": Foreign("Citus is not supported", "remove it"),
    "watchdog": _idle("the guardian process fences PostgreSQL without a watchdog device"),
    "thread_pool_size": _idle("raftha sizes its own threads"),
    "thread_stack_size": _idle("raftha sizes its own threads"),
    "raft.password": Foreign(
        "a shared password is not supported",
        "put a key into a file and name it in raft.key_file, or use certificates",
    ),
    "bootstrap.users": _idle("the section has no effect in Patroni 4 either", "use SQL"),
    "postgresql.pgpass": _idle("raftha has a password file of its own below raft.data_dir"),
    "postgresql.bin_name.postgres": Foreign(
        "the server is called postgres: so initdb and pg_rewind look for it, and the guardian",
        "remove it; a link of that name beside the other programs will do",
        harmless=("postgres",),
    ),
    "postgresql.bin_name.pg_ctl": _idle("raftha does not use pg_ctl"),
    "postgresql.bin_name.pg_isready": _idle("raftha does not use pg_isready"),
    "postgresql.config_dir": Foreign(
        "raftha writes PostgreSQL's configuration into the data directory",
        "remove it; a file there that is still wanted can be named in postgresql.custom_conf",
    ),
    "postgresql.pg_ctl_timeout": _idle("raftha does not use pg_ctl"),
    "postgresql.remove_data_directory_on_diverged_timelines": _idle(
        "a diverged directory is renamed and kept, and a new copy is made"
    ),
    "postgresql.remove_data_directory_on_rewind_failure": _idle(
        "a directory that cannot be rewound is renamed and kept, and a new copy is made"
    ),
    "postgresql.use_pg_rewind": Foreign(
        "belongs to the settings of the whole cluster",
        "move it to bootstrap.dcs.postgresql.use_pg_rewind",
    ),
    "postgresql.use_slots": Foreign(
        "belongs to the settings of the whole cluster",
        "move it to bootstrap.dcs.postgresql.use_slots",
    ),
    "postgresql.use_unix_socket": _idle("the agent always uses the Unix socket"),
    "postgresql.use_unix_socket_repl": _idle("the agent always uses the Unix socket"),
    **_BY_ROLE,
    "log.type": Foreign("the key has another name here", "write log.format: plain or json"),
    "log.mode": _idle(
        "the umask of the agent says who may read its log", "remove it, or set UMask= in the unit"
    ),
    "log.max_queue_size": _idle("raftha bounds its own queue"),
    "log.dateformat": _idle("the time is written as ISO 8601 in UTC"),
    "log.traceback_level": _idle("tracebacks follow log.level"),
    "log.deduplicate_heartbeat_logs": _idle("repeated facts are always limited"),
}

DYNAMIC_FOREIGN: Final[Mapping[str, Foreign]] = {
    "failsafe_mode": _idle("the members are the voters, so there is no outside store to lose"),
    "check_timeline": _idle("the ancestry of a candidate is always checked"),
    "master_start_timeout": _old("primary_start_timeout"),
    "master_stop_timeout": _old("primary_stop_timeout"),
    "max_timelines_history": _idle(
        "the last 41 promotions are kept, by which it is judged who may follow without a copy"
    ),
    "primary_race_backoff": Foreign(
        "ignored: a standby cuts the old stream before its position counts, so there is nothing"
        " to wait for",
        "remove it",
        refused=False,
        harmless=(0,),
    ),
    "standby_cluster": _LATER,
    **_BY_ROLE,
}

OLD_NAMES: Final[Mapping[str, str]] = {
    old: answer.means for old, answer in DYNAMIC_FOREIGN.items() if answer.means
}
"""Of settings that have another name today, which their old one still means."""
