"""The connect pages as HTML, and the three files that they are made with. `connect` decides what stands on them."""

from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.routing import BaseRoute

from adapter.web.fixed import fixed_route

PATH = "/connect-account"
_FOLDER = "connect"
_FILES = {"style": ("connect.css", "text/css"), "script": ("connect.js", "text/javascript")}
_ICON = ("mark.svg", "image/svg+xml")
# The name holds a hash of what is in it, so that a browser never has to ask again.
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where a browser finds the page and its files: paths of this very host, with what PUBLIC_URL puts before them."""

    base: str
    style: str
    script: str
    icon: str


class Pages:
    """The templates, and the routes of the files beside them."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` is PUBLIC_URL's path: `/heroku` where that is `https://example.com/heroku`."""
        assets = {word: _asset(*file) for word, file in {**_FILES, "icon": _ICON}.items()}
        self.routes: list[BaseRoute] = [
            fixed_route(path, body, media_type, _FOREVER, in_schema=False) for path, body, media_type in assets.values()
        ]
        self.at = Addresses(base=prefix + PATH, **{word: prefix + path for word, (path, _, _) in assets.items()})
        self._templates = Environment(
            loader=PackageLoader(__package__, "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, **values: Any) -> str:
        """`ask`, `done` or `problem` as HTML."""
        return self._templates.get_template(f"{_FOLDER}/{name}.html").render(at=self.at, **values)


def _asset(name: str, media_type: str) -> tuple[str, bytes, str]:
    body = files(__package__).joinpath("pages", _FOLDER, name).read_bytes()
    stem, _, ending = name.partition(".")
    return f"/static/{stem}-{sha256(body).hexdigest()[:16]}.{ending}", body, media_type
