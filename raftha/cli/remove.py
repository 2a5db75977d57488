"""`raftha remove`: show whose cluster is given up, look for who lives, have it confirmed, do it."""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec import Struct

from raftha.agent.recovery import NotAllowed
from raftha.agent.removal import Belongings, Removal
from raftha.cli.exits import Exit
from raftha.cli.handing import complain
from raftha.clock import Clock
from raftha.config.load import load_either
from raftha.errors import ConfigError, RafthaError, StorageFailed
from raftha.model.settings import NodeConfig


class Consent(Struct, frozen=True, kw_only=True):
    """What the command line says of it. `confirm` is the name of the cluster; it is asked for where
    somebody is `attended` to answer."""

    cluster: str | None = None
    confirm: str | None = None
    dry_run: bool = False
    attended: bool = False


def remove(path: Path, consent: Consent, clock: Clock) -> Exit:
    """Carry it out, in conversation with the operator. Raises UsageError where nobody confirms."""
    try:
        config = load_either(path, os.environ)
    except ConfigError as error:
        complain(str(error))
        return Exit.USAGE
    removal = Removal(config, clock)
    try:
        _require_scope(config, consent.cluster)
        _show(config, removal.open())
        _look(removal)
        if consent.dry_run:
            click.echo("It could be done. Nothing was changed.")
            return Exit.DONE
        _require_consent(config, consent)
        _conclude(config, removal.carry_out())
    except StorageFailed as error:
        complain(str(error))
        return Exit.REFUSED
    except RafthaError as error:
        complain(f"refused: {error}. Nothing was changed.")
        return Exit.REFUSED
    finally:
        removal.close()
    return Exit.DONE


def _require_scope(config: NodeConfig, said: str | None) -> None:
    if said is not None and said != config.scope:
        raise NotAllowed(f"the cluster is {config.scope}, not {said}")


def _show(config: NodeConfig, found: Belongings) -> None:
    click.echo(f"cluster {config.scope}, node {config.name}, {config.raft.data_dir}")
    if found.unread is not None:
        click.echo(
            f"  its key store cannot be read ({found.unread}); who else there is, the "
            "raft.partner_addrs of its file tell"
        )
    click.echo(
        "It forgets the cluster: who votes, who leads, the shared settings, the history. Started\n"
        "again, it joins the others as a new voter if they remember. If nobody does, they begin a\n"
        "new cluster: with the data of the last primary where its directory is there, else empty."
    )
    if config.postgresql is not None:
        click.echo(f"The data in {config.postgresql.data_dir} stay where they are.")


def _look(removal: Removal) -> None:
    click.echo("Looking for signs of life:")
    for sign in removal.look():
        click.echo(f"  {sign}")


def _require_consent(config: NodeConfig, consent: Consent) -> None:
    """Raises NotAllowed unless the cluster is named."""
    confirm = consent.confirm
    if confirm is None:
        if not consent.attended:
            raise click.UsageError("nobody is there to confirm: add --confirm SCOPE")
        confirm = click.prompt("Type the name of the cluster to remove it from this node")
    _require_scope(config, confirm)


def _conclude(config: NodeConfig, kept: Path) -> None:
    click.secho(f"{config.name} has forgotten {config.scope}.", fg="green")
    click.echo(
        f"Its key store is kept in {kept}. Do the same on every other node.\n"
        "Until an agent has started here it can be undone: move what lies in there back, but for\n"
        "raft.void."
    )
