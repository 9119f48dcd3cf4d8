"""The connect page without a browser: its headers, its cookie, and whatever no browser of good will would send."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from markupsafe import escape

from adapter.accounts.links import LinkRequest
from adapter.app import House, _edge, open_house
from adapter.config import Settings
from adapter.models import Secret
from adapter.sandbox import RunningSandbox
from adapter.sandbox.seed import SeedOptions
from adapter.web.connect_pages import PATH

KEY = "a-key-for-tests-that-is-long-enough-0123456789"
PUBLIC = "https://adapter.example.com"


@pytest.fixture(scope="module")
def heroku() -> Iterator[RunningSandbox]:
    with RunningSandbox(seed=SeedOptions(teams=1, members=3, apps=1)) as running:
        yield running


@asynccontextmanager
async def opened(heroku: RunningSandbox, directory: Path, **changes: Any) -> AsyncIterator["Door"]:
    words = {
        "database_url": f"sqlite:///{directory / 'adapter.db'}",
        "adapter_secret_keys": KEY,
        "heroku_api_url": heroku.url,
        "heroku_auth_url": "https://login.example",
        "heroku_oauth_id": "the-client",
        "heroku_oauth_secret": "the-clients-secret",
        "adapter_origins": "https://product.example",
        "public_url": PUBLIC,
        "adapter_trusted_hops": 1,
    }
    async with open_house(Settings(**{**words, **changes})) as house:
        transport = httpx.ASGITransport(_edge(house))
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as client:
            yield Door(house, client)


class Door:
    def __init__(self, house: House, client: httpx.AsyncClient) -> None:
        self.house = house
        self.client = client

    async def link(self) -> str:
        made = await self.house.connecting.create_link(LinkRequest(tenant_id="acme"))
        return made.token.reveal()

    async def arrive(self) -> str:
        """The page's CSRF token, after arriving by a new link."""
        await self.client.get(PATH, params={"link_token": await self.link()})
        page = (await self.client.get(PATH)).text
        (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
        return str(csrf)


@pytest.fixture
async def door(heroku: RunningSandbox, tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(heroku, tmp_path) as made:
        yield made


async def test_arriving_leads_to_a_clean_address_with_a_cookie(door: Door) -> None:
    answer = await door.client.get(PATH, params={"link_token": await door.link(), "auth_format": "api_key"})

    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?auth_format=api_key")
    name, _, attributes = answer.headers["set-cookie"].partition("=")
    assert name == "__Secure-uda_connect"
    assert {part.strip().lower() for part in attributes.split(";")[1:]} == {
        "httponly", "secure", "samesite=lax", "max-age=3600", f"path={PATH}",
    }  # fmt: skip
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "extra", [{"auth_format": "<script>"}, {"auth_format": ""}, {"integration": "x", "iframe": "1"}]
)
async def test_what_an_address_says_besides_is_let_go(door: Door, extra: dict[str, str]) -> None:
    answer = await door.client.get(PATH, params={"link_token": await door.link(), **extra})

    assert answer.headers["location"] == PATH


async def test_every_page_keeps_to_itself(door: Door) -> None:
    await door.arrive()
    pages = [
        await door.client.get(PATH),
        await door.client.get(f"{PATH}?link_token=no"),
        await door.client.get(f"{PATH}/done"),
    ]

    for page in pages:
        policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"style=|<style|onclick|javascript:", page.text)
        assert not re.search(r'(?:src|href)="(?!/|https://dashboard\.heroku\.com/)', page.text)


async def test_its_files_are_kept_for_good_and_are_what_their_names_say(door: Door) -> None:
    await door.arrive()
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', (await door.client.get(PATH)).text)

    assert len(files) == 3
    for file in files:
        answer = await door.client.get(file)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await door.client.get("/static/connect-0.css")).status_code == 404


@pytest.mark.parametrize("token", ["", "no", "udl_" + "x" * 43, "x" * 600, "\0", "ü"])
async def test_a_link_that_is_none_is_a_page_that_says_so(door: Door, token: str) -> None:
    answer = await door.client.get(PATH, params={"link_token": token})

    assert (answer.status_code, answer.headers["content-type"]) == (410, "text/html; charset=utf-8")
    assert "This link no longer works" in answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize("way", ["api-key", "oauth", "cancel"])
