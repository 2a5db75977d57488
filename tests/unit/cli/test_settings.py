"""`raftha show-config` and `edit-config`: what they print, what they write, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from raftha.api.server import ApiServer
from raftha.cli import settings
from raftha.cli.discover import contact
from raftha.cli.exits import Exit
from raftha.cli.main import cli
from raftha.clock import SystemClock
from raftha.errors import OutcomeUnknown
from tests.unit.api.fake_cluster import cluster_report, with_url, without_majority
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.fake_settings import GIVEN


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


def raftha(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner(env={"RAFTHA_URL": ""}).invoke(cli, arguments, input=typed)


def edited(url: str, editor: Callable[[str], str | None], *, yes: bool = True) -> Exit:
    """With somebody at the keyboard, whose editor does this."""
    wish = settings.Wish(yes=yes, attended=True)
    where = contact(None, (url,), {}, ())

    def opened(text: str, *, extension: str) -> str | None:
        assert extension == ".yml"
        return editor(text)

    return settings.edit(where, wish, opened)


def test_the_settings_are_shown_as_they_were_given(url: str) -> None:
    assert yaml.safe_load(raftha("show-config", "--url", url).output) == GIVEN
    assert json.loads(raftha("show-config", "--url", url, "-o", "json").output) == GIVEN


def test_the_table_shows_every_setting_and_who_gave_it(url: str) -> None:
    lines = raftha("show-config", "--url", url, "-o", "table").output.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}

    assert rows["ttl"] == ["10", "given"]
    assert rows["heartbeat"] == ["2", "follows"]
    assert rows["postgresql.parameters.work_mem"] == ["8MB", "given"]
    assert rows["postgresql.use_slots"] == ["true", "default"]


def test_options_change_what_they_name(responder: FakeResponder, url: str) -> None:
    result = raftha(
        *("edit-config", "--url", url, "--yes", "-s", "ttl=8", "--pg", "work_mem=null"),
        *("--pg", "auto_explain.log_min_duration=100", "-s", "postgresql.use_slots=false"),
        *("--pg", 'search_path="$user", a: b', "-s", "postgresql.parameters.a.b=[x"),
    )

    assert result.exit_code == Exit.DONE
    assert {"-ttl: 10", "+ttl: 8"} <= set(result.output.splitlines())
    assert "so heartbeat becomes 1.6, it was 2" in result.output
    assert responder.settings.document == {
        "ttl": 8,
        "postgresql": {
            "use_slots": False,
            "parameters": {
                "auto_explain.log_min_duration": 100,
                "search_path": '"$user", a: b',
                "a.b": "[x",
            },
        },
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("synchronous_mode=off", "may lose the last of them"),
        ("synchronous_mode_strict=true", "wait for ever"),
        ("pause=true", "nobody takes over"),
        ("postgresql.use_slots=false", "keeps no WAL"),
        ("loop_wait=2", None),
    ],
)
def test_what_a_change_gives_up_is_said_before(url: str, change: str, words: str | None) -> None:
    lines = raftha("edit-config", "--url", url, "--yes", "-s", change).output.splitlines()
    after = [line for line in lines if not line.startswith(("+", "-", "@", " "))]

    assert len(after) == (1 if words is None else 2), after
    assert words is None or words in after[0]


def test_a_file_is_merged_or_taken_as_the_whole(
    responder: FakeResponder, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "change.yml"
    file.write_text("loop_wait: 2\n")
    assert raftha("edit-config", "--url", url, "--yes", "--apply", str(file)).exit_code == 0
    assert responder.settings.document == {**GIVEN, "loop_wait": 2}

    by_input = raftha("edit-config", "--url", url, "--yes", "--replace", "-", typed="ttl: 6\n")
    assert by_input.exit_code == Exit.DONE
    assert responder.settings.document == {"ttl": 6}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-s", "ttl=1"], Exit.REFUSED, "ttl"),
        (["-s", "tll=9"], Exit.REFUSED, "did you mean ttl?"),
        (["--pg", "restart_after_crash=on"], Exit.REFUSED, "guardian"),
        (["--pg", "fsync=off"], Exit.REFUSED, "acknowledged commits"),
        (["-s", "ttl"], Exit.USAGE, "NAME=VALUE"),
        (["-s", "ttl=["], Exit.USAGE, "not valid YAML"),
        (["--apply", "/nowhere.yml"], Exit.USAGE, "cannot be read"),
        (["--replace", "a.yml", "-s", "ttl=9"], Exit.USAGE, "goes with no other"),
    ],
)
def test_what_cannot_be_is_refused(
    responder: FakeResponder, url: str, arguments: list[str], code: Exit, words: str
) -> None:
    result = raftha("edit-config", "--url", url, "--yes", *arguments)

    assert (result.exit_code, words in result.output + result.stderr) == (code, True)
    assert "ignored" not in result.stderr, "what is refused is not passed over"
    assert responder.settings.writes == 0


def test_nobody_to_ask_is_no_yes(responder: FakeResponder, url: str) -> None:
    assert raftha("edit-config", "--url", url).exit_code == Exit.USAGE
    assert raftha("edit-config", "--url", url, "-s", "ttl=8").exit_code == Exit.USAGE
    assert raftha(
        "edit-config", "--url", "http://127.0.0.1:9", "--yes", "-s", "ttl=8"
    ).exit_code == (Exit.UNREACHABLE)
    responder.cluster_report = with_url(without_majority(), url)
    cut_off = raftha("edit-config", "--url", url, "--yes", "-s", "ttl=8")
    assert (cut_off.exit_code, cut_off.stdout) == (Exit.UNREACHABLE, "")
    assert "majority" in cut_off.stderr
    assert raftha("show-config", "--url", url).exit_code == Exit.DONE
    assert responder.settings.writes == 0


def test_an_editor_changes_the_settings(responder: FakeResponder, url: str) -> None:
    assert edited(url, lambda text: text.replace("ttl: 10", "ttl: 12")) is Exit.DONE
    assert responder.settings.document == {**GIVEN, "ttl": 12}
    for nothing in (lambda _text: None, lambda _text: "", lambda text: text):
        assert edited(url, nothing) is Exit.DONE
    assert responder.settings.writes == 1


@pytest.mark.parametrize(
    ("typed", "code"),
    [("ttl: [\n", Exit.USAGE), ("ttl: 10\nttl: 11\n", Exit.USAGE), ("tll: 3\n", Exit.REFUSED)],
)
def test_what_was_typed_is_kept_where_it_cannot_be_taken(
    responder: FakeResponder,
    url: str,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    code: Exit,
) -> None:
    assert edited(url, lambda _text: typed) is code
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if "what you wrote" in line]
    path = Path(line.split()[5].rstrip(":"))
    assert path.read_text("utf-8") == typed
    path.unlink()
    assert responder.settings.writes == 0


def test_who_changed_them_meanwhile_wins(
    responder: FakeResponder, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(_text: str) -> str:
        responder.settings.revision += 1
        return "ttl: 12\n"

    assert edited(url, slow) is Exit.REFUSED
    told = capsys.readouterr()
    assert "meanwhile" in told.err
    Path(told.out.split("what you wrote is in ")[1].split(":")[0]).unlink()
    assert responder.settings.document == GIVEN


def test_an_outcome_that_is_not_known_is_told(responder: FakeResponder, url: str) -> None:
    responder.settings.error = OutcomeUnknown("no answer")

    result = raftha("edit-config", "--url", url, "--yes", "-s", "ttl=8")
    assert result.exit_code == Exit.UNKNOWN
