"""`raftha recover`: show what is there and what is at stake, be told twice, then do it.

The order protects from haste: first everything that speaks against it, then the names of the
machines that must never come back by themselves, then the name of the cluster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import click
from msgspec import Struct

from raftha.agent.lifesigns import LifeSign
from raftha.agent.recovery import NotAllowed, Prospect, Recovery, refuse_the_living
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.clock import Clock
from raftha.config.load import load_either
from raftha.errors import ConfigError, RafthaError, StorageFailed

LOOKS: Final = 3
"""How often the lost are tried before anybody is asked, with `PAUSE_S` in between; they are tried
on while leases lapse."""
PAUSE_S: Final = 1.0


class Consent(Struct, frozen=True, kw_only=True):
    """What the command line says of it; None and nothing are asked for where it is `attended`, that
    is, where somebody is there to answer."""

    kept: tuple[str, ...] = ()
    fenced: tuple[str, ...] = ()
    confirm: str | None = None
    dry_run: bool = False
    attended: bool = False


def recover(path: Path, consent: Consent, clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Carry it out, in conversation with the operator."""
    try:
        config = load_either(path, os.environ)
    except ConfigError as error:
        complain(str(error))
        return Exit.USAGE
    recovery = Recovery(config, clock, Random(), wait)
    try:
        prospect = recovery.open(consent.kept)
        _show(prospect)
        if not consent.dry_run:
            _require_somebody(prospect, consent)
        _look(recovery, wait)
        if consent.dry_run:
            click.echo("It could be done. Nothing was changed.")
            return Exit.DONE
        _ask(prospect, consent)
        return _carry_out(recovery, prospect)
    except RafthaError as error:
        complain(f"refused: {error}")
        return Exit.REFUSED
    finally:
        recovery.close()


def compare(path: Path, kept: Sequence[str], clock: Clock, wait: Callable[[float], object]) -> Exit:
    """Print what a dry run finds as one JSON document, for a program that compares survivors. What
    speaks against a recovery here stands in `refused`, which is null if nothing does."""
    try:
        config = load_either(path, os.environ)
    except ConfigError as error:
        complain(str(error))
        return Exit.USAGE
    recovery = Recovery(config, clock, Random(), wait)
    found: dict[str, Any] = {"scope": config.scope, "name": config.name, "refused": None}
    try:
        found |= _facts(recovery.open(kept))
        signs = _signs(recovery, wait)
        found["lost"] = [_sign_document(sign) for sign in signs]
        refuse_the_living(signs)
    except RafthaError as error:
        found["refused"] = str(error)
    finally:
        recovery.close()
    click.echo(json.dumps(found, indent=2))
    return Exit.DONE if found["refused"] is None else Exit.REFUSED


def _carry_out(recovery: Recovery, prospect: Prospect) -> Exit:
    """Raises NotAllowed, with nothing changed."""
    try:
        kept = recovery.carry_out(lambda done: click.echo(f"- {done}"))
    except (StorageFailed, KeyboardInterrupt) as error:
        what = str(error) or "interrupted"
        complain(f"{what}; run it with --dry-run to see which generation is in place")
        return Exit.UNKNOWN
    _conclude(prospect, kept)
    return Exit.DONE


def _show(prospect: Prospect) -> None:
    own = "" if prospect.has_seat else " (this node had no vote in it)"
    click.echo(f"cluster {prospect.scope}, node {prospect.name}, {prospect.directory}")
    click.echo(f"  voters: {', '.join(prospect.voters)}{own}")
    click.echo(
        f"  the Raft log here ends with entry {prospect.index} of term {prospect.term}; revision "
        f"{prospect.revision}, generation {prospect.generation}"
    )
    wal = prospect.wal
    held = "no PostgreSQL data" if wal is None else f"timeline {wal[0]}, {wal[1]}"
    click.echo(f"  PostgreSQL here: {held}")
    click.echo("What is at stake:")
    for stake in prospect.stakes:
        click.echo(f"  {stake}")
    click.echo(
        "  what the store committed after that entry is lost\n"
        "Compare first: run `raftha recover --dry-run -c FILE` on every survivor. The log with\n"
        "the highest term, then the highest entry, tells best who holds every acknowledged\n"
        "commit: recover that one. If it is not among them, take the highest timeline, then WAL."
    )
    click.echo(
        f"{prospect.name} becomes the only voter of generation {prospect.generation + 1}, after "
        f"{prospect.wait:.1f} s, the longest that a lease may last.\nCounted as lost: "
        f"{_listed(prospect.lost)}."
        + (f" To join again: {_listed(prospect.kept)}." if prospect.kept else "")
    )
    for address in (lost for lost in prospect.lost if ":" in lost):  # no name holds a colon
        click.echo(
            f"  {address} has no vote in the log; the raft.partner_addrs of this node's file name "
            "it: if that is out of date, correct the file first"
        )


