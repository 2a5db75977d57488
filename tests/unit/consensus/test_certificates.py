"""Certificates of Raft links: what is refused, what is warned of, how they are renewed."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from raftha.consensus.certificates import CertificateError, date_problem, load_credentials
from raftha.consensus.renewal import Renewal
from raftha.model.settings import Secret, TlsFiles
from tests.certificates import make_certificates
from tests.sim.clocks import FakeClock, TrueTime

DAY_S = 86400.0


def files(
    folder: Path,
    certificate: str = "n1",
    key: str = "n1",
    ca: str = "ca",
    password: Secret | None = None,
) -> TlsFiles:
    return TlsFiles(
        cafile=folder / f"{ca}.pem",
        certfile=folder / f"{certificate}.pem",
        keyfile=folder / f"{key}.key",
        password=password,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_certificates(tmp_path, "n1", "n2")
    return tmp_path


def test_a_good_certificate_is_taken_with_its_names_and_dates(folder: Path) -> None:
    credentials = load_credentials(files(folder), "N1")
    assert credentials.names == {"n1"}
    assert credentials.ends - credentials.begins == pytest.approx(DAY_S + 3600)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certificate": "n2", "key": "n2"}, "names n2, not n1"),
        ({"key": "n2"}, "no certificate with its key: KEY_VALUES_MISMATCH"),
        ({"ca": "other"}, "other nodes would refuse"),
        ({"certificate": "missing"}, "missing.pem cannot be read: No such file"),
        ({"certificate": "noise"}, "no certificate with its key"),
        ({"ca": "noise"}, "holds no certificate"),
    ],
)
def test_what_a_peer_would_refuse_is_refused_here(
    folder: Path, change: dict[str, str], said: str
) -> None:
    other = folder / "elsewhere"
    other.mkdir()
    make_certificates(other, "n1")
    (other / "ca.pem").rename(folder / "other.pem")
    (folder / "noise.pem").write_text("noise")

    with pytest.raises(CertificateError, match=said):
        load_credentials(files(folder, **change), "n1")


def test_a_certificate_is_taken_whatever_its_dates_and_the_problem_is_told(tmp_path: Path) -> None:
    make_certificates(tmp_path, "n1", begin=timedelta(days=-300), end=timedelta(days=-2))
    expired = load_credentials(files(tmp_path), "n1")

    assert "has expired" in (date_problem(expired, expired.ends + 1) or "")
    assert "expires in 29 days" in (date_problem(expired, expired.ends - 29.9 * DAY_S) or "")
    assert "expires in 1 day:" in (date_problem(expired, expired.ends - 1.9 * DAY_S) or "")
    assert "in less than a day:" in (date_problem(expired, expired.ends - 0.9 * DAY_S) or "")
    assert date_problem(expired, expired.ends - 30.1 * DAY_S) is None
    assert "not valid yet" in (date_problem(expired, expired.begins - 1) or "")


class Node:
    """A renewal, its clock, and the files that it follows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = TrueTime()
        self.renewal = Renewal(files(folder), "n1", FakeClock(self.time))
        self.renewal.load()
        self.time.now = self.renewal.credentials.ends - 100 * DAY_S

    def replace(self, *names: str, end_days: int = 200) -> None:
        """Put other files in place, as a person or a tool does."""
        fresh = self.folder / "fresh"
        fresh.mkdir(exist_ok=True)
        make_certificates(fresh, *names, begin=timedelta(days=-300), end=timedelta(days=end_days))
        for file in fresh.iterdir():
            os.replace(file, self.folder / file.name)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    make_certificates(tmp_path, "n1", begin=timedelta(days=-300), end=timedelta(days=100))
    made = Node(tmp_path)
    made.renewal.look()
    assert made.renewal.problem is None
    return made


def test_a_changed_certificate_is_used_from_the_next_look_on(node: Node) -> None:
    before = node.renewal.credentials
    node.renewal.look()
    assert node.renewal.credentials is before

    node.replace("n1", end_days=200)
    node.renewal.look()

    assert node.renewal.credentials.ends - before.ends == pytest.approx(100 * DAY_S, abs=5)


@pytest.mark.parametrize("damage", ["another name", "noise", "gone"])
def test_files_that_cannot_be_used_change_nothing_and_are_told(node: Node, damage: str) -> None:
    before = node.renewal.credentials
    if damage == "another name":
        node.replace("n2")
        os.replace(node.folder / "n2.pem", node.folder / "n1.pem")
        os.replace(node.folder / "n2.key", node.folder / "n1.key")
    elif damage == "noise":
        (node.folder / "n1.pem").write_text("noise")
    else:
        (node.folder / "n1.key").unlink()

    node.renewal.look()
    assert node.renewal.credentials is before
    assert "the old ones stay" in (node.renewal.problem or "")

    node.replace("n1")
    node.renewal.look()
    assert node.renewal.problem is None
    assert node.renewal.credentials is not before


def test_an_encrypted_key_is_opened_by_its_password_and_by_no_other(tmp_path: Path) -> None:
    make_certificates(tmp_path, "n1", password="open sesame")
    for password, words in (
        (None, r"n1\.key is encrypted: write its password in raft\.keyfile_password"),
        ("wrong", r"raft\.keyfile_password does not open .*n1\.key"),
        ("long" * 500, "does not open"),
    ):
        secret = None if password is None else Secret(password)
        with pytest.raises(CertificateError, match=words):
            load_credentials(files(tmp_path, password=secret), "n1")
    opened = files(tmp_path, password=Secret("open sesame"))
    assert load_credentials(opened, "n1").names == {"n1"}
    make_certificates(tmp_path, "n1")
    assert load_credentials(opened, "n1").names == {"n1"}, "a password too many does no harm"


def test_another_password_is_taken_with_its_key_and_a_wrong_one_changes_nothing(
    node: Node,
) -> None:
    first = node.renewal.credentials
    make_certificates(node.folder, "n1", end=timedelta(days=200), password="anders")
    node.renewal.look()
    assert node.renewal.credentials is first
    assert "is encrypted" in (node.renewal.problem or "")
    with pytest.raises(CertificateError, match="does not open"):
        node.renewal.take(files(node.folder, password=Secret("wrong")))
    assert node.renewal.credentials is first
    with pytest.raises(CertificateError, match="does not open"):
        node.renewal.take(files(node.folder, password=Secret("wrong")))

    node.renewal.take(files(node.folder, password=Secret("anders")))
    second = node.renewal.credentials
    assert (node.renewal.problem, second is first) == (None, False)
    make_certificates(node.folder, "n1", end=timedelta(days=200), password="anders")
    node.renewal.look()
    assert node.renewal.credentials not in (first, second), "the next one is read by itself"


def test_an_expiry_is_warned_of_from_30_days_before_and_logged_once_a_day(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "raftha.consensus.renewal")
    ends = node.renewal.credentials.ends
    warned = []
    for hour in range(35 * 24):
        node.time.now = ends - 34 * DAY_S + hour * 3600
        node.renewal.look()
        warned.append(node.renewal.problem is not None)

    assert warned.index(True) == 4 * 24
    assert all(warned[4 * 24 :])
    assert "has expired" in (node.renewal.problem or "")
    assert len(caplog.records) == 30 + 1 + 1  # one a day, at the very end, and expired
