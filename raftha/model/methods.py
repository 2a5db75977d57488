"""Programs of the operator's that fill a data directory, in place of initdb or pg_basebackup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

INITDB: Final = "initdb"
BASEBACKUP: Final = "basebackup"
"""The methods that are always there."""


class Method(Struct, frozen=True, kw_only=True):
    """One section of `bootstrap` or `postgresql` that has a command.

    `command` is given by its words, and is called with `arguments` as they are written. `no_params`
    says that it is told nothing else. Of a bootstrap: `recovery` are the settings of the recovery
    that follows it, `keeps_recovery` that those that it leaves in the directory count as well. Of a
    copy: it can do without a source where `no_leader` says so.
    """

    name: str
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    no_params: bool = False
    no_leader: bool = False
    recovery: Mapping[str, str] = field(default_factory=dict)
    keeps_recovery: bool = False

    @property
    def is_basebackup(self) -> bool:
        return not self.command

    def words(self, **facts: str) -> list[str]:
        """The command line, with these facts as options."""
        told = [] if self.no_params else [f"--{name}={value}" for name, value in facts.items()]
        return [*self.command, *told, *self.arguments]


TARGETS: Final = (
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
)

RECOVERY_SETTINGS: Final = frozenset(
    {
        *TARGETS,
        "archive_cleanup_command",
        "recovery_end_command",
        "recovery_target_action",
        "recovery_target_inclusive",
        "recovery_target_timeline",
        "restore_command",
    }
)
"""What `recovery_conf` of a bootstrap may hold: PostgreSQL's settings that end with a recovery."""
