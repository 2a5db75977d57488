"""Which cluster is meant: the options that say so, and whom to ask then."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from msgspec import Struct

from raftha.errors import ConfigError

if TYPE_CHECKING:
    from raftha.cli.discover import Contact

SYSTEM_FOLDER: Final = Path("/etc/raftha")
FILE: Final = click.Path(dir_okay=False, readable=False, path_type=Path)
"""Whether it can be read is told by whoever reads it, with what to do about it."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Where(Struct, frozen=True, kw_only=True):
    """The options that say which cluster is meant."""

    file: Path | None = None
    urls: tuple[str, ...] = ()
    insecure: bool = False

    def over(self, general: Where) -> Where:
        """These, and where they say nothing those given before the command."""
        return Where(
            file=self.file or (None if self.urls else general.file),
            urls=self.urls or (() if self.file else general.urls),
            insecure=self.insecure or general.insecure,
        )


def where_options(command: _Command) -> _Command:
    """The options that every command has which asks a cluster."""
    for option in (
        click.option("-k", "--insecure", is_flag=True, help="Accept any server certificate."),
        click.option(
            "--url",
            "urls",
            metavar="URL",
            multiple=True,
            help="Address of a node, http://host:port.",
        ),
        click.option("-c", "--config-file", "file", type=FILE, help="A node's file."),
    ):
        command = option(command)
    return command


def contact_of(context: click.Context, where: Where) -> Contact:
    """Whom to ask; ends the command with a usage error if that cannot be told."""
    from raftha.cli.discover import NotNamed

    try:
        return _contact(where.over(context.obj))
    except (ConfigError, NotNamed) as error:
        raise click.UsageError(str(error)) from error


def contact_if_named(context: click.Context, where: Where) -> Contact | None:
    """Whom to ask, if anything says so; a file that was named and is wrong is a usage error."""
    from raftha.cli.discover import NotNamed

    try:
        return _contact(where.over(context.obj))
    except NotNamed:
        return None
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _contact(chosen: Where) -> Contact:
    from raftha.cli import discover

    folders = (SYSTEM_FOLDER, Path("~/.config/raftha").expanduser())
    return discover.contact(
        chosen.file, chosen.urls, os.environ, folders, verify=not chosen.insecure
    )
