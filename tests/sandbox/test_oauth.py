"""Authorizations by API, and the OAuth flow with Heroku's deviations."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.sandbox import heroku_schema
from tests.sandbox.conftest import ACCEPT, Asker
from tests.sandbox.worlds import ADA, BOB

CALLBACK = "https://adapter.example.com/back?x=1"


class Flow:
    """One OAuth client's side of the flow."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.client = asker.sandbox.keyring.add_client(asker.world.owner.id, "Test", CALLBACK)

    async def authorize(self, **params: str) -> httpx.Response:
        query = {"client_id": self.client.id, "response_type": "code", "scope": "read identity", "state": "s"} | params
        return await self.asker.client.get("/oauth/authorize", params=query)

    async def code(self, **params: str) -> str:
        location = (await self.authorize(auto="grant", **params)).headers["location"]
        return parse_qs(urlsplit(location).query)["code"][0]

    async def token(self, **form: str) -> httpx.Response:
        return await self.asker.client.post("/oauth/token", data={"client_secret": self.client.secret} | form)

    async def tokens(self, **params: str) -> dict[str, Any]:
        answer: dict[str, Any] = (
            await self.token(grant_type="authorization_code", code=await self.code(**params))
        ).json()
        return answer


@pytest.fixture
def flow(asker: Asker) -> Flow:
    return Flow(asker)


async def test_the_page_asks_with_two_buttons_and_escapes_what_it_is_told(flow: Flow) -> None:
    page = await flow.authorize(state='"><script>')

    assert page.headers["content-type"].startswith("text/html")
    assert 'value="grant"' in page.text
    assert 'value="deny"' in page.text
    assert "<script>" not in page.text


async def test_granting_leads_back_with_code_and_state_to_the_registered_uri(flow: Flow) -> None:
    response = await flow.authorize(auto="grant", redirect_uri="https://evil.example.com")
    location = urlsplit(response.headers["location"])

    assert response.status_code == 302
    assert location.netloc == "adapter.example.com"
    assert set(parse_qs(location.query)) == {"x", "code", "state"}


async def test_a_button_posts_the_decision_back(flow: Flow) -> None:
    form = {"client_id": flow.client.id, "state": "s", "decision": "grant"}
    response = await flow.asker.client.post("/oauth/authorize", data=form)

    assert "code=" in response.headers["location"]


async def test_denial_comes_back_without_state(flow: Flow) -> None:
    query = parse_qs(urlsplit((await flow.authorize(auto="deny")).headers["location"]).query)

    assert query == {"x": ["1"], "error": ["access_denied"]}


@pytest.mark.parametrize("scope", ["read identity", "read,identity", "read, identity"])
async def test_scopes_are_split_on_spaces_and_commas(flow: Flow, scope: str) -> None:
    tokens = await flow.tokens(scope=scope)
    response = await flow.asker.get("/teams", token=tokens["access_token"])

    assert response.headers["oauth-scope"] == "read identity"


async def test_without_a_scope_everything_is_granted(flow: Flow) -> None:
    tokens = await flow.tokens(scope="")

    assert (await flow.asker.get("/teams", token=tokens["access_token"])).headers["oauth-scope"] == "global"


async def test_the_token_answer_is_herokus(flow: Flow) -> None:
    tokens = await flow.tokens(**{"as": BOB})
    bob = flow.asker.world.account(BOB)
    assert bob

    assert set(tokens) == {"access_token", "expires_in", "refresh_token", "token_type", "user_id", "session_nonce"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["user_id"]) == ("Bearer", 28799, bob.id)
    assert tokens["session_nonce"] is None


async def test_an_access_token_lives_eight_hours_and_its_refresh_token_longer(flow: Flow) -> None:
    tokens = await flow.tokens()
    flow.asker.sandbox.clock.advance(28800)
    expired = await flow.asker.get("/teams", token=tokens["access_token"])
    refreshed = (await flow.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])).json()
    fresh = await flow.asker.get("/teams", token=refreshed["access_token"])

    assert (expired.status_code, expired.json()["id"], fresh.status_code) == (401, "unauthorized", 200)


