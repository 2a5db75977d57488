"""R21: a stream counts for a member only if it is the one that the member says is its own."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Configure, EndDoubles, Submit
from raftha.ha.explain import problems
from raftha.ha.memory import Memory
from raftha.ha.plans import names_for, primary_plan, standby_plan
from raftha.ha.streams import as_members, as_streams, doubled, strangers, stream_name
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.postgres import ServerStatus
from raftha.model.report import Level
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.servers import N1, N2, N3

N2_STREAM = "n2@0123abcd"
N3_STREAM = "n3@89abcdef"


def named() -> Cluster:
    """n1 leads; n2 and n3 have said how their streams are called."""
    two, three = b.member(N2, stream=N2_STREAM), b.member(N3, stream=N3_STREAM)
    return b.cluster(members=b.members(two, three))


def serving(*streams: str, names: str = f'1 ("{N2_STREAM}")') -> ServerStatus:
    """What the primary tells, with these streams attached."""
    attached = tuple(
        replace(pg.attached(N2), application_name=stream, pid=number)
        for number, stream in enumerate(streams)
    )
    return pg.primary(attached=attached, synchronous_standby_names=names)


def told(*streams: str, names: str = f'1 ("{N2_STREAM}")') -> ServerStatus:
    return as_members(serving(*streams, names=names), named())


def attached(server: ServerStatus) -> list[str]:
    return [row.application_name for row in server.attached]


def test_a_stream_is_called_after_the_member_and_the_identity_of_its_raft_directory() -> None:
    assert stream_name(N2, "0123abcd-4567") == N2_STREAM
    assert stream_name(N2, "") == "n2"
    first, second = (stream_name(MemberName("n" * 63), letter * 16) for letter in "ab")
    assert len(first) == len(second) == 63, "PostgreSQL would cut what is longer"
    assert first != second


def test_a_standby_streams_under_the_name_that_it_announces() -> None:
    me = b.identity(stream="n1@77")
    view = b.following(me=me)
    decision = b.decided(view, Memory())
    upstream = b.only(decision, Configure).plan.upstream

    assert upstream is not None
    assert upstream.application_name == "n1@77"
    (announced,) = [a for a in decision.actions if isinstance(a, Submit) and a.intent == "member"]
    assert b'"stream":"n1@77"' in announced.command.writes[0].value  # type: ignore[union-attr]
    plain = standby_plan(view.cluster, b.identity(), b.member(N2)).upstream
    assert plain is not None
    assert plain.application_name == "n1"


def test_the_setting_names_exactly_the_stream_that_the_member_announced() -> None:
    plan = primary_plan(named(), b.identity(), names_for(N2))
    assert plan.synchronous_standby_names == f'1 ("{N2_STREAM}")'

    older = primary_plan(b.cluster(), b.identity(), names_for(N2))
    assert older.synchronous_standby_names == '1 ("n2")'


def test_decisions_speak_of_members() -> None:
    server = told(N2_STREAM, N3_STREAM.upper(), "pg_receivewal")

    assert server.synchronous_standby_names == names_for(N2)
    assert attached(server) == ["n2", "n3", "pg_receivewal"]
    assert (strangers(server), doubled(server)) == ((), ())


def test_a_stream_that_only_calls_itself_like_a_member_is_a_strangers() -> None:
    """As pg_receivewal --synchronous could, or the old machine of a member that was replaced."""
    server = told("N2", "n2@99999999", N3_STREAM)

    assert N2 not in attached(server)
    assert attached(server)[1:] == ["n2@99999999", "n3"]
    assert strangers(server) == ("N2",)


def test_a_setting_that_waits_for_a_stranger_waits_for_no_member() -> None:
    server = told(N2_STREAM, names='1 ("n2")')
    assert server.synchronous_standby_names != names_for(N2)

    view = b.view(cluster=named(), server=server)
    memory = b.leading_memory(view, absent={N2: pg.at(-0.6)})
    decision = b.decided(view, replace(memory, plan=None))
    assert "sync" in b.acts(decision), "n2 leaves the store: nobody waits for it"
    assert "of another machine" not in b.only(decision, Configure).plan.synchronous_standby_names


def test_a_setting_comes_back_as_it_was() -> None:
    for names in ("", "raftha_nobody", f'1 ("{N2_STREAM}")', '1 ("n2")', 'ANY 1 ("a""b", "n3")'):
        assert as_streams(told(names=names).synchronous_standby_names, named()) == names


def test_two_streams_of_one_name_count_for_nobody_until_one_is_ended() -> None:
    server = told(N2_STREAM, N3_STREAM, N2_STREAM.upper())
    assert N2 not in attached(server)
    assert doubled(server) == (N2,)

    view = b.view(cluster=named(), server=server)
    decision = b.decided(view, b.leading_memory(view))
    assert b.only(decision, EndDoubles).streams == (N2_STREAM,)
    assert f"all but the newest of the streams called {N2_STREAM}" in decision.reason


def test_tools_of_others_may_share_a_name() -> None:
    server = told(N2_STREAM, "pg_receivewal", "pg_receivewal", "raftha copy", "raftha copy")

    assert doubled(server) == ()
    assert attached(server)[1:] == ["pg_receivewal"] * 2 + ["raftha copy"] * 2


def test_a_strange_stream_is_told_with_what_to_do() -> None:
    view = b.view(cluster=named(), server=told("n2", N3_STREAM))
    (notice,) = [n for n in problems(b.situation(view)) if "calls itself" in n.what]

    assert (notice.subject, notice.level) == (N1, Level.WARNING)
    assert "a stream calls itself n2" in notice.what
    assert notice.remedy
