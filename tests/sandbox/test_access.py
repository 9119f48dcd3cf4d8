"""Who may ask: credentials, scopes per endpoint, the request budget, and what the headers say of them."""

import base64

import pytest

from adapter.sandbox.access import GLOBAL, IDENTITY, READ, READ_PROTECTED, SCOPES, WRITE, WRITE_PROTECTED
from tests.sandbox.conftest import ACCEPT, Asker
from tests.sandbox.worlds import BOB

FULL = 4500


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", ":{}", "ada@example.com:{}"])
async def test_a_token_is_taken_in_every_form_that_clients_send(asker: Asker, form: str) -> None:
    value = form.format(asker.sandbox.owner_token)
    header = value if "earer" in form else basic(value)

    assert (await asker.get("/account", Authorization=header)).status_code == 200


@pytest.mark.parametrize("header", ["Bearer nope", "Bearer ", "", "Basic %%%", basic(":nope"), "Digest x", "nope"])
async def test_a_bad_credential_is_401_and_says_nothing_of_scopes_or_budget(asker: Asker, header: str) -> None:
    response = await asker.get("/teams", Authorization=header)

    assert response.status_code == 401
    assert response.json() == {"id": "unauthorized", "message": "Invalid credentials provided."}
    assert not {"oauth-scope", "oauth-scope-accepted", "ratelimit-remaining"} & set(response.headers)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (ACCEPT, 200),
        ("application/vnd.heroku+json; version=3.sdk", 200),
        ("application/vnd.heroku+json;version=3", 200),
        ("application/json, application/vnd.heroku+json; version=3.team-invitations", 200),
        ("application/json", 406),
        ("application/vnd.heroku+json; version=2", 406),
        ("application/vnd.heroku+json; version=30", 406),
        ("*/*", 406),
    ],
)
async def test_the_version_has_to_be_named_in_accept(asker: Asker, accept: str, status: int) -> None:
    response = await asker.get("/account", Accept=accept)

    assert response.status_code == status
    if status == 406:
        assert response.json()["id"] == "not_acceptable"


MATRIX = {
    ("GET", "/account"): IDENTITY,
    ("GET", "/teams/acme/members"): GLOBAL,
    ("GET", "/teams/acme/invitations"): GLOBAL,
    ("GET", "/teams/acme/permissions"): GLOBAL,
    ("GET", "/teams"): READ,
    ("GET", "/teams/acme/apps"): READ,
    ("GET", "/apps"): READ,
    ("GET", "/apps/mine/collaborators"): READ,
    ("GET", "/addons"): READ,
    ("GET", "/enterprise-accounts"): READ,
    ("GET", "/apps/acme-web/config-vars"): READ_PROTECTED,
    ("PATCH", "/apps/acme-web/config-vars"): WRITE_PROTECTED,
    ("PATCH", "/apps/mine"): WRITE,
    ("GET", "/account/keys"): GLOBAL,
    ("GET", "/account/invoices"): GLOBAL,
    ("GET", "/addon-attachments"): READ,
    ("GET", "/addons/postgresql-acme-web-1/config"): READ_PROTECTED,
    ("PATCH", "/addons/postgresql-acme-web-1/config"): WRITE_PROTECTED,
    ("GET", "/plans/heroku-redis:mini"): SCOPES,
    ("GET", "/teams/acme/allowed-addon-services"): READ,
    ("GET", "/teams/acme/invoices"): READ,
    ("GET", "/teams/acme/usage/daily?start=2025-01-01&end=2025-01-02"): READ,
    ("GET", "/enterprise-accounts/corp/archives"): READ,
    ("GET", "/enterprise-accounts/corp/usage/monthly?start=2025-01"): READ,
    ("GET", "/oauth/authorizations"): GLOBAL,
    ("GET", "/account/rate-limits"): SCOPES,
}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path"), MATRIX)
async def test_an_endpoint_takes_the_scopes_it_names_and_no_other(
    asker: Asker, method: str, path: str, scope: str
) -> None:
    accepted = MATRIX[method, path]
    response = await asker.ask(method, path, {} if method == "PATCH" else None, token=asker.token(scope))

    assert response.status_code == (200 if scope in accepted else 403)
    assert response.headers["oauth-scope"] == scope
    assert response.headers["oauth-scope-accepted"] == " ".join(accepted)
    if scope not in accepted:
        assert response.json()["id"] == "forbidden"


async def test_a_token_ends_with_its_time(asker: Asker) -> None:
    token = asker.token("read", expires_in=60)
    before = await asker.get("/teams", token=token)
    asker.sandbox.clock.advance(61)

    assert (before.status_code, (await asker.get("/teams", token=token)).status_code) == (200, 401)


