"""Whether PostgreSQL's minor release may be used in synchronous mode (R18).

Refused at the start of an agent, where whoever starts it reads why; a server that runs already is
left running, and told of.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.errors import ConfigError
from raftha.ha.situation import Situation
from raftha.model.postgres import Binaries
from raftha.model.report import Notice
from raftha.model.settings import NodeConfig, SynchronousMode
from raftha.model.trouble import Trouble
from raftha.pg import versions

_SET_OFF = ", or give up what it promises: bootstrap.dcs.synchronous_mode: off"


def refuse_unsafe(config: NodeConfig, binaries: Binaries) -> None:
    """Raises ConfigError where the file asks for synchronous mode on such a release."""
    if config.bootstrap.dynamic.synchronous_mode is SynchronousMode.OFF:
        return
    problem = versions.synchronous_problem(versions.number(binaries))
    if problem is not None:
        raise ConfigError([replace(problem, remedy=problem.remedy + _SET_OFF)])


def of_server(s: Situation) -> tuple[Notice, ...]:
    """What is to be said of the server that runs here."""
    server = s.server
    if server is None or s.config.synchronous_mode is SynchronousMode.OFF:
        return ()
    problem = versions.synchronous_problem(server.version)
    if problem is None:
        return ()
    return (
        Notice(code=Trouble.UNSAFE_RELEASE, subject=s.me, what=problem.what, remedy=problem.remedy),
    )
