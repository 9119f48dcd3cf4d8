from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from adapter.directory.cursors import Cursors
from adapter.models import Scope
from adapter.storage.database import Database
from adapter.web import accounts
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from tests.accounts.fakes import House, a_provider

BASE = "/integrated-account"


class Door:
    """The door behind the real edge, with tokens of every kind."""

    def __init__(self, house: House, client: httpx.AsyncClient) -> None:
        self.house = house
        self.client = client
        self.tokens: dict[str, str] = {}

    async def call(
        self, method: str, path: str, *, token: str = "api", json: Any = None, content: bytes | None = None
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[token]}"} if token else {}
        return await self.client.request(method, BASE + path, headers=headers, json=json, content=content)

    async def connect(self, key: str = "fake-ann", tenant: str = "acme", **context: Any) -> dict[str, Any]:
        answer = await self.call("POST", "", json=_connect(key, tenant, **context))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def _connect(key: Any = "fake-ann", tenant: Any = "acme", **context: Any) -> dict[str, Any]:
    return {"tenant_id": tenant, "authentication_method": "api_key", "context": {"api_key": key, **context}}


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Door]:
    house = House(database, a_provider())
    provider = house.upstream.provider
    routes = accounts.routes(
        accounts=house.accounts, tokens=house.tokens, provider=provider, cursors=Cursors([b"k" * 32])
    )
    router = Router(routes, redirect_slashes=False)
    served = edged(router, tokens=house.tokens, metrics=Metrics(), remote_ids=provider.errors.id_of)
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://adapter.test") as client:
        door = Door(house, client)
        for name, tenant in (("api", None), ("acme", "acme"), ("other", "other")):
            door.tokens[name] = (await house.tokens.create_api(tenant_id=tenant))[1].reveal()
        yield door
    await house.close()


def without_override(account: dict[str, Any]) -> dict[str, Any]:
    """As an account token sees it."""
    return {name: value for name, value in account.items() if name != "unified_model_override"}


async def test_connecting_answers_the_account_and_never_its_key(door: Door) -> None:
    answer = await door.call("POST", "", json=_connect("fake-identity", plan="gold"))

    body = answer.json()
    assert answer.status_code == 200
    assert body.pop("id")
    assert body.pop("created_at") == body.pop("updated_at")
    assert body == {
        "tenant_id": "acme",
        "status": "active",
        "is_blocked": False,
        "allow_admin_grants": False,
        "authentication_method": "api_key",
        "context": {"plan": "gold"},
        "scopes": ["identity"],
        "missing_scopes": {
            "teams": ["global", "read", "read-protected", "write", "write-protected"],
            "team_members": ["global"],
        },
        "heroku_account": {"id": "ann", "email": "ann@example.com"},
        "integration": {"id": "heroku", "name": "Heroku"},
        "last_error": None,
        "last_forbidden_error": None,
        "unified_model_override": None,
    }
    assert "fake-identity" not in answer.text


async def test_a_wrong_key_is_422_with_the_provider_s_words(door: Door) -> None:
    answer = await door.call("POST", "", json=_connect("fake-nobody"))

    body = answer.json()
    assert (answer.status_code, body["code"], body["truto_is_remote_error"]) == (422, "invalid_credential", True)
    assert body["raw_response"] == {"id": "unauthorized", "message": "Invalid credentials provided."}
    assert "fake-nobody" not in answer.text


