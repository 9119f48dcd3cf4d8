"""The account routes in the document, from the structs that they decode and the models that they show."""

from collections.abc import Collection, Mapping
from typing import get_args

from adapter.directory.query import DEFAULT_LIMIT, MAX_LIMIT
from adapter.models import AccountStatus, IntegratedAccount, TokenInfo
from adapter.web.account_bodies import ConnectBody, CredentialsBody, MintBody, PatchBody, RefreshBody
from adapter.web.accounts import PREFIX, Named
from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import (
    API_ONLY,
    Operation,
    Part,
    Schema,
    answer,
    either_token,
    in_path,
    nullable,
    operation,
    page_of,
    query,
    ref,
    struct_schemas,
)

TAG = "Accounts and tokens"
_REFUSED = (400, 401, 403, 404, 503)
_TRYING = (*_REFUSED, 409, 422, 429, 502, 504)
"""Where the provider is asked whether a credential is good."""

_STRING: Schema = {"type": "string"}
_PAGING = (
    query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
    query("next_cursor", _STRING, "From the page before, with the same filters; empty means absent"),
)
_ID = in_path("id", "The integrated account's id")
_MEANINGS: Mapping[str, str] = {
    "tenant_id": "Whose connection it is, in the words of whoever connected it",
    "is_blocked": "A blocked account answers 503 `account_blocked`",
    "context": "What was put beside it; never a credential",
    "scopes": "The provider's scopes that the credential was seen to hold",
    "missing_scopes": "By unit, the provider's scopes any one of which would open it",
    "unified_model_override": "Expressions of its own, in place of the mapping's; shown to API tokens alone",
    "allow_admin_grants": "Whether writes may make people administrators",
    "last_error": "The last thing that went wrong with the credential",
    "last_forbidden_error": "The last thing that the provider did not let it do",
}


def part(provider: Named) -> Part:
    bodies = struct_schemas(ConnectBody, CredentialsBody, MintBody, PatchBody, RefreshBody)
    return Part(
        tag=TAG, description=_DESCRIPTION, paths=_account_paths() | _token_paths(), schemas=bodies | _shown(provider)
    )


def _account_paths() -> dict[str, dict[str, Operation]]:
    return {
        PREFIX: {
            "get": _list(),
            "post": _changing("connect_account", "Connect an account by API token", "ConnectBody"),
        },
        f"{PREFIX}/me": {"get": _me()},
        f"{PREFIX}/refresh-credentials": {
            "post": _changing("refresh_credentials", "Try a stored credential again", "RefreshBody")
        },
        f"{PREFIX}/{{id}}": {
            "get": _one("get_account", "Get an account", _account()),
            "patch": _one("change_account", "Block, unblock, or change the context", _account(), "PatchBody"),
            "delete": _one("remove_account", "Disconnect an account and delete all about it", _gone()),
        },
        f"{PREFIX}/{{id}}/credentials": {
            "patch": _one(
                "replace_credentials", "Give it another key of the same account", _account(), "CredentialsBody", _TRYING
            )
        },
    }


def _token_paths() -> dict[str, dict[str, Operation]]:
    token_id = query("token_id", {"type": "string", "minLength": 1}, "That token alone; else all of the account's")
    revoked = {"type": "object", "required": ["id", "revoked"], "properties": {"id": _STRING, "revoked": _COUNT}}
    return {
        f"{PREFIX}/token": {
            "post": operation(
                "mint_token",
                "Mint an account token, shown this once",
                {"200": answer("The token", ref("MintedToken"))} | refusals(*_REFUSED),
                security=API_ONLY,
                body=ref("MintBody"),
            )
        },
        f"{PREFIX}/{{id}}/tokens": {
            "get": operation(
                "list_tokens",
                "List an account's tokens",
                {"200": answer("A page of tokens", page_of(ref("Token")))} | refusals(*_REFUSED),
                security=API_ONLY,
                parameters=[_ID, *_PAGING],
            ),
            "delete": operation(
                "revoke_tokens",
                "Revoke an account's tokens",
                {"200": answer("How many were alive until now", revoked)} | refusals(*_REFUSED),
                security=API_ONLY,
                parameters=[_ID, token_id],
            ),
        },
    }


