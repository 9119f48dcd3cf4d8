"""The words that every room shares: who calls, whose account, with which rights."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec


class Scope(StrEnum):
    """What an integrated account token may do; an API token may do everything."""

    DIRECTORY_READ = "directory:read"
    DIRECTORY_WRITE = "directory:write"
    RAW_READ = "raw:read"
    RAW_WRITE = "raw:write"
    RAW_SECRETS = "raw:secrets"


DEFAULT_SCOPES = frozenset({Scope.DIRECTORY_READ})
ALL_SCOPES = frozenset(Scope)

AccountStatus = Literal["connecting", "active", "needs_reauth", "validation_error", "post_install_error"]
AuthenticationMethod = Literal["oauth2", "api_key"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time that knows its zone."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the token that came with a request, and what it opens."""

    kind: Literal["api", "account"]
    token_id: str
    tenant_id: str | None = None
    """Set on an API token that is bound to one tenant: only that tenant's accounts exist for it."""
    account_id: str | None = None
    """Set on an integrated account token: the one account that it opens."""
    scopes: frozenset[Scope] = ALL_SCOPES


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's token as it is listed: everything but the token itself."""

    id: str
    kind: Literal["api", "account"]
    name: str | None = None
    tenant_id: str | None = None
    account_id: str | None = None
    scopes: tuple[Scope, ...] = ()
    created_at: Moment
    expires_at: Moment | None = None
    revoked_at: Moment | None = None
    last_used_at: Moment | None = None


class ProviderIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The person behind a credential, as the provider names them."""

    id: str
    email: str | None = None
    name: str | None = None


class ErrorNote(msgspec.Struct, frozen=True, kw_only=True):
    """The last thing that went wrong with an account, fit to be shown."""

    code: str
    message: str
    at: Moment
    missing_scopes: tuple[str, ...] = ()


class IntegratedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A connected provider account. Its credential is kept apart, sealed, and is no field of it."""

    id: str
    tenant_id: str
    status: AccountStatus
    is_blocked: bool = False
    authentication_method: AuthenticationMethod
    context: Mapping[str, Any] = {}
    scopes: tuple[str, ...] = ()
    """The provider's scopes that the credential was seen to hold."""
    missing_scopes: Mapping[str, tuple[str, ...]] = {}
    """Unit name -> the provider scopes any one of which would open it."""
    identity: ProviderIdentity | None = None
    last_error: ErrorNote | None = None
    last_forbidden_error: ErrorNote | None = None
    unified_model_override: Mapping[str, Any] | None = None
    allow_admin_grants: bool = False
    """Whether callers may make people administrators through this connection."""
    created_at: Moment
    updated_at: Moment


class Secret:
    """A credential in memory: it shows itself to whoever asks by name, and to no log, repr or encoder."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What opens a provider account: an API key, or OAuth tokens with the time the access token lapses."""

    method: AuthenticationMethod
    access_token: Secret
    refresh_token: Secret | None = None
    issued_at: Moment | None = None
    """When the access token was given; with `expires_at`, how long it lives."""
    expires_at: Moment | None = None