async def test_a_suspended_account_is_told_so(asker: Asker) -> None:
    bob = asker.world.account(BOB)
    assert bob
    bob.suspended = True
    response = await asker.get("/teams", who=BOB)

    assert (response.status_code, response.json()["id"]) == (403, "suspended")


# -- the budget ----------------------------------------------------------------------------------------------------


async def test_every_answer_costs_one_of_the_accounts_budget_whatever_token_asks(asker: Asker) -> None:
    left = [
        int((await asker.get(path, token=asker.token("read"))).headers["ratelimit-remaining"])
        for path in ("/teams", "/apps", "/nothing", "/teams/acme/members")
    ]

    assert left == [FULL - 1, FULL - 2, FULL - 3, FULL - 4]


async def test_each_account_has_its_own_budget(asker: Asker) -> None:
    await asker.get("/teams")

    assert (await asker.get("/teams", who=BOB)).headers["ratelimit-remaining"] == str(FULL - 1)


async def test_asking_for_the_budget_costs_nothing(asker: Asker) -> None:
    first = (await asker.get("/account/rate-limits")).json()
    second = (await asker.get("/account/rate-limits")).json()

    assert first == second == {"remaining": FULL}


async def test_an_empty_budget_is_429_until_time_has_filled_it(asker: Asker) -> None:
    asker.sandbox.budget.put(asker.world.owner.id, 1)
    served, refused = await asker.get("/teams"), await asker.get("/teams")
    asker.sandbox.clock.advance(0.8)
    again = await asker.get("/teams")

    assert [served.status_code, refused.status_code, again.status_code] == [200, 429, 200]
    assert (refused.json()["id"], refused.headers["ratelimit-remaining"]) == ("rate_limit", "0")
    assert "retry-after" not in refused.headers


async def test_75_requests_a_minute_flow_back_and_no_more_than_fit(asker: Asker) -> None:
    owner = asker.world.owner.id
    asker.sandbox.budget.put(owner, 0)
    asker.sandbox.clock.advance(60)
    after_a_minute = asker.sandbox.budget.remaining(owner)
    asker.sandbox.clock.advance(24 * 3600)

    assert (after_a_minute, asker.sandbox.budget.remaining(owner)) == (75, FULL)


@pytest.mark.parametrize(("how", "low", "high"), [("seconds", 1, 3), ("epoch", 1_700_000_000, 9_999_999_999)])
async def test_retry_after_is_what_the_options_say(asker: Asker, how: str, low: int, high: int) -> None:
    asker.sandbox.change_options({"retry_after": how})
    asker.sandbox.budget.put(asker.world.owner.id, 0)

    assert low <= int((await asker.get("/teams")).headers["retry-after"]) <= high


# -- other headers -------------------------------------------------------------------------------------------------


async def test_a_request_id_is_joined_to_herokus(asker: Asker) -> None:
    first, second = (await asker.get("/teams", Request_Id="mine")).headers["request-id"].split(",")

    assert first == "mine"
    assert second == asker.sandbox.log.entries[-1].request_id.split(",")[1]


@pytest.mark.parametrize("path", ["/apps", "/apps/mine", "/teams/acme/members", "/account", "/teams/acme"])
async def test_a_known_etag_is_304_without_a_body(asker: Asker, path: str) -> None:
    first = await asker.get(path)
    second = await asker.get(path, If_None_Match=first.headers["etag"])
    weak = await asker.get(path, If_None_Match='"other", W/' + first.headers["etag"])

    assert (second.status_code, second.content, second.headers["etag"]) == (304, b"", first.headers["etag"])
    assert weak.status_code == 304
    assert "last-modified" in first.headers


async def test_an_etag_changes_with_the_record(asker: Asker) -> None:
    old = (await asker.get("/teams/acme/members")).headers["etag"]
    await asker.ask("PATCH", "/teams/acme/members", {"email": BOB, "role": "admin"})

    assert (await asker.get("/teams/acme/members", If_None_Match=old)).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/enterprise-accounts", "/enterprise-accounts/corp", "/enterprise-accounts/corp/members", "/pipelines"],
)
async def test_enterprise_accounts_and_empty_lists_have_no_etag(asker: Asker, path: str) -> None:
    assert "etag" not in (await asker.get(path)).headers


@pytest.mark.parametrize(("costs", "left"), [(True, FULL - 2), (False, FULL - 1)])
async def test_whether_a_304_costs_is_an_option(asker: Asker, costs: bool, left: int) -> None:
    asker.sandbox.change_options({"not_modified_costs": costs})
    tag = (await asker.get("/apps")).headers["etag"]
    response = await asker.get("/apps", If_None_Match=tag)

    assert (response.status_code, response.headers["ratelimit-remaining"]) == (304, str(left))