BODIES: dict[str, tuple[Any, str]] = {
    "no tenant": ({"authentication_method": "api_key", "context": {"api_key": "hunter2"}}, "tenant_id"),
    "a tenant that is no text": (_connect("hunter2", tenant=7), "tenant_id"),
    "an empty tenant": (_connect("hunter2", tenant=""), "tenant_id"),
    "a nul in the tenant": (_connect("hunter2", tenant="a\0"), "tenant_id"),
    "no context": ({"tenant_id": "acme", "authentication_method": "api_key"}, "context"),
    "no key": ({"tenant_id": "acme", "authentication_method": "api_key", "context": {}}, "context.api_key"),
    "a key that is no text": (_connect(["hunter2"]), "context.api_key"),
    "an empty key": (_connect(" "), "context.api_key"),
    "a key of two lines": (_connect("hunter2\r\nx: y"), "context.api_key"),
    "another method": (_connect("hunter2") | {"authentication_method": "oauth2"}, "authentication_method"),
    "a key in the method's place": (_connect() | {"authentication_method": "hunter2"}, "authentication_method"),
    "an unknown word": (_connect() | {"tenant": "hunter2"}, "tenant"),
    "a list": (["hunter2"], "body"),
    "another credential in the context": (_connect(refresh_token="hunter2"), "context.refresh_token"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_can_t_be_used_is_400_and_says_where(door: Door, case: str) -> None:
    body, where = BODIES[case]

    answer = await door.call("POST", "", json=body)

    error = answer.json()
    assert (answer.status_code, error["code"]) == (400, "invalid_body")
    assert [detail["where"] for detail in error["details"]] == [where]
    assert all(detail["what"] and detail["expected"] for detail in error["details"])
    assert "hunter2" not in answer.text
    assert door.house.provider.seen == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"tenant_id": "\\ud800"}', b'{"a":' * 3000])
async def test_what_is_no_json_is_400(door: Door, content: bytes) -> None:
    answer = await door.call("POST", "", content=content)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")


async def test_lists_page_by_cursor_without_an_empty_page(door: Door) -> None:
    made = sorted([(await door.connect(tenant=f"tenant-{number}"))["id"] for number in range(4)])
    seen: list[str] = []
    query = "?limit=2"
    pages = []
    while True:
        page = (await door.call("GET", query)).json()
        pages.append(page["result_count"])
        seen += [account["id"] for account in page["result"]]
        assert page["prev_cursor"] is None
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&next_cursor={page['next_cursor']}"

    assert (seen, pages) == (made, [2, 2])


async def test_lists_are_filtered_by_tenant_and_status(door: Door) -> None:
    ours, theirs = await door.connect(), await door.connect(tenant="other")

    async def ids(query: str, token: str = "api") -> list[str]:
        return [account["id"] for account in (await door.call("GET", query, token=token)).json()["result"]]

    assert await ids("?tenant_id=other&next_cursor=") == [theirs["id"]]
    assert await ids("?status=needs_reauth") == []
    assert await ids("", token="acme") == [ours["id"]]
    assert await ids("?tenant_id=other", token="acme") == []
    assert await ids("?tenant_id=a%00b") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?limit=0", "invalid_parameter"),
        ("?limit=1001", "invalid_parameter"),
        ("?limit=ten", "invalid_parameter"),
        ("?limit=", "invalid_parameter"),
        ("?limit=%D9%A1", "invalid_parameter"),
        ("?limit=1&limit=2", "invalid_parameter"),
        ("?status=angry", "invalid_parameter"),
        ("?tenant=acme", "unknown_parameter"),
        ("?tenant_id[gt]=acme", "invalid_parameter"),
        ("?next_cursor=made-up", "invalid_cursor"),
    ],
)
async def test_a_list_refuses_what_it_does_not_know(door: Door, query: str, code: str) -> None:
    answer = await door.call("GET", query)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_cursor_belongs_to_its_list(door: Door) -> None:
    account = await door.connect()
    await door.connect(tenant="other")
    cursor = (await door.call("GET", "?limit=1")).json()["next_cursor"]

    for path in (f"?status=active&next_cursor={cursor}", f"/{account['id']}/tokens?next_cursor={cursor}"):
        assert (await door.call("GET", path)).json()["code"] == "invalid_cursor"
    assert (await door.call("GET", f"?next_cursor={cursor}", token="acme")).json()["code"] == "invalid_cursor"


