"""`--watch` on a terminal: what is on the screen while the next one is asked for."""

from __future__ import annotations

import click
from click.testing import CliRunner

from raftha.cli import show
from raftha.cli.exits import Exit


def test_the_old_screen_stays_until_the_new_one_is_whole() -> None:
    with CliRunner().isolation(color=True) as (out, _, _):
        before: list[bytes] = []

        def showing() -> Exit:
            click.secho("first", fg="red")
            click.echo("and what went wrong", err=True)
            before.append(out.getvalue())
            return Exit.UNREACHABLE

        assert show._at_once(showing) is Exit.UNREACHABLE
        assert before == [b""]
        assert out.getvalue().startswith(b"\x1b[H\x1b[2J\x1b[31mfirst\x1b[0m\nand what")
