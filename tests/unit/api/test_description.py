"""The description of the HTTP interface says what a node answers, no less and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raftha.api import description
from raftha.api.application import Application, Request
from raftha.api.auth import Caller
from raftha.api.description import PATH, calls, document, page
from raftha.clock import SystemClock
from tests.unit.api.fake_responder import FakeResponder, rest_config

DOCS = Path(__file__).parents[3] / "docs" / "api.md"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
APPLICATION = Application(config=rest_config(), responder=FakeResponder(), clock=SystemClock())


def ask(method: str, path: str, body: bytes = b"[]") -> Any:
    caller = Caller(address="127.0.0.1", authorization=None, verified=False)
    return APPLICATION.reply(Request(method=method, path=path, query={}, body=body, caller=caller))


def test_the_page_is_fresh() -> None:
    assert DOCS.read_text() == page(), "run python -m raftha.api.description > docs/api.md"


def test_the_description_is_served_and_is_json() -> None:
    reply = ask("GET", PATH)

    assert reply.status == 200
    assert json.loads(reply.body.content) == document()
    assert document()["openapi"].startswith("3.")


@pytest.mark.parametrize("path", sorted({call.path for call in calls()}))
def test_each_path_takes_the_methods_that_are_described(path: str) -> None:
    """A body that no call takes is refused for itself, a method for being none."""
    described = {call.method.upper() for call in calls() if call.path == path}

    answered = {method for method in METHODS if ask(method, path).status != 405}
    assert answered == described


def test_each_path_that_a_node_knows_is_described() -> None:
    told = ask("GET", "/nonsense").body["reason"].partition("there are: ")[2].split()

    assert sorted(told) == sorted({call.path for call in calls()})


def test_every_code_that_is_answered_is_described() -> None:
    codes = {
        (call.method.upper(), call.path): set(call.codes) | {401, 403, 503} for call in calls()
    }

    for (method, path), known in codes.items():
        for body in (b"[]", b"{", b'{"x": 1}', b"{}"):
            if (method, body) == ("POST", b"{}"):
                continue  # this would be done
            assert ask(method, path, body).status in known, (method, path, body)


def test_bodies_are_described_by_their_own_types() -> None:
    switchover = document()["paths"]["/switchover"]["post"]
    body = switchover["requestBody"]["content"]["application/json"]["schema"]

    assert body["additionalProperties"] is False
    assert "allow_data_loss" in body["properties"]
    assert document()["paths"]["/members"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]["properties"]["verb"]["enum"]
    assert description.DOCUMENT.count(b"$ref") > 0
