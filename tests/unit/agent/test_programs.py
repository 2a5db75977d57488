"""Programs of the operator's: what they get, how they end, and that nothing waits for one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from raftha.agent import programs
from raftha.agent.callbacks import Callbacks
from raftha.clock import SystemClock
from raftha.instants import Seconds
from raftha.model.hooks import Callback, Hooks
from raftha.model.ids import Scope
from raftha.model.methods import Method
from raftha.model.settings import BootstrapConfig
from tests.unit.ha import builders as b
from tests.unit.ha import servers as pg

LIMIT_S = 10.0
STANDBY = b.situation(b.following(guardian=pg.guardian(primary=False, process="7@1")))
PROMOTED = b.situation(b.view(guardian=pg.guardian(process="7@1")))


def run(output: Path, script: str, *words: str, limit: float = LIMIT_S) -> int | None:
    command = ("sh", "-c", script, *words)
    return programs.run(command, output, SystemClock(), Seconds(limit))


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text() if path.exists() else "no file"
        time.sleep(0.005)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "programs.log"


def test_what_a_program_writes_is_kept_and_how_it_ends_is_told(output: Path) -> None:
    assert run(output, 'echo "$0 $1"; exit 3', "a b", "c") == 3
    assert output.read_text() == "a b c\n"


def test_a_program_that_is_not_there_is_told_in_its_output(output: Path) -> None:
    assert programs.run(("/no/such",), output, SystemClock(), Seconds(LIMIT_S)) == 127
    assert "/no/such" in output.read_text()


def test_a_program_gets_no_handle_no_input_and_no_secret(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFTHA_RESTAPI__AUTHENTICATION__PASSWORD", "tell-nobody")
    handle = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        assert run(output, "ls /proc/self/fd; cat; env") == 0
    finally:
        os.close(handle)
    said = output.read_text()
    assert said.startswith("0\n1\n2\n3\n"), "3 is the directory that ls reads"
    assert not said.startswith("0\n1\n2\n3\n4\n")
    assert "tell-nobody" not in said


def test_one_that_does_not_end_in_time_is_killed_with_its_children(output: Path) -> None:
    assert run(output, "sleep 60 & echo $! >&2; wait", limit=0.1) is None
    child = int(output.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_long_output_is_put_aside_once(output: Path) -> None:
    output.write_bytes(b"x" * (programs.LONGEST_BYTES + 1))
    assert run(output, "echo new") == 0
    assert output.read_text() == "new\n"
    assert output.with_name("programs.log.1").stat().st_size == programs.LONGEST_BYTES + 1


def test_an_absent_program_is_named_with_its_option() -> None:
    hooks = Hooks(callbacks={Callback.ON_STOP: ("/no/such",)}, before_stop=("sh", "-c", "true"))
    given = BootstrapConfig(
        method=Method(name="backup", command=("/no/restore",)), post_bootstrap=("/no/sql",)
    )
    copies = (Method(name="backup", command=("/no/copy",)), Method(name="basebackup"))
    postgres: Any = SimpleNamespace(hooks=hooks, copy_methods=copies)
    found = {problem.where: problem.what for problem in programs.absent(postgres, given)}
    assert found.keys() == {
        "postgresql.callbacks.on_stop",
        "postgresql.backup.command",
        "bootstrap.backup.command",
        "bootstrap.post_bootstrap",
    }
    assert "/no/such" in found["postgresql.callbacks.on_stop"]


@pytest.fixture
def callbacks(output: Path) -> Iterator[Callbacks]:
    def words(callback: Callback) -> tuple[str, ...]:
        ending = "sleep 60 & wait" if callback is Callback.ON_START else "true"
        return ("sh", "-c", f'echo "$0 $1 $2"; {ending}')

    hooks = Hooks(callbacks={each: words(each) for each in Callback})
    made = Callbacks(hooks=lambda: hooks, scope=Scope("demo"), output=output, clock=SystemClock())
    ended = threading.Event()
    runner = threading.Thread(target=made.run, args=(ended,), daemon=True)
    runner.start()
    yield made
    ended.set()
    made.look(STANDBY)
    made.reloaded()
    runner.join(LIMIT_S)
    for child in psutil.Process().children():
        os.killpg(child.pid, 9)
        child.wait(LIMIT_S)


def test_a_reload_kills_no_callback_and_newer_news_does(callbacks: Callbacks, output: Path) -> None:
    callbacks.look(STANDBY)
    wait_for(output, "on_start replica demo")
    callbacks.reloaded()
    wait_for(output, "on_reload replica demo")
    (started,) = [each for each in psutil.Process().children() if each.children()]

    callbacks.look(PROMOTED)
    wait_for(output, "on_role_change primary demo")
    started.wait(LIMIT_S)


def test_the_end_of_an_agent_waits_for_those_that_end_soon(
    callbacks: Callbacks, output: Path
) -> None:
    callbacks.reloaded()
    assert not output.exists(), "there is no server that could have read anything"
    callbacks.look(PROMOTED)
    callbacks.look(STANDBY)
    callbacks.finish()
    assert "on_role_change replica demo" in output.read_text()


class OfAnotherUser:
    """What a shell became that was told to run sudo: it lives, and its group takes no signal."""

    def poll(self) -> int | None:
        return None

    @property
    def pid(self) -> int:
        raise PermissionError(1, "Operation not permitted")


def test_what_runs_as_another_user_by_now_is_left_alone() -> None:
    assert not programs.kill(cast(Any, OfAnotherUser()))
