"""OAuth tokens by API: a grant for an access token, and the end of one."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .access import GLOBAL, Authorization, Client, Secret
from .answers import Answer, not_found, record
from .calls import Call
from .catalog import fixed_id
from .oauth import exchanged, held_by, unauthorized
from .routes import Routes

routes = Routes()


class ClientSecret(Struct):
    secret: str


class GrantOffer(Struct):
    type: str
    code: str = ""


class RefreshToken(Struct):
    token: str = ""


class NewToken(Struct):
    client: ClientSecret
    grant: GrantOffer
    refresh_token: RefreshToken


def _secret_json(secret: Secret, now: float) -> dict[str, Any]:
    return {"expires_in": secret.expires_in(now), "id": secret.id, "token": secret.text}


def token_json(call: Call, held: Authorization, client: Client | None, grant: GrantOffer) -> dict[str, Any]:
    """An authorization's access token. One that was never refreshed shows an empty refresh token."""
    now = call.sandbox.clock.seconds()
    access = held.access or Secret(id=held.id, text="", expires_at=None)
    return {
        "access_token": _secret_json(access, now),
        "authorization": {"id": held.id},
        "client": {"secret": client.secret if client else ""},
        "created_at": held.created_at,
        "grant": {"code": grant.code, "type": grant.type},
        "id": access.id,
        "refresh_token": _secret_json(held.refresh or Secret(id=held.id, text="", expires_at=None), now),
        "session": {"id": fixed_id(held.id, "session")},
        "updated_at": held.updated_at,
        "user": {"id": held.account_id},
    }


@routes.post("/oauth/tokens", GLOBAL)
def create_token(call: Call) -> Answer:
    """`authorization_code` takes the grant's code, `refresh_token` the refresh token; a code is good once."""
    new = call.body(NewToken)
    client = call.sandbox.keyring.client_with(new.client.secret)
    if client is None:
        raise unauthorized()
    kind = "refresh" if new.grant.type == "refresh_token" else "grant"
    held = held_by(call.sandbox, client, kind, new.refresh_token.token if kind == "refresh" else new.grant.code)
    exchanged(call.sandbox, held)
    return record(token_json(call, held, client, new.grant), 201)


@routes.delete("/oauth/tokens/{token}", GLOBAL)
def delete_token(call: Call) -> Answer:
    """By the token's id. The authorization stays and has no access token until one is made again."""
    keyring = call.sandbox.keyring
    for held in keyring.authorizations.values():
        if held.account_id == call.account.id and held.access and held.access.id == call.params["token"]:
            client = keyring.clients.get(held.client_id or "")
            shown = token_json(call, held, client, GrantOffer(type="authorization_code"))
            keyring.end_access(held)
            return record(shown)
    raise not_found("token")
