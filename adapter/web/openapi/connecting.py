"""Connecting in the document: the route that makes links, and in words what the page behind them does."""

from adapter.web.links import PATH, LinkBody, ShownLink
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import API_ONLY, Part, answer, operation, ref, struct_schemas

TAG = "Connecting"


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


_DESCRIPTION = """\
A link lives 7 days and is used up by success alone. Its `url` is a page for your customer's browser; open it as a \
popup, or send them there. `auth_format=oauth2|api_key` put to it opens one of the ways first. In the end a popup \
posts `{"result":"success","integration","integrated_account_id","is_truto":true}` or \
`{"result":"error","error","error_type"}` to the link's origin; without an opener the browser goes to `redirect_uri` \
with the same in its query.\
"""
