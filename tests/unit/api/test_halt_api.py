"""`POST /stop` and `POST /start`: who may, and which answer each mistake gets."""

from __future__ import annotations

from raftha.errors import OutcomeUnknown
from raftha.model.settings import BasicAuth, Secret
from tests.unit.api.fake_responder import FakeResponder, rest_config
from tests.unit.api.test_api_server import post, serving


def test_the_cluster_is_stopped_and_started() -> None:
    responder = FakeResponder()
    with serving(responder) as address:
        assert post(address, "/start", "")[0] == 412
        assert post(address, "/stop", "")[0] == 200
        status, told = post(address, "/stop", "{}")
        assert (status, told["reason"]) == (412, "the cluster is stopped already")
        assert post(address, "/switchover", '{"leader": "n1", "wait": false}')[0] == 202
        assert post(address, "/start", "{}")[0] == 200
    assert responder.schedule_store.cluster.halt is None


def test_bad_bodies_no_password_and_a_lost_answer() -> None:
    responder = FakeResponder()
    auth = BasicAuth(username="admin", password=Secret("geheim"))
    with serving(responder, rest_config(authentication=auth)) as address:
        assert post(address, "/stop", "")[0] == 401
    with serving(responder) as address:
        assert post(address, "/stop", '{"name": "n1"}')[0] == 400
        assert post(address, "/stop", "[]")[0] == 400
        assert responder.schedule_store.cluster.halt is None
        responder.schedule_store.error = OutcomeUnknown("no answer")
        status, told = post(address, "/stop", "")
        assert (status, "answer was lost" in told["reason"]) == (503, True)