@pytest.mark.parametrize("csrf", [None, "", "0" * 64, "ü"])
async def test_a_form_without_the_pages_token_does_nothing(door: Door, way: str, csrf: str | None) -> None:
    await door.arrive()

    answer = await door.client.post(f"{PATH}/{way}", data={"csrf": csrf} if csrf is not None else {"x": "y"})

    assert answer.status_code == 403
    assert "This came from somewhere else" in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_that_a_browser_says_is_anothers_does_nothing(door: Door, site: str) -> None:
    csrf = await door.arrive()

    answer = await door.client.post(f"{PATH}/oauth", data={"csrf": csrf}, headers={"sec-fetch-site": site})

    assert answer.status_code == 403


@pytest.mark.parametrize("way", ["api-key", "oauth", "cancel"])
async def test_nothing_is_begun_by_following_a_link(door: Door, way: str) -> None:
    """Nor is anybody left with an address that leads nowhere: a form that is loaded again is the page."""
    csrf = await door.arrive()

    answer = await door.client.get(f"{PATH}/{way}", params={"csrf": csrf})

    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    assert f'value="{csrf}"' in (await door.client.get(PATH)).text


@pytest.mark.parametrize("body", [b"csrf=%ff", b"&".join([b"a=b"] * 50), b"csrf=\xff"])
async def test_a_form_that_is_none_is_refused(door: Door, body: bytes) -> None:
    await door.arrive()

    answer = await door.client.post(
        f"{PATH}/oauth", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )

    assert answer.status_code == 400


async def test_json_is_no_form(door: Door) -> None:
    csrf = await door.arrive()

    assert (await door.client.post(f"{PATH}/oauth", json={"csrf": csrf})).status_code == 400


async def test_a_form_of_another_size_is_refused(door: Door) -> None:
    csrf = await door.arrive()

    assert (await door.client.post(f"{PATH}/api-key", data={"csrf": csrf, "api_key": "x" * 20_000})).status_code == 413


async def test_a_planted_cookie_ends_the_visit_instead_of_deciding_it(door: Door) -> None:
    await door.arrive()
    own = door.client.cookies["__Secure-uda_connect"]
    door.client.cookies.clear()

    answer = await door.client.get(
        PATH, headers={"cookie": f"__Secure-uda_connect=planted; __Secure-uda_connect={own}"}
    )

    assert answer.status_code == 410


async def test_signing_in_begins_with_state_and_pkce(door: Door) -> None:
    csrf = await door.arrive()

    answer = await door.client.post(f"{PATH}/oauth", data={"csrf": csrf}, headers={"sec-fetch-site": "same-origin"})

    (url,) = {httpx.URL(unescape(found)) for found in re.findall(r'(?:0;url=|href=")(https:[^"]+)"', answer.text)}
    assert (answer.status_code, url.host, url.path) == (200, "login.example", "/oauth/authorize")
    assert (url.params["client_id"], url.params["code_challenge_method"]) == ("the-client", "S256")
    assert len(url.params["state"]) >= 43
    assert "the-clients-secret" not in str(url)


async def test_an_address_shows_only_problems_that_there_are(door: Door) -> None:
    await door.arrive()

    made_up = (await door.client.get(PATH, params={"problem": "your account is hacked"})).text
    known = (await door.client.get(PATH, params={"problem": "oauth_failed"})).text

    assert "hacked" not in made_up
    assert 'role="alert"' not in made_up
    assert 'role="alert"' in known


async def test_the_end_is_not_to_be_had_by_its_address(door: Door) -> None:
    await door.arrive()

    answer = await door.client.get(f"{PATH}/done", params={"problem": "cancelled"})

    assert (answer.status_code, answer.headers["location"]) == (303, PATH)


async def test_a_form_that_is_sent_twice_leads_to_how_it_ended(door: Door, heroku: RunningSandbox) -> None:
    form = {"csrf": await door.arrive(), "api_key": heroku.token(["global"])}

    first, second = [await door.client.post(f"{PATH}/api-key", data=form) for _ in range(2)]

    assert first.headers["location"] == f"{PATH}/done"
    assert (second.status_code, second.headers["location"]) == (303, PATH)
    assert (await door.client.get(PATH)).headers["location"] == f"{PATH}/done"


