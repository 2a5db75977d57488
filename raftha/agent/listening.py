"""A server that runs keeps the port that it was started with, whatever its node's file says since:
an agent that is started beside it goes on there, or it would never find it."""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec.structs import replace

from raftha.logs import event
from raftha.model.settings import Address, NodeConfig
from raftha.pg.directory import running_port, stranger
from raftha.pg.layout import Layout

LOG = logging.getLogger(__name__)


def at_its_port(config: NodeConfig, run_dir: Path) -> NodeConfig:
    """The settings with the port, and the address that goes with it, of the server that an earlier
    agent left running; one that is to be taken over is started anew where the file says."""
    postgres = config.postgresql
    if postgres is None:
        return config
    port = running_port(postgres.data_dir)
    is_stranger = stranger(Layout(data_dir=postgres.data_dir, run_dir=run_dir)) is not None
    if is_stranger or port is None or port == postgres.port:
        return config
    event(LOG, logging.WARNING, "the server keeps its port", port=port, wanted=postgres.port)
    announced = postgres.connect_address
    if announced.port == postgres.port:
        announced = Address(announced.host, port)
    return replace(config, postgresql=replace(postgres, port=port, connect_address=announced))
