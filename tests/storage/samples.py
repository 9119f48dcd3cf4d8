"""Accounts and tokens to store, with what a test does not name filled in."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from adapter.models import IntegratedAccount, Scope, TokenInfo

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def an_account(**fields: Any) -> IntegratedAccount:
    defaults: dict[str, Any] = {
        "id": uuid4().hex,
        "tenant_id": "acme",
        "status": "active",
        "authentication_method": "api_key",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return IntegratedAccount(**(defaults | fields))


def an_api_token(**fields: Any) -> TokenInfo:
    defaults: dict[str, Any] = {"id": uuid4().hex, "kind": "api", "created_at": NOW}
    return TokenInfo(**(defaults | fields))


def an_account_token(**fields: Any) -> TokenInfo:
    return an_api_token(**({"kind": "account", "scopes": (Scope.DIRECTORY_READ,)} | fields))
