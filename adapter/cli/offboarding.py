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

    async def offboarded(house: "House") -> list["Part"]:
        from adapter.cli.carrying import accounts_of, carried_out, planned

        ask = asked(person, "full" if full_proof else "places")
        parts = [await planned(house, each, ask) for each in await accounts_of(house, account, tenant)]
        if not as_json:
            show_plans(parts)
        if not dry_run:
            confirm(f"Take all this away from {person}?", parts, yes=yes)
            await carried_out(house, parts, ask, as_shown=not yes)
        return parts

    parts = in_house(offboarded, directory_wait=PATIENCE)
    if as_json:
        show_json({"result": [shown_part(part) for part in parts], "result_count": len(parts)})
    elif not dry_run:
        for part in parts:
            _report(part)
    if not all(part.error is None if dry_run else is_gone(part) for part in parts):
        raise typer.Exit(1)


def asked(person: str, proof: Any) -> "Ask":
    from adapter.directory.writing.model import Ask, PersonRef

    named = PersonRef(email=person) if "@" in person else PersonRef(user_id=person)
    return Ask(kind="users.offboard", person=named, everywhere=True, proof=proof)


def show_plans(parts: Sequence["Part"]) -> None:
    from adapter.cli.carrying import show_plan

    for part in parts:
        show_plan(part)


def confirm(question: str, parts: Sequence["Part"], *, yes: bool) -> None:
    """Have somebody say yes to what was shown."""
    if yes or not any(part.plan is not None and part.plan.steps for part in parts):
        return
    if not sys.stdin.isatty():
        raise BadRequest("Nobody is there to confirm it; say --yes, or --dry-run to see the plan.")
    typer.confirm(question, abort=True, err=True)


def is_gone(part: "Part") -> bool:
    """Whether everything is done, and was read as gone."""
    report = part.operation.result if part.operation is not None else None
    return part.is_done and isinstance(report, Mapping) and report.get("is_complete") is True


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


def _report(part: "Part") -> None:
    from adapter.cli.carrying import show_operation

    typer.echo(f"Account {part.account.id}:")
    if part.error is not None:
        note(f"  error: {part.error.message}")
    if part.operation is None:
        return
    result = part.operation.result
    if part.operation.status != "succeeded" or not isinstance(result, Mapping):
        show_operation(part.operation)
    if isinstance(result, Mapping):
        _proof(result)


def _proof(report: Mapping[str, Any]) -> None:
    from adapter.cli.carrying import place_words
    from adapter.cli.output import readable, table

    rows = [{**place, "where": place_words(place["place"]), "since": _since(place)} for place in report["places"]]
    if rows:
        table({"WHERE": "where", "STATE": "state", "READ": "since", "WHY": "message"}, rows)
    for back in report["may_return"]:
        note(f"warning: may return to {place_words(back['place'])} at the next sign-in, through {back['through']}.")
    for secrets in report["rotate_secrets_of"]:
        typer.echo(f"Rotate the secrets of {place_words(secrets['place'])}: read as {', '.join(secrets['roles'])}.")
    for gap in report["missing"]:
        note(f"warning: could not be read: {gap['unit']}: {readable(gap['reason'])}")
    gone = sum(place["state"] == "gone" for place in report["places"])
    whole = "Out of everything that this account can see." if report["is_complete"] else "This is not everything."
    typer.echo(f"{gone} of {len(rows)} places are gone, and read as gone. {whole}")


def _since(place: Mapping[str, Any]) -> str:
    from adapter.cli.output import readable

    return readable(place.get("verified_at") or place.get("unverified_since"))
