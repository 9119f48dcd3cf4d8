"""Authorizations and clients by API, and the pages and the token endpoint of the OAuth flow with Heroku's deviations.

From Heroku's published (frozen) identity server and its documentation: `redirect_uri` and PKCE parameters of a request
are ignored, denial comes back without `state`, scopes are split on spaces or commas, a code lives 300 s, the token
answer has no `scope`, failures are `{"id", "message"}`, and a suspended account is 403 in plain text. A client's wrong
secret and a refresh token that is no good are answered alike, as recorded in
https://github.com/heroku/omniauth-heroku/issues/14 and in the tests of clients that refresh.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import UNSET, Struct, UnsetType

from .access import GLOBAL, SCOPES, Authorization, Client, Secret
from .answers import ENCODER, Answer, Refusal, invalid, not_found, record
from .calls import Call
from .records import Account
from .routes import Routes
from .state import Sandbox

routes = Routes()

HTML = "text/html; charset=utf-8"
DEFAULT_SCOPE = ("global",)


class NewAuthorization(Struct):
    scope: list[str]
    client: str | None = None
    description: str = ""
    expires_in: int | None = None


class ClientCredentials(Struct):
    id: str
    secret: str


class AuthorizationChange(Struct):
    description: str | UnsetType = UNSET
    client: ClientCredentials | UnsetType = UNSET


class NewClient(Struct):
    name: str
    redirect_uri: str


class ClientChange(Struct):
    name: str | UnsetType = UNSET
    redirect_uri: str | UnsetType = UNSET


# -- authorizations ------------------------------------------------------------------------------------------------


def _secret_json(secret: Secret | None, now: float) -> dict[str, Any] | None:
    return {"expires_in": secret.expires_in(now), "id": secret.id, "token": secret.text} if secret else None


def authorization_json(call: Call, held: Authorization) -> dict[str, Any]:
    now, account = call.sandbox.clock.seconds(), call.world.accounts[held.account_id]
    client = call.sandbox.keyring.clients.get(held.client_id or "")
    return {
        "access_token": _secret_json(held.access, now),
        "client": {"id": client.id, "name": client.name, "redirect_uri": client.redirect_uri} if client else None,
        "created_at": held.created_at,
        "description": held.description,
        "grant": {"code": held.grant.text, "expires_in": held.grant.expires_in(now) or 0, "id": held.grant.id}
        if held.grant
        else None,
        "id": held.id,
        "refresh_token": _secret_json(held.refresh, now),
        "scope": list(held.scope),
        "session": None,
        "updated_at": held.updated_at,
        "user": {"id": account.id, "email": account.email, "full_name": account.name},
    }


def _authorization(call: Call) -> Authorization:
    held = call.sandbox.keyring.authorizations.get(call.params["authorization"])
    if held is None or held.account_id != call.account.id:
        raise not_found("authorization")
    return held


def _checked_scope(names: list[str]) -> tuple[str, ...]:
    if unknown := sorted(set(names) - set(SCOPES)):
        raise invalid(f"Scope is invalid: {', '.join(unknown)}")
    return tuple(dict.fromkeys(names)) or DEFAULT_SCOPE


@routes.get("/oauth/authorizations", GLOBAL)
def list_authorizations(call: Call) -> Answer:
    mine = [held for held in call.sandbox.keyring.authorizations.values() if held.account_id == call.account.id]
    return call.page(None, ("id", "updated_at"), lambda: [authorization_json(call, held) for held in mine])


@routes.post("/oauth/authorizations", GLOBAL)
def create_authorization(call: Call) -> Answer:
    new, keyring = call.body(NewAuthorization), call.sandbox.keyring
    if new.client is not None and new.client not in keyring.clients:
        raise not_found("client")
    if call.account.federated and new.expires_in is None:
        raise invalid("Federated users can only create authorizations that expire")
    held = keyring.authorize(
        call.account.id,
        _checked_scope(new.scope),
        description=new.description,
        life_s=new.expires_in,
        client_id=new.client,
    )
    return record(authorization_json(call, held), 201)


@routes.get("/oauth/authorizations/{authorization}", GLOBAL)
def show_authorization(call: Call) -> Answer:
    return record(authorization_json(call, _authorization(call)))


@routes.patch("/oauth/authorizations/{authorization}", GLOBAL)
def update_authorization(call: Call) -> Answer:
    """Changes the description, and the client to one whose secret the caller knows."""
    held, change = _authorization(call), call.body(AuthorizationChange)
    if change.client is not UNSET:
        client = call.sandbox.keyring.clients.get(change.client.id)
        if client is None or client.secret != change.client.secret:
            raise not_found("client")
        held.client_id, held.updated_at = client.id, call.sandbox.clock.stamp()
    if change.description is not UNSET:
        held.description, held.updated_at = change.description, call.sandbox.clock.stamp()
    return record(authorization_json(call, held))


@routes.delete("/oauth/authorizations/{authorization}", GLOBAL)
def delete_authorization(call: Call) -> Answer:
    held = _authorization(call)
    shown = authorization_json(call, held)
    call.sandbox.keyring.revoke(held)
    return record(shown)


@routes.post("/oauth/authorizations/{authorization}/actions/regenerate-tokens", GLOBAL)
def regenerate_tokens(call: Call) -> Answer:
    held = _authorization(call)
    call.sandbox.keyring.give_access(held, None)
    return record(authorization_json(call, held))


# -- clients -------------------------------------------------------------------------------------------------------


def client_json(client: Client) -> dict[str, Any]:
    return {
        "created_at": client.created_at,
        "id": client.id,
        "ignores_delinquent": None,
        "name": client.name,
        "redirect_uri": client.redirect_uri,
        "secret": client.secret,
        "updated_at": client.updated_at,
    }


def _client(call: Call) -> Client:
    client = call.sandbox.keyring.clients.get(call.params["client"])
    if client is None or client.account_id != call.account.id:
        raise not_found("client")
    return client


@routes.get("/oauth/clients", GLOBAL)
def list_clients(call: Call) -> Answer:
    mine = [client for client in call.sandbox.keyring.clients.values() if client.account_id == call.account.id]
    return call.page(None, ("name", "id", "updated_at"), lambda: [client_json(client) for client in mine])


@routes.post("/oauth/clients", GLOBAL)
def create_client(call: Call) -> Answer:
    new = call.body(NewClient)
    return record(client_json(call.sandbox.keyring.add_client(call.account.id, new.name, new.redirect_uri)), 201)


@routes.get("/oauth/clients/{client}", GLOBAL)
def show_client(call: Call) -> Answer:
    return record(client_json(_client(call)))


@routes.patch("/oauth/clients/{client}", GLOBAL)
def update_client(call: Call) -> Answer:
    client, change = _client(call), call.body(ClientChange)
    for name in ("name", "redirect_uri"):
        if (value := getattr(change, name)) is not UNSET:
            setattr(client, name, value)
    client.updated_at = call.sandbox.clock.stamp()
    return record(client_json(client))


@routes.post("/oauth/clients/{client}/actions/rotate-credentials", GLOBAL)
def rotate_credentials(call: Call) -> Answer:
    client = _client(call)
    client.secret, client.updated_at = call.sandbox.keyring.client_secret(), call.sandbox.clock.stamp()
    return record(client_json(client))


@routes.delete("/oauth/clients/{client}", GLOBAL)
def delete_client(call: Call) -> Answer:
    client = _client(call)
    del call.sandbox.keyring.clients[client.id]
    return record(client_json(client))


# -- the flow ------------------------------------------------------------------------------------------------------


def authorize(sandbox: Sandbox, query: Mapping[str, str]) -> Answer:
    """`/oauth/authorize`: a page with two buttons, or with `auto` or `decision` = `grant` or `deny` the way back.

    `as` names who is signed in (e-mail or id; default: the owner). A decision is posted back here with the same
    parameters.
    """
    client = sandbox.keyring.clients.get(query.get("client_id", ""))
    if client is None:
        return Answer(404, b"<h1>There is no such client</h1>", media_type=HTML)
    account = sandbox.world.account(query["as"]) if "as" in query else sandbox.world.owner
    if account is None:
        return Answer(404, b"<h1>There is no such account</h1>", media_type=HTML)
    scope = tuple(filter(None, re.split(r"[\s,]+", query.get("scope", "")))) or DEFAULT_SCOPE
    if query.get("response_type", "code") != "code" or set(scope) - set(SCOPES):
        return _back(client, {"error": "invalid_request"})
    match query.get("decision") or query.get("auto"):
        case "grant":
            return _grant(sandbox, client, account, scope, query.get("state"))
        case "deny":
            return _back(client, {"error": "access_denied"})
    return Answer(200, _page(client, account, scope, query).encode(), media_type=HTML)


def _grant(sandbox: Sandbox, client: Client, account: Account, scope: tuple[str, ...], state: str | None) -> Answer:
    offered = sandbox.keyring.offer(account.id, scope, client).grant
    code = offered.text if offered else ""
    return _back(client, {"code": code} | ({"state": state} if state is not None else {}))


def _back(client: Client, params: dict[str, str]) -> Answer:
    """To the registered URI, whatever `redirect_uri` the request named."""
    url = urlsplit(client.redirect_uri)
    query = urlencode(parse_qsl(url.query) + list(params.items()))
    return Answer(302, headers={"location": urlunsplit(url._replace(query=query))})


def _page(client: Client, account: Account, scope: tuple[str, ...], query: Mapping[str, str]) -> str:
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in query.items()
    )
    buttons = "".join(
        f'<button name="decision" value="{value}">{label}</button>'
        for value, label in (("grant", "Allow Access"), ("deny", "Deny Access"))
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Sandbox: authorize</title>'
        f"<h1>{escape(client.name)} asks for access to {escape(account.email)}</h1>"
        f"<p>Scopes: <code>{escape(' '.join(scope))}</code>. This is a sandbox, not Heroku.</p>"
        f'<form method="post" action="/oauth/authorize">{kept}{buttons}</form></html>'
    )


def token(sandbox: Sandbox, form: Mapping[str, str]) -> Answer:
    """`/oauth/token`: a code or a refresh token for an access token. Raises `Refusal`."""
    client = sandbox.keyring.client_with(form.get("client_secret", ""))
    if client is None:
        raise unauthorized()
    match form.get("grant_type"):
        case "authorization_code":
            held = held_by(sandbox, client, "grant", form.get("code", ""))
        case "refresh_token":
            held = held_by(sandbox, client, "refresh", form.get("refresh_token", ""))
        case _:
            raise invalid("Invalid grant type. Available grant types: authorization_code, refresh_token.")
    if sandbox.world.accounts[held.account_id].suspended:
        return Answer(403, b"Account suspended.", media_type="text/plain; charset=utf-8")
    return _tokens(sandbox, held)


def unauthorized() -> Refusal:
    """For a wrong secret and for a dead refresh token: which of the two it was, Heroku does not tell."""
    return Refusal(401, "unauthorized", "OAuth authorization invalid.")


def held_by(sandbox: Sandbox, client: Client, kind: str, text: str) -> Authorization:
    """The client's authorization with this code (`grant`) or refresh token (`refresh`): an unknown code is 404."""
    for held in sandbox.keyring.authorizations.values():
        secret: Secret | None = getattr(held, kind)
        if secret and secret.text == text and held.client_id == client.id:
            if secret.has_expired(sandbox.clock.seconds()):
                raise Refusal(401, "unauthorized", "The code has expired.")
            return held
    raise not_found("authorization grant") if kind == "grant" else unauthorized()


def exchanged(sandbox: Sandbox, held: Authorization) -> tuple[Secret, Secret]:
    """A fresh access token and the refresh token that goes with it; the code is used up."""
    keyring = sandbox.keyring
    access = keyring.give_access(held, sandbox.options.access_token_s)
    held.grant = None
    if held.refresh is None or sandbox.options.rotate_refresh_tokens:
        held.refresh = keyring.secret("", None)
    return access, held.refresh


def _tokens(sandbox: Sandbox, held: Authorization) -> Answer:
    access, refresh = exchanged(sandbox, held)
    answer = {
        "access_token": access.text,
        "expires_in": sandbox.options.access_token_s,
        "refresh_token": refresh.text,
        "token_type": "Bearer",
        "user_id": held.account_id,
        "session_nonce": None,
    }
    return Answer(200, ENCODER.encode(answer), {"cache-control": "no-store"})
