"""`raftha restart`, `reload`, `reinit`: whom they ask, in which order, and how they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from raftha.api.server import ApiServer
from raftha.cli import restart
from raftha.cli.discover import contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.cli.rolling import HandOver, Restart, behind, heir_of, is_back, next_step
from raftha.clock import SystemClock
from raftha.model.ids import Lsn
from raftha.model.operation import OperationState
from raftha.model.postgres import PendingRestart
from raftha.model.report import IN_ARCHIVE_RECOVERY, ClusterReport
from raftha.model.restarting import ServerRequest, WishKind
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.ha.servers import FakeClock

RAISED = PendingRestart(name="max_connections", running="100", wanted="200")
LOWERED = PendingRestart(name="max_connections", running="200", wanted="100")
BUFFERS = PendingRestart(name="shared_buffers", running="128MB", wanted="64MB")
ALL = ("n1", "n2", "n3")


def pending(*names: str, what: PendingRestart = RAISED) -> ClusterReport:
    """n1 leads, n2 is its synchronous standby, n3 may not lead."""
    report = cluster_report()
    return replace(
        report,
        members=tuple(
            replace(m, pending=(what,) if m.name in names else ()) for m in report.members
        ),
    )


def test_standbys_go_first_and_the_leader_hands_over() -> None:
    report = pending(*ALL)
    assert next_step(report, ALL, hands_over=True) == Restart("n2")
    assert next_step(report, ("n1", "n3"), hands_over=True) == Restart("n3")
    assert next_step(report, ("n1",), hands_over=True) == HandOver("n1", "n2")
    assert next_step(report, ("n1",), hands_over=False) == Restart("n1")
    assert next_step(report, (), hands_over=True) is None


def test_a_lowered_size_is_lowered_on_the_leader_first() -> None:
    assert next_step(pending(*ALL, what=LOWERED), ALL, hands_over=True) == Restart("n1")
    assert next_step(pending(*ALL, what=BUFFERS), ALL, hands_over=True) == Restart("n2")


def test_a_leader_without_an_heir_restarts_where_it_is() -> None:
    report = pending("n1")
    alone = replace(
        report,
        members=tuple(
            replace(m, tags={"nofailover": True}) if m.name == "n2" else m for m in report.members
        ),
    )
    assert next_step(alone, ("n1",), hands_over=True) == Restart("n1")


def test_the_next_one_waits_until_commits_have_their_standby_again() -> None:
    report = cluster_report()
    assert is_back(report, "n1")
    assert is_back(report, "n2")
    starting = tuple(replace(m, state="starting") if m.name == "n2" else m for m in report.members)
    assert not is_back(replace(report, members=starting), "n2")
    assert not is_back(replace(report, sync_standbys=()), "n3")
    assert is_back(replace(report, sync_standbys=(), synchronous_mode="off"), "n3")
    assert not is_back(replace(report, leader=None), "n2")


def test_one_that_follows_an_archive_alone_is_back_when_it_does_and_takes_nothing_over() -> None:
    """Nor is it waited for until it has replayed: that may take hours."""
    report = cluster_report()
    alone = tuple(
        replace(m, state=IN_ARCHIVE_RECOVERY, tags={"nostream": True}) if m.name != "n1" else m
        for m in report.members
    )
    report = replace(report, members=alone, synchronous_mode="off")
    assert is_back(report, "n2")
    assert heir_of(report) is None
    assert behind(report, ALL, Lsn(1 << 60)) == ()


@pytest.fixture
def responder() -> FakeResponder:
    return FakeResponder()


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    server = ApiServer(rest_config(), responder, SystemClock())
    address = f"http://{server.start()}"
    responder.cluster_report = with_url(cluster_report(), address)
    yield address
    server.stop()


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, arguments)


def restarts(responder: FakeResponder, *, still_pending: bool = False) -> None:
    """The server comes back at once, as another one, without anything pending."""

    def come_back(asked: ServerRequest) -> None:
        server = responder.report.server
        assert server is not None
        responder.report = replace(
            responder.report, server=replace(server, started=f"later, for {asked.name}")
        )
        if not still_pending:
            members = responder.cluster_report.members
            responder.cluster_report = replace(
                responder.cluster_report,
                members=tuple(
                    replace(m, pending=()) if m.name == asked.name else m for m in members
                ),
            )

    responder.wishes.happens = come_back


def roll(url: str, wish: restart.Wish) -> Exit:
    clock = FakeClock()
    return restart.restart(contact(None, (url,), {}, ()), wish, clock, clock.advance)


def names(responder: FakeResponder) -> list[str | None]:
    return [asked.name for asked in responder.wishes.asked]


def test_members_are_restarted_one_after_another_the_leader_last(
    responder: FakeResponder, url: str
) -> None:
    restarts(responder)

    assert roll(url, restart.Wish(yes=True)) is Exit.DONE
    assert names(responder) == ["n2", "n3", "n1"]


def test_a_lowered_size_begins_with_the_leader(responder: FakeResponder, url: str) -> None:
    report = pending(*ALL, what=LOWERED)
    head = report.members[0].position
    replayed = tuple(replace(m, replayed=head) for m in report.members)
    responder.cluster_report = with_url(replace(report, members=replayed), url)
    restarts(responder)

    assert roll(url, restart.Wish(yes=True, pending=True)) is Exit.DONE
    assert names(responder) == ["n1", "n2", "n3"]
    assert all(asked.restart_pending for asked in responder.wishes.asked)


def test_where_two_sizes_go_opposite_ways_the_leader_goes_first_and_last(
    responder: FakeResponder, url: str
) -> None:
    report = pending(*ALL, what=LOWERED)
    head = report.members[0].position
    members = [
        replace(m, replayed=head, pending=(LOWERED, RAISED), tags={"nofailover": True})
        for m in report.members
    ]
    responder.cluster_report = with_url(replace(report, members=tuple(members)), url)
    restarts(responder)
    come_back = responder.wishes.happens

    def keep_one_back(asked: ServerRequest) -> None:
        is_first = len(responder.wishes.asked) == 1
        come_back(asked)
        if is_first:
            first, *others = responder.cluster_report.members
            first = replace(first, pending=(RAISED,))
            responder.cluster_report = replace(responder.cluster_report, members=(first, *others))

    responder.wishes.happens = keep_one_back

    assert roll(url, restart.Wish(yes=True, pending=True)) is Exit.DONE
    assert names(responder) == ["n1", "n2", "n3", "n1"]


def test_standbys_wait_until_they_have_replayed_the_start_of_a_smaller_leader(
    responder: FakeResponder, url: str
) -> None:
    """Until then pg_control demands the larger size of them, and a restart would be for nothing."""
    report = pending(*ALL, what=LOWERED)
    position = report.members[0].position
    assert position is not None
    assert behind(report, ALL, position) == ("n3",)
    assert behind(report, ("n1", "n2"), position) == ()

    responder.cluster_report = with_url(report, url)
    restarts(responder)
    assert roll(url, restart.Wish(yes=True, pending=True, timeout=2.0)) is Exit.UNKNOWN
    assert names(responder) == ["n1"]


def test_only_those_with_something_pending_and_each_once(
    responder: FakeResponder, url: str
) -> None:
    responder.cluster_report = with_url(pending("n2", "n3"), url)
    restarts(responder, still_pending=True)

    assert roll(url, restart.Wish(yes=True, pending=True)) is Exit.DONE
    assert names(responder) == ["n2", "n3"]
    responder.cluster_report = with_url(cluster_report(), url)
    assert roll(url, restart.Wish(yes=True, pending=True)) is Exit.DONE
    assert names(responder) == ["n2", "n3"]


def test_a_member_that_does_not_come_back_ends_the_roll(responder: FakeResponder, url: str) -> None:
    assert roll(url, restart.Wish(yes=True, timeout=3.0)) is Exit.UNKNOWN
    assert names(responder) == ["n2"]


def test_the_conditions_choose_whom(responder: FakeResponder, url: str) -> None:
    restarts(responder)
    assert roll(url, restart.Wish(yes=True, role="primary")) is Exit.DONE
    assert roll(url, restart.Wish(yes=True, one=True)) is Exit.DONE
    assert roll(url, restart.Wish(yes=True, names=("n3",), below="15.19")) is Exit.DONE
    assert names(responder) == ["n1", "n2", "n3"]
    assert responder.wishes.asked[-1].postgres_version == "15.19"


def test_only_those_with_an_older_release_are_meant(responder: FakeResponder, url: str) -> None:
    newer = raftha("restart", "--url", url, "--yes", "--pg-version", "15.18")
    told = "No member is meant: n1, n2, n3 run no PostgreSQL before 15.18.\n"
    assert (newer.exit_code, newer.stdout) == (Exit.DONE, told)
    wrong = raftha("restart", "--url", url, "--yes", "--pg-version", "new")
    assert (wrong.exit_code, "no release" in wrong.stderr) == (Exit.USAGE, True)
    assert names(responder) == []


def test_what_a_member_refuses_is_told(responder: FakeResponder, url: str) -> None:
    responder.wishes.answers = replace(
        responder.wishes.answers, state=OperationState.REFUSED, message="a switchover is under way"
    )
    result = raftha("restart", "--url", url, "--yes", "n2")
    assert result.exit_code == Exit.REFUSED
    assert "a switchover is under way" in result.stderr
    older = raftha("restart", "--url", url, "--yes", "n2", "--pg-version", "16")
    assert (older.exit_code, "under way" in older.stderr) == (Exit.REFUSED, True)
    assert raftha("reinit", "--url", url, "--yes", "n2").exit_code == Exit.REFUSED


@pytest.mark.parametrize("verb", ["restart", "reload", "reinit"])
def test_the_wrong_member_the_wrong_time_and_nobody_to_ask(
    responder: FakeResponder, url: str, verb: str
) -> None:
    wrong = raftha(verb, "--url", url, "--yes", "n9")
    assert (wrong.exit_code, "there is no member n9" in wrong.stderr) == (Exit.REFUSED, True)
    assert raftha(verb, "--url", url, "n2").exit_code == Exit.USAGE
    gone = raftha(verb, "--url", "http://127.0.0.1:9", "--yes", "n2")
    assert gone.exit_code == Exit.UNREACHABLE
    assert (responder.wishes.asked, responder.reloads) == ([], 0)


def test_without_a_majority_files_alone_are_read_again(responder: FakeResponder, url: str) -> None:
    """What is wrong in a file may be why there is none."""
    responder.cluster_report = with_url(without_majority(), url)
    for verb in ("restart", "reinit"):
        cut_off = raftha(verb, "--url", url, "--yes", "n1")
        assert (cut_off.exit_code, "majority" in cut_off.stderr) == (Exit.UNREACHABLE, True)
    assert responder.wishes.asked == []
    told = raftha("reload", "--url", url, "--yes", "n1")
    assert (told.exit_code, responder.reloads) == (Exit.DONE, 1), told.output


@pytest.mark.parametrize(
    ("mode", "strict", "words"),
    [
        ("quorum", False, "commits are on the leader alone, and nobody can take over"),
        ("on", True, "commits wait, and nobody can take over"),
        ("off", False, "No other standby streams"),
    ],
)
def test_the_only_standby_is_not_made_anew_without_a_warning(
    responder: FakeResponder, url: str, mode: str, strict: bool, words: str
) -> None:
    assert "nobody can take over" not in raftha("reinit", "--url", url, "--yes", "n2").stdout
    report = replace(
        responder.cluster_report, synchronous_mode=mode, synchronous_mode_strict=strict
    )
    down = tuple(replace(m, state="starting") if m.name == "n3" else m for m in report.members)
    responder.cluster_report = replace(report, members=down)
    told = raftha("reinit", "--url", url, "--yes", "n2")
    assert told.exit_code == Exit.DONE
    assert words in " ".join(told.stdout.split())


def test_without_a_leader_nothing_is_made_anew_and_nothing_is_said_of_commits(
    responder: FakeResponder, url: str
) -> None:
    report = responder.cluster_report
    down = tuple(replace(m, state="starting") if m.name == "n3" else m for m in report.members)
    responder.cluster_report = replace(report, leader=None, members=down)
    told = raftha("reinit", "--url", url, "--yes", "n2")
    assert told.exit_code == Exit.REFUSED
    assert "there is no leader to make a copy of" in told.stderr
    assert (told.stdout, responder.wishes.asked) == ("", [])


def test_a_standby_is_made_anew_and_every_file_is_read_again(
    responder: FakeResponder, url: str
) -> None:
    assert raftha("reinit", "--url", url, "--yes", "n2").exit_code == Exit.DONE
    assert raftha("reinit", "--url", url, "--yes", "--from-leader", "n2").exit_code == Exit.DONE
    wanted = ServerRequest(kind=WishKind.REINITIALIZE, name="n2")
    assert responder.wishes.asked == [wanted, replace(wanted, from_leader=True)]
    told = raftha("reload", "--url", url, "--yes")
    assert (told.exit_code, "n2: the file was read again" in told.stdout) == (Exit.DONE, True)
    assert responder.reloads == 3
