"""A credential tried before it is kept: whose it is, what it may do, and what will therefore be missing."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec

from adapter.errors import InvalidCredential, RemoteForbidden, RemoteUnauthorized
from adapter.models import ProviderIdentity, Secret
from adapter.upstream.client import FixedCredential, UpstreamClient

UnitScopes = Mapping[str, Sequence[str]]
"""Unit name -> the provider scopes any one of which opens it; empty where none is needed."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    identity: ProviderIdentity | None
    """None where the credential is good, but lacks the scope to be told whose it is."""
    scopes: tuple[str, ...]
    missing_scopes: Mapping[str, tuple[str, ...]]

    def fields(self) -> dict[str, Any]:
        """As fields of an account."""
        return {"identity": self.identity, "scopes": self.scopes, "missing_scopes": self.missing_scopes}


async def tried(upstream: UpstreamClient, token: Secret, unit_scopes: UnitScopes) -> Finding:
    """One request as the credential. InvalidCredential where the provider doesn't accept it.

    Heroku's `GET /account` takes the scopes `global` and `identity` only: a token of scope `read` is answered 403 with
    its scopes in a header, so it is a good one whose owner stays unknown. Any other 403 (suspended, a second factor) is
    handed on, and so is every UpstreamFailure: then nothing is known about the credential.
    """
    # Its own slots and budget: they vanish with the client, and no stranger's account waits for this request.
    client = upstream.bind(FixedCredential(token), account_key=f"trial:{uuid4().hex}")
    provider = upstream.provider
    try:
        reply = await client.send("GET", provider.identity.path)
    except RemoteUnauthorized as error:
        raise InvalidCredential(raw=error.raw) from None
    except RemoteForbidden as error:
        scopes = error.insight.get("forbidden_error", {})
        if not scopes.get("missing_scopes"):
            raise
        held = tuple(scopes.get("held_scopes", ()))
        return Finding(identity=None, scopes=held, missing_scopes=missing(unit_scopes, held))
    held = provider.scopes.held(reply.headers)
    identity = provider.identity.read(reply.json())
    return Finding(identity=identity, scopes=held, missing_scopes=missing(unit_scopes, held))


def missing(unit_scopes: UnitScopes, held: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each unit that `held` doesn't open, with the scopes that would. Nothing where the provider told no scopes."""
    if not held:
        return {}
    return {unit: tuple(needed) for unit, needed in unit_scopes.items() if needed and not set(needed) & set(held)}
