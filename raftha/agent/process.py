"""What the process of a member and of a witness do alike: exit codes, signals, opening the store.

Knows nothing of PostgreSQL: a witness is to stay small.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import NoReturn

from raftha.account import own_name
from raftha.agent.notify import ServiceManager
from raftha.agent.timers import Timers
from raftha.clock import Clock
from raftha.consensus.node import RaftNode
from raftha.consensus.opening import open_store
from raftha.consensus.visiting import Visitors
from raftha.errors import ConfigError, Problem, RafthaError
from raftha.logs import LogFile, event, set_up
from raftha.metrics import Metrics
from raftha.model.settings import NodeConfig

LOG = logging.getLogger(__name__)

EXIT_USAGE = 2
EXIT_FATAL = 70


def run_directory(config: NodeConfig) -> Path:
    """Where sockets, logs and the password file lie: outside of what a re-clone exchanges."""
    return config.raft.data_dir.resolve() / "run"


def guardian_socket(run_dir: Path) -> Path:
    """Where the guardian of a member answers."""
    return run_dir / "guardian.sock"


def begin_log(config: NodeConfig) -> None:
    """Log as the file says. Raises ConfigError where the log cannot be written."""
    log, file = config.log, None
    if log.dir is not None:
        file = LogFile(log.dir / f"{config.name}.log", log.file_size, log.file_num)
    try:
        set_up(log.level, log.format, file=file, levels=log.loggers, fields=log.static_fields)
    except OSError as error:
        what = f"{log.dir} takes no log: {error.strerror or error}"
        remedy = f"make it, and give it to {own_name()}"
        raise ConfigError([Problem("log.dir", what, remedy)]) from error


def refused(error: RafthaError) -> int:
    """Tell the user what to correct; the exit code for it."""
    print(f"raftha: {error}", file=sys.stderr)
    return EXIT_USAGE


def fatal(reason: str) -> NoReturn:
    """End the process at once: nothing may be sent or believed after this."""
    event(LOG, logging.CRITICAL, "fatal", why=reason)
    logging.shutdown()
    os._exit(EXIT_FATAL)


def begin_anew(reason: str) -> NoReturn:
    """Put this very program in place of this process: the next one puts the Raft directory aside.
    The guardian keeps PostgreSQL until its deadline and is found again, as after any restart."""
    event(LOG, logging.WARNING, "agent begins anew", why=reason)
    logging.shutdown()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError as error:
        fatal(f"{reason}; and the agent cannot be started again: {error}")


def open_node(
    config: NodeConfig,
    clock: Clock,
    metrics: Metrics,
    timers: Timers,
    *,
    witness: bool,
    visitors: Visitors | None = None,
) -> RaftNode:
    """The voter of this node, at rest. Raises ConfigError or StorageFailed."""
    return open_store(
        scope=config.scope,
        name=config.name,
        config=config.raft,
        timings=timers.choose,
        clock=clock,
        random=Random(),  # seeded by the operating system
        witness=witness,
        fatal=fatal,
        begin_anew=begin_anew,
        visitors=visitors,
        api_url=config.restapi.url,
        synced=metrics.synced,
    )


def on_signals(
    stop: Callable[[], None], reload: Callable[[], None], manager: ServiceManager
) -> None:
    """SIGTERM and SIGINT stop, SIGHUP reloads; each on a thread of its own. The service manager is
    told.

    A handler runs in the midst of whatever the main thread does. If that holds a lock which the
    handler needs, as an event that is just being waited for does, neither ever goes on."""

    def stop_and_tell() -> None:
        manager.stopping()
        stop()

    def reload_and_tell() -> None:
        manager.reloading()
        try:
            reload()
        finally:
            manager.reloaded()

    def on_stop(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=stop_and_tell, name="stop", daemon=True).start()

    def on_reload(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=reload_and_tell, name="reload", daemon=True).start()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, on_reload)
