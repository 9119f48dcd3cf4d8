"""`adapter users|groups|roles|grants|apps`: the directory, read in the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.errors import BadRequest

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.cli.asking import Found

Account = Annotated[
    str | None,
    typer.Option(envvar="ADAPTER_ACCOUNT", metavar="ID", help="The connected account; not needed where there is one."),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="NAME=VALUE",
        help="Any filter of the HTTP API, like `created_at\\[gt]=2026-01-01`; repeatable.",
    ),
]
Group = Annotated[str | None, typer.Option(metavar="TEAM", help="Of this team only, by id or name.")]
Status = Annotated[str | None, typer.Option(help="In this state only.")]
Search = Annotated[str | None, typer.Option("--q", help="Whose texts hold this, in any case.")]
Sort = Annotated[str | None, typer.Option(metavar="FIELD", help="By this field; `-name` is descending.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many at most; all unless said.")]
AsCsv = Annotated[bool, typer.Option("--csv", envvar="ADAPTER_CSV", help="Answer in CSV, every field a column.")]
Key = Annotated[str, typer.Argument(metavar="ID", help="As the list shows it.")]

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "users": {
        "EMAIL": "emails", "NAME": "name", "STATUS": "status", "TYPE": "user_type", "2FA": "is_2fa_enabled",
        "TEAMS": "groups", "APPS": "workspaces", "ID": "id",
    },
    "groups": {
        "NAME": "name", "KIND": "heroku_type", "ENTERPRISE": "organization", "MEMBERS": "member_count", "ID": "id",
    },
    "roles": {"ID": "id", "LABEL": "label", "IN": "applicable_in", "GIVES": "permissions"},
    "role_assignments": {
        "USER": "user", "ROLE": "role_id", "WHERE": "where", "STATUS": "status", "INHERITED": "is_inherited",
        "ID": "id",
    },
    "workspaces": {
        "NAME": "name", "KIND": "workspace_type", "STATUS": "status", "LOCKED": "is_locked", "TEAM": "group",
        "ID": "id",
    },
}  # fmt: skip
"""Resource -> the columns of its table; a column's value is the record's field."""

PATIENCE = 24 * 60 * 60.0
"""How long a command waits for a gather, in seconds: it shows the progress, so whoever is tired of it can stop it."""

_MOST_GAPS = 20
_ENVELOPE = """

