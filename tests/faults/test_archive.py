"""A rewind that needs WAL which the directory has no more: it is fetched from the archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from raftha.model.postgres import Binaries
from raftha.pg import rewind
from raftha.pg.timeline import Relation
from tests.integration.pg_support import (
    PRIMARY,
    attach,
    caught_up,
    first_primary,
    ids,
    is_streaming,
    nodes,
    standby_of,
    until,
)
from tests.integration.test_pg_rejoin import old_primary_diverges

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]


def test_a_rewind_fetches_from_the_archive_what_was_recycled(
    binaries: Binaries, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    with nodes(binaries, "n1", "n2") as (n1, n2):
        n1.set(
            archive_mode="on",
            archive_command=f"cp %p {archive}/%f",
            restore_command=f"cp {archive}/%f %p",
            wal_keep_size="0",
            max_wal_size="32MB",
        )
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        old_primary_diverges(n1, n2, "fast")
        n1.set(max_slot_wal_keep_size="1MB")
        n1.start(PRIMARY)
        ((fork,),) = n1.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
        for number in range(6):
            n1.sql(f"INSERT INTO public.t VALUES ({1000 + number})")
            n1.sql("SELECT pg_switch_wal()")
            n1.instance.checkpoint(30.0)
        n1.stop("fast")
        assert not (n1.config.data_dir / "pg_wal" / str(fork)).exists()
        assert (archive / str(fork)).exists()

        n2.instance.create_slot("n1")
        source = n2.upstream_for("n1", "n1")
        comparison = rewind.compare(n1.job(), source, system_id)
        assert comparison.relation is Relation.DIVERGED
        rewind.rewind(n1.job(), source, comparison)
        n1.start(standby_of(source))
        until(lambda: is_streaming(n1) and caught_up(n2, n1))
        assert ids(n1) == ids(n2) == [200]
