"""Faults of the program that are planted in a node of the cluster world, to see who notices."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from raftha.agent.sides import Restraint
from raftha.consensus import commands
from raftha.consensus.commands import Expire
from raftha.guardian import procs
from raftha.guardian.protocol import EpochPair
from raftha.guardian.switch import KillSwitch
from raftha.guardian.will import Death
from raftha.ha.keys import encode_sync
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.postgres import ServerPlan
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Command,
    Committed,
    KeyAt,
    Outcome,
    Put,
    Refresh,
    Remove,
    Transact,
    Unknown,
)
from raftha.model.view import View
from tests.sim.cluster.agent import KEYS
from tests.sim.cluster.guardian import Guardian
from tests.sim.cluster.node import Node

Sabotage = Callable[[Node], None]
RETRY_S: Final = 0.05


def renewals_are_counted_from_the_answer(node: Node) -> None:
    assert node.agent is not None
    store = node.agent.node.store
    submit = store.submit

    def later(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        def answered(outcome: Outcome) -> None:
            if isinstance(outcome, Committed) and isinstance(command, Refresh):
                outcome = Committed(outcome.revision, node.host.clock.now())
            done(outcome)

        submit(command, timeout=timeout, done=answered)

    spoil(store, "submit", later)


def renewals_are_counted_from_a_retry(node: Node) -> None:
    """A renewal without an answer is handed over again under its number until there is one, and
    counts from there."""
    assert node.agent is not None
    store, fibers, life = node.agent.node.store, node.world.fibers, node.agent.life
    submit = store.submit

    def stubborn(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        def answered(outcome: Outcome) -> None:
            if not isinstance(command, Refresh) or not isinstance(outcome, Unknown):
                done(outcome)
                return
            again = node.host.clock.now()
            lease = store.peek().leases.get(command.lease)
            if lease is not None and lease.revision == command.expect:
                fibers.after(RETRY_S, life, partial(answered, outcome))
            else:
                done(outcome if lease is None else Committed(lease.revision, again))

        submit(command, timeout=timeout, done=answered)

    spoil(store, "submit", stubborn)


def a_shorter_ttl_is_proposed_behind_the_guardians_back(node: Node) -> None:
    """The next renewal carries it; neither the holder nor its guardian lives by it before."""
    assert node.agent is not None
    keeper = node.agent.member.keeper

    def shortened(settings: DynamicConfig) -> None:
        if keeper._held is not None:
            keeper._ttl = min(keeper._ttl, settings.ttl)

    spoil(keeper, "_shorten", shortened)


def leases_end_whatever_renewed_them(node: Node) -> None:
    """`Expire` compares no revision where it is applied."""
    assert node.agent is not None
    replica = node.agent.node._replica
    apply = replica.apply

    def blind(index: int, payload: bytes) -> None:
        command = commands.decode(payload)
        body = command.body
        lease = replica.machine.leases.get(body.lease) if isinstance(body, Expire) else None
        if isinstance(body, Expire) and lease is not None:
            payload = commands.encode(replace(command, body=replace(body, expect=lease.revision)))
        apply(index, payload)

    spoil(replica, "apply", blind)


def the_fence_begins_at_the_deadline(node: Node) -> None:
    """The budget of the fence is not taken off."""
    assert node.agent is not None
    keeper = node.agent.member.keeper
    settings = keeper._settings

    def without_budget() -> Any:
        return replace(settings(), fence_budget=Seconds(0.0))

    spoil(keeper, "_settings", without_budget)


def a_standby_is_promoted_without_a_live_deadline(node: Node) -> None:
    def spoiled(guardian: Guardian) -> None:
        switch = guardian.switch

        def promote(epoch: EpochPair) -> None:
            server = switch._running()
            switch._server = server._replace(is_primary=True, epoch=epoch)
            switch.machine.create("promote", lambda: True)
            switch.machine.send(server.pid, signal.SIGUSR1)

        spoil(switch, "promote", promote)

    node.spoil_guardian = spoiled


def only_the_postmaster_is_killed(node: Node) -> None:
    def spoiled(guardian: Guardian) -> None:
        living = guardian.machine.living

        def parents(instance: procs.Instance) -> list[procs.Process]:
            own = {p.pid for p in guardian.machine.processes.values() if p.is_child}
            return [process for process in living(instance) if process.pid in own]

        spoil(guardian.machine, "living", parents)
        spoil(guardian.machine, "attachments", lambda *_, **__: 0)

    node.spoil_guardian = spoiled


class EagerSwitch(KillSwitch):
    """Believes in a death from the postmaster's end on, and leaves its children to themselves."""

    @property
    def death(self) -> Death | None:
        proof = self._proof
        is_armed = proof.kill is not None and proof.epoch is not None
        gone = Death(proof.epoch, proof.renewal) if proof.epoch is not None else None
        return gone if self._is_headless and is_armed else None

    @property
    def _is_headless(self) -> bool:
        server = self._server
        return server is not None and server.is_primary and self._exit_status is not None

    def tick(self) -> None:
        self._reap()
        if not self._is_headless or not self.machine.living(self._instance):
            super().tick()


