"""Connecting in the document: the route that makes links, and in words what the page behind them does."""

from adapter.accounts.oauth import CALLBACK
from adapter.web.connect_pages import PATH as PAGE_PATH
from adapter.web.links import PATH, LinkBody, ShownLink
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import API_ONLY, Operation, Part, Schema, answer, operation, query, ref, struct_schemas

TAG = "Connecting"
PAGE_TAG = "The connect page"


def part() -> Part:
    making = operation(
        "create_link",
        "Make a link for a customer to connect by",
        {"200": answer("The link, shown this once", ref("ShownLink"))} | refusals(400, 401, 403, 404, 503),
        security=API_ONLY,
        body=ref("LinkBody"),
    )
    return Part(
        tag=TAG,
        description=_DESCRIPTION,
        paths={PATH: {"post": making}},
        schemas=struct_schemas(LinkBody) | struct_schemas(ShownLink, answered=True),
    )


def page() -> Part:
    return Part(
        tag=PAGE_TAG, description=_PAGE, paths={PAGE_PATH: {"get": _opening()}, CALLBACK: {"get": _coming_back()}}
    )


def _opening() -> Operation:
    methods: Schema = {"type": "string", "enum": ["oauth2", "api_key"]}
    answers = {
        "200": _html("The page"),
        "303": {"description": "The link's token is exchanged for a cookie, and the address holds it no more"},
        "410": _html("The link is unknown, has expired or was used, or the visit is over"),
    }
    return operation(
        "connect_page",
        "The page on which a customer connects",
        answers | refusals(),
        parameters=[
            query("link_token", {"type": "string"}, "Of a link; without it the cookie's visit goes on"),
            query("auth_format", methods, "The way to open first"),
        ],
    )


def _coming_back() -> Operation:
    text: Schema = {"type": "string"}
    answers = {
        "303": {"description": "Whatever came of it, the next address holds nothing of this one's query"},
        "default": _html("What went wrong"),
    }
    return operation(
        "connect_callback",
        "The provider's way back; what an OAuth client is registered with",
        answers | refusals(),
        parameters=[query("code", text), query("state", text), query("error", text)],
    )


def _html(description: str) -> Schema:
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}


_DESCRIPTION = """\
A link lives 7 days and is used up by success alone. Its `url` is a page for your customer's browser; open it as a \
popup, or send them there. `auth_format=oauth2|api_key` put to it opens one of the ways first. In the end a popup \
posts `{"result":"success","integration","integrated_account_id","is_truto":true}` or \
`{"result":"error","error","error_type"}` to the link's origin; without an opener the browser goes to `redirect_uri` \
with the same in its query.\
"""
_PAGE = """\
For browsers: forms and redirects, a cookie of one hour, every error a page. Nothing but these two addresses is to be \
built upon.\
"""
