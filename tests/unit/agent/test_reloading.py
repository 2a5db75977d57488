"""A file that is read again: what is in force at once, what waits, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from raftha.agent.reloading import Reloads, of_waiting
from raftha.api.tls import TlsError
from raftha.config.load import load
from raftha.errors import ConfigError
from raftha.model.ids import MemberName
from raftha.model.report import Reloaded
from raftha.model.settings import Address, NodeConfig, VerifyClient
from tests.unit.config.conftest import GOOD

Options = dict[str, Any]


class File:
    """A node's file, and an agent that was started with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options: Options = yaml.safe_load(GOOD)
        self.write()
        self.reloads = Reloads(load(path, {}).config, path)

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.options))
        self.path.chmod(0o600)

    def change(self, what: Callable[[Options], object]) -> Reloaded:
        what(self.options)
        self.write()
        return self.reloads.reload()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "n1.yml")


def test_what_needs_no_restart_is_in_force_at_once(file: File) -> None:
    told = file.change(lambda o: o.update(tags={"nosync": True}))
    assert told == Reloaded(changed=("tags.nosync",))
    assert file.reloads.config.tags.nosync
    told = file.change(lambda o: o["restapi"].update(patroni_metrics=False))
    assert told == Reloaded(changed=("restapi.patroni_metrics",))
    assert file.reloads.config.restapi.patroni_metrics is False
    assert file.reloads.reload() == Reloaded()


def test_what_waits_for_a_restart_is_told_until_it_is_taken_back(file: File) -> None:
    paths = ("restapi.listen", "restapi.connect_address")
    told = file.change(lambda o: o["restapi"].update(listen="127.0.0.1:8009"))
    assert told == Reloaded(changed=paths, waiting=paths)
    told = file.change(lambda o: o.update(tags={"nosync": True}))
    assert told == Reloaded(changed=("tags.nosync",), waiting=paths)
    (notice,) = of_waiting(MemberName("n1"), file.reloads.waiting)
    assert "restapi.listen, restapi.connect_address: changed in the file" in notice.what
    assert file.change(lambda o: o["restapi"].update(listen="127.0.0.1:8008")).waiting == ()
    assert of_waiting(MemberName("n1"), file.reloads.waiting) == ()


def test_who_may_ask_is_in_force_at_once(file: File) -> None:
    protected = {"username": "admin", "password": "geheim"}
    rules = {"authentication": protected, "allowlist": ["10.0.0.0/8"], "authenticate_reads": True}
    assert file.change(lambda o: o["restapi"].update(rules)).waiting == ()
    rest = file.reloads.restapi
    assert rest.authentication is not None
    assert rest.authentication.password.reveal() == "geheim"
    assert (rest.allowlist, rest.authenticate_reads) == (("10.0.0.0/8",), True)


def test_who_may_ask_over_https_waits_with_it(file: File) -> None:
    """A server without HTTPS could not ask for the certificates that were to take the place of a
    password."""
    tls = {"certfile": "a.pem", "keyfile": "a.key", "cafile": "ca.pem"}
    protected = {"username": "admin", "password": "geheim"}
    file.change(lambda o: o["restapi"].update(authentication=protected))
    file.options["restapi"].pop("authentication")
    told = file.change(lambda o: o["restapi"].update(tls, verify_client="required"))
    assert {"restapi.certfile", "restapi.verify_client"} < set(told.waiting)
    assert "restapi.authentication.password" in told.waiting
    assert "geheim" not in str(told)
    rest = file.reloads.restapi
    assert (rest.tls, rest.verify_client) == (None, VerifyClient.NONE)


def test_an_agent_keeps_its_name_and_its_addresses_until_it_is_started_anew(file: File) -> None:
    started = file.reloads.config

    def move(options: Options) -> None:
        options.update(name="n9", scope="other")
        options["raft"].update(self_addr="127.0.0.1:7009", data_dir="elsewhere")
        options["restapi"].update(listen="127.0.0.1:8009")
        options["postgresql"].update(listen="127.0.0.1:5439", data_dir="new")

    told = file.change(move)
    assert file.reloads.config == started
    assert {"name", "scope", "raft.self_addr", "restapi.listen"} <= set(told.waiting)
    assert {"postgresql.listen", "postgresql.data_dir"} <= set(told.waiting)


def test_another_address_for_the_same_port_is_announced_at_once(file: File) -> None:
    file.change(lambda o: o["postgresql"].update(connect_address="10.0.0.1:5432"))
    config = file.reloads.config.postgresql
    assert config is not None
    assert config.connect_address == Address("10.0.0.1", 5432)


def test_another_key_is_taken_with_its_password(file: File) -> None:
    tls = {"certfile": "a.pem", "keyfile": "a.key", "cafile": "ca.pem"}
    file.options["restapi"].update(tls, keyfile_password="old")
    file.write()
    file.reloads = Reloads(load(file.path, {}).config, file.path)

    told = file.change(lambda o: o["restapi"].update(keyfile="b.key", keyfile_password="new"))
    assert (told.waiting, _password(file)) == ((), "new")
    tls_in_force = file.reloads.restapi.tls
    assert tls_in_force is not None
    assert tls_in_force.keyfile.name == "b.key"


def _password(file: File) -> str:
    tls = file.reloads.restapi.tls
    assert tls is not None
    assert tls.password is not None
    return tls.password.reveal()


def test_a_file_that_cannot_be_used_changes_nothing(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    before = file.reloads.config
    file.path.write_text("scope: [")
    with pytest.raises(ConfigError):
        file.reloads.reload()

    def refuse(_config: NodeConfig) -> None:
        raise TlsError("the key is closed")

    file.reloads.take = refuse
    with pytest.raises(TlsError):
        file.change(lambda o: o.update(tags={"nosync": True}))
    file.reloads.on_signal()
    assert file.reloads.config is before
    assert caplog.text.count("configuration refused, the old one stays") == 3

    file.reloads.take = lambda _config: None
    assert file.reloads.reload().changed == ("tags.nosync",)


def test_a_log_that_goes_nowhere_is_told(file: File) -> None:
    told = file.change(lambda o: o.update(log={"dir": "/nonexistent/here"}))
    assert "/nonexistent/here takes no log" in told.log