async def test_an_account_is_read_patched_and_deleted(door: Door) -> None:
    account = await door.connect(plan="gold")
    path = f"/{account['id']}"

    assert (await door.call("GET", path)).json() == account
    patched = (await door.call("PATCH", path, json={"is_blocked": True, "context": {"plan": None, "seats": 3}})).json()
    assert (patched["is_blocked"], patched["context"]) == (True, {"seats": 3})
    granting = (await door.call("PATCH", path, json={"allow_admin_grants": True})).json()
    assert (granting["allow_admin_grants"], granting["is_blocked"]) == (True, True)
    assert not (await door.call("PATCH", path, json={"allow_admin_grants": False})).json()["allow_admin_grants"]
    removed = (await door.call("DELETE", path)).json()
    assert (removed["id"], removed["deleted"]["credentials"], removed["revoked_at_provider"]) == (
        account["id"],
        1,
        None,
    )
    assert (await door.call("GET", path)).json()["code"] == "account_not_found"
    assert (await door.call("DELETE", path)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [{"is_bloked": True}, {"allow_admin_grants": 1}, {"is_blocked": None}, {"is_blocked": "yes"}, {"status": "active"}],
)
async def test_a_patch_of_anything_else_is_refused(door: Door, body: dict[str, Any]) -> None:
    account = await door.connect()

    assert (await door.call("PATCH", f"/{account['id']}", json=body)).json()["code"] == "invalid_body"
    assert (await door.call("GET", f"/{account['id']}")).json() == account


async def test_credentials_are_replaced_for_the_same_person_only(door: Door) -> None:
    path = f"/{(await door.connect())['id']}/credentials"

    assert (await door.call("PATCH", path, json={"context": {"api_key": "fake-ann-2"}})).status_code == 200
    assert (await door.call("PATCH", path, json={"context": {"api_key": "fake-bob"}})).status_code == 409
    more = {"context": {"api_key": "fake-ann", "plan": "gold"}}
    assert (await door.call("PATCH", path, json=more)).json()["details"][0]["where"] == "context.plan"


async def test_refreshing_tries_the_kept_key(door: Door) -> None:
    account = await door.connect()
    body = {"id": account["id"]}

    assert (await door.call("POST", "/refresh-credentials", json=body)).json()["status"] == "active"
    del door.house.provider.keys["fake-ann"]
    refused = await door.call("POST", "/refresh-credentials", json=body)

    assert (refused.status_code, refused.json()["code"]) == (401, "needs_reauth")
    shown = (await door.call("GET", f"/{account['id']}")).json()
    assert (shown["status"], shown["last_error"]["code"]) == ("needs_reauth", "needs_reauth")


async def test_a_token_is_minted_listed_and_revoked(door: Door) -> None:
    account = await door.connect()
    asked = {"integrated_account_id": account["id"], "scopes": [Scope.RAW_READ, Scope.DIRECTORY_READ], "expires_in": 60}
    minted = await door.call("POST", "/token", json=asked)
    body = minted.json()
    door.tokens["mine"] = body.pop("token")

    assert minted.headers["cache-control"] == "no-store"
    assert body["scopes"] == ["directory:read", "raw:read"]
    assert (await door.call("GET", "/me", token="mine")).json() == without_override(account)
    listed = (await door.call("GET", f"/{account['id']}/tokens")).json()
    assert listed["result"][0] | {"last_used_at": None} == body
    assert (listed["result_count"], listed["next_cursor"]) == (1, None)
    assert door.tokens["mine"] not in str(listed)

    revoked = await door.call("DELETE", f"/{account['id']}/tokens")
    assert revoked.json() == {"id": account["id"], "revoked": 1}
    assert (await door.call("GET", "/me", token="mine")).status_code == 401