@pytest.mark.parametrize("rotates", [False, True])
async def test_whether_a_refresh_rotates_the_refresh_token_is_an_option(flow: Flow, rotates: bool) -> None:
    flow.asker.sandbox.change_options({"rotate_refresh_tokens": rotates})
    first = (await flow.tokens())["refresh_token"]
    second = (await flow.token(grant_type="refresh_token", refresh_token=first)).json()["refresh_token"]
    again = await flow.token(grant_type="refresh_token", refresh_token=first)

    assert (second != first) == rotates
    assert again.status_code == (401 if rotates else 200)


FAILURES = [
    ({"client_secret": "wrong", "grant_type": "authorization_code", "code": "x"}, 401, "unauthorized"),
    ({"grant_type": "authorization_code", "code": "never"}, 404, "not_found"),
    ({"grant_type": "authorization_code"}, 404, "not_found"),
    ({"grant_type": "refresh_token", "refresh_token": "never"}, 401, "unauthorized"),
    ({"grant_type": "password"}, 422, "invalid_params"),
    ({}, 422, "invalid_params"),
]


@pytest.mark.parametrize(("form", "status", "error"), FAILURES)
async def test_a_failure_is_herokus_and_not_rfcs(flow: Flow, form: dict[str, str], status: int, error: str) -> None:
    response = await flow.token(**form)

    assert (response.status_code, response.json()["id"]) == (status, error)
    assert set(response.json()) >= {"id", "message"}
    assert "error" not in response.json()


async def test_a_wrong_secret_and_a_dead_refresh_token_look_alike(flow: Flow) -> None:
    good = (await flow.tokens())["refresh_token"]
    wrong = await flow.token(client_secret="wrong", grant_type="refresh_token", refresh_token=good)
    dead = await flow.token(grant_type="refresh_token", refresh_token="never")

    assert (wrong.status_code, wrong.json()) == (dead.status_code, dead.json())


async def test_a_code_works_once_for_300_seconds_and_for_its_client(flow: Flow) -> None:
    used, late, others = [await flow.code() for _ in range(3)]
    first = await flow.token(grant_type="authorization_code", code=used)
    second = await flow.token(grant_type="authorization_code", code=used)
    stolen = await Flow(flow.asker).token(grant_type="authorization_code", code=others)
    flow.asker.sandbox.clock.advance(301)
    expired = await flow.token(grant_type="authorization_code", code=late)

    assert [each.status_code for each in (first, second, stolen, expired)] == [200, 404, 404, 401]


async def test_a_suspended_account_is_told_so_in_plain_text(flow: Flow) -> None:
    code = await flow.code()
    flow.asker.world.owner.suspended = True
    response = await flow.token(grant_type="authorization_code", code=code)

    assert (response.status_code, response.headers["content-type"]) == (403, "text/plain; charset=utf-8")


@pytest.mark.parametrize("params", [{"client_id": "nope"}, {"as": "nobody@example.com"}])
async def test_an_unknown_client_or_account_leads_nowhere(flow: Flow, params: dict[str, str]) -> None:
    assert (await flow.authorize(**params)).status_code == 404


@pytest.mark.parametrize("params", [{"scope": "everything"}, {"response_type": "token"}])
async def test_a_bad_request_leads_back_with_an_error(flow: Flow, params: dict[str, str]) -> None:
    assert "error=invalid_request" in (await flow.authorize(**params)).headers["location"]


async def test_disconnecting_is_deleting_the_authorization_of_the_client(flow: Flow) -> None:
    token = (await flow.tokens())["access_token"]
    listed = (await flow.asker.get("/oauth/authorizations")).json()
    mine = [held["id"] for held in listed if held["client"] and held["client"]["id"] == flow.client.id]
    deleted = [(await flow.asker.ask("DELETE", f"/oauth/authorizations/{mine[0]}")).status_code for _ in range(2)]

    assert (len(mine), deleted) == (1, [200, 404])
    assert (await flow.asker.get("/teams", token=token)).status_code == 401


# -- by API --------------------------------------------------------------------------------------------------------


