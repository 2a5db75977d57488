"""Asks every node of the cluster the same question, all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from raftha.api.client import ApiClient, ApiError
from raftha.cli.discover import Contact
from raftha.model.report import MemberReport

_Told = TypeVar("_Told")


def ask_all(
    contact: Contact, members: Sequence[MemberReport], ask: Callable[[ApiClient], _Told]
) -> Mapping[str, _Told | ApiError]:
    """What each says, or why it does not. Those that are off cost one timeout together."""

    def one(member: MemberReport) -> _Told | ApiError:
        try:
            return ask(contact.client(member.api_url))
        except ApiError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, len(members))) as pool:
        return dict(zip((m.name for m in members), pool.map(one, members), strict=True))
