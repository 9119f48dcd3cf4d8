"""Accounts that change while they are in use, over real sockets: keys swapped, keys rotated, grants taken back."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest

from adapter.accounts.links import LinkRequest
from adapter.accounts.rotation import KeyRotation
from adapter.app import House, open_house
from adapter.config import Settings
from adapter.errors import OAuthDenied, OAuthStateInvalid
from adapter.models import IntegratedAccount, Secret
from adapter.sandbox import RunningSandbox
from tests.e2e.consent import settings_for
from tests.e2e.serving import KEY, Connected, serving

OTHER_KEY = "another-key-for-tests-that-is-long-enough-012345"
ACCEPT = {"accept": "application/vnd.heroku+json; version=3"}
FREE = "/custom/account/rate-limits"
"""A call that takes nothing from the request budget."""
CALLERS = 4
SWAPS = 8


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with RunningSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox) -> RunningSandbox:
    running.reset()
    return running


class Load:
    """Callers that ask one after the other until they are told to stop, and what they were answered."""

    def __init__(self, served: Connected) -> None:
        self._served = served
        self._over = threading.Event()
        self._answered = threading.Semaphore(0)
        self.answers: list[tuple[int, str]] = []

    def run(self) -> None:
        with self._served.client() as client:
            while not self._over.is_set():
                answer = client.get(FREE, params={"integrated_account_id": self._served.account_id}, headers=ACCEPT)
                self.answers.append((answer.status_code, answer.text[:300]))
                self._answered.release()

    def stop(self) -> None:
        self._over.set()

    def more(self, count: int = 2 * CALLERS) -> None:
        """Wait until so many further answers have come."""
        for _ in range(count):
            assert self._answered.acquire(timeout=30)

    def failed(self) -> list[tuple[int, str]]:
        return [answer for answer in self.answers if answer[0] != 200]


@contextmanager
def under_load(served: Connected) -> Iterator[Load]:
    load = Load(served)
    with ThreadPoolExecutor(CALLERS) as pool:
        running = [pool.submit(load.run) for _ in range(CALLERS)]
        try:
            load.more()
            yield load
            load.more()
        finally:
            load.stop()
    for each in running:
        each.result()


def test_an_api_token_is_swapped_without_a_gap(sandbox: RunningSandbox, database_url: str, tmp_path: Path) -> None:
    first = sandbox.control("POST", "tokens", {"scopes": ["global"]})
    with serving(sandbox, tmp_path, api_key=first["access_token"], database_url=database_url) as served:
        with under_load(served) as load, served.client() as client:
            for _ in range(SWAPS):
                second = sandbox.control("POST", "tokens", {"scopes": ["global"]})
                swapped = client.patch(
                    f"/integrated-account/{served.account_id}/credentials",
                    json={"context": {"api_key": second["access_token"]}},
                )
                assert swapped.status_code == 200, swapped.text
                revoke(sandbox, first["id"])
                first = second
                load.more()

        assert load.failed() == []
        assert len(load.answers) > SWAPS * CALLERS
        account = client_json(served, f"/integrated-account/{served.account_id}")
        assert (account["status"], account["last_error"]) == ("active", None)


def revoke(sandbox: RunningSandbox, authorization: str) -> None:
    httpx.delete(
        f"{sandbox.url}/oauth/authorizations/{authorization}", headers=as_owner(sandbox), trust_env=False
    ).raise_for_status()


def as_owner(sandbox: RunningSandbox) -> dict[str, str]:
    return {"authorization": f"Bearer {sandbox.owner_token}", **ACCEPT}


def client_json(served: Connected, path: str) -> Any:
    with served.client() as client:
        return client.get(path).json()


def test_keys_are_rotated_while_serving(sandbox: RunningSandbox, database_url: str, tmp_path: Path) -> None:
    old, new = KEY, OTHER_KEY
    oauth = oauth_settings(sandbox, database_url)
    with serving(sandbox, tmp_path, database_url=database_url, keys=f"{old},{new}", **oauth) as served:
        rotating = with_keys(served.settings, f"{new},{old}")
        with under_load(served) as load:
            visit = asyncio.run(begun(served.settings))
            first = asyncio.run(rotated(rotating))
            load.more()
            swap_key(served, sandbox)  # sealed with the old key by what serves, until it is restarted
            second = asyncio.run(rotated(rotating))

        assert load.failed() == []
        assert [(each.resealed, each.lost) for each in (first, second)] == [(1, ()), (1, ())]
        assert asyncio.run(lost_keys(with_keys(served.settings, new))) == ()
        assert asyncio.run(lost_keys(with_keys(served.settings, old))) == (served.account_id,)
        assert asyncio.run(ended(with_keys(served.settings, new), visit)).tenant_id == "visitor"


def test_a_lost_key_locks_out_its_accounts_and_nobody_else(
    sandbox: RunningSandbox, database_url: str, tmp_path: Path
) -> None:
    locked = asyncio.run(connected(Settings(database_url=database_url, adapter_secret_keys=KEY), sandbox, "locked"))
    with serving(sandbox, tmp_path, database_url=database_url, keys=OTHER_KEY) as served, served.client() as client:
        refused = client.get(FREE, params={"integrated_account_id": locked}, headers=ACCEPT)
        again = served.connect(sandbox.owner_token, tenant_id="locked")
        after = client.get(FREE, params={"integrated_account_id": locked}, headers=ACCEPT)

        assert (refused.status_code, refused.json()["code"]) == (503, "key_lost")
        assert locked in refused.json()["message"]
        assert "ADAPTER_SECRET_KEYS" in refused.json()["message"]
        assert client.get("/readyz").status_code == 200
        assert served.get(FREE, headers=ACCEPT).status_code == 200
        assert (again.json()["id"], after.status_code) == (locked, 200)


def with_keys(settings: Settings, keys: str) -> Settings:
    return msgspec.structs.replace(settings, adapter_secret_keys=keys)


def oauth_settings(sandbox: RunningSandbox, database_url: str) -> dict[str, str]:
    made = settings_for(sandbox, database_url)
    return {name: getattr(made, name) for name in ("heroku_auth_url", "heroku_oauth_id", "heroku_oauth_secret")}


def swap_key(served: Connected, sandbox: RunningSandbox) -> None:
    with served.client() as client:
        path, key = f"/integrated-account/{served.account_id}/credentials", sandbox.token(["global"])
        assert client.patch(path, json={"context": {"api_key": key}}).status_code == 200


async def rotated(settings: Settings) -> KeyRotation:
    async with open_house(settings) as house:
        await house.connecting.rotate_keys()
        return await house.accounts.rotate_keys()


async def lost_keys(settings: Settings) -> tuple[str, ...]:
    async with open_house(settings) as house:
        return await house.accounts.lost_keys()


async def connected(settings: Settings, sandbox: RunningSandbox, tenant: str) -> str:
    settings = msgspec.structs.replace(settings, heroku_api_url=sandbox.url)
    async with open_house(settings) as house:
        account = await house.accounts.connect_api_key(tenant_id=tenant, api_key=Secret(sandbox.owner_token))
        return account.id


async def begun(settings: Settings) -> tuple[str, str]:
    """A cookie, and where its browser was sent for consent."""
    async with open_house(settings) as house:
        return await visiting(house, tenant_id="visitor")


async def ended(settings: Settings, visit: tuple[str, str]) -> IntegratedAccount:
    async with open_house(settings) as house:
        return await granted(house, *visit)


async def visiting(house: House, **request: Any) -> tuple[str, str]:
    link = await house.connecting.create_link(LinkRequest(**request))
    cookie, _ = await house.connecting.arrive(link.token.reveal())
    return cookie.reveal(), await house.connecting.start_oauth(cookie.reveal())


async def granted(house: House, cookie: str, url: str) -> IntegratedAccount:
    back = await sent_back(url, "grant")
    _, account = await house.connecting.finish_oauth(cookie, state=back["state"], code=back["code"], error=None)
    return account


async def sent_back(url: str, decision: str) -> dict[str, str]:
    """The query with which the provider sends the browser back."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(f"{url}&auto={decision}")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def authorizations(sandbox: RunningSandbox, client_id: str) -> int:
    """How many the owner has given to this client."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        listed = await browser.get(f"{sandbox.url}/oauth/authorizations", headers=as_owner(sandbox))
    return sum((item["client"] or {}).get("id") == client_id for item in listed.json())


async def test_disconnecting_revokes_this_connection_s_authorization_alone(
    sandbox: RunningSandbox, database_url: str
) -> None:
    settings = settings_for(sandbox, database_url)
    async with open_house(settings) as house:
        ours = await granted(house, *(await visiting(house, tenant_id="acme")))
        theirs = await granted(house, *(await visiting(house, tenant_id="other")))
        assert await authorizations(sandbox, settings.heroku_oauth_id) == 2

        removal = await house.accounts.remove(ours.id)

        assert (removal.revoked_at_provider, removal.reason) == (True, None)
        assert removal.deleted.items() >= {"credentials": 1, "link_tokens": 1, "connect_sessions": 1}.items()
        assert await authorizations(sandbox, settings.heroku_oauth_id) == 1
        assert (await (await house.accounts.open(theirs.id)).send("GET", "/account")).status == 200


async def test_disconnecting_after_the_access_token_lapsed_revokes_all_the_same(
    sandbox: RunningSandbox, database_url: str
) -> None:
    settings = settings_for(sandbox, database_url)
    async with open_house(settings) as house:
        account = await granted(house, *(await visiting(house, tenant_id="acme")))
        sandbox.advance(9 * 3600)

        removal = await house.accounts.remove(account.id)

        assert (removal.revoked_at_provider, removal.reason) == (True, None)


async def test_denial_comes_back_without_a_state_and_ends_this_browser_s_way(
    sandbox: RunningSandbox, database_url: str
) -> None:
    async with open_house(settings_for(sandbox, database_url)) as house:
        cookie, url = await visiting(house, tenant_id="acme")
        back = await sent_back(url, "deny")
        late = await sent_back(url, "grant")

        assert back == {"error": "access_denied"}
        with pytest.raises(OAuthDenied):
            await house.connecting.finish_oauth(cookie, state=None, code=None, error=back["error"])
        with pytest.raises(OAuthStateInvalid):
            await house.connecting.finish_oauth(cookie, state=late["state"], code=late["code"], error=None)
        assert await house.accounts.list() == []


async def test_connecting_again_by_consent_keeps_the_account(sandbox: RunningSandbox, database_url: str) -> None:
    async with open_house(settings_for(sandbox, database_url)) as house:
        account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(sandbox.owner_token))

        again = await granted(house, *(await visiting(house, account_id=account.id)))

        assert (again.id, again.created_at, again.authentication_method) == (account.id, account.created_at, "oauth2")
        assert (await (await house.accounts.open(account.id)).send("GET", "/account")).status == 200
