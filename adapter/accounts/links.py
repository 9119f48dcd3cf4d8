"""What a link may ask for, judged when it is made: a redirect or an origin that is not listed is refused.

Lists are compared exactly, as the OAuth security practice has it: no prefix, no pattern, no case folded.
https://www.rfc-editor.org/rfc/rfc9700#section-2.1
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec

from adapter.accounts.checks import refuse
from adapter.errors import ConfigError
from adapter.models import AuthenticationMethod

_DEFAULT_PORTS = {"http": 80, "https": 443}
METHODS: tuple[AuthenticationMethod, ...] = get_args(AuthenticationMethod)


class LinkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a product asks a link to be: for a tenant's new account, or for an account that is to be connected again."""

    tenant_id: str | None = None
    account_id: str | None = None
    redirect_uri: str | None = None
    origin: str | None = None
    context: Mapping[str, Any] = {}
    scopes: tuple[str, ...] | None = None
    authentication_methods: tuple[AuthenticationMethod, ...] | None = None


class AllowLists(msgspec.Struct, frozen=True, kw_only=True):
    """Where a person may be sent back to, and which pages may be told how it went."""

    redirect_uris: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def redirect_uri(self, asked: str | None) -> str | None:
        if asked is not None and asked not in self.redirect_uris:
            raise refuse("redirect_uri", "is not allowed here", "one that ADAPTER_REDIRECT_URIS lists, to the letter")
        return asked

    def origin(self, asked: str | None, redirect_uri: str | None) -> str | None:
        """The one named, else the redirect's own, else the only one that there is.

        A redirect's origin needs no place on the list of origins: whoever is sent the person is sent the outcome too.
        """
        if asked is not None and asked not in self.origins:
            raise refuse("origin", "is not allowed here", "one that ADAPTER_ORIGINS lists, to the letter")
        if asked is not None:
            return asked
        if redirect_uri is not None:
            return origin_of(redirect_uri)
        return next(iter(self.origins)) if len(self.origins) == 1 else None


def allow_lists(redirect_uris: Collection[str], origins: Collection[str]) -> AllowLists:
    """Both lists of the settings; ConfigError for an entry that no browser would send or go to."""
    for uri in redirect_uris:
        if origin_of(uri) is None or "#" in uri:
            raise ConfigError(
                "ADAPTER_REDIRECT_URIS: an entry can't be used; expected https://host/path in ASCII, no fragment."
            )
    for origin in origins:
        if origin_of(origin) != origin:
            raise ConfigError(
                "ADAPTER_ORIGINS: an entry can't be used; expected an origin as browsers write it: https://host or "
                "https://host:port, in lower case, without a path."
            )
    return AllowLists(redirect_uris=frozenset(redirect_uris), origins=frozenset(origins))


def origin_of(uri: str) -> str | None:
    """The origin of an http(s) address, as a browser writes it; None where it has none to rely on.

    Nothing that two readers could take for different hosts passes: a user, a backslash, a blank, a host beyond ASCII.
    https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
    """
    if not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri:
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or not _plain(parts, port):
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in {None, _DEFAULT_PORTS[parts.scheme]} else "")


def checked_methods(
    asked: Sequence[AuthenticationMethod] | None, available: Collection[AuthenticationMethod]
) -> tuple[AuthenticationMethod, ...] | None:
    """The ways to offer, each once, in their usual order; None for all there are, and will be."""
    if asked is None:
        return None
    if not asked:
        raise refuse("authentication_methods", "is empty", f"one or more of {', '.join(METHODS)}")
    if not set(asked) & set(available):
        raise refuse(
            "authentication_methods", "names none that this deployment offers", f"one of {', '.join(sorted(available))}"
        )
    return tuple(method for method in METHODS if method in asked)


def checked_scopes(asked: Sequence[str] | None, known: Collection[str]) -> tuple[str, ...] | None:
    """The provider's scopes to ask for, each once; None for the deployment's own choice."""
    if asked is None:
        return None
    expected = f"one or more of {', '.join(known)}, or no `scopes` at all"
    if not asked:
        raise refuse("scopes", "is empty", expected)
    for place, scope in enumerate(asked):
        if scope not in known:
            raise refuse(f"scopes[{place}]", "is no scope of the provider", expected)
    return tuple(dict.fromkeys(asked))


def checked_target(request: LinkRequest) -> None:
    """A link is for one of the two: a tenant's new account, or an account that is there."""
    if (request.tenant_id is None) == (request.account_id is None):
        found = "comes with `integrated_account_id`" if request.tenant_id is not None else "is missing"
        raise refuse("tenant_id", found, "either `tenant_id` or `integrated_account_id`, not both")


def _plain(parts: SplitResult, port: int | None) -> bool:
    """Whether the address names its host and port as simply as it can."""
    host, netloc = parts.hostname or "", parts.netloc
    shown = f"[{host}]" if ":" in host else host
    return netloc.lower() in {shown, f"{shown}:{port}"} and "%" not in host
