"""`adapter graph`: who is where and what they can do there, for a program or for Graphviz."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from adapter.cli.console import examples, in_house
from adapter.cli.directory import PATIENCE, Account, warn

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.directory.graph import Asked


class Form(StrEnum):
    JSON = "json"
    DOT = "dot"


def register(app: typer.Typer) -> None:
    app.command(
        "graph",
        epilog=examples(
            "adapter graph > graph.json",
            "adapter graph --format dot --no-addons | dot -Tsvg > graph.svg",
        ),
    )(graph)


def graph(
    account: Account = None,
    form: Annotated[Form, typer.Option("--format", help="JSON, or Graphviz's DOT.")] = Form.JSON,
    addons: Annotated[bool, typer.Option(help="The add-ons behind each app too: a request more for each team.")] = True,
    inherited: Annotated[
        bool, typer.Option("--inherited", help="With what a team role gives on the team's apps.")
    ] = False,
) -> None:
    """Write the graph of people, teams, apps and what connects them. What could not be read is told on stderr too."""
    from adapter.directory.graph import Asked

    asked = Asked(addons=addons, include_inherited=inherited)
    missing = in_house(lambda house: _written(house, account, form, asked), directory_wait=PATIENCE)
    warn(missing)


async def _written(house: "House", account: str | None, form: Form, asked: "Asked") -> tuple[dict[str, Any], ...]:
    """Write the graph to stdout; what could not be read."""
    from adapter.cli.asking import gathered, opened
    from adapter.directory.graph import chunks, read_graph

    account_id, client = await opened(house, account)
    found = await gathered(house, account_id, read_graph(house.directory, account_id, client, asked))
    async for chunk in chunks(found, form.value):
        typer.echo(chunk, nl=False)
    if form is Form.JSON:
        typer.echo()
    return tuple(msgspec.to_builtins(found.missing))
