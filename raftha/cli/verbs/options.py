"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

import click

from raftha.cli.where import where_options

_OFTEN_S: Final = 2.0
_Command = TypeVar("_Command", bound=Callable[..., Any])


def operation_options(command: _Command) -> _Command:
    """What a command has that hands something over and waits for its end."""
    for option in (
        click.option("--wait/--no-wait", default=True, help="Stay until the outcome is known."),
        click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask."),
    ):
        command = option(command)
    return where_options(command)


def watch_option(command: Callable[..., None]) -> Callable[..., None]:
    """What a command has that can show the same again and again."""

    @wraps(command)
    def watching(*words: Any, watch: float | None, often: bool, **options: Any) -> None:
        command(*words, watch=_OFTEN_S if often and watch is None else watch, **options)

    often = click.option("-W", "often", is_flag=True, help="The same as -w 2.")
    option = click.option(
        "-w",
        "--watch",
        type=click.FloatRange(min=0.2),
        is_flag=False,
        flag_value=_OFTEN_S,
        metavar="[SECONDS]",
        help="Show again every so many seconds (2).",
    )
    return option(often(watching))


def _unless_now(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    return None if given == "now" else given


def schedule_option(command: _Command) -> _Command:
    """What a command has whose work may wait for its time."""
    option = click.option(
        "--scheduled",
        metavar="TIME",
        callback=_unless_now,
        help="When: ISO 8601 with its time zone, such as 2031-05-17T03:00+02:00.",
    )
    return option(command)


def dry_run_option(command: _Command) -> _Command:
    """What a command has that can be judged without being done."""
    option = click.option(
        "--dry-run", is_flag=True, help="Ask whether it would begin; change nothing."
    )
    return option(command)


def example(*lines: str) -> str:
    """The end of a command's help: lines to type, as they stand."""
    return "\b\n" + "\n".join(("Example:", *(f"  {line}" for line in lines)))


def output_option(command: _Command) -> _Command:
    """What a command has that shows something of a cluster."""
    return output_of("json, yaml and tsv are for programs.")(where_options(command))


class _Form(click.Choice[str]):
    """A form of what is shown, also by the word that Patroni has for a table."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert("table" if value == "pretty" else value, param, ctx)


def output_of(words: str, *names: str) -> Callable[[_Command], _Command]:
    """The forms in which something can be shown; tsv are the rows that it is about. `names` are
    what the option is called besides."""
    choice = _Form(["table", "json", "yaml", "tsv"])
    every = ("-o", *names, "--output", "--format")
    return click.option(*every, "output", type=choice, default="table", help=words)