def _look(recovery: Recovery, wait: Callable[[float], object]) -> None:
    """Raises NotAllowed if one of the lost shows a sign of life."""
    click.echo("Looking for signs of life:")
    signs = _signs(recovery, wait)
    refuse_the_living(signs)
    for sign in signs:
        click.echo(f"  {sign}")
        if sign.refusing:
            click.echo("    if its Raft directory is still there, start its agent instead of this")


def _signs(recovery: Recovery, wait: Callable[[float], object]) -> tuple[LifeSign, ...]:
    """What was found last: of the first look that found somebody alive, if there was one."""
    for _ in range(LOOKS - 1):
        signs = recovery.look()
        if any(sign.is_alive for sign in signs):
            return signs
        wait(PAUSE_S)
    return recovery.look()


def _facts(prospect: Prospect) -> dict[str, Any]:
    wal = prospect.wal
    return {
        "raft_directory": str(prospect.directory),
        "term": prospect.term,
        "index": prospect.index,
        "revision": prospect.revision,
        "generation": prospect.generation,
        "voters": prospect.voters,
        "has_vote": prospect.has_seat,
        "holders": prospect.holders,
        "timeline": None if wal is None else wal[0],
        "lsn": None if wal is None else str(wal[1]),
        "wal_bytes": None if wal is None else wal[1].value,
        "stakes": prospect.stakes,
        "wait_seconds": prospect.wait,
        "kept": prospect.kept,
        "lost": [{"name": name} for name in prospect.lost],
    }


def _sign_document(sign: LifeSign) -> dict[str, Any]:
    return {"name": sign.name, "answering": sign.answering, "refusing": sign.refusing}


def _require_somebody(prospect: Prospect, consent: Consent) -> None:
    """Raises UsageError if consent is missing and nobody is there to be asked."""
    if consent.attended or (consent.confirm is not None and consent.fenced):
        return
    words = " ".join(("--confirm SCOPE", *(f"--fenced {name}" for name in prospect.lost)))
    raise click.UsageError(f"nobody is there to confirm: add {words}")


def _ask(prospect: Prospect, consent: Consent) -> None:
    """Raises NotAllowed unless the operator says all that has to be said."""
    fenced = consent.fenced or _typed(
        f"{_listed(prospect.lost)} must never come back by themselves: two clusters would take "
        "writes.\nType the names of those that are destroyed, or fenced (powered off, cut from "
        "network and clients)"
    )
    _check_fenced(prospect.lost, fenced)
    confirm = consent.confirm or click.prompt("Type the name of the cluster to recover it")
    if confirm != prospect.scope:
        raise NotAllowed(f"the cluster is {prospect.scope}, not {confirm}")


def _typed(question: str) -> tuple[str, ...]:
    answer = str(click.prompt(question, default="", show_default=False))
    return tuple(answer.replace(",", " ").split())


def _check_fenced(lost: Sequence[str], fenced: Sequence[str]) -> None:
    named, wanted = ({name.casefold() for name in names} for names in (fenced, lost))
    if named - wanted:
        raise NotAllowed(
            f"{', '.join(sorted(named - wanted))}: not among the lost, {_listed(lost)}"
        )
    if wanted - named:
        raise NotAllowed(f"not confirmed as fenced: {', '.join(sorted(wanted - named))}")


def _conclude(prospect: Prospect, kept: Path) -> None:
    click.secho(
        f"{prospect.name} is the only voter of generation {prospect.generation + 1}.", fg="green"
    )
    click.echo(
        f"The old Raft log is kept in {kept}.\n"
        f"Now start the agent of {prospect.name}; it takes writes within seconds. Then bring the\n"
        "others back, one at a time: a new machine of the same name and address gets its vote by\n"
        "itself, and a survivor puts its old Raft directory aside when it hears of this. Until\n"
        "two others have joined, the loss of one node stops writes: see raftha status."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"
