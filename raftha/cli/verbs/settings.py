"""`raftha show-config` and `raftha edit-config`: their options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from raftha.cli.where import FILE, Where, cluster_argument, contact_of, where_options


@click.command("show-config")
@where_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json", "table", "tsv"]),
    default="yaml",
    help="table and tsv show every setting, also those that follow from others.",
)
@cluster_argument
@click.pass_context
def show_config(context: click.Context, /, output: str, **where: Any) -> None:
    """Show the settings that all members share."""
    from raftha.cli import settings as work

    context.exit(work.show(contact_of(context, Where(**where)), output))


@click.command("edit-config")
@where_options
@click.option("-s", "--set", "sets", multiple=True, metavar="KEY=VALUE", help="null removes it.")
@click.option("-p", "--pg", "pgs", multiple=True, metavar="NAME=VALUE", help="Of PostgreSQL.")
@click.option("--apply", "applied", type=FILE, help="Merge this YAML file; - is the input.")
@click.option("--replace", "replaced", type=FILE, help="Take this YAML file; - is the input.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show the difference.")
@click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask.")
@cluster_argument
@click.pass_context
def edit_config(
    context: click.Context,
    /,
    sets: tuple[str, ...],
    pgs: tuple[str, ...],
    applied: Path | None,
    replaced: Path | None,
    quiet: bool,
    yes: bool,
    **where: Any,
) -> None:
    """Change the settings that all members share.

    Without an option it opens an editor. KEY is a path such as ttl or
    postgresql.use_slots, and its VALUE is read as YAML. A VALUE of PostgreSQL is
    taken as it stands.
    """
    from raftha.cli import settings as work

    wish = work.Wish(
        sets=sets,
        pgs=pgs,
        applied=applied,
        replaced=replaced,
        quiet=quiet,
        yes=yes,
        attended=sys.stdin.isatty(),
    )
    context.exit(work.edit(contact_of(context, Where(**where)), wish, click.edit))
