"""Keeps the leader lease: wins it, renews it, lets it go. The only place that counts a lease.

A lease is counted from the hand-over of the very command that won or renewed it, and only if that
command is known to have committed. The guardian's deadline is moved before the lease is believed,
so that whoever sees `held` can rely on the kill switch behind it; but for a maintenance pause, in
which the lease is kept without a deadline, and `held` says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from msgspec.structs import replace

from raftha.agent.sides import Attempt, Guard, Restraint, Store, share_of, standing
from raftha.clock import Clock
from raftha.errors import GuardianError
from raftha.instants import RHO, Instant, Seconds, longest
from raftha.logs import event
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Command,
    Committed,
    Key,
    LeaseId,
    NotSent,
    Outcome,
    Refresh,
    Rejected,
    Revoke,
    Transact,
    Unknown,
)
from raftha.model.view import HeldLease

LOG = logging.getLogger(__name__)


class LeaseKeeper:
    """`step` is called by one thread at a time; the others only read `held` or ask for something.

    `hold_back` answers why a renewal must not go out now (the loop stands still, PostgreSQL does
    not answer), or None; `note` is what the renewal carries, and `telling` the command, if any,
    that keeps it beyond the lease and goes before the renewal. `renewed` is called for a renewal of
    the lease that was held already, `changed` for everything else that shows in `held` or `busy`.
    """

    def __init__(
        self,
        *,
        store: Store,
        guard: Guard,
        clock: Clock,
        leader_key: Key,
        settings: Callable[[], DynamicConfig],
        hold_back: Callable[[], str | None],
        note: Callable[[], bytes],
        telling: Callable[[HeldLease, bytes], Command | None] = lambda _held, _note: None,
        renewed: Callable[[], None],
        changed: Callable[[], None],
        settled: Callable[[Outcome], object] = lambda _outcome: None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._clock = clock
        self._leader_key = leader_key
        self._settings = settings
        self._restraint = Restraint(hold_back)
        self._note = note
        self._telling = telling
        self._renewed = renewed
        self._changed = changed
        self._settled = settled
        self._held: HeldLease | None = None
        self._ttl = Seconds(0.0)
        self._counted_from: Instant | None = None
        self._attempt: Attempt | None = None
        self._attempted: Instant | None = None
        self._releasing = False
        self._returning: HeldLease | None = None
        self._is_revoking = False
        self._arms = True
        self._disarms_asked = 0
        self._disarms_done = 0
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = threading.Event()

    @property
    def held(self) -> HeldLease | None:
        """The lease as last counted; its validity is for the reader's clock to judge. None from the
        very call of `release` on: whoever gave it up must not act on it again. Not armed from the
        very call of `disarm` on, until a later renewal has armed the guardian again: who saw an
        arming that is about to be undone would let the others loose."""
        # In this order: what is done by now shows in what is read after it.
        is_undone = self._disarms_asked != self._disarms_done
        held = None if self._releasing else self._held
        return held if held is None or not is_undone else replace(held, armed=False)

    @property
    def busy(self) -> bool:
        """A command to win or to give back the lease is in flight."""
        attempt = self._attempt
        racing = attempt is not None and (attempt.renews is None or self._held is None)
        return self._releasing or racing

    # What others ask for: queued, so that one thread alone changes the state.

    def acquire(
        self, command: Transact, lease: LeaseId, ttl: Seconds, *, armed: bool = True
    ) -> None:
        """Hand the race for the leader key over; `held` tells whether it was won. Not `armed`, the
        guardian is left without a deadline."""
        attempt = Attempt(ttl=ttl, lease=lease, renews=None, armed=armed)
        self._post(lambda: self._take(command, attempt))

    def readopt(
        self,
        epoch: Epoch,
        lease: LeaseId,
        revision: Revision,
        ttl: Seconds,
        *,
        armed: bool = True,
    ) -> None:
        """Renew a lease that an earlier process of this node held and left its guardian with.

        `ttl` is the one the lease has: the guardian's deadline may rest on it, so a shorter one
        must wait until the deadline is known to be moved back. `armed` as for `acquire`.
        """
        command = Refresh(lease, revision, ttl, self._note())
        attempt = Attempt(ttl=ttl, lease=lease, renews=epoch, armed=armed)
        self._post(lambda: self._take(command, attempt))

    def disarm(self, epoch: Epoch) -> None:
        """Take the guardian's deadline away, and go on renewing without it."""
        self._disarms_asked += 1
        self._post(lambda: self._disarm(epoch))

    def rearm(self) -> None:
        """Renew at once, and with that move the guardian's deadline again."""
        self._post(self._rearm)

    def release(self) -> None:
        """Stop believing in the lease at once, and give it back. Only after a verified stop.

        The guardian burns the epoch first, so that nothing is made under it any more once another
        node may hold the key, whatever an agent asks for. Where it does not, nothing is given back,
        and the lease lapses.

        The belief ends here and not when the thread gets to it: a caller that looked again in
        between would see its lease, and start the server that it has just handed over.
        """
        self._releasing = True
        self._post(self._release)

    def give_back(self, epoch: Epoch, lease: LeaseId, revision: Revision) -> None:
        """The same for a lease that an earlier process of this node held, or this one lost with its
        guardian: it is not believed in, and nobody renews it any more."""
        left = HeldLease(lease=lease, epoch=epoch, revision=revision, valid_until=self._clock.now())
        self._releasing = True
        self._post(lambda: self._give_back(left))

    def forget(self, why: str) -> None:
        """Stop believing in the lease, without a word to the store: it lapses by itself."""
        self._post(lambda: self._forget(why))

    def _post(self, request: Callable[[], None]) -> None:
        self._requests.put(request)
        self._wake.set()

    # The thread's side.

    def run(self, stopped: threading.Event) -> None:
        """Step until stopped, at least each heartbeat."""
        while not stopped.is_set():
            pause = self.step(self._clock.now())
            self._wake.wait(pause)
            self._wake.clear()

    def step(self, now: Instant) -> Seconds:
        """Take in what has come back, renew if it is time; how long nothing is due."""
        while not self._requests.empty():
            self._requests.get_nowait()()
        settings = self._settings()
        self._shorten(settings)
        self._revoke_again(settings)
        held = self._held
        if held is None or self._attempt is not None:
            return settings.heartbeat
        waited = heartbeat = Seconds(settings.heartbeat * share_of(self._ttl, settings))
        if self._attempted is not None:
            waited = longest(self._attempted, now)
        if waited < heartbeat:
            return Seconds(heartbeat - waited)
        return self._renew(held, settings)

    def _take(self, command: Command, attempt: Attempt) -> None:
        if self._attempt is None and self._held is None:
            self._arms = attempt.armed
            self._hand_over(command, attempt)

    def _disarm(self, epoch: Epoch) -> None:
        """If the guardian does not answer it may do so late: then the next renewal arms it, and it
        is asked again."""
        held = self._held
        if held is not None and held.epoch == epoch:
            self._arms = False
            self._held = replace(held, armed=False)
            try:
                self._guard.disarm(epoch)
            except GuardianError as error:
                event(LOG, logging.WARNING, "the guardian was not disarmed", why=str(error))
                self._arms = True
        self._disarms_done += 1
        self._changed()

    def _rearm(self) -> None:
        """Only a newer renewal arms a guardian that was disarmed; there is one soon."""
        if not self._arms:
            self._arms = True
            self._attempted = None

    def _release(self) -> None:
        held = self._held
        if held is None:
            self._releasing = self._returning is not None
            return
        if self._attempt is not None:
            # A renewal in flight would change the revision that giving back has to name; its
            # answer leads here again.
            return
        if self._burn(held):
            self._held = None
            self._revoke(held)

    def _give_back(self, left: HeldLease) -> None:
        is_idle = self._held is None and self._attempt is None and self._returning is None
        if is_idle and self._burn(left):
            self._revoke(left)
        self._releasing = self._returning is not None

    def _burn(self, held: HeldLease) -> bool:
        try:
            self._guard.burn(held.epoch)
        except GuardianError as error:
            self._forget(f"it is not given back, for its epoch is not burned: {error}")
            return False
        return True

    def _revoke(self, held: HeldLease) -> None:
        self._returning = held
        self._is_revoking = True
        self._attempted = self._clock.now()
        self._store.submit(
            Revoke(held.lease, held.revision),
            timeout=self._settings().retry_timeout,
            done=lambda outcome: self._post(lambda: self._released(held, outcome)),
        )

    def _revoke_again(self, settings: DynamicConfig) -> None:
        """Nobody but this process can give a burned epoch back, so it goes on until it is gone."""
        returning, asked = self._returning, self._attempted
        if returning is None or self._is_revoking or asked is None:
            return
        if longest(asked, self._clock.now()) >= settings.heartbeat:
            self._revoke(returning)

    def _forget(self, why: str) -> None:
        self._attempt = None
        self._releasing = self._returning is not None
        if self._held is not None:
            event(LOG, logging.WARNING, "lease forgotten", why=why, epoch=str(self._held.epoch))
            self._held = None
            self._changed()

    def _renew(self, held: HeldLease, settings: DynamicConfig) -> Seconds:
        if self._restraint.holds_back():
            return Seconds(settings.heartbeat / 4)
        note = self._note()
        told = self._telling(held, note)
        if told is not None:
            # First, so that the log holds no renewal without it. What became of it shows in the
            # store, where the next one looks.
            self._store.submit(told, timeout=settings.retry_timeout, done=lambda _outcome: None)
        ttl = max(settings.ttl, self._ttl)
        command = Refresh(held.lease, held.revision, ttl, note)
        self._hand_over(command, Attempt(ttl=ttl, lease=held.lease, renews=held.epoch))
        return settings.heartbeat

    def _shorten(self, settings: DynamicConfig) -> None:
        """Before a shorter ttl is proposed, live by it: others may expire by it once it commits.
        Not from a renewal that is too old for that: the lease could be over at once."""
        held, start = self._held, self._counted_from
        if held is None or start is None or settings.ttl >= self._ttl:
            return
        if longest(start, self._clock.now()) > settings.heartbeat:
            return
        shorter = replace(held, valid_until=start.plus(settings.ttl * (1 - RHO)))
        self._ttl, self._held = settings.ttl, shorter
        if shorter.armed:
            self._arm(shorter)

    def _hand_over(self, command: Command, attempt: Attempt) -> None:
        self._attempt = attempt
        self._attempted = self._clock.now()

        def done(outcome: Outcome) -> None:
            self._post(lambda: self._settle(attempt, outcome))

        settings = self._settings()
        share = share_of(self._ttl, settings) if self._held else 1.0
        self._store.submit(command, timeout=Seconds(settings.retry_timeout * share), done=done)

    def _released(self, held: HeldLease, outcome: Outcome) -> None:
        """Take the answer in. If it was not a yes, and the key still stands under this epoch, then
        a renewal may have committed unheard: ask again, with the revision that it has now."""
        self._is_revoking = False
        self._returning = None
        if not isinstance(outcome, Committed):
            self._returning = standing(held, self._store.peek(), self._leader_key)
        self._releasing = self._returning is not None
        event(LOG, logging.INFO, "leader key released", outcome=type(outcome).__name__)
        self._changed()

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take an answer in. The attempt counts as under way until `held` says what came of it."""
        if attempt is not self._attempt:
            return  # forgotten meanwhile: what it won or renewed must not be believed
        was_held = self._held is not None
        self._judge(attempt, outcome)
        if attempt.renews is not None:
            self._settled(outcome)
        self._attempt = None
        if self._releasing:
            self._release()
        is_routine = was_held and self._held is not None and isinstance(outcome, Committed)
        (self._renewed if is_routine else self._changed)()

    def _judge(self, attempt: Attempt, outcome: Outcome) -> None:
        match outcome:
            case Committed():
                self._count(attempt, outcome)
            case Rejected():
                self._rejected(attempt, outcome.reason)
            case NotSent() | Unknown():
                self._catch_up(outcome.reason, is_final=False)

    def _count(self, attempt: Attempt, outcome: Committed) -> None:
        generation = self._store.peek().generation
        epoch = attempt.renews or Epoch(generation, outcome.revision)
        held = HeldLease(
            lease=attempt.lease,
            epoch=epoch,
            revision=outcome.revision,
            valid_until=outcome.handed_over.plus(attempt.ttl * (1 - RHO)),
            armed=self._arms,
        )
        self._ttl = attempt.ttl
        self._counted_from = outcome.handed_over
        if not self._arms or self._arm(held):
            if self._held is None:
                event(LOG, logging.INFO, "leader lease held", epoch=str(epoch))
            self._held = held

    def _arm(self, held: HeldLease) -> bool:
        budget = self._settings().fence_budget
        try:
            self._guard.arm(held.epoch, held.revision, held.valid_until.plus(-budget))
        except GuardianError as error:
            self._forget(f"the guardian did not take the deadline: {error}")
            return False
        return True

    def _rejected(self, attempt: Attempt, reason: str) -> None:
        if attempt.renews is None:
            event(LOG, logging.INFO, "race lost", why=reason)
            return
        self._catch_up(reason, is_final=True)

    def _catch_up(self, reason: str, *, is_final: bool) -> None:
        """A renewal may have committed unheard: take its revision over, never its time. A final
        answer says that this very renewal did not happen: the lease may be gone."""
        event(LOG, logging.WARNING, "lease command without success", why=reason)
        held = self._held
        if held is None:
            return
        snapshot = self._store.peek()
        lease = snapshot.leases.get(held.lease)
        epoch = snapshot.epoch_of(self._leader_key)
        if epoch is not None and epoch > held.epoch:
            self._forget("the leader key has changed hands")
        elif is_final and (lease is None or epoch != held.epoch):
            self._forget("the lease has lapsed")
        elif lease is not None and epoch == held.epoch and lease.revision > held.revision:
            self._held = replace(held, revision=lease.revision)
            self._attempted = None  # the next attempt need not wait for a whole heartbeat
