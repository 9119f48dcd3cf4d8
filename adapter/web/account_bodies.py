"""What the account routes take, typed: decoded by `accounts`, shown by `openapi`.

The bounds stand here as documentation; they are judged, with a message of their own, by `adapter.accounts`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adapter.accounts.checks import MAX_CONTEXT_BYTES, MAX_CONTEXT_LEVELS, MAX_KEY_CHARS, MAX_TENANT_CHARS
from adapter.accounts.tokens import DEFAULT_SECONDS, MAX_SECONDS
from adapter.models import Scope

# Words that are read as credentials, and where else they belong, are kept out of a context: see `checked_context`.
_KEY = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_KEY_CHARS,
    "pattern": "^[!-~]+$",
    "description": "An API token of the provider's; never returned",
    "examples": ["HRKU-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"],
}
_SIZE = f"at most {MAX_CONTEXT_BYTES} bytes as JSON, {MAX_CONTEXT_LEVELS} levels"

TenantId = Annotated[
    str,
    Meta(
        description="Whose connection it is, in your own words: printable text",
        extra_json_schema={"minLength": 1, "maxLength": MAX_TENANT_CHARS, "examples": ["acme"]},
    ),
]
Context = Annotated[dict[str, Any], Meta(description=f"Whatever you want to find beside the account: {_SIZE}")]
KeyContext = Annotated[
    dict[str, Any],
    Meta(
        description=f"`api_key`, and whatever you want to find beside the account: {_SIZE}",
        extra_json_schema={"required": ["api_key"], "properties": {"api_key": _KEY}},
    ),
]
KeyAlone = Annotated[
    dict[str, Any],
    Meta(
        description="`api_key` alone",
        extra_json_schema={"required": ["api_key"], "properties": {"api_key": _KEY}, "additionalProperties": False},
    ),
]

# Not the enumeration itself: the refusal of a scope tells at which place of the list it stands.
ScopeName = Annotated[str, Meta(extra_json_schema={"enum": list(Scope)})]


OverrideBody = Annotated[
    dict[str, Any],
    Meta(
        description="Expressions of this account's own, in place of the mapping's: "
        '`{"users": {"fields": {"name": "<JMESPath>"}}}`; null removes them',
        examples=[{"users": {"fields": {"username": "email || user.email"}}}],
    ),
]


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An unknown word is refused: a mistyped one must not be taken for a default."""


class ConnectBody(_Body):
    """Connect an account of the provider's with an API token."""

    tenant_id: TenantId
    authentication_method: Literal["api_key"]
    context: KeyContext
    unified_model_override: OverrideBody | UnsetType | None = UNSET


class CredentialsBody(_Body):
    """Another key of the same provider account."""

    context: KeyAlone
    authentication_method: Literal["api_key"] = "api_key"


class PatchBody(_Body):
    """What can be changed of an account; what is left out stays."""

    is_blocked: Annotated[bool, Meta(description="A blocked account answers 503 until it is unblocked")] | UnsetType = (
        UNSET
    )
    context: (
        Annotated[dict[str, Any], Meta(description=f"Laid over what is there, null takes a word out: {_SIZE}")]
        | UnsetType
    ) = UNSET
    unified_model_override: OverrideBody | UnsetType | None = UNSET
    allow_admin_grants: (
        Annotated[bool, Meta(description="Whether writes may make people administrators; false unless set")] | UnsetType
    ) = UNSET


class RefreshBody(_Body):
    """Which account's credential to try again."""

    id: Annotated[str, Meta(description="The integrated account's id")]


class MintBody(_Body):
    """A token for one account."""

    integrated_account_id: str
    scopes: (
        Annotated[
            list[ScopeName],
            Meta(description="`directory:read` unless asked otherwise", extra_json_schema={"minItems": 1}),
        ]
        | None
    ) = None
    expires_in: (
        Annotated[
            int,
            Meta(
                description=f"Seconds; {DEFAULT_SECONDS} unless asked otherwise",
                extra_json_schema={"minimum": 1, "maximum": MAX_SECONDS},
            ),
        ]
        | None
    ) = None
