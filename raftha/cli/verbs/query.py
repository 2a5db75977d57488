"""`raftha query`: its options."""

from __future__ import annotations

import sys
from threading import Event
from typing import IO, Any

import click

from raftha.cli.verbs.options import example, output_of, watch_option
from raftha.cli.where import NODE_FILE, Where, cluster_argument, contact_of


@click.command(
    epilog=example(
        'raftha query -c "SELECT pg_is_in_recovery()" -r replica',
        "raftha -c n1.yml query --file report.sql -o tsv",
    )
)
@click.option("--config-file", "file", type=NODE_FILE, help="A node's file.")
@click.option("--url", "urls", multiple=True, help="Address of a node, http://host:port.")
@click.option("-k", "--insecure", is_flag=True, help="Accept any server certificate.")
@click.option("-c", "--command", "sql", metavar="SQL", help="What to run.")
@click.option("-f", "--file", "script", type=click.File("r"), help="A file of it; - is the input.")
@click.option(
    "-r",
    "--role",
    type=click.Choice(["primary", "leader", "replica", "standby", "sync", "any"]),
    help="One of this role (leader); of several standbys the least behind.",
)
@click.option("-m", "--member", metavar="MEMBER", help="The member of this name.")
@click.option("-d", "--dbname", metavar="NAME", help="The database.")
@click.option("-U", "--username", metavar="NAME", help="The role to log in as.")
@click.option("--password", is_flag=True, help="Ask for the password.")
@click.option(
    "--delimiter", default="\t", metavar="TEXT", help="What separates the values of tsv (a tab)."
)
@output_of("In which form the rows are printed.")
@watch_option
@cluster_argument
@click.pass_context
def query(
    context: click.Context,
    /,
    sql: str | None,
    script: IO[str] | None,
    role: str | None,
    member: str | None,
    password: bool,
    delimiter: str,
    output: str,
    watch: float | None,
    **options: Any,
) -> None:
    """Run SQL on a member.

    It logs in as psql would: PGUSER, PGPASSWORD and the password file count. Of several statements
    the last one's rows are printed; they run in one transaction.
    """
    from raftha.cli import query as work
    from raftha.cli import show
    from raftha.clock import SystemClock

    if (sql is None) is (script is None):
        raise click.UsageError("say what to run, either with -c SQL or with --file FILE")
    sql = _read(script) if script is not None else sql
    if sql is None or not sql.strip():
        raise click.UsageError("there is nothing to run: the statement is empty")
    if delimiter != "\t" and (output != "tsv" or not delimiter):
        raise click.UsageError("--delimiter is a character or more, and goes with -o tsv")
    if member is not None and role is not None:
        raise click.UsageError("--member says all: leave --role out")
    login = {"user": options.pop("username"), "dbname": options.pop("dbname") or "postgres"}
    if password and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to type the password: set PGPASSWORD instead")
    if password:
        login["password"] = click.prompt("Password", hide_input=True, err=True)
    wish = work.Wish(
        sql=sql,
        role=role or "leader",
        member=member,
        output=output,
        delimiter=delimiter,
        login={name: value for name, value in login.items() if value},
    )
    contact = contact_of(context, Where(**options))
    context.exit(show.shown(lambda: work.query(contact, wish, SystemClock()), watch, Event().wait))


def _read(script: IO[str]) -> str:
    try:
        return script.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{script.name}: is not UTF-8 text: save it as UTF-8") from error