async def test_an_authorization_by_api_gives_a_token_with_its_scopes(asker: Asker) -> None:
    made = (await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"], "expires_in": 60})).json()
    token = made["access_token"]

    assert token["token"].startswith("HRKU-")
    assert 58 <= token["expires_in"] <= 60
    assert (await asker.get("/teams", token=token["token"])).headers["oauth-scope"] == "read"


async def test_federated_people_cannot_make_tokens_that_never_expire(asker: Asker) -> None:
    asker.world.owner.federated = True
    lasting = await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"]})
    passing = await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"], "expires_in": 60})

    assert (lasting.status_code, passing.status_code) == (422, 201)


async def test_regenerating_voids_the_token_before(asker: Asker) -> None:
    made = (await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"]})).json()
    path = f"/oauth/authorizations/{made['id']}/actions/regenerate-tokens"
    token = (await asker.ask("POST", path)).json()["access_token"]["token"]

    assert (await asker.get("/teams", token=made["access_token"]["token"])).status_code == 401
    assert (await asker.get("/teams", token=token)).status_code == 200


def offer(secret: str, kind: str, code: str = "", refresh: str = "") -> dict[str, Any]:
    return {
        "client": {"secret": secret},
        "grant": {"type": kind, "code": code},
        "refresh_token": {"token": refresh},
    }


@heroku_schema.needed
async def test_a_code_and_a_refresh_token_are_taken_by_api_too(flow: Flow) -> None:
    ask, secret = flow.asker.ask, flow.client.secret
    code = offer(secret, "authorization_code", await flow.code())
    first = await ask("POST", "/oauth/tokens", code)
    again = await ask("POST", "/oauth/tokens", code)
    refresh = offer(secret, "refresh_token", refresh=first.json()["refresh_token"]["token"])
    second = await ask("POST", "/oauth/tokens", refresh)
    (link,) = heroku_schema.links_of("POST", "/oauth/tokens")

    assert (first.status_code, again.status_code, second.status_code) == (201, 404, 201)
    assert [heroku_schema.faults(link, answer.json()) for answer in (first, second)] == [[], []]
    assert (await flow.asker.get("/teams", token=first.json()["access_token"]["token"])).status_code == 401
    assert (await flow.asker.get("/teams", token=second.json()["access_token"]["token"])).status_code == 200


async def test_a_token_by_api_needs_the_clients_secret(flow: Flow) -> None:
    body = offer("nope", "authorization_code", await flow.code())

    assert (await flow.asker.ask("POST", "/oauth/tokens", body)).status_code == 401


async def test_a_deleted_token_is_void_and_its_authorization_stays(asker: Asker) -> None:
    made = (await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"]})).json()
    deleted = await asker.ask("DELETE", f"/oauth/tokens/{made['access_token']['id']}")
    shown = (await asker.get(f"/oauth/authorizations/{made['id']}")).json()

    assert (deleted.status_code, deleted.json()["authorization"]["id"]) == (200, made["id"])
    assert (await asker.get("/teams", token=made["access_token"]["token"])).status_code == 401
    assert shown["access_token"] is None


async def test_an_authorization_is_given_to_a_client(asker: Asker) -> None:
    made = (await asker.ask("POST", "/oauth/authorizations", {"scope": ["read"]})).json()
    client = asker.sandbox.client
    path = f"/oauth/authorizations/{made['id']}"
    await asker.ask("PATCH", path, {"client": {"id": client.id, "secret": client.secret}})

    assert (await asker.get(path)).json()["client"]["id"] == client.id


async def test_nobody_sees_the_authorizations_or_clients_of_others(asker: Asker) -> None:
    mine = next(iter(asker.sandbox.keyring.authorizations))

    assert (await asker.get(f"/oauth/authorizations/{mine}", who=BOB)).status_code == 404
    assert (await asker.get(f"/oauth/clients/{asker.sandbox.client.id}", who=BOB)).status_code == 404
    assert (await asker.get("/oauth/clients", who=BOB)).json() == []


async def test_the_oauth_pages_need_neither_accept_nor_token(asker: Asker) -> None:
    response = await asker.client.get("/oauth/authorize", params={"client_id": asker.sandbox.client.id})

    assert response.status_code == 200
    assert ACCEPT not in response.request.headers["accept"]
    assert ADA in response.text