def the_others_are_told_before_the_tree_is_empty(node: Node) -> None:
    def spoiled(guardian: Guardian) -> None:
        spoil(guardian.switch, "__class__", EagerSwitch)

    node.spoil_guardian = spoiled


def the_postmaster_outlives_its_guardian(node: Node) -> None:
    spoil(node.machine, "orphan", lambda: None)


def nobody_kills_a_frozen_guardian(node: Node) -> None:
    def spoiled(guardian: Guardian) -> None:
        spoil(guardian._timer, "set", lambda _boot: None)

    node.spoil_guardian = spoiled


def nobody_looks_after_postgresql(node: Node) -> None:
    """The lease is renewed whatever state its server is in."""
    assert node.agent is not None
    spoil(node.agent.member.keeper, "_restraint", Restraint(lambda: None))


def nothing_is_told_beyond_the_lease(node: Node) -> None:
    assert node.agent is not None
    spoil(node.agent.member.keeper, "_telling", lambda _held, _note: None)


def nobody_asks_what_others_of_a_quorum_hold(node: Node) -> None:
    """Whoever does not lead takes each standby for one that holds everything."""
    assert node.agent is not None
    loop = node.agent.member.loop
    observe = loop._observe

    def alone() -> View:
        view = observe()
        sync = view.cluster.sync
        if view.lease is not None or sync is None:
            return view
        return replace(view, cluster=replace(view.cluster, sync=replace(sync, quorum=0)))

    spoil(loop, "_observe", alone)


def everybody_is_named_without_a_proof(node: Node) -> None:
    """A leader that begins a synchronous set names all others as its holders at once."""
    assert node.agent is not None
    store, others = node.agent.node.store, sorted(set(node.world.nodes) - {node.name})
    submit, alone = store.submit, encode_sync(MemberName(node.name), ())
    named = encode_sync(MemberName(node.name), tuple(MemberName(name) for name in others))

    def naming(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        if isinstance(command, Transact) and command.writes == (Put(KEYS.sync, alone),):
            command = replace(command, writes=(Put(KEYS.sync, named),))
        submit(command, timeout=timeout, done=done)

    spoil(store, "submit", naming)


def a_resume_lets_everybody_go(node: Node) -> None:
    """The end of a pause takes the entries of the primaries that run without a deadline."""
    assert node.agent is not None
    store = node.agent.node.store
    submit = store.submit

    def freeing(command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]) -> None:
        if isinstance(command, Transact) and any(w.key == KEYS.config for w in puts(command)):
            left = [e for k, e in store.peek().entries.items() if k.startswith(KEYS.disarmed)]
            guards = (*command.guards, *(KeyAt(e.key, e.mod_revision) for e in left))
            command = Transact(guards, (*command.writes, *(Remove(e.key) for e in left)))
        submit(command, timeout=timeout, done=done)

    spoil(store, "submit", freeing)


def burned_numbers_keep_no_file(node: Node) -> None:
    """A primary leaves gaps among the history files of the timelines below its own."""
    assert node.agent is not None
    spoil(node.agent.instance.histories, "fill_gaps", lambda _current: ())


def a_primary_goes_above_its_standbys(node: Node) -> None:
    """A size that was raised comes into force at its next start, whatever the others run with."""
    assert node.agent is not None
    instance = node.agent.instance
    configure = instance.configure

    def unlimited(plan: ServerPlan) -> bool:
        return bool(configure(replace(plan, limits={})))

    spoil(instance, "configure", unlimited)


def puts(command: Transact) -> list[Put]:
    return [write for write in command.writes if isinstance(write, Put)]


def spoil(target: object, name: str, replacement: object) -> None:
    setattr(target, name, replacement)
