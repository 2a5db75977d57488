"""The kill switch itself: one server, one deadline, and what becomes of the one at the other.

It starts, promotes, stops and kills; it never decides that any of this should happen, except for
the one thing it exists for: a primary whose deadline has passed dies. While a primary is guarded
nothing here touches a disk before the fence is complete, since a hung disk would hold it up.

`tick` drives everything that takes time. Whoever calls it sleeps no longer than `pause_s`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from raftha.guardian import kernel, launch, procs, protocol
from raftha.guardian.fence import Sweep
from raftha.guardian.machine import HOST, Machine
from raftha.guardian.protocol import Arm, EpochPair, Message, Proof, Reading
from raftha.guardian.typed import Final, NamedTuple
from raftha.guardian.will import Death

GUARDING_PAUSE_S: Final = 0.05
FAR_PAUSE_S: Final = 0.2
"""Longest sleeps while a deadline is guarded, near to it and far from it: the clock of `poll`
stands still in a suspend, so after one this much may be lost."""
_FAR_SHARE: Final = 1 / 16
_DEAD_MAN_SHARE: Final = 0.8
"""The longer one is below what the dead-man timer, which counts through a suspend, leaves after the
deadline: a guardian that it ends kills nothing itself, and its postmaster is only asked to stop."""

IDLE_PAUSE_S: Final = 60.0

STOP_SIGNALS: Final = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class Refused(Exception):
    """A request was not carried out; the message says why, for people."""


class Server(NamedTuple):
    """The postmaster that this guardian started. `is_primary` once it may accept writes."""

    pid: int
    started: int
    is_primary: bool
    epoch: EpochPair | None


class Files(NamedTuple):
    """Where things lie: the resolved data directory, and the ledger of burned epochs."""

    pgdata: str
    ledger: str


class KillSwitch:
    """All state of the guardian but its connections."""

    def __init__(
        self,
        files: Files,
        dead_man: kernel.DeadMan,
        dead_man_s: float,
        clock: Callable[[], Reading],
        emit: Callable[[Message], None],
        machine: Machine = HOST,
    ) -> None:
        self._files = files
        self._dead_man = dead_man
        self._dead_man_s = dead_man_s
        self._clock = clock
        self._emit = emit
        self.machine = machine
        self._proof = Proof()
        self._server: Server | None = None
        self._instance = procs.Instance(machine.pid, files.pgdata, None)
        self._exit_status: int | None = None
        self._sweep: Sweep | None = None
        self._gone: EpochPair | None = None
        self._reserve: tuple[int, ...] = ()
        self._last: Message = {"last_exit": None, "last_fence_s": None}

    def open(self) -> None:
        """Remember what was burned before, and take the timer. Raises LedgerDamaged, OSError."""
        self._proof = Proof(burned=self.machine.load_burned(self._files.ledger))
        self._dead_man.create()

    # -- requests ----------------------------------------------------------------------------

    def start(self, order: launch.Order, epoch: EpochPair | None) -> Server:
        """Become the parent of a postmaster. Raises Refused.

        Without an epoch only a standby is started. With one the server counts as a primary.
        """
        self._refuse_while_busy()
        if self._server is not None:
            raise Refused(f"a server runs already, with process number {self._server.pid}")
        executable = self.machine.resolved(order.argv[0])
        self._instance = self._instance._replace(executable=executable)
        self._refuse_beside_strays()
        self._refuse_without_proof(epoch)
        try:
            self._reserve = self._reserve or self.machine.reserve()
            pid = self.machine.launch(order)
        except (launch.LaunchFailed, OSError) as problem:
            raise Refused(str(problem)) from problem
        self._server = Server(pid, self._started(pid), epoch is not None, epoch)
        self._exit_status = self._gone = None
        self._set_dead_man()
        return self._server

    def arm(self, request: Arm) -> None:
        """Put a deadline in force; a running primary is under that epoch then. Raises Refused."""
        self._refuse_while_busy()
        reason = protocol.may_arm(self._proof, request, self._clock())
        if reason is not None:
            raise Refused(reason)
        self._proof = protocol.armed(self._proof, request)
        self._dead_man_s = request.dead_man_s or self._dead_man_s
        if self._server is not None and self._server.is_primary:
            self._server = self._server._replace(epoch=request.epoch)
        self._set_dead_man()

    def disarm(self, epoch: EpochPair) -> None:
        """Take the deadline away for a maintenance pause. Raises Refused."""
        self._refuse_while_busy()
        reason = protocol.may_disarm(self._proof, epoch)
        if reason is not None:
            raise Refused(reason)
        self._proof = self._proof._replace(kill=None)
        self._set_dead_man()

    def burn(self, epoch: EpochPair) -> None:
        """Spend an epoch that is about to be given back, on the disk too before this returns.

        Raises Refused, also while a primary runs: whoever gives its lease back has stopped it.
        """
        self._refuse_while_busy()
        if self.is_guarding:
            raise Refused("a primary runs here: stop it before its epoch is given back")
        self._proof = protocol.burned(self._proof, epoch)
        try:
            self.machine.burn(self._files.ledger, self._proof.burned)
        except OSError as problem:
            raise Refused(f"the burned epoch cannot be written down: {problem}") from problem

    def promote(self, epoch: EpochPair) -> None:
        """Tell a standby to become a primary. Raises Refused.

        The server counts as a primary from before the first step: any signal that the postmaster
        gets for its own reasons makes it look for the file.
        """
        self._refuse_while_busy()
        server = self._running()
        self._refuse_act(epoch)
        self._server = server._replace(is_primary=True, epoch=epoch)
        self._set_dead_man()
        trigger = os.path.join(self._files.pgdata, "promote")
        try:
            self.machine.create(
                trigger, lambda: protocol.may_act(self._proof, epoch, self._clock()) is None
            )
        except (launch.LaunchFailed, OSError) as problem:
            raise Refused(str(problem)) from problem
        reason = protocol.may_act(self._proof, epoch, self._clock())
        if reason is not None:
            self.machine.remove(trigger)
            raise Refused(reason)
        self.machine.send(server.pid, signal.SIGUSR1)

    def stop(self, mode: str) -> None:
        """Send the signal of a shutdown mode. Raises Refused."""
        if mode not in STOP_SIGNALS:
            raise Refused(f"unknown stop mode {mode!r}: one of {', '.join(STOP_SIGNALS)}")
        self.machine.send(self._running().pid, STOP_SIGNALS[mode])

    def kill(self, reason: str) -> None:
        """Begin to kill everything of the instance, a stray server in the directory too."""
        if self._sweep is None:
            self._begin_sweep(reason)

    @property
    def death(self) -> Death | None:
        """The primary that is gone while its lease may still be in force, with nothing left of it;
        none after a fence, for then the lease is about to end anyway, none in a pause, none once
        another epoch is armed."""
        proof, gone = self._proof, self._gone
        if gone is None or gone != proof.epoch or not self.is_idle:
            return None
        is_over = proof.kill is None or protocol.is_past(proof.kill, self._clock())
        return None if is_over else Death(gone, proof.renewal)

    def bury(self) -> None:
        """Spend the epoch of the primary that is gone, durably. Raises OSError."""
        self._proof, self._gone = protocol.fenced(self._proof), None
        self.machine.burn(self._files.ledger, self._proof.burned)

    def set_apart(self, pid: int) -> None:
        """This child of ours is no part of the server."""
        self._instance = self._instance._replace(apart=pid)

    def fail_safe(self, reason: str) -> None:
        """Kill our server and return only when nothing is left. For the guardian's own failure."""
        if self.is_idle:
            return
        self.kill(reason)
        while self._sweep is not None:
            self.tick()
            self.machine.pause(GUARDING_PAUSE_S / 10)

    # -- time --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due now: reap, fence, go on with a sweep."""
        self._reap()
        now = self._clock()
        if self._sweep is None and self._is_overdue(now):
            self._begin_sweep("deadline")
        if self._sweep is None and self._exit_status is not None:
            self._begin_sweep("exit")
        if self._sweep is None:
            return
        is_empty = self._sweep.step(now, is_postmaster_gone=self._exit_status is not None)
        if self._sweep.has_signalled_all:
            self._dead_man.set(None)
        self._reap()
        is_reaped = self._server is None or self._exit_status is not None
        if is_empty and is_reaped:
            self._finish_sweep(self._sweep)

    def pause_s(self) -> float:
        """Longest time that may pass before the next tick if nothing comes in."""
        now = self._clock()
        if self._sweep is not None:
            return self._sweep.pause_s(now)
        left = self._until_kill_s(now)
        if left is None:
            return IDLE_PAUSE_S
        far = min(left * _FAR_SHARE, FAR_PAUSE_S, self._dead_man_s * _DEAD_MAN_SHARE)
        return max(0.0, min(left, max(far, GUARDING_PAUSE_S)))

    @property
    def may_wait(self) -> bool:
        """Whether there is nothing to do but to watch a deadline that is not near."""
        left = self._until_kill_s(self._clock())
        return self._sweep is None and left is not None and left > GUARDING_PAUSE_S

    @property
    def is_guarding(self) -> bool:
        """Whether a primary runs: no disk is touched meanwhile."""
        return self._server is not None and self._server.is_primary

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to be the parent of."""
        return self._server is None and self._sweep is None

    def status(self) -> Message:
        """What an agent needs to adopt the state after a restart, and a person to understand it."""
        server, kill, sweep = self._server, self._proof.kill, self._sweep
        return {
            "pgdata": self._files.pgdata,
            "running": server is not None,
            "pid": server.pid if server else None,
            "started": server.started if server else None,
            "primary": self.is_guarding,
            "server_epoch": server.epoch if server else None,
            "epoch": self._proof.epoch,
            "renewal": self._proof.renewal,
            "kill_boot": kill.boot if kill else None,
            "kill_raw": kill.raw if kill else None,
            "kill_slept": kill.slept if kill else None,
            "burned": self._proof.burned,
            "fencing": sweep.reason if sweep else None,
            "remaining": sweep.remaining if sweep else 0,
            **self._last,
        }

    # -- inside ------------------------------------------------------------------------------

    def _until_kill_s(self, now: Reading) -> float | None:
        """Seconds until the deadline of a primary; None without one."""
        kill = self._proof.kill
        if not self.is_guarding or kill is None:
            return None
        return protocol.left_s(kill, now)

    def _is_overdue(self, now: Reading) -> bool:
        return self.is_guarding and protocol.is_due(self._proof, now)

    def _running(self) -> Server:
        if self._server is None or self._exit_status is not None:
            raise Refused("no server runs")
        return self._server

    def _refuse_while_busy(self) -> None:
        """Refuse during a sweep. A deadline that has just passed begins one first."""
        self.tick()
        if self._sweep is not None:
            raise Refused(f"the server is being killed ({self._sweep.reason}): wait for its end")

    def _refuse_without_proof(self, epoch: EpochPair | None) -> None:
        if epoch is not None:
            self._refuse_act(epoch)
            return
        if not self.machine.exists(os.path.join(self._files.pgdata, "standby.signal")):
            raise Refused(
                f"{self._files.pgdata} has no standby.signal: it would start as a primary, which "
                "needs an epoch with a deadline in force"
            )

    def _refuse_act(self, epoch: EpochPair) -> None:
        reason = protocol.may_act(self._proof, epoch, self._clock())
        if reason is not None:
            raise Refused(reason)

    def _started(self, pid: int) -> int:
        """When it was; 0 where that cannot be told: what was started is guarded all the same."""
        try:
            process = self.machine.process(pid)
        except OSError:
            return 0
        return process.started if process else 0

    def _refuse_beside_strays(self) -> None:
        try:
            strays = self.machine.living(self._instance)
            segment = self.machine.segment(self._files.pgdata)
            in_use = self.machine.attachments(creator=None, segment=segment)
        except OSError as problem:
            raise Refused(f"what runs here cannot be told: {problem}") from problem
        if not strays and not in_use:
            return
        numbers = ", ".join(str(process.pid) for process in strays) or "of an unseen process"
        raise Refused(
            f"{self._files.pgdata} is in use by a server that this guardian did not start "
            f"({numbers}): stop it, or have it killed"
        )

    def _begin_sweep(self, reason: str) -> None:
        """Start to kill. After a missed deadline the epoch is spent from this moment on."""
        server = self._server
        self.machine.free(self._reserve)
        self._reserve = ()
        self._sweep = Sweep(
            self._instance,
            reason=reason,
            started=self._clock(),
            postmaster=server.pid if server else None,
            segment=None if server else self.machine.segment(self._files.pgdata),
            machine=self.machine,
        )
        if server is not None and self._exit_status is None:
            self._sweep.ask_immediate_stop()
        if reason == "deadline":
            self._proof = protocol.fenced(self._proof)

    def _finish_sweep(self, sweep: Sweep) -> None:
        """Nothing is left: make it durable first, then tell, then clear up."""
        seconds = sweep.seconds(self._clock())
        server, self._server, self._sweep = self._server, None, None
        status, self._exit_status = self._exit_status, None
        facts: Message = {
            "reason": sweep.reason,
            "seconds": round(seconds, 4),
            "killed": len(sweep.killed),
            "epoch": server.epoch if server else None,
            "renewal": self._proof.renewal,
        }
        self._set_dead_man()
        self._gone = server.epoch if server else self._gone
        if sweep.reason == "deadline":
            self.machine.burn(self._files.ledger, self._proof.burned)
        if sweep.reason != "exit":
            self._last["last_fence_s"] = facts["seconds"]
            self._emit({"event": "fenced", **facts})
        if server is not None:
            self._last["last_exit"] = status
            exited = {"pid": server.pid, "started": server.started, "status": status}
            self._emit({"event": "postmaster-exited", **facts, **exited})
        dead = sweep.seen | ({server.pid} if server else set())
        self.machine.remove_lock(self._files.pgdata, dead)

    def _set_dead_man(self) -> None:
        kill = self._proof.kill if self.is_guarding else None
        self._dead_man.set(None if kill is None else kill.boot + self._dead_man_s)

    def _reap(self) -> None:
        """Collect every dead child: the postmaster, and orphans of it that became ours."""
        while (ended := self.machine.reap()) is not None:
            pid, status = ended
            if pid == self._instance.apart:
                self._instance = self._instance._replace(apart=None)
            if self._server is not None and pid == self._server.pid:
                self._exit_status = status
