"""The options of the HTTP interface beside its addresses: what is taken, how a refusal reads."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raftha.model.settings import RestConfig, Secret, ServerTokens

TLS = {"certfile": "n1.pem", "keyfile": "n1.key", "cafile": "ca.pem"}


def written(good: str, **options: object) -> str:
    document = yaml.safe_load(good)
    document["restapi"] |= options
    return yaml.safe_dump(document)


def rest(load_text: Any, good: str, **options: object) -> RestConfig:
    config: RestConfig = load_text(written(good, **options)).config.restapi
    return config


def test_what_patroni_knows_is_taken(load_text: Any, good: str) -> None:
    found = rest(
        load_text,
        good,
        **TLS,
        keyfile_password="geheim",
        ciphers="ECDHE+AESGCM:!aNULL",
        http_extra_headers={"X-Frame-Options": "SAMEORIGIN", "X-Level": 1},
        https_extra_headers={"x-level": 2},
        server_tokens="productonly",
        request_queue_size=5,
        patroni_metrics=False,
    )
    assert found.tls is not None
    assert (found.tls.password, found.ciphers) == (Secret("geheim"), "ECDHE+AESGCM:!aNULL")
    assert found.extra_headers == (("X-Frame-Options", "SAMEORIGIN"), ("x-level", "2"))
    assert found.server_tokens is ServerTokens.PRODUCT_ONLY
    assert (found.request_queue_size, found.patroni_metrics) == (5, False)


def test_headers_for_https_go_with_https_alone(load_text: Any, good: str) -> None:
    found = rest(load_text, good, http_extra_headers={"A": "1"}, https_extra_headers={"B": "2"})
    assert found.extra_headers == (("A", "1"),)


def test_the_environment_has_the_password(load_text: Any, good: str) -> None:
    variable = {"RAFTHA_RESTAPI__KEYFILE_PASSWORD": "007"}
    found = load_text(written(good, **TLS), variable).config.restapi.tls
    assert found.password == Secret("007")
    assert "007" not in repr(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ciphers": "nonsense"}, "names no cipher of TLS 1.2 that OpenSSL has here: 'nonsense'"),
        ({"ciphers": "TLS_AES_256_GCM_SHA384"}, "those of TLS 1.3 cannot be chosen"),
        ({"ciphers": ["a"]}, "must be text, not a list"),
        ({"keyfile_password": 7}, "must be text, not something else"),
        ({"server_tokens": "none"}, "use one of Original, Minimal, ProductOnly"),
        ({"request_queue_size": 0}, "must be at least 1"),
        ({"patroni_metrics": "maybe"}, "must be true or false"),
        ({"http_extra_headers": "X: 1"}, "must be a section of header: value"),
        ({"http_extra_headers": {"Bad Name": "1"}}, "has an impossible header: 'Bad Name'"),
        ({"http_extra_headers": {"X": "a\r\nSet-Cookie: b"}}, "cannot be a header's"),
        ({"http_extra_headers": {"X": "\u00e9"}}, "printable ASCII"),
        ({"http_extra_headers": {"X": ["a"]}}, "has no value for X"),
        ({"http_extra_headers": {"X": "a", "x": "b"}}, "gives x twice"),
        ({"https_extra_headers": {"content-length": 3}}, "the server does"),
        ({"https_extra_headers": {"Server": "me"}}, "see restapi.server_tokens"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    refusals: Any, good: str, options: dict[str, object], words: str
) -> None:
    (problem,) = refusals(written(good, **options))
    (name,) = options
    assert f"restapi.{name}" in problem
    assert words in problem


def test_what_needs_https_is_warned_of_without_it(load_text: Any, good: str) -> None:
    text = written(good, keyfile_password="x", ciphers="HIGH", https_extra_headers={"A": "1"})
    told = [str(warning) for warning in load_text(text).warnings]
    for name in ("keyfile_password", "ciphers", "https_extra_headers"):
        assert any(f"restapi.{name}" in line and "no effect without HTTPS" in line for line in told)


def test_a_key_of_the_links_may_have_a_password(load_text: Any, good: str) -> None:
    document = yaml.safe_load(good)
    document["raft"] |= {**TLS, "keyfile_password": "geheim"}
    tls = load_text(yaml.safe_dump(document)).config.raft.tls
    assert tls is not None
    assert tls.password is not None
    assert tls.password.reveal() == "geheim"
