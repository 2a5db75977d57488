"""Who may ask for changes, and what the others are told."""

from __future__ import annotations

import pytest

from raftha.api.auth import Caller, basic, is_loopback, objection
from raftha.model.settings import BasicAuth, Secret, VerifyClient
from tests.unit.api.fake_responder import rest_config

AUTH = BasicAuth(username="admin", password=Secret("geheim:1"))
WRONG = BasicAuth(username="admin", password=Secret("geheim"))


def status(
    address: str, auth: BasicAuth | None, shown: str | None, verified: bool = False
) -> int | None:
    wanted = VerifyClient.OPTIONAL if verified else VerifyClient.NONE
    config = rest_config(authentication=auth, verify_client=wanted)
    caller = Caller(address=address, authorization=shown, verified=verified)
    reply = objection(config, caller)
    return None if reply is None else reply.status


@pytest.mark.parametrize(
    ("address", "auth", "shown", "expected"),
    [
        ("127.0.0.1", None, None, None),
        ("10.0.0.9", None, None, 403),
        ("127.0.0.1", AUTH, None, 401),
        ("10.0.0.9", AUTH, basic(AUTH), None),
        ("10.0.0.9", AUTH, basic(WRONG), 401),
        ("10.0.0.9", AUTH, "Bearer x", 401),
        ("10.0.0.9", AUTH, "Basic \u00fc", 401),
        ("", None, None, 403),
    ],
)
def test_a_change_needs_what_is_configured(
    address: str, auth: BasicAuth | None, shown: str | None, expected: int | None
) -> None:
    assert status(address, auth, shown) == expected


def test_a_verified_certificate_is_enough() -> None:
    assert status("10.0.0.9", AUTH, None, verified=True) is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [("::1", True), ("::ffff:127.0.0.1", True), ("127.9.9.9", True), ("::ffff:10.0.0.1", False)],
)
def test_loopback_is_known_in_every_form(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(("auth", "expected"), [(None, None), (AUTH, 401)])
def test_an_allowed_address_still_needs_the_password_if_there_is_one(
    auth: BasicAuth | None, expected: int | None
) -> None:
    config = rest_config(authentication=auth, allowlist=("10.0.0.0/24",))
    reply = objection(config, Caller(address="10.0.0.9", authorization=None, verified=False))

    assert (None if reply is None else reply.status) == expected
