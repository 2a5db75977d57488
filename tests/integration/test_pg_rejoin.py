"""Diverged directories and timelines on real servers. See `pg_support` for how to run it."""

from __future__ import annotations

import pytest

from raftha.errors import (
    CommandFailed,
)
from raftha.model.ids import Timeline
from raftha.model.postgres import Binaries
from raftha.pg import clone, rewind
from raftha.pg.timeline import Relation
from tests.integration.pg_support import (
    PRIMARY,
    Node,
    attach,
    caught_up,
    first_primary,
    ids,
    is_root,
    is_streaming,
    nodes,
    standby_of,
    until,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(is_root(), reason="PostgreSQL refuses root: run as another user"),
]


def old_primary_diverges(primary: Node, standby: Node, how: str) -> None:
    """The standby takes over; the old primary then writes what nobody else has."""
    standby.instance.configure(standby_of(None))
    standby.instance.reload(5.0)
    standby.instance.cut_stream(5.0)
    standby.promote()
    standby.instance.configure(PRIMARY)
    standby.instance.reload(5.0)
    primary.sql("INSERT INTO public.t VALUES (100)")
    primary.stop(how)
    standby.sql("INSERT INTO public.t VALUES (200)")
    standby.instance.checkpoint(30.0)


@pytest.mark.smoke
@pytest.mark.parametrize("how", ["fast", "crash"])
def test_a_diverged_primary_is_rewound(binaries: Binaries, how: str) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        old_primary_diverges(n1, n2, how)
        source = n2.upstream_for("n1", "n1")
        n2.instance.create_slot("n1")

        comparison = rewind.compare(n1.job(), source, system_id)
        assert (comparison.relation, comparison.was_primary) == (Relation.DIVERGED, True)
        kept = rewind.rewind(n1.job(), source, comparison).kept

        assert kept is not None
        assert any(len(path.name) == 24 for path in kept.iterdir())
        assert n1.instance.inspect().problem is None
        n1.start(standby_of(source))
        until(lambda: is_streaming(n1) and caught_up(n2, n1))
        assert ids(n1) == ids(n2) == [200]
        assert n1.instance.status(2.0).timeline == 2


