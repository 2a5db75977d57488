"""Find the cluster: which nodes to ask, with which credentials, and whose answer to believe.

It never joins Raft. A node without a majority tells what it last knew, so its answer is used only
if no other node has a majority.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec import Struct

from raftha.account import own_name
from raftha.api.client import ApiClient
from raftha.api.tls import TlsError, client_context
from raftha.config.load import Loaded, load
from raftha.errors import ConfigError, Problem, RafthaError
from raftha.instants import Seconds
from raftha.model.report import ClusterReport
from raftha.model.settings import Address, BasicAuth, Secret, TlsFiles

TIMEOUT: Final = Seconds(5.0)
"""A node asks the others for about a second before it answers for the cluster."""


class NotNamed(RafthaError):
    """Nothing says which cluster is meant."""


class NobodyAnswers(RafthaError):
    """No node of the cluster gave an answer; the message has a line for each that was asked."""


class Contact(Struct, frozen=True, kw_only=True):
    """Whom to ask: addresses in stages, each stage only if the one before had no majority.
    A node of another cluster than `scope`, where a file or the operator names one, is not
    believed."""

    stages: tuple[tuple[str, ...], ...]
    scope: str | None = None
    auth: BasicAuth | None = None
    tls: TlsFiles | None = None
    verify: bool = True

    def client(self, url: str) -> ApiClient:
        """A client of one node; a name and password within the address win over the file's."""
        bare, auth = _without_credentials(url)
        return ApiClient(
            url=bare, timeout=TIMEOUT, auth=auth or self.auth, tls=self.tls, verify=self.verify
        )


class Found(Struct, frozen=True, kw_only=True):
    """The answer that was believed: from whom, as it came, and decoded."""

    client: ApiClient
    document: Mapping[str, Any]
    report: ClusterReport


def contact(
    file: Path | None,
    urls: Sequence[str],
    environ: Mapping[str, str],
    folders: Sequence[Path],
    verify: bool = True,
    cluster: str | None = None,
) -> Contact:
    """Whom the options name, else RAFTHA_URL, else the first node file in `folders` that can be
    read, one of this `cluster` before the others. Raises ConfigError or NotNamed."""
    _check(urls, "--url")
    if file is not None:
        return _from_file(load(file, environ, witness=True), tuple(urls), verify)
    named = tuple(urls) or tuple(environ.get("RAFTHA_URL", "").replace(",", " ").split())
    if named:
        _check(named, "RAFTHA_URL")
        return Contact(stages=(named,), auth=_given(named), verify=verify)
    refused = [f"\n{folder}: may not be read by user {own_name()}" for folder in _closed(folders)]
    usable: list[Contact] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.yml"))):
        try:
            usable.append(_from_file(load(path, environ, witness=True), (), verify))
        except ConfigError as error:
            refused.append(f"\n{path}: {error}")
    if usable:
        return next((found for found in usable if found.scope == cluster), usable[0])
    looked = ", ".join(f"{folder}/*.yml" for folder in folders)
    raise NotNamed(
        "which cluster? Give --config-file FILE or --url, or set RAFTHA_URL; nothing usable is in "
        + looked
        + "".join(refused)
    )


def _check(urls: Sequence[str], origin: str) -> None:
    """Raises ConfigError for what is no address of a node."""
    for url in urls:
        try:
            parts = urlsplit(_whole(url))
            is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            shown = _without_credentials(url)[0]
            what = f"is not an address: {shown!r}"
            raise ConfigError([Problem(origin, what, "write http://host:port, or https")])


def _closed(folders: Sequence[Path]) -> list[Path]:
    """Those that are there, and show this user nothing of what is in them."""
    return [folder for folder in folders if folder.is_dir() and not os.access(folder, os.R_OK)]


def find(contact: Contact) -> Found:
    """The best answer about the cluster: one with a majority if there is any, else the youngest.
    Raises NobodyAnswers."""
    asked: set[str] = set()
    errors: list[str] = []
    best: Found | None = None
    stages = list(contact.stages)
    while stages:
        stage = [url for url in dict.fromkeys(stages.pop(0)) if url not in asked]
        asked.update(stage)
        for answer in _ask((contact.client(url) for url in stage), contact.scope):
            if isinstance(answer, RafthaError):
                errors.append(str(answer))
            elif answer.report.majority:
                return answer
            elif best is None or answer.report.age_seconds < best.report.age_seconds:
                best = answer
                stages.append(tuple(m.api_url for m in answer.report.members if m.api_url))
    if best is None:
        raise NobodyAnswers("\n".join(["no node of the cluster answers:", *errors]))
    return best


def _ask(clients: Iterable[ApiClient], scope: str | None) -> Iterator[Found | RafthaError]:
    """Ask all at once, and give the answers as they come. The threads die with the process."""
    answers: SimpleQueue[Found | RafthaError] = SimpleQueue()
    threads = [
        Thread(target=lambda client=client: answers.put(_one(client, scope)), daemon=True)
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        yield answers.get()


def _one(client: ApiClient, scope: str | None) -> Found | RafthaError:
    try:
        document, report = client.cluster_documents()
    except RafthaError as error:
        return error
    if scope is not None and report.scope != scope:
        return RafthaError(
            f"{client.url}: a node of the cluster {report.scope}, not of {scope}: correct the "
            "addresses in the file, or the name of the cluster; or name a node by --url alone"
        )
    return Found(client=client, document=document, report=report)


def _from_file(loaded: Loaded, urls: tuple[str, ...], verify: bool) -> Contact:
    """A node's own address first. Of its partners the file knows the Raft address only; their API
    is taken to be on the same port as ours. What `ctl` says to show wins over `restapi`."""
    config, rest, ctl = loaded.config, loaded.config.restapi, loaded.ctl
    verify = verify and not ctl.insecure
    files = ctl.files(rest.tls)
    if files is not None:
        _check_files(files, verify, "restapi" if files == rest.tls else "ctl")
    scheme = "http" if rest.tls is None else "https"
    own = f"{scheme}://{rest.connect_address}"
    partners = tuple(
        f"{scheme}://{Address(partner.host, rest.connect_address.port)}"
        for partner in config.raft.partner_addrs
    )
    return Contact(
        stages=((*urls,) or (own,), (own, *partners)),
        scope=config.scope,
        auth=_given(urls) or ctl.authentication or rest.authentication,
        tls=files,
        verify=verify,
    )


def _given(urls: Sequence[str]) -> BasicAuth | None:
    """The first name and password in an address: those of one node are those of all."""
    return next((auth for url in urls if (auth := _without_credentials(url)[1])), None)


def _check_files(files: TlsFiles, verify: bool, section: str) -> None:
    """Raises ConfigError for a certificate that cannot be shown."""
    try:
        client_context(files, verify)
    except TlsError as error:
        raise ConfigError([Problem(section, str(error))]) from error


def _whole(url: str) -> str:
    return url if "//" in url else f"http://{url}"


def _without_credentials(url: str) -> tuple[str, BasicAuth | None]:
    try:
        parts = urlsplit(_whole(url))
    except ValueError:
        return url.rpartition("@")[2], None
    name, password = parts.username, parts.password
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    if name is None or password is None:
        return bare, None
    return bare, BasicAuth(username=unquote(name), password=Secret(unquote(password)))
