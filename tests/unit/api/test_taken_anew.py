"""Who may ask, and which certificate is shown, changed under a running server."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from msgspec.structs import replace

from raftha.api import auth
from raftha.api.client import Refused, Unreachable
from raftha.api.server import ApiServer
from raftha.api.tls import TlsError
from raftha.clock import SystemClock
from raftha.model.report import OperationReport, OperationRequest
from raftha.model.settings import Address, BasicAuth, RestConfig, Secret, VerifyClient
from tests.certificates import make_certificates
from tests.unit.api.fake_responder import (
    FakeResponder,
    peer_report,
    rest_config,
    running,
    tls_files,
)
from tests.unit.api.test_api_server import AUTH, WISH, client

OTHER = BasicAuth(username="admin", password=Secret("anders"))


@contextmanager
def started(
    config: RestConfig, responder: FakeResponder | None = None
) -> Iterator[tuple[ApiServer, Address]]:
    api = ApiServer(config, responder or FakeResponder(), SystemClock())
    address = api.start()
    try:
        yield api, address
    finally:
        api.stop()


def refused(address: Address, shown: BasicAuth | None) -> int | None:
    try:
        assert client(address, auth=shown).operate(WISH) == running()
    except Refused as error:
        return error.status
    return None


def test_another_password_counts_from_the_next_request_on() -> None:
    config = rest_config(authentication=AUTH)
    with started(config) as (api, address):
        assert (refused(address, AUTH), refused(address, OTHER)) == (None, 401)
        api.take(replace(config, authentication=OTHER))
        assert (refused(address, AUTH), refused(address, OTHER)) == (401, None)
        api.take(replace(config, authentication=None))
        assert refused(address, None) is None


def test_a_connection_that_stays_open_goes_by_the_new_password_too() -> None:
    config = rest_config(authentication=AUTH)
    with started(config) as (api, address):
        link = http.client.HTTPConnection(address.host, address.port, timeout=5)
        shown = {"Authorization": auth.basic(AUTH)}
        codes = []
        for fresh in (config, replace(config, authentication=OTHER)):
            api.take(fresh)
            link.request("POST", "/reload", headers=shown)
            answer = link.getresponse()
            answer.read()
            codes.append(answer.status)
        link.close()
        assert codes == [202, 401]


def test_a_request_that_runs_ends_by_the_old_settings() -> None:
    begun, taken = Event(), Event()

    class Slow(FakeResponder):
        def operate(self, request: OperationRequest) -> OperationReport:
            begun.set()
            assert taken.wait(10)
            return super().operate(request)

    config = rest_config(authentication=AUTH)
    outcome: list[int | None] = []
    with started(config, Slow()) as (api, address):
        asking = Thread(target=lambda: outcome.append(refused(address, AUTH)))
        asking.start()
        assert begun.wait(10)
        api.take(replace(config, authentication=OTHER, allowlist=("10.0.0.0/8",)))
        taken.set()
        asking.join(10)
        assert outcome == [None]
        assert refused(address, AUTH) == 403


def test_another_allowlist_and_closed_reading_count_from_the_next_request_on() -> None:
    config = rest_config(authentication=AUTH)
    with started(config) as (api, address):
        api.take(replace(config, allowlist=("10.0.0.0/8",)))
        assert refused(address, AUTH) == 403
        api.take(replace(config, allowlist=("10.0.0.0/8", "127.0.0.1")))
        assert refused(address, AUTH) is None
        api.take(replace(config, authenticate_reads=True))
        with pytest.raises(Refused) as caught:
            client(address).peer()
        assert caught.value.status == 401
        assert client(address, auth=AUTH).peer() == peer_report()


def test_other_certificates_and_who_must_show_one_count_from_the_next_connection_on(
    tmp_path: Path,
) -> None:
    make_certificates(tmp_path, "node", "next")
    files, others = tls_files(tmp_path, "node"), tls_files(tmp_path, "next")
    config = rest_config(tls=files)
    with started(config) as (api, address):
        assert client(address, "https", verify=False).peer() == peer_report()
        first = ssl.get_server_certificate((address.host, address.port))
        api.take(replace(config, tls=others, verify_client=VerifyClient.REQUIRED))
        with pytest.raises(Unreachable):
            client(address, "https", verify=False).peer()
        assert client(address, "https", tls=files).peer() == peer_report()
        api.take(replace(config, tls=others))
        assert ssl.get_server_certificate((address.host, address.port)) != first


def test_a_connection_that_was_let_in_on_other_terms_has_one_more_answer(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    config = rest_config(tls=tls_files(tmp_path, "node"))
    bare = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with started(config) as (api, address):
        link = http.client.HTTPSConnection(address.host, address.port, timeout=5, context=bare)
        ends = []
        for verify in (VerifyClient.NONE, VerifyClient.REQUIRED):
            api.take(replace(config, verify_client=verify))
            link.request("GET", "/liveness")
            answer = link.getresponse()
            answer.read()
            ends.append((answer.status, answer.getheader("Connection") == "close"))
        link.close()
        assert ends == [(200, False), (200, True)]


def test_a_certificate_of_the_old_authority_opens_nothing_by_the_new_password(
    tmp_path: Path,
) -> None:
    """The old settings ask for another password, the new ones for another certificate."""
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        make_certificates(tmp_path / folder, "node")
    files, others = (tls_files(tmp_path / folder, "node") for folder in ("old", "new"))
    config = rest_config(tls=files, verify_client=VerifyClient.OPTIONAL, authentication=AUTH)
    shows = ssl.create_default_context(cafile=files.cafile)
    shows.load_cert_chain(files.certfile, files.keyfile)
    with started(config) as (api, address):
        link = http.client.HTTPSConnection(address.host, address.port, timeout=5, context=shows)
        codes = []
        for fresh, password in (
            (config, AUTH),
            (replace(config, tls=replace(others, cafile=files.cafile)), AUTH),
            (replace(config, tls=others, authentication=OTHER), OTHER),
        ):
            link.connect()
            api.take(fresh)
            link.request("POST", "/reload", headers={"Authorization": auth.basic(password)})
            answer = link.getresponse()
            answer.read()
            codes.append(answer.status)
            link.close()
            api.take(config)
        assert codes == [202, 202, 403]


def test_files_that_cannot_be_used_change_nothing_and_are_all_named(tmp_path: Path) -> None:
    make_certificates(tmp_path, "node")
    files = tls_files(tmp_path, "node")
    config = rest_config(tls=files, authentication=AUTH)
    with started(config) as (api, address):
        missing = replace(files, certfile=tmp_path / "no.pem", keyfile=tmp_path / "no.key")
        with pytest.raises(TlsError) as caught:
            api.take(replace(config, tls=missing, authentication=OTHER))
        assert all(f"{name} cannot be read" in str(caught.value) for name in ("no.pem", "no.key"))
        assert client(address, "https", tls=files, auth=AUTH).operate(WISH) == running()
