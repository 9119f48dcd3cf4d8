"""`adapter offboard`: everything taken away from somebody, in one account or all of a tenant's, and proved."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.cli.directory import PATIENCE, Account
from adapter.errors import BadRequest

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.cli.carrying import Part
    from adapter.directory.writing.model import Ask
    from adapter.directory.writing.tenants import Joined

Tenant = Annotated[str | None, typer.Option(metavar="TENANT", help="In all accounts of this tenant.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")]
Person = Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address, or their id.")]


def register(app: typer.Typer) -> None:
    app.command(
        "offboard",
        epilog=examples(
            "adapter offboard ada@example.com --dry-run",
            "adapter offboard ada@example.com --tenant acme --yes --json",
        ),
    )(offboard)


def offboard(
    person: Person,
    account: Account = None,
    tenant: Tenant = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    full_proof: Annotated[
        bool, typer.Option("--full-proof", help="Read everything back that could hold the person, not their places.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take away everything that somebody has: teams, invitations, apps, spaces, enterprise accounts. Then read it back.

    "gone" is only what was read as gone after the removal. The exit code is 0 only if everything is.

    With --json: {"result": [...], "result_count"}, an entry for each account, with its plan, operation or error.
    """
    if account is not None and tenant is not None:
        raise BadRequest("--account (or ADAPTER_ACCOUNT) and --tenant exclude each other.")

    ask = asked(person, "full" if full_proof else "places")

    async def offboarded(house: "House") -> tuple[list["Part"], "Joined | None"]:
        parts = await _planned(house, account, tenant, ask)
        if not as_json:
            _show_plans(parts)
        if dry_run:
            return parts, None
        confirm(f"Take all this away from {person}?", parts, yes=yes)
        return parts, await _carried_out(house, parts, ask, as_shown=not yes)

    parts, report = in_house(offboarded, directory_wait=PATIENCE)
    if as_json:
        shown = {"result": [shown_part(part) for part in parts], "result_count": len(parts)}
        show_json(shown | ({"report": report} if report is not None else {}))
    elif report is not None:
        _tell(parts, report)
    if not (all(_can_be_done(part) for part in parts) if report is None else report.is_complete):
        raise typer.Exit(1)


def _can_be_done(part: "Part") -> bool:
    return part.plan is not None and not part.plan.refusals


async def _planned(house: "House", account: str | None, tenant: str | None, ask: "Ask") -> list["Part"]:
    """A plan for each account at Heroku, whatever number of connections leads to it."""
    from adapter.cli.carrying import accounts_of, planned
    from adapter.directory.writing.tenants import by_identity

    parts = []
    for first, *others in by_identity(await accounts_of(house, account, tenant)):
        part = await planned(house, first, ask)
        part.same_as = tuple(other.id for other in others)
        parts.append(part)
    return parts


async def _carried_out(house: "House", parts: Sequence["Part"], ask: "Ask", *, as_shown: bool) -> "Joined":
    from adapter.cli.carrying import Tally, carry_out
    from adapter.cli.output import progress
    from adapter.directory.writing.tenants import over_all

    of = {part.account.id: part for part in parts}
    with progress("Carrying it out") as bar:
        tally = Tally(bar)
        accounts = [part.account for part in parts]
        return await over_all(accounts, lambda each: carry_out(house, of[each.id], ask, tally, as_shown=as_shown))


def asked(person: str, proof: Any) -> "Ask":
    from adapter.directory.writing.model import Ask, PersonRef

    named = PersonRef(email=person) if "@" in person else PersonRef(user_id=person)
    return Ask(kind="users.offboard", person=named, everywhere=True, proof=proof)


def _show_plans(parts: Sequence["Part"]) -> None:
    from adapter.cli.carrying import show_plan

    for part in parts:
        show_plan(part)
        for other in part.same_as:
            typer.echo(f"  (Account {other} leads to the same account at Heroku.)")


def confirm(question: str, parts: Sequence["Part"], *, yes: bool) -> None:
    """Have somebody say yes to what was shown."""
    if yes or not any(part.plan is not None and part.plan.steps for part in parts):
        return
    if not sys.stdin.isatty():
        raise BadRequest("Nobody is there to confirm it; say --yes, or --dry-run to see the plan.")
    typer.confirm(question, abort=True, err=True)


# --- told


def shown_part(part: "Part") -> dict[str, Any]:
    """What a command did in one account, for programs."""
    from adapter.web.write_answers import shown

    found: dict[str, Any] = {"integrated_account_id": part.account.id, "tenant_id": part.account.tenant_id}
    if part.operation is not None:
        found["operation"] = shown(part.operation)
    elif part.plan is not None:
        found["plan"] = shown(part.plan)
    if part.error is not None:
        error = part.error
        found["error"] = {"code": error.code, "message": error.message, "details": error.details}
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _tell(parts: Sequence["Part"], report: "Joined") -> None:
    from adapter.cli.carrying import consequences, show_operation
    from adapter.cli.output import readable

    for part in parts:
        if part.error is not None:
            note(f"error: account {part.account.id}: {part.error.message}")
        elif part.operation is not None and part.operation.status != "succeeded":
            show_operation(part.operation)
    _show_places(report)
    for line in consequences(msgspec.to_builtins(report)):
        typer.echo(line)
    for gap in report.missing:
        note(f"warning: could not be read: {gap.unit}: {readable(gap.reason)}")
    gone = sum(place.state == "gone" for place in report.places)
    typer.echo(f"{gone} of {len(report.places)} places are gone, and read as gone. {_whole(parts, report)}")


def _whole(parts: Sequence["Part"], report: "Joined") -> str:
    """How far the report goes: only a full proof sees what was given meanwhile in a place that no plan knew of."""
    if not report.is_complete:
        return "This is not everything."
    if all(part.operation is not None and part.operation.ask.proof == "full" for part in parts):
        return "Every list that could show them was read after it."
    return "These are all places that the directory knew of; `--full-proof` reads every list that could show them."


def _show_places(report: "Joined") -> None:
    from adapter.cli.carrying import place_words
    from adapter.cli.output import table

    rows = [msgspec.to_builtins(place) for place in report.places]
    shown = [{**row, "where": place_words(row["place"]), "since": _since(row)} for row in rows]
    if shown:
        table({"WHERE": "where", "STATE": "state", "READ": "since", "WHY": "message"}, shown)


def _since(place: Mapping[str, Any]) -> str:
    """When it was read as gone, or taken away, to the second."""
    moment = place.get("verified_at") or place.get("unverified_since")
    return f"{moment[:19]}Z" if moment else ""