async def test_a_form_for_a_link_that_another_has_used_says_so(door: Door, heroku: RunningSandbox) -> None:
    token = await door.link()
    await door.client.get(PATH, params={"link_token": token})
    (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', (await door.client.get(PATH)).text))
    other, _ = await door.house.connecting.arrive(token)
    await door.house.connecting.connect_api_key(other.reveal(), Secret(heroku.token(["global"])))

    answer = await door.client.post(f"{PATH}/oauth", data={"csrf": csrf}, follow_redirects=True)

    assert answer.status_code == 410
    assert "This link was used already" in answer.text


async def test_cancelling_ends_the_visit_and_not_the_link(door: Door) -> None:
    token = await door.link()
    await door.client.get(PATH, params={"link_token": token})
    csrf = re.findall(r'name="csrf" value="([^"]+)"', (await door.client.get(PATH)).text)[0]

    ended = await door.client.post(f"{PATH}/cancel", data={"csrf": csrf})

    assert ended.status_code == 200
    assert "Nothing was connected" in ended.text
    assert (await door.client.get(PATH)).status_code == 410
    assert (await door.client.get(PATH, params={"link_token": token})).status_code == 303


async def test_whoever_comes_without_tls_is_led_to_it(door: Door) -> None:
    """A cookie that is `Secure` would not come along, so nothing could be done there anyway."""
    for query in ("", "?link_token=udl_x"):
        address = f"http://adapter.example.com{PATH}{query}"
        answer = await door.client.get(address, headers={"x-forwarded-proto": "http"})

        assert (answer.status_code, answer.headers["location"]) == (303, PUBLIC + PATH + query)


async def test_what_an_untrusted_proxy_says_leads_nobody_round_in_circles(
    heroku: RunningSandbox, tmp_path: Path
) -> None:
    async with opened(heroku, tmp_path, adapter_trusted_hops=0) as door:
        answer = await door.client.get(
            f"http://adapter.example.com{PATH}",
            params={"link_token": await door.link()},
            headers={"x-forwarded-proto": "https"},
        )

        assert (answer.status_code, answer.headers["location"]) == (303, PATH)


async def test_a_crash_is_a_page_too(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: str) -> None:
        raise RuntimeError("fake-words")

    await door.arrive()
    monkeypatch.setattr(door.house.connecting, "session", broken)

    answer = await door.client.get(PATH)

    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "That did not work" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "fake-words" not in answer.text


async def test_below_a_path_everything_stays_below_it(heroku: RunningSandbox, tmp_path: Path) -> None:
    async with opened(heroku, tmp_path, public_url="https://example.com/heroku") as door:
        answer = await door.client.get(PATH, params={"link_token": await door.link()})

        assert answer.headers["location"] == f"/heroku{PATH}"
        assert f"Path=/heroku{PATH}" in answer.headers["set-cookie"]
        door.client.cookies.clear()
        cookie = answer.headers["set-cookie"].partition(";")[0]
        page = (await door.client.get(PATH, headers={"cookie": cookie})).text
        assert f'action="/heroku{PATH}/oauth"' in page
        assert 'href="/heroku/static/connect-' in page


async def test_without_an_oauth_client_a_token_is_the_way(heroku: RunningSandbox, tmp_path: Path) -> None:
    async with opened(heroku, tmp_path, heroku_oauth_id="", heroku_oauth_secret="") as door:
        csrf = await door.arrive()

        page = (await door.client.get(PATH)).text
        refused = await door.client.post(f"{PATH}/oauth", data={"csrf": csrf})

    assert "Connect with an API token" in page
    assert "Continue with Heroku" not in page
    assert refused.status_code == 400


@pytest.mark.parametrize("name", ['<img src=x onerror="x">', "{{ csrf }}", "' onfocus='x"])
async def test_a_name_is_never_more_than_text(door: Door, name: str) -> None:
    made = await door.house.connecting.create_link(LinkRequest(tenant_id="acme", context={"tenant_name": name}))
    await door.client.get(PATH, params={"link_token": made.token.reveal()})

    page = (await door.client.get(PATH)).text

    assert "<img" not in page
    assert not re.search(r"<[^>]*\sonfocus", page)
    assert f"<b>{escape(name)}</b>" in page


async def test_a_link_for_less_by_token_alone_says_how_to_make_that_token(door: Door) -> None:
    asked = LinkRequest(tenant_id="acme", scopes=("read",), authentication_methods=("api_key",))
    made = await door.house.connecting.create_link(asked)
    await door.client.get(PATH, params={"link_token": made.token.reveal()})

    page = re.sub(r"<[^>]*>", "", (await door.client.get(PATH)).text)
    assert "heroku authorizations:create --scope read " in page
