"""Which cluster is meant: the options that say so, and whom to ask then."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from raftha.errors import ConfigError

if TYPE_CHECKING:
    from raftha.cli.discover import Contact

SYSTEM_FOLDER: Final = Path("/etc/raftha")
NODE_FILE: Final = click.Path(readable=False, path_type=Path)
"""A node's file, or a directory of them. Whether it can be read is told by whoever reads it."""
FILE: Final = click.Path(dir_okay=False, readable=False, path_type=Path)
"""Whether it can be read is told by whoever reads it, with what to do about it."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Where(Struct, frozen=True, kw_only=True):
    """The options that say which cluster is meant."""

    file: Path | None = None
    urls: tuple[str, ...] = ()
    insecure: bool = False
    cluster: str | None = None

    def over(self, general: Where) -> Where:
        """These, and where they say nothing those given before the command."""
        return Where(
            file=self.file or (None if self.urls else general.file),
            urls=self.urls or (() if self.file else general.urls),
            insecure=self.insecure or general.insecure,
            cluster=self.cluster,
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
        click.option("-c", "--config-file", "file", type=NODE_FILE, help="A node's file."),
    ):
        command = option(command)
    return command


def cluster_argument(command: _Command) -> _Command:
    """The cluster's name, where users of Patroni are used to give it."""
    return click.argument("cluster", required=False)(command)


def contact_of(context: click.Context, where: Where) -> Contact:
    """Whom to ask; ends the command with a usage error if that cannot be told."""
    from raftha.cli.discover import NotNamed

    try:
        return _of_cluster(_contact(where.over(context.obj), where.cluster), where.cluster)
    except (ConfigError, NotNamed) as error:
        raise click.UsageError(str(error)) from error


def contact_of_first(context: click.Context, where: Where, names: Sequence[str]) -> Contact:
    """Whom to ask where the first of the names may be the cluster's: whether it is, its report
    tells. Ends the command as `contact_of` does."""
    from raftha.cli.discover import NotNamed

    try:
        return _contact(where.over(context.obj), next(iter(names), None))
    except (ConfigError, NotNamed) as error:
        raise click.UsageError(str(error)) from error


def contact_if_named(
    context: click.Context, where: Where, names: Sequence[str] = ()
) -> Contact | None:
    """As `contact_of_first`, if anything says whom; a file that was named and is wrong is a usage
    error."""
    from raftha.cli.discover import NotNamed

    try:
        return _contact(where.over(context.obj), next(iter(names), None))
    except NotNamed:
        return None
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _contact(chosen: Where, cluster: str | None) -> Contact:
    from raftha.cli import discover

    folders = (SYSTEM_FOLDER, Path("~/.config/raftha").expanduser())
    return discover.contact(
        chosen.file,
        chosen.urls,
        os.environ,
        folders,
        verify=not chosen.insecure,
        cluster=cluster,
    )


def _of_cluster(found: Contact, cluster: str | None) -> Contact:
    """The same, and nobody of another cluster is believed. Raises UsageError where a file is of
    another."""
    if cluster is None or found.scope == cluster:
        return found
    if found.scope is not None:
        raise click.UsageError(
            f"the cluster is {found.scope}, not {cluster}: leave the name out, or give the file of "
            f"a node of {cluster} with --config-file"
        )
    return replace(found, scope=cluster)