With --json: {"result": [...], "result_count"} as over HTTP, and what could not be read in "missing"."""

users = typer.Typer(no_args_is_help=True, help="Everybody with any access or a pending invitation.")
groups = typer.Typer(no_args_is_help=True, help="Teams.")
roles = typer.Typer(no_args_is_help=True, help="What people can be: the roles of teams, apps, spaces and enterprises.")
grants = typer.Typer(no_args_is_help=True, help="Who has which role where.")
apps = typer.Typer(no_args_is_help=True, help="Apps and spaces.")


def register(app: typer.Typer) -> None:
    for name, noun in (("users", users), ("groups", groups), ("roles", roles), ("grants", grants), ("apps", apps)):
        app.add_typer(noun, name=name)


# --- lists


@users.command(
    "list",
    help="List everybody with any access, or a pending invitation, once." + _ENVELOPE,
    epilog=examples("adapter users list --status invited", "adapter users list --group acme --csv"),
)
def list_users(
    account: Account = None,
    group: Group = None,
    status: Status = None,
    q: Search = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    given = _pairs(filters, status=status, q=q, sort_by=sort)
    _list("users", account, given, group=group, limit=limit, as_json=as_json, as_csv=as_csv)


@groups.command("list", help="List the teams." + _ENVELOPE, epilog=examples("adapter groups list --sort name"))
def list_groups(
    account: Account = None,
    q: Search = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    _list("groups", account, _pairs(filters, q=q, sort_by=sort), limit=limit, as_json=as_json, as_csv=as_csv)


@roles.command(
    "list",
    help="List the roles that there are." + _ENVELOPE,
    epilog=examples("adapter roles list --filter applicable_in=workspace"),
)
def list_roles(
    account: Account = None,
    q: Search = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    _list("roles", account, _pairs(filters, q=q, sort_by=sort), limit=limit, as_json=as_json, as_csv=as_csv)


@grants.command(
    "list",
    help="List who has which role where: one line for each grant." + _ENVELOPE,
    epilog=examples("adapter grants list --role app:manage", "adapter grants list --user ID --inherited"),
)
def list_grants(
    account: Account = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Of this person only.")] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="This role only, like `team:admin`.")] = None,
    group: Group = None,
    status: Status = None,
    inherited: Annotated[
        bool, typer.Option("--inherited", help="With what a team role gives on the team's apps.")
    ] = False,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    given = _pairs(filters, user_id=user, role_id=role, status=status, sort_by=sort)
    given += [("include_inherited", "true")] if inherited else []
    _list("role_assignments", account, given, group=group, limit=limit, as_json=as_json, as_csv=as_csv)


@apps.command(
    "list",
    help="List the apps and spaces." + _ENVELOPE,
    epilog=examples("adapter apps list --group acme", "adapter apps list --filter is_locked=true"),
)
def list_apps(
    account: Account = None,
    group: Group = None,
    status: Status = None,
    q: Search = None,
    sort: Sort = None,
    filters: Filters = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    given = _pairs(filters, status=status, q=q, sort_by=sort)
    _list("workspaces", account, given, group=group, limit=limit, as_json=as_json, as_csv=as_csv)


# --- one


def _add_show(noun: typer.Typer, resource: str, words: str, sample: str) -> None:
    @noun.command("show", help=f"Show one of the {words} by its id.", epilog=examples(f"adapter {sample}"))
    def show(key: Key, account: Account = None, as_json: AsJson = False) -> None:
        _show(resource, account, key, as_json=as_json)


_add_show(users, "users", "people", "users show 01234567-89ab-cdef-0123-456789abcdef")
_add_show(groups, "groups", "teams", "groups show 01234567-89ab-cdef-0123-456789abcdef --json")
_add_show(roles, "roles", "roles", "roles show team:admin")
_add_show(grants, "role_assignments", "grants", "grants show team:TEAM-ID:USER-ID:admin")
_add_show(apps, "workspaces", "apps and spaces", "apps show 01234567-89ab-cdef-0123-456789abcdef")


# --- asked and shown


def _pairs(filters: list[str] | None, **flags: str | None) -> list[tuple[str, str]]:
    """The flags that were given and the `--filter` words, as parameters of the HTTP API."""
    pairs = [(name, value) for name, value in flags.items() if value is not None]
    for text in filters or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadRequest(f"`--filter {text}` has no `=`; write --filter name=value.")
        pairs.append((name, value))
    return pairs


def _list(
    resource: str,
    account: str | None,
    filters: list[tuple[str, str]],
    *,
    group: str | None = None,
    limit: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    from adapter.cli.asking import Question, ask_list, ask_names

    if as_json and as_csv:
        raise BadRequest("--json and --csv exclude each other.")
    question = Question(resource=resource, account=account, filters=filters, group=group, limit=limit)
    wants_names = resource == "role_assignments" and not as_json

    async def asked(house: "House") -> tuple["Found", dict[str, str]]:
        found = await ask_list(house, question)
        return found, await ask_names(house, account, found.records) if wants_names else {}

    found, names = in_house(asked, directory_wait=PATIENCE)
    if as_json:
        show_json(found.envelope())
    else:
        _show_rows(resource, found, names, as_csv=as_csv)
    if len(found.records) < found.total:
        note(f"The first {len(found.records)} of {found.total}.")
    warn(found.missing)


def _show_rows(resource: str, found: "Found", names: Mapping[str, str], *, as_csv: bool) -> None:
    from adapter.cli.output import csv_lines, table

    if resource != "role_assignments":
        rows, fields = found.records, found.fields
    else:
        rows, fields = [_named(record, names) for record in found.records], ("user", "where", *found.fields)
    if as_csv:
        csv_lines(fields, rows)
    else:
        table(COLUMNS[resource], rows)


def _named(grant: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A grant with its person and place by name, which people read more easily than ids."""
    place = grant["group_id"] or grant["workspace_id"] or grant["organization_id"]
    return {**grant, "user": names.get(grant["user_id"], grant["user_id"]), "where": names.get(place, place)}


def _show(resource: str, account: str | None, key: str, *, as_json: bool) -> None:
    from adapter.cli.asking import Question, ask_one, gaps
    from adapter.cli.output import record

    question = Question(resource=resource, account=account)
    found, missing = in_house(lambda house: ask_one(house, question, key), directory_wait=PATIENCE)
    if as_json:
        show_json({**found, **gaps(missing)})
    else:
        record({name: value for name, value in found.items() if name != "remote_data"})
    warn(missing)


def warn(missing: tuple[Mapping[str, Any], ...]) -> None:
    """Say what could not be read: nobody should take an answer for complete that is not."""
    if missing:
        lists = sum(map(_lists, missing))
        note(f"warning: this is not everything; {lists} {'list' if lists == 1 else 'lists'} could not be read:")
    for gap in missing[:_MOST_GAPS]:
        scopes = f" (needs {' or '.join(gap['scopes'])})" if gap.get("scopes") else ""
        note(f"  {gap['unit']}{_places(gap)}: {gap['reason']}{scopes}")
    if len(missing) > _MOST_GAPS:
        note(f"  and {sum(map(_lists, missing[_MOST_GAPS:]))} more; --json names them")


def _lists(gap: Mapping[str, Any]) -> int:
    """How many lists a gap stands for: where they are too many to name, it is one for all of them."""
    return int(gap.get("count", 1))


def _places(gap: Mapping[str, Any]) -> str:
    from adapter.cli.output import readable

    if _lists(gap) > 1:
        return f" of {_lists(gap)} places"
    places = ", ".join(f"{kind} {readable(place)}" for kind, place in gap.get("place", {}).items())
    return f" of {places}" if places else ""
