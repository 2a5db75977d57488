"""Who may ask for changes, and what the others are told."""

from __future__ import annotations

import pytest

from raftha.api.auth import Caller, basic, is_loopback, objection, objection_to_reading
from raftha.model.settings import BasicAuth, Secret, VerifyClient
from tests.unit.api.fake_responder import rest_config

AUTH = BasicAuth(username="admin", password=Secret("geheim:1"))
WRONG = BasicAuth(username="admin", password=Secret("geheim"))


def status(address: str, auth: BasicAuth | None, shown: str | None) -> int | None:
    config = rest_config(authentication=auth)
    caller = Caller(address=address, authorization=shown, verified=False)
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


@pytest.mark.parametrize("wanted", [VerifyClient.OPTIONAL, VerifyClient.REQUIRED])
@pytest.mark.parametrize(
    ("auth", "shown", "verified", "of_change", "of_reading"),
    [
        (None, None, True, None, None),
        (None, None, False, 403, 403),
        (None, basic(AUTH), False, 403, 403),
        (AUTH, None, True, 401, None),
        (AUTH, basic(WRONG), True, 401, 401),
        (AUTH, basic(AUTH), True, None, None),
        (AUTH, basic(AUTH), False, 403, None),
        (AUTH, None, False, 403, 401),
    ],
)
def test_a_certificate_and_a_password_are_both_asked_of_a_change_and_either_of_a_reading(
    wanted: VerifyClient,
    auth: BasicAuth | None,
    shown: str | None,
    verified: bool,
    of_change: int | None,
    of_reading: int | None,
) -> None:
    """Also on the loopback interface, and where an address is allowed."""
    config = rest_config(authentication=auth, verify_client=wanted, allowlist=("127.0.0.0/8",))
    caller = Caller(address="127.0.0.1", authorization=shown, verified=verified)
    replies = objection(config, caller), objection_to_reading(config, caller)
    assert [None if r is None else r.status for r in replies] == [of_change, of_reading]


def test_a_certificate_that_nobody_asks_for_counts_for_nothing() -> None:
    config = rest_config(authentication=AUTH)
    caller = Caller(address="10.0.0.9", authorization=None, verified=True)
    for reply in (objection(config, caller), objection_to_reading(config, caller)):
        assert reply is not None
        assert reply.status == 401


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
