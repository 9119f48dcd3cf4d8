"""An OAuth credential that lapses under load, in trouble and amid a stream, before the sandbox on real sockets."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapter.config import SETTINGS, Settings
from adapter.errors import (
    AdapterError,
    NeedsReauth,
    RemoteRateLimited,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamUnreachable,
)
from adapter.models import Secret
from adapter.sandbox import RunningSandbox, SeedOptions
from tests.e2e.consent import TOKEN_ENDPOINT, Consented, consented, settings_for

CALLS = 200


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    """One for each test: it takes 128 connections, and a pool that was closed leaves its own to be noticed as dead."""
    with RunningSandbox(seed=SeedOptions(teams=1, members=3, apps=1)) as running:
        yield running


@pytest.fixture
async def alone(sandbox: RunningSandbox, database_url: str) -> AsyncIterator[Consented]:
    """One process, on each engine."""
    async with consented([settings_for(sandbox, database_url)], sandbox) as made:
        yield made


@pytest.fixture
async def pair(sandbox: RunningSandbox, postgres_url: str) -> AsyncIterator[Consented]:
    """Two processes' houses on one PostgreSQL."""
    settings = settings_for(sandbox, postgres_url)
    async with consented([settings, settings], sandbox) as made:
        yield made


def slow(seconds: float) -> dict[str, Any]:
    return {"kind": "latency", "seconds": seconds, "match": TOKEN_ENDPOINT, "times": 1}


CASES = [
    pytest.param(
        known, rotates, seconds, id=f"{'known' if known else 'met'}{'-rotating' * rotates}{'-slow' * bool(seconds)}"
    )
    for known, rotates, seconds in [
        (True, False, 0),
        (False, False, 0),
        (True, True, 0),
        (False, True, 0),
        (True, True, 5),
    ]
]


@pytest.mark.parametrize(("known", "rotates", "seconds"), CASES)
async def test_a_lapsed_token_is_refreshed_once_for_two_processes(
    pair: Consented, known: bool, rotates: bool, seconds: float
) -> None:
    await _refreshed_once(pair, known, rotates, seconds)


@pytest.mark.parametrize(("known", "rotates", "seconds"), CASES)
@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_lapsed_token_is_refreshed_once_in_a_process_on_sqlite(
    alone: Consented, known: bool, rotates: bool, seconds: float
) -> None:
    await _refreshed_once(alone, known, rotates, seconds)


async def _refreshed_once(those: Consented, known: bool, rotates: bool, seconds: float) -> None:
    those.sandbox.options(rotate_refresh_tokens=rotates)
    before = await those.kept()
    await those.lapse(known=known)
    if seconds:
        those.sandbox.faults([slow(seconds)])

    assert await those.calls(CALLS) == [200] * CALLS

    assert those.refreshes() == 1
    assert ((await those.kept()).refresh_token != before.refresh_token) == rotates
    assert (await those.account()).status == "active"


async def test_a_token_that_is_due_is_refreshed_once_before_anybody_meets_a_401(pair: Consented) -> None:
    await pair.change(issued_at=None, expires_at=_soon())
    pair.sandbox.reset_requests()

    assert await pair.calls(CALLS) == [200] * CALLS

    assert pair.refreshes() == 1
    assert pair.sandbox.request_count(status="401") == 0


def _soon() -> datetime:
    """Within the margin, but not over."""
    return datetime.now(UTC) + timedelta(seconds=60)


# --- processes


