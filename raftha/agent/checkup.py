"""What would keep a node from starting on this machine, looked for without making anything.

Ports and locks are left out: a node that runs already has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from raftha.account import own_name
from raftha.agent.build import build_instance
from raftha.agent.logins import look_at_logins
from raftha.agent.programs import absent
from raftha.agent.release import refuse_unsafe
from raftha.api.tls import server_context
from raftha.clock import Clock
from raftha.consensus.medium import check_medium
from raftha.consensus.security import choose
from raftha.errors import ConfigError, Problem, RafthaError
from raftha.model.settings import NodeConfig, PostgresConfig


def checkup(config: NodeConfig, clock: Clock) -> tuple[Problem, ...]:
    """The obstacles for the user who asks; another may meet fewer or more."""
    raft, rest = config.raft, config.restapi
    looks: list[Callable[[], object]] = [
        lambda: check_medium(raft.data_dir, allow_tmpfs=raft.allow_tmpfs),
        lambda: choose(raft, config.name, clock),
    ]
    if (files := rest.tls) is not None:
        looks.append(lambda: server_context(files, rest.verify_client, rest.ciphers))
    postgres = config.postgresql
    if postgres is not None:
        looks += [
            lambda: _look_for_binaries(config, postgres, clock),
            lambda: look_at_custom_conf(postgres),
            lambda: _look_at_place(postgres.data_dir),
            lambda: _look_for_programs(config, postgres),
        ]
    found: list[Problem] = []
    for look in looks:
        try:
            look()
        except ConfigError as error:
            found += error.problems
        except RafthaError as error:
            found.append(Problem(str(config.name), str(error)))
    return tuple(found)


def look_at_custom_conf(postgres: PostgresConfig) -> None:
    """Raises ConfigError if `custom_conf` cannot be read: PostgreSQL would go on without it, and
    nobody would notice."""
    path = postgres.custom_conf
    if path is None or (path.is_file() and os.access(path, os.R_OK)):
        return
    what = f"{path} is not a file that user {own_name()} can read"
    remedy = "make it on every node, or remove the key: then postgresql.base.conf is included"
    raise ConfigError([Problem("postgresql.custom_conf", what, remedy)])


def _look_for_binaries(config: NodeConfig, postgres: PostgresConfig, clock: Clock) -> None:
    instance = build_instance(config, postgres, config.raft.data_dir / "run", clock)
    refuse_unsafe(config, instance.binaries(instance.inspect().major))
    look_at_logins(instance, postgres.authentication)


def _look_for_programs(config: NodeConfig, postgres: PostgresConfig) -> None:
    problems = tuple(absent(postgres, config.bootstrap))
    if problems:
        raise ConfigError(problems)


def _look_at_place(data_dir: Path) -> None:
    """Raises ConfigError where no copy could be made beside the data directory."""
    beside = data_dir.absolute().parent
    ground = next((path for path in (beside, *beside.parents) if path.exists()), beside)
    if not os.access(ground, os.W_OK | os.X_OK):
        what = f"{ground} cannot be written by user {own_name()}"
        remedy = f"make {beside} and give it to {own_name()}: copies are made in it"
        raise ConfigError([Problem("postgresql.data_dir", what, remedy)])
