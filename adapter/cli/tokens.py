"""`adapter token`: the tokens of those who call the adapter."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.models import TokenInfo

if TYPE_CHECKING:
    from adapter.app import House

tokens = typer.Typer(no_args_is_help=True, help="API tokens: who may call the adapter.")


def register(app: typer.Typer) -> None:
    app.add_typer(tokens, name="token")


@tokens.command(epilog=examples("adapter token create --name backend", "adapter token create --tenant acme --json"))
def create(
    tenant: Annotated[str | None, typer.Option(help="Let it see this tenant's accounts only.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is for, to tell it from others later.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API token and show it, once: only its hash is kept. It may do everything, for one tenant or for all."""
    info, secret = in_house(lambda house: house.tokens.create_api(tenant_id=tenant, name=name))
    if as_json:
        show_json({**_shown(info), "token": secret.reveal()})
        return
    note(f"API token {info.id}, for {f'tenant {tenant}' if tenant else 'every tenant'}; it is not shown again:")
    typer.echo(secret.reveal())


@tokens.command("list", epilog=examples("adapter token list"))
def list_tokens(as_json: AsJson = False) -> None:
    """List the API tokens: everything about them but the tokens."""
    from adapter.cli.output import table

    found = [_shown(info) for info in in_house(_all)]
    if as_json:
        show_json({"result": found, "result_count": len(found)})
        return
    columns = {"ID": "id", "NAME": "name", "TENANT": "tenant_id", "CREATED": "created_at", "USED": "last_used_at"}
    table({**columns, "REVOKED": "revoked_at"}, found)


@tokens.command(epilog=examples("adapter token revoke 0b9f6a0e-4c8e-4a3b-9a43-0d3c6f1f7f52"))
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `adapter token list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a token by its id: an API token, or an account's. It is refused within 5 seconds on every server."""
    info = in_house(lambda house: house.tokens.revoke(token_id))
    if as_json:
        show_json({"id": info.id, "revoked_at": info.revoked_at})
    else:
        typer.echo(f"Token {info.id} is revoked.")


async def _all(house: "House") -> list[TokenInfo]:
    found: list[TokenInfo] = []
    while page := await house.tokens.list_api(after=found[-1].id if found else ""):
        found += page
    return found


def _shown(info: TokenInfo) -> dict[str, object]:
    shown = msgspec.structs.asdict(info)
    return {name: shown[name] for name in ("id", "name", "tenant_id", "created_at", "revoked_at", "last_used_at")}
