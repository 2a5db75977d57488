"""Looks at how the users of PostgreSQL log in elsewhere, before it is relied on."""

from __future__ import annotations

import logging

from raftha.errors import ConfigError
from raftha.logs import event
from raftha.model.settings import Authentication
from raftha.pg.directory import running_pid
from raftha.pg.instance import Instance
from raftha.pg.login_files import require_logins

LOG = logging.getLogger(__name__)


def look_at_logins(instance: Instance, authentication: Authentication) -> None:
    """Raises ConfigError with all that keeps them from connecting."""
    require_logins(
        authentication, lambda: instance.binaries(instance.inspect().major), instance.clock
    )


def look_at_start(instance: Instance) -> None:
    """The same; but beside a server that runs it is only told: without an agent that one would be
    stopped, and it may be a primary that needs no login elsewhere."""
    try:
        look_at_logins(instance, instance.config.authentication)
    except ConfigError as error:
        if running_pid(instance.config.data_dir) is None:
            raise
        for problem in error.problems:
            event(LOG, logging.ERROR, "no login elsewhere", option=problem.where, why=problem.what)
