"""What each voter said that it holds, so that a directory put back from a copy is noticed (PURE).

A voter's own disk cannot tell that it is an older one. Whoever heard an acknowledgement, a vote or
a greeting can: a hello that says less than the voter once said is not from the directory that said
it. A mark is written after `KEEP_SECONDS`: with each write it would double what that costs.

Limit: who never heard of the promise cannot notice that it was forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from raftha.consensus.greeting import Hello

KEEP_SECONDS: Final = 1.0
"""How long a mark may be in memory alone."""


class Mark(Struct, frozen=True, kw_only=True):
    """The highest of what one incarnation promised to this node: that it has voted in the term
    `voted`; and in `term`, to hold the log up to `index`."""

    incarnation: str
    voted: int = 0
    term: int = 0
    index: int = 0

    def contradicts(self, hello: Hello) -> str | None:
        """What of the promise is missing in a hello; None if nothing is.

        A term never falls, and within a term a voter cuts nothing that it acknowledged, for that
        stands in the log of the term's one raft leader. In a later term its log may be shorter."""
        if self.incarnation != hello.incarnation:
            return None
        forgot_vote = self.voted == hello.term and not hello.has_voted
        if self.voted > 0 and (self.voted > hello.term or forgot_vote):
            return f"it voted in term {self.voted} and knows nothing of that"
        if self.term > hello.term:
            return f"it was in term {self.term} and is in term {hello.term}"
        if self.term == hello.term and self.index > hello.last_index:
            return (
                f"in term {self.term} it acknowledged entry {self.index} and is at entry "
                f"{hello.last_index}"
            )
        return None


_NOTHING: Final = Mark(incarnation="")


class Marks:
    """The marks of this node, by address. Readers may keep `known`: it is never changed."""

    def __init__(self, known: Mapping[str, Mark]) -> None:
        self.known: Mapping[str, Mark] = dict(known)
        self._unsaved: dict[str, Mark] = {}
        self._since = 0.0

    def greeted(self, hello: Hello, now: float) -> None:
        """A voter said what its disk holds. Its term never falls, and a vote in it is not taken
        back. Its log is not cut any more in this term if it ends with an entry of it."""
        is_firm = 0 < hello.last_term == hello.term
        self.acknowledged(hello, hello.term, hello.last_index if is_firm else 0, now)
        if hello.has_voted:
            self.voted(hello, hello.term, now)

    def acknowledged(self, hello: Hello, term: int, index: int, now: float) -> None:
        """A voter said in this term that it holds the log up to this index."""
        mark = self._of(hello)
        if (term, index) > (mark.term, mark.index):
            self._set(hello.address, replace(mark, term=term, index=index), now)

    def voted(self, hello: Hello, term: int, now: float) -> None:
        """A voter gave this node its vote."""
        mark = self._of(hello)
        if term > mark.voted:
            self._set(hello.address, replace(mark, voted=term), now)

    def is_late(self, now: float) -> bool:
        """Whether a mark has been in memory alone for long enough."""
        return bool(self._unsaved) and now - self._since >= KEEP_SECONDS

    def take_unsaved(self) -> Mapping[str, Mark]:
        """The marks that the disk does not hold; the caller writes them."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def _of(self, hello: Hello) -> Mark:
        mark = self.known.get(hello.address, _NOTHING)
        return (
            mark if mark.incarnation == hello.incarnation else Mark(incarnation=hello.incarnation)
        )

    def _set(self, address: str, mark: Mark, now: float) -> None:
        if not self._unsaved:
            self._since = now
        self.known = {**self.known, address: mark}
        self._unsaved[address] = mark


class Doubts:
    """Tells a greeting that is heard late from one out of an older copy.

    While it was on its way another link of the same process may have come up, on which it promised
    more, and have gone again. Its next greeting tells: only a machine that was set back with its
    memory says less again.
    """

    def __init__(self) -> None:
        self._processes: dict[str, str] = {}
        self._doubted: dict[str, bytes] = {}

    def dispel(self, hello: Hello) -> None:
        """A voter was let in."""
        self._processes[hello.address] = hello.process
        self._doubted.pop(hello.address, None)

    def is_first(self, hello: Hello) -> bool:
        """Whether a greeting that contradicts a promise may be a late one."""
        if self._processes.get(hello.address) != hello.process:
            return False
        return self._doubted.setdefault(hello.address, hello.nonce) == hello.nonce
