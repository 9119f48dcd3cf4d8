"""`POST /link-token`: a link that lets a customer connect an account, or connect one again."""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.accounts.connecting import Connecting, LinkToken
from adapter.accounts.links import LinkRequest
from adapter.models import AuthenticationMethod, Moment
from adapter.web.account_bodies import Context, TenantId
from adapter.web.accounts import params_of
from adapter.web.answers import json_answer
from adapter.web.auth import caller_of, require_api
from adapter.web.bodies import body_of
from adapter.web.connect_pages import PATH as PAGE

PATH = "/link-token"


class LinkBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """For whom the link is: either `tenant_id`, for a new account, or `integrated_account_id`, to connect one again."""

    tenant_id: TenantId | None = None
    integrated_account_id: Annotated[str, Meta(description="The account to connect again; it keeps its id")] | None = (
        None
    )
    redirect_uri: (
        Annotated[str, Meta(description="Where the page leads in the end: one of ADAPTER_REDIRECT_URIS, to the letter")]
        | None
    ) = None
    origin: (
        Annotated[
            str,
            Meta(
                description="Whose page is told the outcome: one of ADAPTER_ORIGINS; the redirect's own unless named, "
                "else the only one that is listed"
            ),
        ]
        | None
    ) = None
    context: Context | None = None
    scopes: (
        Annotated[
            list[str],
            Meta(
                description="The provider's scopes to ask for in place of the deployment's",
                extra_json_schema={"minItems": 1},
            ),
        ]
        | None
    ) = None
    authentication_methods: (
        Annotated[
            list[AuthenticationMethod],
            Meta(description="The ways to offer; all there are unless named", extra_json_schema={"minItems": 1}),
        ]
        | None
    ) = None


class ShownLink(msgspec.Struct, frozen=True, kw_only=True):
    """A new link, shown this once."""

    link_token: str
    url: Annotated[str, Meta(description="Where to send the customer, or what to open as a popup")]
    expires_at: Moment


def routes(*, connecting: Connecting, public_url: str) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        caller = caller_of(request)
        require_api(caller)
        params_of(request)
        link = await connecting.create_link(_request_of(await body_of(request, LinkBody)), caller)
        return json_answer(shown(link, public_url), headers={"cache-control": "no-store"})

    return [Route(PATH, create, methods=["POST"])]


def shown(link: LinkToken, public_url: str) -> ShownLink:
    """The link with its address, which is of PUBLIC_URL whatever host was asked."""
    token = link.token.reveal()
    url = f"{public_url.rstrip('/')}{PAGE}?link_token={token}"
    return ShownLink(link_token=token, url=url, expires_at=link.expires_at)


def _request_of(body: LinkBody) -> LinkRequest:
    return LinkRequest(
        tenant_id=body.tenant_id,
        account_id=body.integrated_account_id,
        redirect_uri=body.redirect_uri,
        origin=body.origin,
        context=body.context or {},
        scopes=None if body.scopes is None else tuple(body.scopes),
        authentication_methods=None if body.authentication_methods is None else tuple(body.authentication_methods),
    )
