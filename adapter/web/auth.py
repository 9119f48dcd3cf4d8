"""Who calls: a token in `Authorization` becomes a Caller on the request, and the doors ask what it may.

Finding the caller refuses nothing: a door that needs one says so by `caller_of`. So the open routes stay open whatever
a request carries.
"""

import base64
import binascii
from collections.abc import Collection
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import Scope as Connection

from adapter.errors import (
    AdapterError,
    BadRequest,
    Forbidden,
    InsufficientScope,
    InvalidParameter,
    Unauthorized,
    WrongAccount,
)
from adapter.models import Caller, Scope

ACCOUNT_PARAMETER = "integrated_account_id"
_MAX_TOKEN = 512


class Authenticator(Protocol):
    """Knows callers' tokens."""

    async def authenticate(self, plaintext: str) -> Caller | None: ...


class Callers:
    """Finds who calls: Bearer everywhere; Basic on the raw doors only, and not together with an `Origin` that isn't one
    of `own_origins`: a browser sends Basic along by itself.
    """

    def __init__(self, tokens: Authenticator, own_origins: Collection[str] = ()) -> None:
        self._tokens = tokens
        self._own_origins = frozenset(origin.lower().encode() for origin in own_origins)

    async def find(self, scope: Connection) -> None:
        """Put the Caller at `scope["state"]["caller"]`, or the reason why there is none at `["refusal"]`."""
        state = scope["state"]
        state["caller"] = None
        try:
            plaintext = self._presented(scope)
            if plaintext is not None:
                state["caller"] = await self._tokens.authenticate(plaintext)
        except AdapterError as error:
            state["refusal"] = error

    def _presented(self, scope: Connection) -> str | None:
        fields, headers = scope["state"]["fields"], scope["headers"]
        given = fields.get(b"authorization")
        if given is None:
            return None
        if len(fields) < len(headers) and sum(name == b"authorization" for name, _ in headers) > 1:
            raise BadRequest("More than one `Authorization` header came with the request; send one.")
        scheme, _, rest = given.partition(b" ")
        match scheme.lower():
            case b"bearer":
                return _plain(rest.strip())
            case b"basic" if scope["state"]["door"] is not None:
                self._check_origin(scope)
                return _plain(_password(rest.strip()))
        raise Unauthorized

    def _check_origin(self, scope: Connection) -> None:
        origins = {value.lower() for name, value in scope["headers"] if name == b"origin"}
        if origins - self._own_origins:
            raise Unauthorized("Basic credentials are not taken from another origin; send a Bearer token.")


def _plain(token: bytes) -> str | None:
    return token.decode("ascii") if token and len(token) <= _MAX_TOKEN and token.isascii() else None


def _password(encoded: bytes) -> bytes:
    """The token of `:token` or `anything:token`; clients put an e-mail, or nothing, before the colon."""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        raise Unauthorized from None


def caller_of(request: Request | Connection) -> Caller:
    """Who calls; Unauthorized where no valid token came with the request."""
    state: Any = request["state"]
    caller: Caller | None = state.get("caller")
    if caller is None:
        raise state.get("refusal") or Unauthorized()
    return caller


def require_api(caller: Caller) -> None:
    """Forbidden for an integrated account token: it opens one account's doors and nothing else."""
    if caller.kind != "api":
        raise Forbidden("An integrated account token may not do that; use an API token.")


def require_scope(caller: Caller, scope: Scope) -> None:
    """InsufficientScope, naming what would do."""
    if scope not in caller.scopes:
        raise InsufficientScope(details=[{"missing_scope": scope, "scopes": sorted(caller.scopes)}])


def account_of(request: Request, caller: Caller) -> str:
    """The integrated account that an account-bound call is about."""
    return chosen_account(request.query_params.getlist(ACCOUNT_PARAMETER), caller)


def chosen_account(named: Collection[str], caller: Caller) -> str:
    """The account that a query names, or the token's own; WrongAccount for another, InvalidParameter for none."""
    chosen = {name for name in named if name}
    if len(chosen) > 1:
        raise InvalidParameter(f"`{ACCOUNT_PARAMETER}` is given twice, and differently.")
    account = next(iter(chosen), None)
    if caller.account_id is not None:
        if account not in {None, caller.account_id}:
            raise WrongAccount
        return caller.account_id
    if account is None:
        raise InvalidParameter(
            f"With an API token, `{ACCOUNT_PARAMETER}` names the account.",
            details=[{"parameter": ACCOUNT_PARAMETER, "expected": "the id of an integrated account"}],
        )
    return account