async def test_one_token_may_be_revoked_and_an_empty_id_revokes_none(door: Door) -> None:
    account = await door.connect()
    path = f"/{account['id']}/tokens"
    first, second = [
        (await door.call("POST", "/token", json={"integrated_account_id": account["id"]})).json() for _ in range(2)
    ]
    door.tokens |= {"first": first["token"], "second": second["token"]}

    for query, status in (("?token_id=", 400), ("?token_id=nobody", 404), ("?token_id=a%00b", 404), ("?id=x", 400)):
        assert (await door.call("DELETE", path + query)).status_code == status
    assert (await door.call("DELETE", f"{path}?token_id={first['id']}")).json()["revoked"] == 1

    assert (await door.call("GET", "/me", token="first")).status_code == 401
    assert (await door.call("GET", "/me", token="second")).status_code == 200


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"scopes": ["root"]}, "scopes[0]"),
        ({"scopes": "directory:read"}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 2_592_001}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"expires_in": 60.5}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"expires_in": 2**70}, "expires_in"),
        ({"expires": 60}, "expires"),
        ({"integrated_account_id": 7}, "integrated_account_id"),
    ],
)
async def test_a_token_that_can_t_be_is_400(door: Door, change: dict[str, Any], where: str) -> None:
    account = await door.connect()

    answer = await door.call("POST", "/token", json={"integrated_account_id": account["id"]} | change)

    assert answer.status_code == 400
    assert [detail["where"] for detail in answer.json()["details"]] == [where]


ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/{id}"),
    ("PATCH", "/{id}"),
    ("DELETE", "/{id}"),
    ("PATCH", "/{id}/credentials"),
    ("GET", "/{id}/tokens"),
    ("DELETE", "/{id}/tokens"),
    ("POST", "/token"),
    ("POST", "/refresh-credentials"),
]


def _good_body(path: str, account_id: str) -> Any:
    bodies = {
        "/token": {"integrated_account_id": account_id},
        "/refresh-credentials": {"id": account_id},
        "/{id}/credentials": {"context": {"api_key": "fake-ann"}},
        "/{id}": {"is_blocked": True},
        "": _connect(),
    }
    return bodies.get(path)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_who_may_call_what(door: Door, method: str, path: str) -> None:
    account = await door.connect()
    mine = await door.house.tokens.create_account(account["id"], scopes=list(Scope))
    door.tokens["mine"] = mine[1].reveal()
    filled, body = path.replace("{id}", account["id"]), _good_body(path, account["id"])

    # Another tenant's token has a list of its own, and may not connect for this one.
    foreign = {"GET": 200, "POST": 403}[method] if path == "" else 404

    for token, status in (("", 401), ("mine", 403), ("other", foreign)):
        assert (await door.call(method, filled, token=token, json=body)).status_code == status, token
    assert (await door.call("GET", f"/{account['id']}")).json() == account
    assert (await door.call(method, filled, token="acme", json=body)).status_code == 200


async def test_an_account_token_sees_itself_and_no_other(door: Door) -> None:
    account = await door.connect()
    other = await door.connect(tenant="other")
    door.tokens["mine"] = (await door.house.tokens.create_account(account["id"]))[1].reveal()

    assert (await door.call("GET", "/me", token="mine")).json() == without_override(account)
    wrong = await door.call("GET", f"/me?integrated_account_id={other['id']}", token="mine")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_account")
    assert (await door.call("GET", f"/me?integrated_account_id={other['id']}")).json() == other
    assert (await door.call("GET", "/me")).status_code == 400


@pytest.mark.parametrize("path", ["/nobody", "/a%00b", "/%F0%9F%91%BB", "/" + "x" * 300])
async def test_an_account_that_is_not_there_is_404(door: Door, path: str) -> None:
    assert (await door.call("GET", path)).json()["code"] == "account_not_found"
    body = {"integrated_account_id": "a\0b"}
    assert (await door.call("POST", "/token", json=body)).json()["code"] == "account_not_found"


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if path])
async def test_no_other_route_takes_a_parameter(door: Door, method: str, path: str) -> None:
    account = await door.connect()
    filled = path.replace("{id}", account["id"])

    answer = await door.call(method, f"{filled}?force=true", json=_good_body(path, account["id"]))

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")
    assert (await door.call("GET", f"/{account['id']}")).json() == account


async def test_a_405_names_every_method_of_the_path(door: Door) -> None:
    answer = await door.call("PUT", "/some-id")

    assert answer.status_code == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "PATCH", "DELETE"}


async def test_head_is_a_get_without_a_body(door: Door) -> None:
    account = await door.connect()

    assert (await door.call("HEAD", f"/{account['id']}")).status_code == 200
