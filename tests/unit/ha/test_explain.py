"""What is told about the group of voters, each with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from raftha.consensus.recognition import USES_CERTIFICATES, USES_NO_CERTIFICATES
from raftha.ha.explain import cluster_problems, problems
from raftha.ha.memory import Memory, Unstreamed
from raftha.ha.voting import group_problems
from raftha.instants import Seconds
from raftha.model.ids import Epoch
from raftha.model.postgres import Kept
from raftha.model.report import Level
from raftha.model.store import MAX_STATE_BYTES, Accusation, FsyncTimes, RaftStatus, VoterStatus
from raftha.model.view import GuardianView
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg
from tests.unit.ha.builders import N1, decided, following, raft, situation, view
from tests.unit.ha.servers import EPOCH, N2, N3, T0, at, receiver, standby

MIB = 1 << 20


def test_a_healthy_group_has_no_problems() -> None:
    assert group_problems(replace(raft(), free_bytes=256 * MIB), T0) == ()


def test_a_node_that_gets_no_guardian_says_why() -> None:
    none = GuardianView(alive=False, problem="it is of another release: stop the node with that")
    (notice,) = problems(situation(following(guardian=none, server=None)))
    assert notice.subject == "n1"
    assert notice.what.startswith("no guardian, and so no server is started or stopped here: it is")
    assert not problems(situation(following(guardian=GuardianView(alive=False), server=None)))


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("could not write to file: No space left on device", "free space on that disk, or give"),
        ("Connection refused", "it is tried again; see the agent's log"),
    ],
)
def test_a_job_that_failed_is_told_with_what_to_do(said: str, remedy: str) -> None:
    failed = Memory(failures=2, failed=f"pg_basebackup: it ended with status 1: {said}")
    (notice,) = problems(situation(following(), failed))
    assert notice.what == f"{failed.failed} (2 times in a row)"
    assert notice.remedy.startswith(remedy)


@pytest.mark.parametrize(("free", "told"), [(256 * MIB - 1, "255 MiB"), (20 * MIB, "20 MiB")])
def test_little_space_for_the_raft_directory_is_told_with_the_floor(free: int, told: str) -> None:
    (notice,) = group_problems(replace(raft(), free_bytes=free), T0)
    assert notice.subject == "n1"
    assert notice.what == f"{told} are free on the disk of raft.data_dir"
    assert "below 16 MiB this node stops" in notice.remedy


def test_a_store_that_fills_is_told_from_half_of_its_limit_on() -> None:
    half = MAX_STATE_BYTES // 2
    assert group_problems(replace(raft(), state_bytes=half - 1), T0) == ()
    (notice,) = group_problems(replace(raft(), state_bytes=half), T0)
    assert notice.subject == "store"
    assert notice.what.startswith("the store holds 16 of 32 MiB")
    assert "raftha store list" in notice.remedy


def test_a_slow_disk_is_told_with_what_to_do() -> None:
    slow = FsyncTimes(p99=Seconds(0.13), longest=Seconds(0.7), count=61, slow=3)
    (notice,) = group_problems(replace(raft(), fsync=slow), T0)
    assert notice.subject == "n1"
    assert "3 of 61 syncs in the last minute took over 0.1 s, the longest 0.70 s" in notice.what
    assert "faster" in notice.remedy


@pytest.mark.parametrize(
    "quick",
    [
        FsyncTimes(p99=Seconds(0.5), longest=Seconds(0.5), count=61, slow=2),
        FsyncTimes(p99=Seconds(0.1), longest=Seconds(0.5), count=1000, slow=9),
    ],
    ids=["twice in a minute", "less than one in a hundred"],
)
def test_a_disk_that_is_seldom_slow_is_not_told(quick: FsyncTimes) -> None:
    assert group_problems(replace(raft(), fsync=quick), T0) == ()


def changed(number: int, **changes: object) -> RaftStatus:
    """The group with one voter told otherwise."""
    voters = list(raft().voters)
    voters[number] = replace(voters[number], **changes)  # type: ignore[arg-type]
    return replace(raft(), voters=tuple(voters))


def test_a_file_that_names_others_than_the_log_is_told_with_the_difference() -> None:
    voters = [voter.address for voter in raft().voters]
    assert group_problems(replace(raft(), listed=(*voters,)), T0) == ()
    (notice,) = group_problems(replace(raft(), listed=(*voters[:2], "old:1")), T0)
    assert notice.subject == "n1"
    assert f"lack {voters[2]} and name nobody who votes at old:1" in notice.what
    assert notice.level is Level.WARNING


def test_a_node_without_a_vote_need_not_name_them_all() -> None:
    joins = VoterStatus(address="d:1", name="n4", is_self=True, connected=True)
    voters = tuple(replace(voter, is_self=False) for voter in raft().voters)
    found = replace(raft(), voters=voters, joiners=(joins,), listed=("d:1", voters[0].address))
    (notice,) = group_problems(found, T0)
    assert "raftha member add n4 d:1" in notice.remedy


def test_a_removed_node_is_told_that_it_is_out_and_what_to_do() -> None:
    (notice,) = group_problems(replace(raft(), barred="n1 was removed"), T0)
    assert "n1 was removed" in notice.what
    assert "stop this agent" in notice.remedy


def test_a_newcomer_with_the_name_of_a_voter_elsewhere_is_one_for_replace() -> None:
    newcomer = VoterStatus(address="d:1", name="N3", is_self=False, connected=True)
    (notice,) = group_problems(replace(raft(), joiners=(newcomer,)), T0)
    assert "raftha member replace N3 d:1" in notice.remedy


def test_a_silent_voter_is_told_with_how_long_it_is_silent() -> None:
    silent = changed(2, connected=False, last_contact=T0.plus(-42.4))
    (notice,) = group_problems(silent, T0)
    assert (notice.subject, notice.level) == ("n3", Level.PROBLEM)
    assert notice.what == "this voter is not in touch; last heard 42 s ago"
    assert notice.remedy.startswith("start its agent, or mend the network between it and n1")

    never = changed(2, connected=False)
    assert group_problems(never, T0)[0].what == "this voter is not in touch"

    unbound = changed(2, connected=False, bound=False)
    assert "so its vote does not count yet" in group_problems(unbound, T0)[0].what


def test_who_is_to_get_a_vote_and_is_not_here_is_told() -> None:
    awaited = VoterStatus(address="127.0.0.1:9", name="n4", is_self=False, connected=False)
    listed = (*(voter.address for voter in raft().voters), awaited.address)
    waiting = replace(raft(), expected=(awaited,), listed=listed)
    (notice,) = group_problems(waiting, T0)
    assert (notice.subject, notice.level) == ("n4", Level.WARNING)
    assert "raftha member remove n4" in notice.remedy

    here = replace(waiting, joiners=(replace(awaited, connected=True),))
    assert [notice.what for notice in group_problems(here, T0)] == [
        "it holds the log of the group and has no vote"
    ]


def test_what_keeps_a_voter_away_is_told_instead_of_its_silence() -> None:
    away = changed(2, connected=False, last_contact=T0.plus(-3.0), problem="cannot connect: no")
    (notice,) = group_problems(away, T0)
    assert notice.what == "cannot connect: no; last heard 3 s ago"
    assert notice.remedy.startswith("start its agent, or mend the network between it and n1")

    odd = changed(2, problem="its raft.partner_addrs name other voters than ours")
    (notice,) = group_problems(odd, T0)
    assert notice.what == "its raft.partner_addrs name other voters than ours"
    assert notice.remedy.startswith("correct what it says")


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ("its raft.key_file is not the same as ours", "the same key file (sha256sum tells)"),
        (f"no greeting: {USES_CERTIFICATES}", "in the same way on every node"),
        (f"no greeting: {USES_NO_CERTIFICATES}", "in the same way on every node"),
        ("no greeting: TLS: tlsv1 alert unknown ca", "put a certificate that carries the name"),
        ("no greeting: TLS: sslv3 alert certificate expired", "it is read without a restart"),
        ("its certificate names n9, not n2: it must carry the node's name", "raft.cafile"),
        ("it belongs to cluster 'a', not 'b': check the addresses", "correct what it says"),
    ],
)
def test_what_to_do_about_a_voter_that_is_not_let_in(problem: str, remedy: str) -> None:
    (notice,) = group_problems(changed(2, problem=problem), T0)
    assert (notice.subject, notice.what) == ("n3", problem)
    assert remedy in notice.remedy


def test_what_a_peer_says_of_this_node_is_told_under_the_name_of_the_peer() -> None:
    """A node of another cluster must not make a healthy one look ill."""
    words = "it refuses this node, of which it says: it belongs to cluster 'a', not 'b'"
    here, *others = raft().voters
    said = Accusation(address="c:1", why=words)
    accused = replace(raft(), accusation=said)
    (notice,) = group_problems(accused, T0)
    assert (notice.subject, notice.what) == ("n1", words.replace("it", "c:1", 1))
    own = replace(here, problem="this node's certificate has expired")
    told = group_problems(replace(accused, voters=(own, *others)), T0)
    assert [each.what for each in told] == [own.problem, notice.what], "neither hides the other"

    refusing = replace(others[1], problem=words)
    (notice,) = group_problems(replace(accused, voters=(*accused.voters[:2], refusing)), T0)
    assert (notice.subject, notice.what) == ("n3", words)


@pytest.mark.parametrize("problem", ["", "cannot connect: no"])
@pytest.mark.parametrize(("voters", "told"), [(3, True), (5, False)])
def test_that_one_more_loss_stops_writes_is_said_when_it_does(
    problem: str, voters: int, told: bool
) -> None:
    group = group_of(voters)
    lost = replace(group.voters[1], connected=False, problem=problem)
    group = replace(group, voters=(group.voters[0], lost, *group.voters[2:]))

    (notice,) = group_problems(group, T0)

    assert ("until then the loss of one more voter stops writes" in notice.remedy) is told


@pytest.mark.parametrize(
    ("words", "since", "told"),
    [
        ("FATAL: no", -5.0, True),
        ("FATAL: no", -4.9, False),
        ("", -60.0, False),
    ],
    ids=["it complains", "it may still find the leader", "it says nothing"],
)
def test_a_standby_that_complains_instead_of_streaming_is_a_problem(
    words: str, since: float, told: bool
) -> None:
    lost = Unstreamed(epoch=EPOCH, since=at(since))
    s = situation(following(server=standby(), last_words=words), Memory(unstreamed=lost))

    found = [notice.what for notice in problems(s)]

    assert found == (["PostgreSQL does not stream from n2: FATAL: no"] if told else [])


def test_it_is_told_from_when_it_lost_this_leader() -> None:
    """What it says of the last one, which was killed, is no problem with the next."""
    view = following(server=standby(), last_words="could not connect: Connection refused")
    lost = decided(view).memory.unstreamed
    assert lost == Unstreamed(epoch=EPOCH, since=view.now)
    old = Memory(unstreamed=Unstreamed(epoch=Epoch(0, 3), since=at(-60)))
    assert decided(view, old).memory.unstreamed == lost
    streams = replace(view, server=standby(receiver=receiver(N2)))
    assert decided(streams, Memory(unstreamed=lost)).memory.unstreamed is None


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ('FATAL: password authentication failed for user "replicator"', "password: postgresql"),
        ("FATAL: no pg_hba.conf entry for replication connection", "pg_hba: on n2"),
        ("could not connect: SSL error: tlsv1 alert unknown ca", "ssl_ca_file and pg_hba on n2"),
        ("could not connect: SSL error: certificate verify failed", "raftha check-config tries"),
        ('FATAL: certificate authentication failed for user "r"', "the ssl options"),
        ("could not connect: Connection refused", "127.0.0.1:5432, which n2 announces"),
        ("FATAL: something else", "correct what it says; PostgreSQL tries"),
    ],
)
def test_the_remedy_is_that_of_the_complaint(words: str, remedy: str) -> None:
    lost = Unstreamed(epoch=EPOCH, since=at(-9))
    view = following(server=standby(), last_words=words)
    (notice,) = problems(situation(view, Memory(unstreamed=lost)))
    assert remedy in notice.remedy
    assert ("(password" in notice.remedy) is (remedy in ("password: postgresql", "pg_hba: on n2"))


@pytest.mark.parametrize("known", [True, False])
def test_a_node_that_has_no_vote_yet_tells_its_problems_too(known: bool) -> None:
    """It is among the joiners, or nobody has told it so yet."""
    voters = tuple(replace(voter, is_self=False) for voter in raft().voters)
    joiner = VoterStatus(address="n4:1", name="n4", is_self=True, connected=True)
    joining = replace(raft(), voters=voters, joiners=(joiner,) if known else (), free_bytes=MIB)

    notice = group_problems(joining, T0)[-1]

    assert notice.subject == ("n4" if known else "this node")
    assert notice.what == "1 MiB are free on the disk of raft.data_dir"


def test_a_node_that_is_out_tells_that_and_no_more() -> None:
    """It has no majority, and everybody refuses it: nobody is to mend that."""
    why = "n1 was replaced"
    voters = tuple(replace(v, connected=False, problem=why) for v in raft().voters)
    out = replace(raft(majority=False), voters=voters, barred=why, free_bytes=MIB)

    (notice,) = group_problems(out, T0)

    assert notice.what == "this node is out of the cluster: n1 was replaced"
    assert "under another name" in notice.remedy


def test_a_lost_voter_is_not_called_like_the_new_node_that_tells_of_it() -> None:
    voters = tuple(replace(v, connected=not v.is_self, is_self=False) for v in raft().voters)
    lost = replace(voters[0], problem="cannot connect: no")
    successor = VoterStatus(address="n4:1", name=voters[0].name, is_self=True, connected=True)
    group = replace(raft(), voters=(lost, *voters[1:]), joiners=(successor,))

    notice = group_problems(group, T0)[-1]

    assert (notice.subject, notice.what) == ("n1", "cannot connect: no")
    assert notice.remedy.startswith("start its agent, or mend the network between it and this one")


def group_of(count: int) -> RaftStatus:
    voters = tuple(
        VoterStatus(address=f"n{number}:1", name=f"n{number}", is_self=number == 0, connected=True)
        for number in range(count)
    )
    return replace(raft(), voters=voters)


@pytest.mark.parametrize(
    ("voters", "what", "remedy"),
    [
        (1, "a single voter: nobody can take over", "add two members, or one and a witness"),
        (2, "two voters: the loss of either stops writes", "add a witness"),
        (4, "4 voters survive no more losses than 3", "add a witness"),
        (6, "6 voters survive no more losses than 5", "add a witness"),
    ],
)
def test_a_number_of_voters_that_could_be_better_is_a_warning(
    voters: int, what: str, remedy: str
) -> None:
    (notice,) = group_problems(group_of(voters), T0)
    assert (notice.subject, notice.level) == ("raft", Level.WARNING)
    assert notice.what.startswith(what)
    assert notice.remedy.startswith(remedy)


@pytest.mark.parametrize("voters", [3, 5, 7, 9])
def test_an_odd_number_of_voters_is_right(voters: int) -> None:
    assert group_problems(group_of(voters), T0) == ()


def test_what_is_kept_beside_the_data_directory_is_a_warning_of_its_member() -> None:
    kept = Kept(path=Path("/data/pg.diverged-S"), size_bytes=7 << 20)
    (notice,) = problems(situation(view(kept=(kept,))))
    assert (notice.subject, notice.level) == (N1, Level.WARNING)
    assert "/data/pg.diverged-S (7 MiB)" in notice.what
    assert "remove it" in notice.remedy


@pytest.mark.parametrize(
    ("problem", "told"),
    [(None, "has no vote"), ("its seat was given away", "has no vote: its seat was given away")],
)
def test_who_holds_the_log_without_a_vote_is_a_warning(problem: str | None, told: str) -> None:
    joiner = VoterStatus(address="n9:1", name="n9", is_self=False, connected=True, problem=problem)
    (notice,) = group_problems(replace(raft(), joiners=(joiner,)), T0)
    assert (notice.subject, notice.level) == ("n9", Level.WARNING)
    assert notice.what.endswith(told)


def test_a_strict_primary_whose_commits_wait_says_so() -> None:
    strict = replace(b.ON, synchronous_mode_strict=True)
    alone = b.view(cluster=b.cluster(config=strict), server=pg.primary(attached=()))
    (notice,) = problems(situation(alone))
    assert notice.what.startswith("commits wait: too few of the synchronous standbys are here")

    assert problems(situation(b.view(cluster=b.cluster(config=strict)))) == ()
    lenient = b.view(server=pg.primary(attached=()))
    assert problems(situation(lenient)) == ()


def test_without_a_synchronous_standby_it_depends_whether_commits_wait() -> None:
    def told(strict: bool) -> str:
        config = replace(b.ON, synchronous_mode_strict=strict)
        (notice,) = cluster_problems(b.cluster(sync=b.sync(), config=config), raft(), {})
        return notice.what

    assert "commits wait for nobody" in told(False)
    assert "commits wait for one to come back" in told(True)


def test_without_a_leader_it_is_told_whom_a_candidate_has_not_heard() -> None:
    unheard = pg.report(N2, rule="elect-68", reason="n2 may lack acknowledged commits")
    others = pg.report(N3, rule="elect-30", reason="asking")
    (notice,) = cluster_problems(b.vacant(), raft(), pg.answers(unheard, others))

    assert ". n2 may lack acknowledged commits" in notice.what
    assert "asking" not in notice.what


@pytest.mark.parametrize(
    ("paused", "told"),
    [
        (True, "PostgreSQL of n2 goes on without a lease, for the pause"),
        (False, "nothing is writable"),
    ],
)
def test_a_primary_that_goes_on_in_a_pause_is_no_secret(paused: bool, told: str) -> None:
    cluster = b.with_config(b.vacant(), replace(b.ON, pause=paused))
    heard = pg.answers(pg.report(N2, primary_alive=True), pg.report(N3))
    *_, notice = cluster_problems(cluster, raft(), heard)
    assert told in notice.what