@pytest.mark.smoke
def test_a_standby_that_only_stopped_needs_no_rewind(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        for how in ("fast", "crash"):
            n1.sql("INSERT INTO public.t SELECT coalesce(max(id), 0) + 1 FROM public.t")
            until(lambda: caught_up(n1, n2))
            n2.stop(how)
            n1.sql("INSERT INTO public.t SELECT max(id) + 1 FROM public.t")
            upstream = n1.upstream_for("n2", "n2")
            found = rewind.compare(n2.job(), upstream)
            assert (found.relation, found.was_primary) == (Relation.FOLLOWS, False)
            n2.start(standby_of(upstream))
            until(lambda: is_streaming(n2))


@pytest.mark.smoke
@pytest.mark.parametrize("how", ["fast", "crash"])
def test_a_standby_that_received_what_was_lost_is_rewound(binaries: Binaries, how: str) -> None:
    """It replayed nothing of it, so pg_rewind alone would say that no rewind is required."""
    with nodes(binaries, "n1", "n2", "n3") as (n1, n2, n3):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        attach(n1, n3, system_id)
        n2.instance.configure(standby_of(None))
        n2.instance.reload(5.0)
        n2.instance.cut_stream(5.0)
        n3.sql("SELECT pg_catalog.pg_wal_replay_pause()")
        n1.sql("INSERT INTO public.t VALUES (100)")
        goal = n1.instance.flush_position(2.0)
        until(lambda: (n3.instance.status(2.0).received or goal) >= goal)
        n3.stop(how)
        n1.stop("crash")
        n2.promote()
        n2.instance.configure(PRIMARY)
        n2.instance.checkpoint(30.0)
        n2.sql("INSERT INTO public.t VALUES (200)")
        n2.instance.create_slot("n3")
        source = n2.upstream_for("n3", "n3")

        comparison = rewind.compare(n3.job(), source, system_id)
        assert comparison.relation is Relation.DIVERGED
        rewind.rewind(n3.job(), source, comparison)

        n3.start(standby_of(source))
        until(lambda: is_streaming(n3) and caught_up(n2, n3))
        assert ids(n3) == [200]


def test_a_directory_that_cannot_be_rewound_is_replaced_and_kept(binaries: Binaries) -> None:
    with nodes(binaries, "n1", "n2") as (n1, n2):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        old_primary_diverges(n1, n2, "fast")
        source = n2.upstream_for("n1", "n1")
        n2.instance.create_slot("n1")
        comparison = rewind.compare(n1.job(), source)
        n2.sql('ALTER ROLE "re""wind%er" NOLOGIN')
        with pytest.raises(CommandFailed, match="pg_rewind"):
            rewind.rewind(n1.job(), source, comparison)
        problem = n1.instance.inspect().problem
        assert problem is not None
        assert "did not end" in problem

        clone.clone(n1.job(stamp="S"), source, system_id)

        assert n1.instance.layout.diverged("S").joinpath("PG_VERSION").exists()
        assert n1.instance.inspect().problem is None
        n1.start(standby_of(source))
        until(lambda: is_streaming(n1) and caught_up(n2, n1))
        assert ids(n1) == [200]


def test_who_was_away_over_a_burned_timeline_can_follow(binaries: Binaries) -> None:
    """A receiver wants a file of each number in between. The one that was reserved for the burned
    number goes when the primary starts as a standby, and the next promotion has no need of it."""
    with nodes(binaries, "n1", "n2", "n3") as (n1, n2, n3):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        attach(n1, n3, system_id)
        n3.stop()
        n1.stop()
        n2.instance.place_history_files(Timeline(1), (Timeline(2),))
        n2.promote()
        n2.instance.create_slot("n3")
        n2.stop()
        n2.start(standby_of(None))
        n2.instance.place_history_files(Timeline(3), ())
        n2.promote()
        assert n2.instance.status(2.0).timeline == 4

        n3.start(standby_of(n2.upstream_for("n3", "n3")))
        until(lambda: is_streaming(n3) and n3.instance.status(2.0).timeline == 4)

        n2.stop("crash")
        for number in (2, 3):
            (n2.config.data_dir / "pg_wal" / f"{number:08X}.history").unlink()
        n2.start(PRIMARY)
        n3.stop()
        for number in (2, 3):
            (n3.config.data_dir / "pg_wal" / f"{number:08X}.history").unlink(missing_ok=True)
        n3.start(standby_of(n2.upstream_for("n3", "n3")))
        until(lambda: is_streaming(n3) and caught_up(n2, n3))


@pytest.mark.smoke
def test_burned_timelines_are_skipped_and_followed(binaries: Binaries) -> None:
    """R25, and that a standby restarts although the reservations are there."""
    with nodes(binaries, "n1", "n2", "n3") as (n1, n2, n3):
        system_id = first_primary(n1)
        attach(n1, n2, system_id)
        attach(n1, n3, system_id)
        n1.stop()
        burned = (Timeline(2), Timeline(3))
        n2.instance.place_history_files(Timeline(1), burned)
        n2.stop()
        upstream = n1.upstream_for("n2", "n2")
        n2.start(standby_of(upstream))
        assert n2.instance.place_history_files(Timeline(1), burned) == burned

        n2.promote()

        assert n2.instance.status(2.0).timeline == 4
        n2.instance.create_slot("n3")
        n3.instance.configure(standby_of(n2.upstream_for("n3", "n3")))
        n3.instance.reload(5.0)
        until(lambda: is_streaming(n3) and n3.instance.status(2.0).timeline == 4)
        n3.instance.configure(standby_of(None))
        n3.instance.reload(5.0)
        n3.instance.cut_stream(5.0)
        assert n3.instance.status(2.0).timeline == 4, "without a receiver it must still be known"
        for how in ("crash", "fast"):
            n3.stop(how)
            n3.start(standby_of(n2.upstream_for("n3", "n3")))
            n2.sql("INSERT INTO public.t SELECT count(*) FROM public.t")
            until(lambda: is_streaming(n3) and caught_up(n2, n3))
