"""`adapter account`: the connected Heroku accounts. A token comes in by standard input or a prompt, by nothing else."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from adapter.cli.choosing import every, only_account
from adapter.cli.console import AsJson, examples, in_house, show_json
from adapter.errors import BadRequest, InvalidBody
from adapter.models import AccountStatus, IntegratedAccount, Secret

if TYPE_CHECKING:
    from adapter.accounts.leaving import Removal
    from adapter.app import House

_MAX_CHARS = 64 * 1024

accounts = typer.Typer(no_args_is_help=True, help="Connected Heroku accounts.")

AccountId = Annotated[str, typer.Argument(metavar="ID", help="As `adapter account list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(accounts, name="account")


@accounts.command(
    epilog=examples("heroku auth:token | adapter account add --tenant acme", "adapter account add --tenant acme")
)
def add(
    tenant: Annotated[str, typer.Option(help="Whose account it is, in your words.")],
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-]", show_default=False, help="`-`: read the token from standard input."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Connect a Heroku account by an API token, given on standard input or at a prompt: never as an argument.

    The token is tried (GET /account), then kept sealed. The same account again: its token is replaced.
    """
    token = _token(source or [])

    async def connected(house: "House") -> tuple[IntegratedAccount, dict[str, Any]]:
        account = await house.accounts.connect_api_key(tenant_id=tenant, api_key=token)
        return account, _shown(house, account)

    account, shown = in_house(connected)
    if as_json:
        show_json(shown)
    else:
        typer.echo(_told(account))


@accounts.command("list", epilog=examples("adapter account list --tenant acme"))
def list_accounts(
    tenant: Annotated[str | None, typer.Option(help="This tenant's only.")] = None,
    status: Annotated[AccountStatus | None, typer.Option(help="Those in this state only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the connected accounts."""
    from adapter.cli.output import table

    async def listed(house: "House") -> list[dict[str, Any]]:
        return [_shown(house, account) for account in await every(house, tenant_id=tenant, status=status)]

    found = in_house(listed)
    if as_json:
        show_json({"result": found, "result_count": len(found)})
        return
    rows = [{**account, "who": account["heroku_account"], "scopes": list(account["scopes"])} for account in found]
    columns = {"ID": "id", "TENANT": "tenant_id", "ACCOUNT": "who", "STATUS": "status", "BLOCKED": "is_blocked"}
    table({**columns, "SCOPES": "scopes"}, rows)


@accounts.command(epilog=examples("adapter account show 0b9f6a0e-4c8e-4a3b-9a43-0d3c6f1f7f52"))
def show(account_id: AccountId, as_json: AsJson = False) -> None:
    """Show one connected account, and what its token can't read."""
    from adapter.cli.output import record

    async def found(house: "House") -> dict[str, Any]:
        return _shown(house, await house.accounts.get(account_id))

    shown = in_house(found)
    if as_json:
        show_json(shown)
    else:
        missing = [f"{unit} (needs {' or '.join(scopes)})" for unit, scopes in shown["missing_scopes"].items()]
        record({**shown, "missing_scopes": missing, "context": shown["context"] or None})


@accounts.command(epilog=examples("adapter account remove 0b9f6a0e-4c8e-4a3b-9a43-0d3c6f1f7f52 --yes"))
def remove(
    account_id: AccountId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Disconnect an account: revoke its OAuth authorization at Heroku, and delete all that is kept about it.

    An API token stays what it is: whoever made it revokes it (`heroku authorizations:revoke`).
    """

    async def removed(house: "House") -> "Removal":
        account = await house.accounts.get(account_id)
        if not yes:
            _confirm(account)
        return await house.accounts.remove(account_id)

    removal = in_house(removed)
    if as_json:
        show_json(removal)
    else:
        typer.echo(f"Removed account {account_id}, its credential, and {removal.deleted['tokens']} tokens.")
        typer.echo(removal.reason or "Its authorization at Heroku is revoked.")


@accounts.command(
    epilog=examples(
        "adapter account override override.json",
        """echo '{"users": {"fields": {"username": "user.email"}}}' | adapter account override -""",
        "adapter account override --clear",
    )
)
def override(
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="JSON; `-`: from standard input. Shown if not given.")
    ] = None,
    account_id: Annotated[
        str | None,
        typer.Option("--account", envvar="ADAPTER_ACCOUNT", metavar="ID", help="Not needed where there is one."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove it: the mapping files hold again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read fields of one account's records by JMESPath expressions of its own, in place of the mapping files'.

    {"users": {"fields": {"name": "<JMESPath>"}}}: resources, and of these fields, but not the id.
    """
    if source is not None and clear:
        raise BadRequest("--clear removes the override; give no file with it.")
    given = _override(source) if source is not None else None

    async def changed(house: "House") -> dict[str, Any]:
        chosen = account_id or await only_account(house)
        if given is None and not clear:
            account = await house.accounts.get(chosen)
        else:
            account = await house.accounts.patch(chosen, override=given)
        return _shown(house, account)

    shown = in_house(changed)
    if as_json or (given is None and not clear):
        show_json(shown if as_json else shown["unified_model_override"])
    elif clear:
        typer.echo(f"Account {shown['id']} is read by the mapping files again.")
    else:
        count = sum(len(body.get("fields", {})) for body in (given or {}).values())
        typer.echo(f"Account {shown['id']} has {count} field{'' if count == 1 else 's'} of its own.")


def _override(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read(_MAX_CHARS) if source == "-" else Path(source).read_text(encoding="utf-8")
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise BadRequest(f"{source} can't be read ({error.strerror}).") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidBody("An override is a JSON object of resources.") from None


def _token(source: list[str]) -> Secret:
    """The token from standard input or a prompt that doesn't show it. What stands in an argument is not repeated."""
    if source not in ([], ["-"]):
        raise BadRequest(
            "A token is not taken as an argument: it would stay in the shell's history and the list of processes. "
            "Revoke that one, and give a new one on standard input."
        )
    if source or not sys.stdin.isatty():
        text = sys.stdin.read(_MAX_CHARS)
    else:
        text = typer.prompt("Heroku API token", hide_input=True, err=True)
    if not text.strip():
        raise InvalidBody("No token came in; give it on standard input: `adapter account add --tenant T < token.txt`.")
    return Secret(text.strip())


def _confirm(account: IntegratedAccount) -> None:
    if not sys.stdin.isatty():
        raise BadRequest("Nobody is there to confirm it; say --yes.")
    who = account.identity.email if account.identity else "an account whose owner is not known"
    typer.confirm(f"Remove {who} of tenant {account.tenant_id}, with every token made for it?", abort=True, err=True)


def _told(account: IntegratedAccount) -> str:
    who = account.identity
    name = f"{who.email or who.name} ({who.id})" if who else "an account whose owner the token may not see"
    lines = [
        f"Connected {name} for tenant {account.tenant_id}.",
        f"  id      {account.id}",
        f"  scopes  {', '.join(account.scopes) or 'Heroku did not say'}",
    ]
    if account.missing_scopes:
        lines.append("With these scopes, answers will be partial; missing will be:")
        lines += [f"  {unit}  needs {' or '.join(scopes)}" for unit, scopes in account.missing_scopes.items()]
    else:
        lines.append("Its scopes open everything that the directory reads.")
    return "\n".join(lines)


def _shown(house: "House", account: IntegratedAccount) -> dict[str, Any]:
    """As the HTTP API shows an account."""
    from adapter.web.accounts import shown

    fields: dict[str, Any] = msgspec.to_builtins(shown(account, house.provider))
    return fields
