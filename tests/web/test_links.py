"""`POST /link-token` at its door; what a link may ask for is `accounts`' to judge and tested there."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.app import _edge, open_house
from adapter.config import Settings

SETTINGS: dict[str, Any] = {
    "adapter_secret_keys": "a-key-for-tests-that-is-long-enough-0123456789",
    "adapter_redirect_uris": "https://product.example/connected",
    "adapter_origins": "https://product.example",
    "public_url": "https://adapter.example.com",
}


async def asked(directory: Path, body: Any, *, tenant: str | None = None, query: str = "") -> httpx.Response:
    settings = Settings(database_url=f"sqlite:///{directory / 'adapter.db'}", **SETTINGS)
    async with open_house(settings) as house:
        _, token = await house.tokens.create_api(tenant_id=tenant)
        transport = httpx.ASGITransport(_edge(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://inside.example") as client:
            headers = {"authorization": f"Bearer {token.reveal()}"}
            return await client.post(f"/link-token{query}", json=body, headers=headers)


async def test_a_link_is_of_the_public_address_whatever_host_was_asked(tmp_path: Path) -> None:
    answer = await asked(tmp_path, {"tenant_id": "acme"})

    body = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert set(body) == {"link_token", "url", "expires_at"}
    assert body["url"] == f"https://adapter.example.com/connect-account?link_token={body['link_token']}"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "tenant_id"),
        ({"tenant_id": "acme", "integrated_account_id": "x"}, "tenant_id"),
        ({"tenant_id": "acme", "redirect_uri": "https://product.example/connected/"}, "redirect_uri"),
        ({"tenant_id": "acme", "origin": "https://product.example:444"}, "origin"),
        ({"tenant_id": "acme", "origin": "*"}, "origin"),
        ({"tenant_id": "acme", "scopes": []}, "scopes"),
        ({"tenant_id": "acme", "authentication_methods": ["password"]}, "authentication_methods[...]"),
        ({"tenant_id": "acme", "redirect_url": "x"}, "redirect_url"),
    ],
)
async def test_what_can_not_be_asked_for_is_told_where(tmp_path: Path, body: dict[str, Any], where: str) -> None:
    answer = await asked(tmp_path, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert answer.json()["details"][0]["where"].replace("[0]", "[...]") == where


async def test_a_mistyped_parameter_is_refused(tmp_path: Path) -> None:
    assert (await asked(tmp_path, {"tenant_id": "acme"}, query="?tenant=x")).json()["code"] == "unknown_parameter"


async def test_a_tenants_token_makes_links_for_that_tenant_alone(tmp_path: Path) -> None:
    assert (await asked(tmp_path, {"tenant_id": "acme"}, tenant="acme")).status_code == 200
    assert (await asked(tmp_path, {"tenant_id": "other"}, tenant="acme")).status_code == 403