@contextmanager
def a_process(settings: Settings, account_id: str, calls: int) -> Iterator["subprocess.Popen[str]"]:
    """One that is ready to make its calls, when told to by a line."""
    environ = {name: str(getattr(settings, name.lower())) for name in SETTINGS if getattr(settings, name.lower())}
    command = [sys.executable, "-m", "tests.e2e.holder", account_id, str(calls)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=os.environ | environ | {"LOG_LEVEL": "critical"}, text=True, stdin=pipe, stdout=pipe
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


def begin(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def told(process: "subprocess.Popen[str]") -> list[object]:
    assert process.stdout is not None
    *_, last = process.stdout.read().splitlines()
    results: list[object] = json.loads(last)
    return results


async def test_two_real_processes_refresh_once(pair: Consented) -> None:
    await pair.lapse(known=True)
    pair.sandbox.options(rotate_refresh_tokens=True)
    settings, half = pair.houses[0].settings, CALLS // 2
    with a_process(settings, pair.account_id, half) as one, a_process(settings, pair.account_id, half) as other:
        begin(one)
        begin(other)
        results = [await asyncio.to_thread(told, process) for process in (one, other)]

    assert results == [[200] * half] * 2
    assert pair.refreshes() == 1


async def test_a_refresher_that_is_killed_hands_over_to_the_next(pair: Consented) -> None:
    await pair.lapse(known=True)
    pair.sandbox.faults([slow(30)])
    with a_process(pair.houses[0].settings, pair.account_id, 1) as victim:
        begin(victim)
        async with asyncio.timeout(30):
            while pair.sandbox.control("GET", "faults")[0]["times"]:  # noqa: ASYNC110  # asked over HTTP
                await asyncio.sleep(0.02)
        calling = asyncio.create_task(pair.calls(CALLS))
        done, _ = await asyncio.wait({calling}, timeout=0.5)
        assert not done, "nobody waits for the victim"
        killed_at = time.monotonic()
        victim.kill()

        assert await calling == [200] * CALLS

    assert time.monotonic() - killed_at < 10
    assert pair.refreshes() == 1
    assert (await pair.account()).status == "active"


# --- trouble with the refresh

TROUBLE: dict[str, tuple[dict[str, Any], type[AdapterError]]] = {
    "500": ({"kind": "status", "status": 500}, UpstreamFailure),
    "503 page": ({"kind": "status", "status": 503, "body": "<h1>Application error</h1>"}, UpstreamFailure),
    "429": ({"kind": "rate_limit", "retry_after": "7"}, RemoteRateLimited),
    "cut JSON": ({"kind": "cut_json"}, UpstreamNonsense),
    "cut off": ({"kind": "truncate"}, UpstreamFailure),
    "page": ({"kind": "nonsense"}, UpstreamNonsense),
    "reset": ({"kind": "reset"}, UpstreamUnreachable),
}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_trouble_with_a_refresh_loses_nothing(alone: Consented, trouble: str) -> None:
    fault, kind = TROUBLE[trouble]
    await alone.lapse(known=True)
    alone.sandbox.faults([fault | {"match": TOKEN_ENDPOINT, "times": 1}])

    results = await alone.calls(20)

    assert all(isinstance(result, kind) for result in results), results
    assert alone.refreshes() == 1
    account = await alone.account()
    assert (account.status, account.last_error) == ("active", None)
    refreshed = await alone.houses[0].accounts.refresh_credentials(alone.account_id)
    assert refreshed.status == "active"
    assert await alone.calls(1) == [200]


async def test_while_the_old_token_lives_trouble_with_a_refresh_is_nobody_s(alone: Consented) -> None:
    await alone.change(issued_at=None, expires_at=_soon())
    alone.sandbox.reset_requests()
    alone.sandbox.faults([{"kind": "status", "status": 500, "match": TOKEN_ENDPOINT}])

    assert await alone.calls(20) == [200] * 20
    assert alone.refreshes() == 1


async def test_a_suspended_account_needs_reauth_and_recovers_when_it_is_reinstated(alone: Consented) -> None:
    before = await alone.kept()
    await alone.lapse(known=True)
    alone.sandbox.world.owner.suspended = True

    results = await alone.calls(20)

    assert {type(result) for result in results} == {NeedsReauth}
    assert alone.refreshes() == 1
    account = await alone.account()
    assert account.status == "needs_reauth"
    assert account.last_error is not None
    assert account.last_error.code == "account_suspended"
    assert "suspended" in account.last_error.message
    assert (await alone.kept()).refresh_token == before.refresh_token

    alone.sandbox.world.owner.suspended = False
    assert (await alone.houses[0].accounts.refresh_credentials(alone.account_id)).status == "active"
    assert await alone.calls(20) == [200] * 20


async def test_a_grant_that_was_revoked_at_the_provider_needs_reauth(alone: Consented) -> None:
    keyring = alone.sandbox.sandbox.keyring
    token = (await alone.kept()).access_token.reveal()
    keyring.revoke(keyring.by_token[token])

    results = await alone.calls(20)

    assert {type(result) for result in results} == {NeedsReauth}
    account = await alone.account()
    assert (account.status, account.last_error and account.last_error.code) == ("needs_reauth", "oauth_failed")


# --- streams


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_stream_outlives_the_token_that_opened_it(alone: Consented) -> None:
    bound = await alone.houses[0].accounts.open(alone.account_id)
    alone.sandbox.faults([{"kind": "slow_body", "seconds": 1, "match": {"path": "/account"}, "times": 1}])
    accept = [(b"accept", b"application/vnd.heroku+json; version=3")]
    chunks: list[bytes] = []

    async with bound.stream("GET", "/account", accept) as reply:
        async for chunk in reply.chunks():
            if not chunks:
                await alone.lapse(known=True)
                assert await alone.calls(5) == [200] * 5
            chunks.append(chunk)

    assert reply.status == 200
    assert len(chunks) > 1
    assert alone.sandbox.owner_token not in b"".join(chunks).decode()
    assert b"".join(chunks).endswith(b"}")
    assert alone.refreshes() == 1


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_stream_that_meets_a_lapsed_token_is_opened_with_a_fresh_one(alone: Consented) -> None:
    bound = await alone.houses[0].accounts.open(alone.account_id)
    await alone.lapse(known=False)
    accept = [(b"accept", b"application/vnd.heroku+json; version=3")]

    async with bound.stream("GET", "/account", accept) as reply:
        assert reply.status == 200
        assert await reply.body()
    assert alone.refreshes() == 1


async def test_what_is_stored_shows_no_token(alone: Consented) -> None:
    held = await alone.kept()
    sealed = await alone.houses[0].accounts._store.credential(alone.account_id)

    assert sealed is not None
    for token in (held.access_token, held.refresh_token):
        assert isinstance(token, Secret)
        assert token.reveal().encode() not in sealed
