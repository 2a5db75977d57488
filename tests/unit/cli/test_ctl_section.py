"""What the command line shows where a file has Patroni's section `ctl`, and where it has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from raftha.cli.discover import Contact, contact
from raftha.config.load import Loaded, load
from raftha.errors import ConfigError
from raftha.model.settings import BasicAuth, Secret, TlsFiles
from tests.certificates import make_certificates
from tests.unit.config.conftest import GOOD

OWN: Final = {"username": "admin", "password": "geheim"}
OTHER: Final = {"username": "operator", "password": "anders"}


def written(folder: Path, rest: dict[str, Any], ctl: object) -> Path:
    document = yaml.safe_load(GOOD)
    document["restapi"] |= rest
    document["ctl"] = ctl
    path = folder / "n1.yml"
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return path


def loaded(folder: Path, rest: dict[str, Any], ctl: object) -> Loaded:
    return load(written(folder, rest, ctl), {})


def found(folder: Path, rest: dict[str, Any], ctl: object, *urls: str) -> Contact:
    return contact(written(folder, rest, ctl), urls, {}, ())


def pem(name: str) -> dict[str, str]:
    return {"cafile": "ca.pem", "certfile": f"{name}.pem", "keyfile": f"{name}.key"}


def as_auth(pair: dict[str, str]) -> BasicAuth:
    return BasicAuth(username=pair["username"], password=Secret(pair["password"]))


@pytest.mark.parametrize("ctl", [None, {}, {"insecure": False}, {"authentication": None}])
def test_without_the_section_restapi_says_all(tmp_path: Path, ctl: object) -> None:
    make_certificates(tmp_path, "node")
    chosen = found(tmp_path, {**pem("node"), "authentication": OWN}, ctl)
    assert (chosen.auth, chosen.verify) == (as_auth(OWN), True)
    assert chosen.tls == files(tmp_path, "node")


def files(folder: Path, name: str, password: str | None = None) -> TlsFiles:
    return TlsFiles(
        cafile=folder / "ca.pem",
        certfile=folder / f"{name}.pem",
        keyfile=folder / f"{name}.key",
        password=None if password is None else Secret(password),
    )


def test_the_section_wins_and_an_address_wins_over_it(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    make_certificates(tmp_path, "person", authority=tmp_path, password="sesame")
    ctl = {
        "insecure": True,
        "authentication": OTHER,
        "certfile": "person.pem",
        "keyfile": "person.key",
        "keyfile_password": "sesame",
    }
    rest = {**pem("node"), "authentication": OWN}
    chosen = found(tmp_path, rest, ctl)
    assert (chosen.auth, chosen.verify) == (as_auth(OTHER), False)
    assert chosen.tls == files(tmp_path, "person", "sesame"), "its authority is that of restapi"
    chosen = found(tmp_path, rest, ctl, "https://me:mine@127.0.0.1:8008")
    assert chosen.auth == as_auth({"username": "me", "password": "mine"})


def test_an_authority_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    authority = tmp_path / "authority.pem"
    authority.write_bytes((tmp_path / "ca.pem").read_bytes())
    chosen = found(tmp_path, pem("node"), {"cacert": "authority.pem"})
    assert chosen.tls is not None
    assert (chosen.tls.cafile, chosen.tls.certfile) == (authority, tmp_path / "node.pem")
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "node.pem").read_bytes() + (tmp_path / "node.key").read_bytes())
    chosen = found(tmp_path, {}, {"cacert": "authority.pem", "certfile": "both.pem"})
    assert chosen.tls is not None
    assert (chosen.tls.certfile, chosen.tls.keyfile) == (both, both)


def test_what_cannot_be_shown_is_told_by_its_section(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    with pytest.raises(ConfigError, match=r"ctl: .*no\.pem cannot be read"):
        found(tmp_path, pem("node"), {"certfile": "no.pem", "keyfile": "node.key"})


@pytest.mark.parametrize(
    ("ctl", "words"),
    [
        ({"certfile": "c.pem"}, "ctl.certfile: has no effect without an authority"),
        ({"cacert": "ca.pem"}, "ctl.cacert: has no effect without a certificate"),
        ({"keyfile": "c.key"}, "ctl.keyfile: has no effect without ctl.certfile"),
    ],
)
def test_what_acts_on_nothing_is_warned_of(tmp_path: Path, ctl: dict[str, str], words: str) -> None:
    """And is no reason for a node not to start."""
    told = loaded(tmp_path, {}, ctl).warnings
    assert [words in str(warning) for warning in told].count(True) == 1
    assert found(tmp_path, {}, ctl).tls is None


def test_half_a_pair_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    for ctl, words in (
        ({"authentication": {"username": "x"}}, "is given without a password"),
        ({"cafile": "x"}, "did you mean"),
    ):
        with pytest.raises(ConfigError, match=words):
            loaded(tmp_path, {}, ctl)
