"""`adapter operations`: every write that was asked for, over HTTP and here, and how it stands."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapter.cli.console import AsJson, examples, in_house, show_json
from adapter.cli.directory import Account

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.directory.writing.model import Operation

COLUMNS = {
    "ID": "id", "WHEN": "created_at", "WHAT": "kind", "WHO": "who", "STATUS": "status", "STEPS": "counted",
    "ACCOUNT": "integrated_account_id",
}  # fmt: skip
_PAGE = 1000

operations = typer.Typer(no_args_is_help=True, help="The writes that were asked for, and how each stands.")

OperationId = Annotated[str, typer.Argument(metavar="ID", help="As `adapter operations list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(operations, name="operations")


@operations.command("list", epilog=examples("adapter operations list --status partial"))
def list_operations(
    account: Account = None,
    status: Annotated[str | None, typer.Option(help="Those in this state only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="So many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the writes that were asked for, of one account or of all."""
    from adapter.cli.output import table
    from adapter.web.write_answers import summary

    async def listed(house: "House") -> list["Operation"]:
        from adapter.cli.carrying import CLI

        return list(await house.writes.operations(CLI, account_id=account, status=_status(status), limit=limit))

    found = [summary(operation) for operation in in_house(listed)]
    if as_json:
        show_json({"result": found, "result_count": len(found)})
    else:
        table(COLUMNS, [_row(operation) for operation in found])


@operations.command(epilog=examples("adapter operations show 01234567-89ab-cdef-0123-456789abcdef"))
def show(operation_id: OperationId, as_json: AsJson = False) -> None:
    """Show one operation: who asked for it, each step with Heroku's own id of the request, and what happened when."""

    async def found(house: "House") -> "Operation":
        from adapter.cli.carrying import CLI

        return await house.writes.operation(CLI, operation_id)

    _show(in_house(found), as_json=as_json)


@operations.command(epilog=examples("adapter operations resume 01234567-89ab-cdef-0123-456789abcdef"))
def resume(operation_id: OperationId, as_json: AsJson = False) -> None:
    """Go on with an operation that was left behind or did not end well: what is still to be done is planned anew."""

    async def resumed(house: "House") -> "Operation":
        from adapter.cli.carrying import CLI, Tally, followed
        from adapter.cli.output import progress

        with progress("Going on") as bar:
            return await followed(house, await house.writes.resume(CLI, operation_id), Tally(bar))

    ended = in_house(resumed)
    _show(ended, as_json=as_json)
    if ended.status != "succeeded":
        raise typer.Exit(1)


@operations.command(epilog=examples("adapter operations cancel 01234567-89ab-cdef-0123-456789abcdef"))
def cancel(operation_id: OperationId, as_json: AsJson = False) -> None:
    """Send none of an operation's further steps. What is done stays done."""

    async def cancelled(house: "House") -> "Operation":
        from adapter.cli.carrying import CLI

        return await house.writes.cancel(CLI, operation_id)

    _show(in_house(cancelled), as_json=as_json)


def _status(text: str | None) -> Any:
    from adapter.directory.writing.model import OperationStatus
    from adapter.errors import BadRequest

    known = OperationStatus.__args__  # type: ignore[attr-defined]  # a Literal's values
    if text is not None and text not in known:
        raise BadRequest(f"`--status {text}` is none; there are {', '.join(known)}.")
    return text


def _row(operation: dict[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    """An operation with its person and its steps each in a few words."""
    counts = ", ".join(f"{count} {status}" for status, count in operation["steps"].items())
    person = operation["person"] or {}
    who = next(iter(person.get("emails") or ()), person.get("id"))
    row = {**operation, "who": who, "counted": counts}
    return {name: value for name, value in row.items() if name not in without}


def _show(operation: "Operation", *, as_json: bool) -> None:
    from adapter.cli.carrying import show_operation
    from adapter.cli.output import record, table
    from adapter.web.write_answers import shown, summary

    if as_json:
        show_json(shown(operation))
        return
    record(_row(summary(operation), ("person", "steps", "counted")))
    show_operation(operation)
    table({"AT": "at", "EVENT": "what"}, [shown(event) for event in operation.events])
