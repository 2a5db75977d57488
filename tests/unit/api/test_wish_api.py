"""`POST /restart`, `/reinitialize` and `/reload`: who may, and which answer each mistake gets."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.model.operation import OperationState
from raftha.model.restarting import ServerRequest, WishKind
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.test_api_server import post, serving

AUTH = BasicAuth(username="admin", password=Secret("geheim"))


def test_they_need_the_password() -> None:
    responder = FakeResponder()
    with serving(responder, rest_config(authentication=AUTH)) as address:
        for path in ("/restart", "/reinitialize", "/reload"):
            assert post(address, path, "{}")[0] == 401
    assert (responder.wishes.asked, responder.reloads) == ([], 0)


def test_a_restart_answers_once_the_server_is_back() -> None:
    responder = FakeResponder()
    body = '{"role": "replica", "postgres_version": "15.19", "restart_pending": true, "timeout": 9}'
    with serving(responder) as address:
        status, told = post(address, "/restart", body)
        assert (status, told["message"]) == (200, "n1 is restarted")
        assert post(address, "/restart", '{"wait": false}')[0] == 202
        assert post(address, "/reinitialize", "")[0] == 202
        assert post(address, "/reload", "")[0] == 202
    first, _, last = responder.wishes.asked
    assert first == ServerRequest(
        kind=WishKind.RESTART, role="replica", postgres_version="15.19", restart_pending=True
    )
    assert (last.kind, responder.reloads) == (WishKind.REINITIALIZE, 1)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ("{}", False),
        ('{"from_leader": true}', True),
        ('{"from-leader": true, "force": true}', True),
        ('{"from_leader": false}', False),
    ],
)
def test_a_copy_of_the_leader_is_asked_for_as_patroni_reads_and_documents_it(
    body: str, asked: bool
) -> None:
    responder = FakeResponder()
    with serving(responder) as address:
        assert post(address, "/reinitialize", body)[0] == 202
    (wish,) = responder.wishes.asked
    assert wish == ServerRequest(kind=WishKind.REINITIALIZE, from_leader=asked)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/restart", '{"roll": 1}', 400),
        ("/restart", "[]", 400),
        ("/restart", '{"timeout": "soon"}', 400),
        ("/restart", '{"timeout": -1}', 400),
        ("/restart", '{"role": "boss"}', 400),
        ("/restart", '{"postgres_version": "new"}', 400),
        ("/restart", '{"schedule": "2999-05-17T03:00Z", "postgres_version": "new"}', 400),
        ("/restart", '{"schedule": "soon"}', 422),
        ("/reinitialize", '{"from": "n2"}', 400),
        ("/reload", '{"now": true}', 400),
    ],
)
def test_bad_bodies_are_refused(path: str, body: str, status: int) -> None:
    responder = FakeResponder()
    with serving(responder) as address:
        assert post(address, path, body)[0] == status
    assert (responder.wishes.asked, responder.reloads) == ([], 0)


def test_a_refusal_is_412_with_the_reason() -> None:
    responder = FakeResponder()
    refused = replace(responder.wishes.answers, state=OperationState.REFUSED, message="paused")
    responder.wishes.answers = refused
    with serving(responder) as address:
        for path in ("/restart", "/reinitialize"):
            status, told = post(address, path, "{}")
            assert (status, told["message"], told["reason"]) == (412, "paused", "paused")
