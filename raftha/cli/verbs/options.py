"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from raftha.cli.where import where_options

_Command = TypeVar("_Command", bound=Callable[..., Any])


def operation_options(command: _Command) -> _Command:
    """What a command has that hands something over and waits for its end."""
    for option in (
        click.option("--wait/--no-wait", default=True, help="Stay until the outcome is known."),
        click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask."),
    ):
        command = option(command)
    return where_options(command)


def output_option(command: _Command) -> _Command:
    """What a command has that shows something of a cluster."""
    choice = click.Choice(["table", "json", "yaml"])
    return click.option("-o", "--output", type=choice, default="table")(where_options(command))
