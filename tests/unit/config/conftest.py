"""A node's file that is right, to be spoilt in one place, and the way to load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from raftha.config.load import Loaded, load
from raftha.errors import ConfigError

GOOD = """\
scope: demo
name: n1
raft:
  self_addr: 127.0.0.1:7001
  partner_addrs: ["127.0.0.1:7002", "127.0.0.1:7003"]
  data_dir: raft
restapi:
  listen: 127.0.0.1:8008
postgresql:
  listen: 127.0.0.1:5432
  data_dir: data
"""

Load = Callable[..., Loaded]
Refusals = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a text as the file node.yml."""

    def load_it(
        text: str, environ: Mapping[str, str] | None = None, witness: bool = False
    ) -> Loaded:
        path = tmp_path / "node.yml"
        path.write_text(text)
        path.chmod(0o600)
        return load(path, environ or {}, witness=witness)

    return load_it


@pytest.fixture
def refusals(load_text: Load) -> Refusals:
    """The problems of a text, as people read them."""

    def refuse(
        text: str, environ: Mapping[str, str] | None = None, witness: bool = False
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ, witness)
        return [str(problem) for problem in caught.value.problems]

    return refuse


@pytest.fixture
def good() -> str:
    return GOOD