def _list() -> Operation:
    statuses: Schema = {"type": "string", "enum": list(get_args(AccountStatus))}
    return operation(
        "list_accounts",
        "List the connected accounts",
        {"200": answer("A page of accounts", page_of(ref("IntegratedAccount")))} | refusals(*_REFUSED),
        security=API_ONLY,
        parameters=[query("tenant_id", _STRING, "One tenant's"), query("status", statuses), *_PAGING],
    )


def _me() -> Operation:
    return operation(
        "own_account",
        "Get the account that the token belongs to",
        {"200": _account()} | refusals(*_REFUSED),
        security=either_token(),
        parameters=[ref(ACCOUNT_PARAMETER, "parameters")],
    )


def _changing(name: str, summary: str, body: str) -> Operation:
    answers = {"200": _account()} | refusals(*_TRYING, remote=True)
    return operation(name, summary, answers, security=API_ONLY, body=ref(body))


def _one(
    name: str, summary: str, found: Schema, body: str | None = None, refused: tuple[int, ...] = _REFUSED
) -> Operation:
    answers = {"200": found} | refusals(*refused, remote=refused is _TRYING)
    return operation(
        name, summary, answers, security=API_ONLY, parameters=[_ID], body=ref(body) if body is not None else None
    )


# --- what they show


def _account() -> Schema:
    return answer("The account", ref("IntegratedAccount"))


def _gone() -> Schema:
    gone = {
        "id": _STRING,
        "deleted": {
            "type": "object",
            "additionalProperties": _COUNT,
            "description": "How many rows of what: credentials, tokens, links, what was read",
        },
        "revoked_at_provider": {
            "type": ["boolean", "null"],
            "description": "Whether the OAuth authorization was revoked; null where there was none to revoke",
        },
        "reason": {"type": ["string", "null"], "description": "Why it was not"},
    }
    return answer("It is gone", {"type": "object", "required": list(gone), "properties": gone})


def _shown(provider: Named) -> dict[str, Schema]:
    found = struct_schemas(IntegratedAccount, TokenInfo, answered=True)
    account = _account_schema(found.pop("IntegratedAccount"), provider)
    del found["ProviderIdentity"]
    token = _token_schema(found.pop("TokenInfo"))
    minted = {
        **token,
        "required": ["token", *token["required"]],
        "properties": {"token": _STRING, **token["properties"]},
    }
    return {"IntegratedAccount": account, "Token": token, "MintedToken": minted, **found}


def _account_schema(model: Schema, provider: Named) -> Schema:
    """The model as it is shown: the identity under the provider's name, the override to API tokens alone."""
    person = {"type": "object", "required": ["id", "email"], "properties": {"id": _STRING, "email": nullable(_STRING)}}
    named = {"id": {"const": provider.id}, "name": {"const": provider.name}}
    properties = {
        **{name: schema for name, schema in model["properties"].items() if name not in _UNSHOWN},
        f"{provider.id}_account": nullable({**person, "description": "Who the credential belongs to"}),
        "integration": {"type": "object", "required": ["id", "name"], "properties": named},
    }
    for name, meaning in _MEANINGS.items():
        properties[name] = {**properties[name], "description": meaning}
    return _closed(model["description"], properties, optional={"unified_model_override"})


def _token_schema(model: Schema) -> Schema:
    """The model as it is shown: the account under its usual name, and nothing that only API tokens have."""
    properties = {
        ACCOUNT_PARAMETER if name == "account_id" else name: schema
        for name, schema in model["properties"].items()
        if name not in {"kind", "name", "tenant_id"}
    }
    return _closed("An account's token as it is listed.", {**properties, ACCOUNT_PARAMETER: _STRING})


def _closed(description: str, properties: Mapping[str, Schema], optional: Collection[str] = ()) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": [name for name in properties if name not in optional],
        "properties": dict(properties),
        "additionalProperties": False,
    }


_UNSHOWN = frozenset({"identity"})
_COUNT: Schema = {"type": "integer", "minimum": 0}
_DESCRIPTION = """\
An integrated account is a connected account of the provider's, with its credential sealed and never returned. Its \
tokens open it, within their scopes, and nothing else. Revoking and blocking act within five seconds.\
"""
