"""`/openapi.json` and `/docs`: the document for machines, and the same as one page for people.

The page stands by itself: no script, nothing from elsewhere, and a policy that lets nothing in but its own style.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.routing import BaseRoute

from adapter.web.fixed import fixed_route
from adapter.web.openapi.parts import JSON, Schema
from adapter.web.openapi.reading import kind_of, marked, read

_PAGES = "pages"


def routes(document: Schema) -> list[BaseRoute]:
    """Both, made now and served as they are from then on. Neither needs a token: they tell nothing of a deployment."""
    style = files(__package__).joinpath(_PAGES, "docs.css").read_text("utf-8")
    page = render(document, style)
    return [
        fixed_route("/openapi.json", msgspec.json.encode(document), JSON),
        fixed_route("/docs", page.encode(), "text/html", {"Content-Security-Policy": _policy(style)}),
    ]


def render(document: Schema, style: str) -> str:
    """The page as HTML."""
    templates = Environment(
        loader=PackageLoader(__package__, _PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(marked=marked, kind=kind_of)
    # The style is a file of ours; escaped, it would be another text than the policy has the hash of.
    return templates.get_template("docs.html").render(style=Markup(style), **read(document))  # noqa: S704  # see above


def _policy(style: str) -> str:
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
