"""The command line: `adapter`. Each noun has a module; what a command needs is imported when it runs, not for --help.

What goes wrong is told in one line on stderr (as JSON with --json). Exit codes: 0 done, 1 it failed, 2 what was asked
can't be understood or the adapter can't start.
"""

import sys
from typing import Annotated

import typer

from adapter import __version__
from adapter.cli import (
    accounts,
    demo,
    directory,
    granting,
    graph,
    links,
    offboarding,
    operations,
    sandbox,
    serving,
    status,
    tokens,
    upkeep,
)
from adapter.cli.console import Commands, examples

app = typer.Typer(
    name="adapter",
    cls=Commands,
    help="A unified user directory in front of Heroku: who has access to what, and the raw API beside it.",
    epilog=examples("adapter demo", "adapter account add --tenant acme < token.txt", "adapter users list --csv"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "ADAPTER", "help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"adapter {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, allow_from_autoenv=False, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


for noun in (
    demo,
    serving,
    sandbox,
    upkeep,
    tokens,
    accounts,
    links,
    directory,
    graph,
    status,
    granting,
    offboarding,
    operations,
):
    noun.register(app)


def main() -> None:
    """The console script."""
    try:
        app(prog_name="adapter")
    except Exception as error:  # noqa: BLE001  # a bug: its place is for whoever asks, its values are for nobody
        _tell_bug(error)
        sys.exit(1)


def _tell_bug(error: Exception) -> None:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else "nowhere"
    typer.echo(f"error: something went wrong inside the adapter ({type(error).__name__} at {where}).", err=True)
