"""`adapter invite`, `grant` and `revoke`: one role of one person in one place."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.cli.directory import PATIENCE, Account
from adapter.cli.offboarding import DryRun, Yes, confirm, shown_part
from adapter.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.cli.carrying import Part
    from adapter.directory.writing.model import Ask

_RESOURCES = {"group": "groups", "workspace": "workspaces", "organization": "organizations"}

Person = Annotated[str, typer.Argument(metavar="PERSON", help="An e-mail address, or a person's id.")]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="As `adapter roles list` shows it, like `app:deploy`.")]
Place = Annotated[str, typer.Argument(metavar="PLACE", help="The team, app, space or enterprise, by id or name.")]


def register(app: typer.Typer) -> None:
    app.command("invite", epilog=examples("adapter invite ada@example.com acme", _AS_ADMIN))(invite)
    app.command("grant", epilog=examples("adapter grant ada@example.com app:deploy acme-web"))(grant)
    app.command("revoke", epilog=examples("adapter revoke ada@example.com app:deploy acme-web --yes"))(revoke)


_AS_ADMIN = "adapter invite ada@example.com acme --role team:admin"


def invite(
    person: Person,
    team: Annotated[str, typer.Argument(metavar="TEAM", help="By id or name.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help="What they will be there.")] = "team:member",
    account: Account = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Invite somebody to a team, or add them where the team takes no invitations."""
    _change("give", person, role, team, account, yes=True, dry_run=dry_run, as_json=as_json)


def grant(
    person: Person,
    role: Role,
    place: Place,
    account: Account = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give somebody a role in a place."""
    _change("give", person, role, place, account, yes=True, dry_run=dry_run, as_json=as_json)


def revoke(
    person: Person,
    role: Role,
    place: Place,
    account: Account = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take a role in a place away from somebody, or an invitation to it."""
    _change("take", person, role, place, account, yes=yes, dry_run=dry_run, as_json=as_json)


def _change(
    verb: Literal["give", "take"],
    person: str,
    role: str,
    place: str,
    account: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    async def changed(house: "House") -> "Part":
        from adapter.cli.carrying import Tally, accounts_of, carry_out, planned, show_plan
        from adapter.cli.output import progress

        (connected,) = await accounts_of(house, account, None)
        ask = await _asked(house, connected.id, verb, person, role, place)
        part = await planned(house, connected, ask)
        if part.error is not None:
            raise part.error
        if not as_json and (dry_run or not yes):
            show_plan(part)
        if not dry_run:
            confirm("Do this?", [part], yes=yes)
            with progress("Carrying it out") as bar:
                await carry_out(house, part, ask, Tally(bar), as_shown=not yes)
        return part

    part = in_house(changed, directory_wait=PATIENCE)
    _tell(part, as_json=as_json)
    if not dry_run and not part.is_done:
        raise typer.Exit(1)


def _tell(part: "Part", *, as_json: bool) -> None:
    from adapter.cli.carrying import show_operation

    if as_json:
        show_json(shown_part(part))
    elif part.operation is not None:
        for obstacle in part.operation.plan.obstacles:
            note(f"warning: {obstacle.message}")
        show_operation(part.operation)


async def _asked(
    house: "House", account_id: str, verb: Literal["give", "take"], person: str, role: str, place: str
) -> "Ask":
    from adapter.directory.writing.model import Ask, Change, PersonRef, PlaceRef

    roles = {record["id"]: record for record in house.model.resources["roles"].records}
    if role not in roles:
        raise BadRequest(f"`{role}` is no role; there are {', '.join(roles)}.")
    id_ = await _place_id(house, account_id, _RESOURCES[roles[role]["applicable_in"][0]], place)
    change = Change(verb=verb, place=PlaceRef(kind=roles[role]["type"], id=id_), roles=(roles[role]["name"],))
    named = PersonRef(email=person) if "@" in person else PersonRef(user_id=person)
    kind: Literal["role_assignments.create", "role_assignments.delete"] = (
        "role_assignments.create" if verb == "give" else "role_assignments.delete"
    )
    return Ask(kind=kind, person=named, changes=(change,))


async def _place_id(house: "House", account_id: str, resource: str, place: str) -> str:
    """The id of the place with this id, else of the one with this name."""
    from adapter.cli.asking import Question, ask_list

    places = (await ask_list(house, Question(resource=resource, account=account_id))).records
    for word in ("id", "name"):
        for record in places:
            if record[word] == place:
                return str(record["id"])
    raise NotFound(f"Of the {resource}, none has this id or name.")
