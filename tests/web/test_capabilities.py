"""What can be had, what it takes, and what an account's own scopes leave out."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
from starlette.routing import Router

from adapter.app import declarations
from adapter.config import Settings
from adapter.models import Scope, Secret
from adapter.storage.database import Database
from adapter.web import capabilities
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from adapter.web.openapi import document
from tests.accounts.fakes import API, House, a_provider

PROVIDER, MODEL = declarations(Settings())
INTEGRATION = "/integration/heroku/capabilities"
GLOBAL_UNITS = {"team_members", "team_invitations", "team_permissions"}


class Door:
    """The door behind the real edge."""

    def __init__(self, house: House, client: httpx.AsyncClient, token: str) -> None:
        self.house = house
        self.token = token
        self._client = client

    async def get(self, path: str, token: str | None = None) -> httpx.Response:
        return await self._client.get(path, headers={"authorization": f"Bearer {token or self.token}"})

    async def account(self, key: str) -> str:
        account = await self.house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(key))
        return account.id

    async def of_account(self, key: str) -> dict[str, Any]:
        answer = await self.get(path_of(await self.account(key)))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def minted(self, account_id: str, *scopes: Scope) -> str:
        _, secret = await self.house.tokens.create_account(account_id, scopes=list(scopes), expires_in=None, by=API)
        return secret.reveal()


def path_of(account_id: str) -> str:
    return f"/integrated-account/{account_id}/capabilities"


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Door]:
    house = House(database, a_provider())
    routes = capabilities.routes(model=MODEL, provider=PROVIDER, accounts=house.accounts)
    served = edged(
        Router(routes, redirect_slashes=False), tokens=house.tokens, metrics=Metrics(), remote_ids=PROVIDER.errors.id_of
    )
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://adapter.test") as client:
        yield Door(house, client, (await house.tokens.create_api())[1].reveal())
    await house.close()


def named(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {resource["name"]: resource for resource in body["resources"]}


async def test_every_resource_is_there_with_its_methods_filters_and_orders(door: Door) -> None:
    body = (await door.get(INTEGRATION)).json()

    assert body["integration"] == {"id": "heroku", "name": "Heroku"}
    assert set(named(body)) == set(MODEL.resources)
    for name, shown in named(body).items():
        resource = MODEL.resources[name]
        assert shown["path"] == f"/unified/user-directory/{name}"
        assert (shown["methods"], shown["sort_by"]) == (list(resource.methods), list(resource.sort))
        assert [one["name"] for one in shown["filters"]] == list(resource.filters)
        assert "missing_units" not in shown
    assert "account" not in body
    aliases = {one["name"]: one["alias_of"] for one in named(body)["users"]["filters"]}
    assert (aliases["group"], aliases["group_id"]) == ("group_id", None)


async def test_a_resource_names_its_units_and_those_that_lead_to_them(door: Door) -> None:
    shown = named((await door.get(INTEGRATION)).json())

    users = {unit["name"]: unit for unit in shown["users"]["units"]}
    assert users["team_members"] == {
        "name": "team_members",
        "path": "/teams/{team.id}/members",
        "scopes": ["global"],
    }
    assert [unit["name"] for unit in shown["me"]["units"]] == ["account"]
    for resource in shown.values():
        names = [unit["name"] for unit in resource["units"]]
        for at, name in enumerate(names):
            assert set(MODEL.units[name].parents) <= set(names[:at]), (resource["name"], name)


async def test_an_account_of_few_scopes_is_told_what_it_will_miss(door: Door) -> None:
    body = await door.of_account("fake-write-protected")

    account = body["account"]
    assert account["scopes"] == ["write-protected"]
    assert account["missing_scopes"] == {
        "account": ["global", "identity"],
        **{unit: ["global"] for unit in GLOBAL_UNITS},
    }
    shown = named(body)
    assert set(shown["users"]["missing_units"]) == GLOBAL_UNITS
    assert shown["me"]["missing_units"] == ["account"]
    assert shown["workspaces"]["missing_units"] == []


async def test_an_account_of_every_scope_misses_nothing(door: Door) -> None:
    body = await door.of_account("fake-ann")

    assert (body["account"]["scopes"], body["account"]["missing_scopes"]) == (["global"], {})
    assert not any(shown["missing_units"] for shown in body["resources"])


async def test_scopes_that_the_provider_never_told_are_unknown_and_not_lacking(door: Door) -> None:
    account_id = await door.account("fake-ann")
    await door.house.store.update(account_id, scopes=(), missing_scopes={})

    body = (await door.get(path_of(account_id))).json()

    assert (body["account"]["scopes"], body["account"]["missing_scopes"]) == (None, None)
    assert {shown["missing_units"] for shown in body["resources"]} == {None}


async def test_each_scope_of_ours_opens_what_the_document_says_it_does(door: Door) -> None:
    body = (await door.get(INTEGRATION)).json()
    paths = document.compose(document.parts(model=MODEL, provider=PROVIDER))["paths"]

    def described(scope: Scope) -> set[str]:
        return {
            f"{method.upper()} {path}"
            for path, item in paths.items()
            for method, operation in item.items()
            if {"accountToken": (scope,)} in operation["security"]
        }

    opened = {one["scope"]: one["opens"] for one in body["token_scopes"]}
    assert set(opened) == set(Scope)
    assert set(opened["directory:read"]) == described(Scope.DIRECTORY_READ)
    assert set(opened["directory:write"]) == described(Scope.DIRECTORY_WRITE)
    for scope, lines in opened.items():
        for method, path in (line.split(" ") for line in lines):
            if scope.startswith("raw:"):
                assert PROVIDER.access_table().needed_scope(method, path.replace("{", "").replace("}", "")) == scope


async def test_a_token_is_told_which_of_our_scopes_it_has(door: Door) -> None:
    token = await door.minted(await door.account("fake-ann"), Scope.RAW_READ)

    def held(answer: httpx.Response) -> set[str]:
        return {one["scope"] for one in answer.json()["token_scopes"] if one["is_held"]}

    assert held(await door.get(INTEGRATION)) == set(Scope)
    assert held(await door.get(INTEGRATION, token)) == {"raw:read"}


async def test_an_account_token_sees_its_own_account_alone(door: Door) -> None:
    mine, other = await door.account("fake-ann"), await door.account("fake-bob")
    token = await door.minted(mine, Scope.DIRECTORY_READ)

    assert (await door.get(path_of(mine), token)).status_code == 200
    assert (await door.get(path_of(other), token)).json()["code"] == "wrong_account"


async def test_a_tenant_s_token_sees_its_tenant_s_accounts_alone(door: Door) -> None:
    account_id = await door.account("fake-ann")
    (_, acme), (_, other) = [await door.house.tokens.create_api(tenant_id=tenant) for tenant in ("acme", "other")]

    assert (await door.get(path_of(account_id), acme.reveal())).status_code == 200
    assert (await door.get(path_of(account_id), other.reveal())).json()["code"] == "account_not_found"


@pytest.mark.parametrize("path", [INTEGRATION, path_of("unknown")])
async def test_nobody_is_told_without_a_token(door: Door, path: str) -> None:
    assert (await door.get(path, "uda_made-up")).status_code == 401


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (path_of("unknown"), 404, "account_not_found"),
        ("/integration/okta/capabilities", 404, "not_found"),
        (f"{INTEGRATION}?resource=users", 400, "unknown_parameter"),
    ],
)
async def test_what_can_not_be_answered_says_why(door: Door, path: str, status: int, code: str) -> None:
    answer = await door.get(path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_answers_are_shaped_as_the_document_says(door: Door) -> None:
    made = document.compose(document.parts(model=MODEL, provider=PROVIDER))
    text = msgspec.json.encode({"$ref": "#/components/schemas/Capabilities", "components": made["components"]})
    schema = msgspec.json.decode(text)

    jsonschema.validate((await door.get(INTEGRATION)).json(), schema)
    jsonschema.validate(await door.of_account("fake-read"), schema)
