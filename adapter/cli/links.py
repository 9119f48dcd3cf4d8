"""`adapter link`: links for customers to connect by, for whoever has no backend at hand that makes them."""

from typing import TYPE_CHECKING, Annotated

import typer

from adapter.cli.console import AsJson, examples, in_house, note, show_json
from adapter.models import AuthenticationMethod

if TYPE_CHECKING:
    from adapter.app import House
    from adapter.web.links import ShownLink

links = typer.Typer(no_args_is_help=True, help="Links that let customers connect their Heroku.")


def register(app: typer.Typer) -> None:
    app.add_typer(links, name="link")


@links.command(
    epilog=examples(
        'adapter link create --tenant acme --tenant-name "Acme Inc."',
        "adapter link create --account 0b9f6a0e-4c8e-4a3b-9a43-0d3c6f1f7f52",
    )
)
def create(
    tenant: Annotated[str | None, typer.Option(help="Whose account it will be, in your words.")] = None,
    # Not the environment's ADAPTER_ACCOUNT: a link that connects anew must not turn into one that connects again.
    account: Annotated[
        str | None,
        typer.Option(metavar="ID", allow_from_autoenv=False, help="The account to connect again, instead of a tenant."),
    ] = None,
    tenant_name: Annotated[str | None, typer.Option(help="How the page calls who asks; else the tenant's id.")] = None,
    redirect_uri: Annotated[
        str | None, typer.Option(help="Where the page leads in the end; one of ADAPTER_REDIRECT_URIS.")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="Whose page is told how it went; one of ADAPTER_ORIGINS.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A Heroku scope to ask for, in place of the settings'; may come twice.")
    ] = None,
    method: Annotated[AuthenticationMethod | None, typer.Option(help="Offer this way alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a link and show it, once. It lives 7 days and is used up by success alone; PUBLIC_URL stands before it."""

    async def made(house: "House") -> "ShownLink":
        from adapter.accounts.links import LinkRequest
        from adapter.web.links import shown

        request = LinkRequest(
            tenant_id=tenant,
            account_id=account,
            redirect_uri=redirect_uri,
            origin=origin,
            context={"tenant_name": tenant_name} if tenant_name is not None else {},
            scopes=tuple(scope) if scope else None,
            authentication_methods=(method,) if method else None,
        )
        return shown(await house.connecting.create_link(request), house.settings.public_url)

    link = in_house(made)
    if as_json:
        show_json(link)
        return
    note(f"For {f'tenant {tenant}' if tenant else f'account {account}'}, until {link.expires_at:%Y-%m-%d %H:%M} UTC:")
    typer.echo(link.url)
