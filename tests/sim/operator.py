"""The operator of a simulated world: brings machines up and down, and wishes for voters.

A wish goes to any member that runs, as `raftha member` would have it, is asked again as long as
nobody knows whether it was taken in, and ends as done or refused. A machine that is to be replaced
is off before that is wished for. One that has lost its vote stays on in some worlds, with all that
it remembers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct, field

from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, WishState, asking, key_of, read_wish
from raftha.model.store import Committed, Outcome, Snapshot
from tests.sim.host import Host
from tests.sim.plan import Strike

if TYPE_CHECKING:
    from tests.sim.world import World

SCOPE: Final = "sim"
FEWEST: Final = 3
MOST: Final = 7
PATIENCE: Final = Seconds(2.0)
LOOK_EVERY: Final = 0.3
"""Seconds until the operator looks again, or asks again."""


class Errand(Struct, eq=False):
    """A wish about one machine, until it has ended. `old` is the machine that is replaced.
    `ids` are those of the wish as it was asked for, maybe more than once; `is_taken_in` says that
    it is known to be."""

    verb: MemberVerb
    host: Host
    strike: Strike
    old: Host | None = None
    ids: set[str] = field(default_factory=set)
    is_taken_in: bool = False


class Operator:
    """Carries out the changes of a plan on a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: list[Errand] = []
        self._coming: list[tuple[Strike, Host]] = []
        self._wishes = 0
        self._is_hurried = False
        self.done = 0
        self.refused = 0

    # What a plan asks for.

    def add(self, strike: Strike, _: Host) -> None:
        """A new machine comes up, and is to vote."""
        if len(self._world.members) + len(self._open) + len(self._coming) >= MOST:
            return
        host = self._world.bring_up(None, is_witness=strike.pick % 4 == 0)
        if host is not None:
            self._begin(Errand(MemberVerb.ADD, host, strike))

    def remove(self, strike: Strike, host: Host) -> None:
        """A voter is to go, if that leaves enough of them."""
        left = [other for other in self._world.members if other is not host]
        data = [other for other in left if not other.is_witness]
        going = sum(1 for errand in self._open if errand.verb is not MemberVerb.ADD)
        if self._is_free(host) and len(left) - going >= FEWEST and len(data) - going > 0:
            self._begin(Errand(MemberVerb.REMOVE, host, strike))

    def replace(self, strike: Strike, host: Host) -> None:
        """A machine dies for good, and another with its name is to have its vote. No other one may
        be lost for good meanwhile, nor its memory."""
        if self._is_free(host) and self._world.may_lose_one():
            self._lose(strike, host)

    def former_voter_may_run(self) -> bool:
        """Whether a machine that has lost its vote has power, or may get it in an open errand."""
        open_ones = [errand.host for errand in self._open if errand.verb is MemberVerb.ADD]
        is_going = self._coming or len(open_ones) < len(self._open)
        hosts = self._world.hosts.values()
        return bool(is_going) or any(
            not (host.is_member or host.is_off or host in open_ones) for host in hosts
        )

    # The end.

    def hurry(self) -> None:
        """All faults are over: what is still to come comes now."""
        self._is_hurried = True
        for strike, old in list(self._coming):
            self._succeed(strike, old)

    def check_ended(self) -> None:
        """Every wish has ended, done or refused."""
        for errand in self._open:
            self._world.verdicts.violate(f"L3: {errand.verb} {errand.host.name} does not end")

    # How a wish goes.

    def _is_free(self, host: Host) -> bool:
        """Whether it has a vote, and nothing is under way about it."""
        busy = any(host in (errand.host, errand.old) for errand in self._open)
        is_lost = any(host is old for _, old in self._coming)
        return host.is_member and not (busy or is_lost)

    def _lose(self, strike: Strike, host: Host) -> None:
        self._world.switch_off(host)
        self._coming.append((strike, host))
        self._world.schedule.after(strike.lasts, partial(self._succeed, strike, host))

    def _succeed(self, strike: Strike, old: Host) -> None:
        if (strike, old) not in self._coming:
            return
        self._coming.remove((strike, old))
        host = self._world.bring_up(old.called, is_witness=old.is_witness)
        if host is None:
            self._world.switch_on(old)
            return
        self._begin(Errand(MemberVerb.REPLACE, host, strike, old))

    def _begin(self, errand: Errand) -> None:
        self._open.append(errand)
        self._look_later(errand)

    def _look_later(self, errand: Errand) -> None:
        self._world.schedule.after(LOOK_EVERY, partial(self._look, errand))

    def _look(self, errand: Errand) -> None:
        """Ask any member how things stand; wish, or wish anew, where nothing is known of it."""
        asked = self._anybody()
        if asked is None or asked.node is None:
            self._look_later(errand)
            return
        wish = _wish_in(asked.node.store.peek(), errand.host.called)
        if wish is not None and wish.id in errand.ids and wish.state is not WishState.ASKED:
            self._ended(errand, wish)
        elif errand.is_taken_in or (wish is not None and wish.id in errand.ids):
            self._look_later(errand)
        else:
            self._ask(errand, asked, wish)

    def _anybody(self) -> Host | None:
        """Whoever runs, rather one that is in touch with a majority, as its answer would say: one
        that has lost its vote knows nothing any more, and takes no wish."""
        hosts = [host for host in self._world.members if host.runs]
        in_touch = [host for host in hosts if host.node and host.node._core.has_majority]
        return self._world.random.choice(in_touch or hosts) if hosts else None

    def _ask(self, errand: Errand, asked: Host, before: MemberWish | None) -> None:
        """A replica that lags may show no wish where there is one: then the guard does not hold."""
        assert asked.node is not None
        host = errand.host
        self._wishes += 1
        wish = MemberWish(
            id=f"wish {self._wishes}",
            verb=errand.verb,
            name=MemberName(host.called),
            address=host.name,
            barred="" if errand.old is None else errand.old.disk.incarnation,
        )

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, Committed):
                errand.is_taken_in = True
                self._world.verdicts.note(f"{errand.verb} {host.name} is asked for")

        errand.ids.add(wish.id)
        asked.time.now = self._world.time.now
        asked.node.store.submit(
            asking(SCOPE, wish, before),
            timeout=PATIENCE,
            done=lambda outcome: self._world.later(asked, lambda: told(outcome)),
        )
        self._world.schedule.after(PATIENCE + LOOK_EVERY, partial(self._look, errand))

    def _ended(self, errand: Errand, wish: MemberWish) -> None:
        self._world.verdicts.note(f"{errand.verb} {errand.host.name}: {wish.state} {wish.message}")
        self._open.remove(errand)
        if wish.state is WishState.REFUSED:
            self.refused += 1
            self._refused(errand)
            return
        self.done += 1
        match errand.verb:
            case MemberVerb.ADD:
                errand.host.is_member = True
            case MemberVerb.REMOVE:
                errand.host.is_member = False
                self._part_with(errand.host, errand.strike)
            case MemberVerb.REPLACE:
                assert errand.old is not None
                errand.host.is_member, errand.old.is_member = True, False
                if errand.strike.pick % 3 == 0:
                    self._world.switch_on(errand.old)
            case _:
                assert_never(errand.verb)

    def _refused(self, errand: Errand) -> None:
        """Who has nobody else asks again, and stops what stands in the way, as they are told; else
        some do."""
        is_needed = errand.verb is MemberVerb.REPLACE
        if is_needed:
            self._stop_namesakes(errand.host)
        if is_needed or (errand.strike.pick % 2 and not self._is_hurried):
            self._begin(Errand(errand.verb, errand.host, errand.strike, errand.old))
        elif errand.verb is MemberVerb.ADD:
            self._world.switch_off(errand.host)

    def _stop_namesakes(self, newcomer: Host) -> None:
        """Machines without a vote that have the name of one that is to have it."""
        for host in self._world.hosts.values():
            if host.called == newcomer.called and host is not newcomer and not host.is_member:
                self._world.switch_off(host)

    def _part_with(self, host: Host, strike: Strike) -> None:
        if strike.pick % 2:
            self._world.schedule.after(strike.lasts, partial(self._world.switch_off, host))


def _wish_in(snapshot: Snapshot, called: str) -> MemberWish | None:
    entry = snapshot.entries.get(key_of(SCOPE, called))
    return None if entry is None else read_wish(SCOPE, entry)
