"""`adapter directory status`: how old the directory is, what is missing from it, and when that will change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.cli.directory import Account

if TYPE_CHECKING:
    from adapter.app import House

COLUMNS: Mapping[str, str] = {
    "UNIT": "unit", "OF": "of", "STATE": "state", "REASON": "reason", "AGE": "age", "REQUESTS": "cost",
    "DUE": "due", "PROOF": "proof", "PATH": "path",
}  # fmt: skip

directory = typer.Typer(no_args_is_help=True, help="The directory itself: how fresh and how complete it is.")


def register(app: typer.Typer) -> None:
    app.add_typer(directory, name="directory")


@directory.command(epilog=examples("adapter directory status", "adapter directory status --json | jq .summary"))
def status(account: Account = None, as_json: AsJson = False) -> None:
    """Show every upstream list that the directory is made of, and when it will be read again. Heroku isn't asked.

    fresh: relied on as it is. due: the next question reads it again. stale: a write touched it. unreadable: Heroku
    refused it. held: the request budget does not allow it now. never: not read yet.

    With --json: {"result": [...], "result_count", "summary"} as over HTTP.
    """
    units, summary = in_house(lambda house: _asked(house, account))
    if as_json:
        show_json({"result": units, "result_count": len(units), "summary": summary})
    else:
        _show(units, summary)


async def _asked(house: "House", account: str | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    from adapter.cli.asking import opened
    from adapter.directory.status import shown_summary, shown_unit

    account_id, client = await opened(house, account)
    found = await house.directory.status(account_id, client)
    units = sorted(found.units, key=lambda unit: (unit.unit, unit.path))
    return [shown_unit(unit) for unit in units], shown_summary(found)


def _show(units: list[dict[str, Any]], summary: Mapping[str, Any]) -> None:
    from adapter.cli.output import table

    table(COLUMNS, [_row(unit) for unit in units])
    states = ", ".join(f"{count} {state}" for state, count in summary["states"].items() if count)
    note(f"{summary['units']} units: {states or 'none is known yet'}.")
    note(_cost(summary))
    note(_budget(summary["budget"]))
    if summary["next_due_at"]:
        note(f"The next unit is due at {summary['next_due_at']}; the question after that refreshes it.")


def _row(unit: Mapping[str, Any]) -> dict[str, Any]:
    proof = unit["proof"]
    last = list(unit["place"].values())[-1:]
    return {
        **unit,
        "of": last[0] if last else None,
        "age": None if unit["age"] is None else f"{unit['age']} s",
        "due": "next question" if unit["state"] in {"due", "stale", "never"} else unit["due_at"],
        "proof": None if proof is None else f"{'right' if proof['right'] else 'wrong'} {proof['day']}",
    }


def _cost(summary: Mapping[str, Any]) -> str:
    known = "" if summary["is_cost_known"] else "at least "
    return (
        f"Reading everything anew takes {known}{summary['gather_cost']} requests, what is not fresh "
        f"{known}{summary['due_cost']}; a unit stays fresh {summary['max_age']} s."
    )


def _budget(budget: Mapping[str, Any]) -> str:
    reserve = budget["reserve"]
    if budget["remaining"] is None:
        return f"What is left of the request budget is not known before the first question; {reserve} are reserved."
    return f"{budget['remaining']} requests are left, {reserve} reserved; {budget['affordable']} may be spent now."
