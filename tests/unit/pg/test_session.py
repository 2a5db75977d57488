"""What a session says of a server that it does not reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.errors import PostgresUnavailable
from raftha.pg.session import Session
from tests.unit.exhaustion import no_handle


def test_a_want_of_file_handles_is_told_though_libpq_does_not(tmp_path: Path) -> None:
    """A named user, so that libpq looks nobody up: it gets as far as the socket."""
    session = Session({"host": str(tmp_path), "port": "5432", "user": "raftha"}, SystemClock())
    with no_handle(), pytest.raises(PostgresUnavailable, match="Too many open files"):
        session.query("SELECT 1", (), timeout=1.0)
