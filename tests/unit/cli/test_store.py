"""`raftha store` against a real server over a store in memory: what is printed, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml
from click.testing import CliRunner, Result

from raftha.api.server import ApiServer
from raftha.cli import store as work
from raftha.cli.discover import Contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.errors import StoreUnavailable
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.settings import BasicAuth, Secret
from raftha.model.store import Lease, LeaseId
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.fake_store import FakeKeyStore

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def responder() -> FakeResponder:
    responder = FakeResponder()
    store = responder.key_store
    store.put("/raftha/main/config", b'{"format_version":1,"ttl":5}')
    store.put("/raftha/main/config2", b"not JSON")
    store.put("/raftha/main/leader", b'{"name":"n1"}', lease="leader")
    store.lend(
        Lease(id=LeaseId("leader"), holder="n1", ttl=Seconds(5.0), revision=Revision(3), note=b"x")
    )
    return responder


@pytest.fixture
def url(responder: FakeResponder) -> Iterator[str]:
    server = ApiServer(rest_config(), responder, SystemClock())
    yield f"http://{server.start()}"
    server.stop()


def raftha(*arguments: str) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, ("store", *arguments))


def test_get_prints_the_value_of_a_key_and_where_it_stands(url: str) -> None:
    result = raftha("get", "config", "--url", url)

    assert result.exit_code == Exit.DONE
    assert result.output == (
        "/raftha/main/config  (revision 1, created 1)\n"
        '{\n  "format_version": 1,\n  "ttl": 5\n}\n\n'
        "revision 3, generation 1; read through n1, everything committed is in it\n"
    )


def test_get_of_a_prefix_prints_all_that_begin_so(url: str) -> None:
    result = raftha("get", "/raftha/main/conf", "--url", url, "-o", "json")

    told = json.loads(result.output)
    assert [(entry["key"][13:], entry["value"]) for entry in told["entries"]] == [
        ("config", {"format_version": 1, "ttl": 5}),
        ("config2", "not JSON"),
    ]
    assert told == yaml.safe_load(raftha("get", "conf", "--url", url, "-o", "yaml").output)


def test_get_of_nothing_says_so(url: str) -> None:
    result = raftha("get", "leadre", "--url", url)

    assert result.exit_code == Exit.REFUSED
    assert result.stderr == "no key begins with /raftha/main/leadre at revision 3\n"


def test_list_prints_keys_and_leases_in_columns(url: str) -> None:
    result = raftha("list", "--url", url)

    assert result.exit_code == Exit.DONE
    assert result.output.splitlines() == [
        "key                   revision  created  lease   bytes",
        "/raftha/main/config   1         1                28",
        "/raftha/main/config2  2         2                8",
        "/raftha/main/leader   3         3        leader  13",
        "",
        "lease   holder  ttl  revision  note",
        "leader  n1      5 s  3         x",
        "revision 3, generation 1; read through n1, everything committed is in it",
    ]


def test_local_names_the_replica_and_its_age(responder: FakeResponder, url: str) -> None:
    responder.key_store.failure = StoreUnavailable("no raft leader is known")
    responder.key_store.majority = False

    strict = raftha("list", "--url", url)
    local = raftha("list", "--local", "--url", url)

    assert strict.exit_code == Exit.UNREACHABLE
    assert "no node tells what the store holds" in strict.stderr
    assert "no raft leader is known" in strict.stderr
    assert local.exit_code == Exit.DONE
    assert "n1's own replica, whose last change came 0." in local.output
    assert "NOT in touch with a majority" in local.output


def test_the_next_node_is_asked_but_never_for_a_local_answer(url: str) -> None:
    assert raftha("list", "--url", NOWHERE, "--url", url).exit_code == Exit.DONE
    local = raftha("list", "--local", "--url", NOWHERE, "--url", url)
    assert local.exit_code == Exit.UNREACHABLE
    assert NOWHERE in local.stderr


def test_who_may_not_look_is_told_so_and_nobody_else_is_asked(responder: FakeResponder) -> None:
    guarded = rest_config(authentication=BasicAuth(username="a", password=Secret("b")))
    server = ApiServer(guarded, responder, SystemClock())
    address = server.start()
    try:
        refused = raftha("get", "--url", f"http://{address}", "--url", NOWHERE)
        allowed = raftha("get", "--url", f"http://a:b@{address}")
    finally:
        server.stop()
    assert refused.exit_code == Exit.REFUSED
    assert "a look into the store needs the name and password" in refused.stderr
    assert NOWHERE not in refused.stderr
    assert allowed.exit_code == Exit.DONE


def steps(*acts: Callable[[], object]) -> Callable[[float], object]:
    """A `wait` that does one act after the other, and is then interrupted."""
    left = list(acts)

    def wait(_seconds: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return wait


def test_watch_prints_each_change_once_and_in_order(
    responder: FakeResponder, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = responder.key_store
    wait = steps(
        lambda: store.put("/raftha/main/leader", b"1"),
        lambda: (store.put("/raftha/main/x", b"2"), store.put("/raftha/main/leader", b"3")),
        lambda: None,
    )

    code = work.watch(Contact(stages=((url,),)), "leader", None, "table", wait)

    printed = capsys.readouterr()
    assert code is Exit.DONE
    assert printed.err == "following leader after revision 3\n"
    assert printed.out.splitlines() == [
        "       4  written   /raftha/main/leader  1",
        "       6  written   /raftha/main/leader  3",
    ]


def burst(store: FakeKeyStore) -> None:
    """More changes than are kept."""
    for number in range(6):
        store.put("/raftha/main/x", b"%d" % number)


@pytest.mark.parametrize("output", ["table", "json"])
def test_watch_says_what_compaction_took_and_goes_on(
    responder: FakeResponder, url: str, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    store = responder.key_store
    wait = steps(lambda: burst(store), lambda: store.put("/raftha/main/x", b'"last"'))

    work.watch(Contact(stages=((url,),)), "", None, output, wait)

    first, second = capsys.readouterr().out.splitlines()
    if output == "table":
        assert first.startswith("compacted: changes after 3, up to 9, are not known: ")
        assert second == '      10  written   /raftha/main/x  "last"'
    else:
        assert json.loads(first)["compacted"]["to"] == 9
        assert json.loads(second)["value"] == "last"


def test_watch_goes_on_at_the_next_node(
    responder: FakeResponder, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    falling_silent = ApiServer(rest_config(), responder, SystemClock())
    contact = Contact(stages=((f"http://{falling_silent.start()}", url),))
    store = responder.key_store
    wait = steps(falling_silent.stop, lambda: store.put("/raftha/main/x", b"2"))

    assert work.watch(contact, "", 3, "table", wait) is Exit.DONE
    assert capsys.readouterr().out == "       4  created   /raftha/main/x  2\n"


def test_watch_ends_when_nobody_answers() -> None:
    result = raftha("watch", "--url", NOWHERE)

    assert result.exit_code == Exit.UNREACHABLE
    assert NOWHERE in result.stderr
