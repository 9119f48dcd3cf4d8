"""Fresh credentials, on each engine: refreshed once whoever asks, kept whatever happens, given up only when refused."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from adapter.accounts.credentials import seal
from adapter.accounts.refreshing import COOL_DOWN, JITTER, MARGIN, margin, spread
from adapter.errors import (
    AccountBlocked,
    AccountNotFound,
    AccountSuspended,
    AdapterError,
    NeedsReauth,
    OAuthFailed,
    RemoteRateLimited,
    StorageUnavailable,
    UpstreamNonsense,
    UpstreamUnreachable,
)
from adapter.models import Credential, Secret
from adapter.storage.database import Database
from tests.accounts.refreshes import NEW_KEY, OLD_KEY, Process, TokenEndpoint, a_credential

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LAPSED = -1.0
DUE = 100.0


@pytest.fixture
def endpoint() -> TokenEndpoint:
    return TokenEndpoint()


@pytest.fixture
async def process(database: Database, endpoint: TokenEndpoint) -> AsyncIterator[Process]:
    process = Process(database, endpoint)
    yield process
    await process.chores.finish()


# --- when


@pytest.mark.parametrize(
    ("left", "used", "refreshes"),
    [(3600, 0, 0), (MARGIN * 1.3, 0, 0), (MARGIN * 0.7, 1, 1), (DUE, 1, 1), (LAPSED, 1, 1)],
)
async def test_a_credential_is_refreshed_before_its_end(
    process: Process, endpoint: TokenEndpoint, left: float, used: int, refreshes: int
) -> None:
    await process.put(a_credential(left=left))

    assert await process.source.token() == Secret(f"fake-access-{used}")
    assert len(endpoint.asked) == refreshes
    assert (await process.stored()).access_token == Secret(f"fake-access-{used}")


@pytest.mark.parametrize(("life", "expected"), [(8 * 3600, MARGIN), (100, 20), (None, MARGIN)])
def test_the_margin_is_a_fifth_of_a_short_life(life: float | None, expected: float) -> None:
    issued = None if life is None else NOW
    ends = NOW + timedelta(seconds=life or 1)

    assert (
        margin(Credential(method="oauth2", access_token=Secret("fake"), issued_at=issued, expires_at=ends)) == expected
    )


def test_the_margin_differs_between_those_who_keep_it() -> None:
    spreads = {spread() for _ in range(100)}

    assert 1 - JITTER <= min(spreads) < max(spreads) <= 1 + JITTER


async def test_a_held_credential_is_refreshed_when_it_becomes_due_and_not_only_when_it_is_reread(
    process: Process,
) -> None:
    await process.put(a_credential(left=MARGIN + 1.5))
    source = process.a_source(lambda: datetime.now(UTC) + timedelta(seconds=process.seconds))
    source._spread = 1.0
    assert await source.token() == Secret("fake-access-0")

    process.seconds = 1
    assert await source.token() == Secret("fake-access-0")
    process.seconds = 2
    assert await source.token() == Secret("fake-access-1")


async def test_an_api_key_and_a_credential_without_refresh_token_are_used_as_they_are(
    process: Process, endpoint: TokenEndpoint
) -> None:
    await process.put(a_credential(left=LAPSED, refresh_token=None))
    assert await process.source.token() == Secret("fake-access-0")
    assert await process.source.renew(Secret("fake-access-0")) is None
    await process.put(Credential(method="api_key", access_token=Secret("fake-key")))
    process.seconds += 5
    assert await process.source.token() == Secret("fake-key")
    assert await process.source.renew(Secret("fake-key")) is None

    assert endpoint.asked == []


async def test_a_401_refreshes_once_for_all_who_met_it(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential())
    token = await process.source.token()

    renewed = await asyncio.gather(*(process.source.renew(token) for _ in range(50)))

    assert set(renewed) == {Secret("fake-access-1")}
    assert len(endpoint.asked) == 1
    assert await process.source.token() == Secret("fake-access-1")


async def test_who_joins_a_refresh_with_a_later_token_gets_a_later_one(
    process: Process, endpoint: TokenEndpoint
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.gate.clear()
    first = asyncio.create_task(process.source.token())
    await endpoint.arrived.acquire()
    joined = asyncio.create_task(
        process.refreshing.fresh("a", lambda found: found.access_token == Secret("fake-access-1"))
    )
    await asyncio.sleep(0)
    endpoint.gate.set()

    assert await first == Secret("fake-access-1")
    assert (await joined).access_token == Secret("fake-access-2")


# --- once


async def test_of_two_processes_one_refreshes(postgres_url: str, endpoint: TokenEndpoint) -> None:
    endpoint.rotates = True
    async with Database(postgres_url) as first, Database(postgres_url) as second:
        processes = [Process(first, endpoint), Process(second, endpoint)]
        await processes[0].put(a_credential(left=LAPSED))
        tokens = await asyncio.gather(*(process.source.token() for process in processes for _ in range(20)))
        stored = await processes[0].stored()

    assert set(tokens) == {Secret("fake-access-1")}
    assert len(endpoint.asked) == 1
    assert stored.refresh_token == Secret("fake-refresh-1")


async def test_a_caller_who_goes_away_takes_nothing_with_him(process: Process, endpoint: TokenEndpoint) -> None:
    endpoint.rotates = True
    await process.put(a_credential(left=LAPSED))
    endpoint.gate.clear()
    caller = asyncio.create_task(process.source.token())
    await endpoint.arrived.acquire()

    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    endpoint.gate.set()
    await process.chores.finish()

    assert (await process.stored()).refresh_token == Secret("fake-refresh-1")


async def test_who_has_a_living_token_does_not_wait_for_a_slow_refresh(
    process: Process, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.accounts.credentials._PATIENCE", 0.05)
    await process.put(a_credential(left=DUE))
    endpoint.gate.clear()

    assert await process.source.token() == Secret("fake-access-0")
    endpoint.gate.set()
    await process.chores.finish()
    process.seconds += 5
    assert await process.source.token() == Secret("fake-access-1")
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("met", [False, True])
async def test_a_block_during_a_slow_refresh_lets_nobody_through(
    process: Process, endpoint: TokenEndpoint, met: bool
) -> None:
    await process.put(a_credential(left=3600 if met else LAPSED))
    endpoint.gate.clear()
    caller = asyncio.create_task(process.source.renew(Secret("fake-access-0")) if met else process.source.token())
    await endpoint.arrived.acquire()

    await process.store.update("a", is_blocked=True)
    endpoint.gate.set()

    with pytest.raises(AccountBlocked):
        await caller
    assert (await process.stored()).access_token == Secret("fake-access-1")


# --- what goes wrong

PASSING = [UpstreamUnreachable(), UpstreamNonsense(), RemoteRateLimited(429), StorageUnavailable()]


@pytest.mark.parametrize("failure", PASSING, ids=lambda failure: type(failure).__name__)
async def test_trouble_changes_nothing_and_is_not_repeated_at_once(
    process: Process, endpoint: TokenEndpoint, failure: AdapterError
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [failure]

    results = await asyncio.gather(*(process.source.token() for _ in range(20)), return_exceptions=True)

    assert {type(result) for result in results} == {type(failure)}
    assert len(endpoint.asked) == 1
    assert ((await process.account()).status, (await process.account()).last_error) == ("active", None)
    process.seconds += COOL_DOWN + 1
    assert await process.source.token() == Secret("fake-access-2")


async def test_a_wait_that_the_provider_asks_for_is_kept(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [RemoteRateLimited(429, insight={"rate_limit_error": {"retry_after": 60}})]

    for seconds in (0, 59):
        process.seconds = seconds
        with pytest.raises(RemoteRateLimited):
            await process.source.token()
    process.seconds = 61
    assert await process.source.token() == Secret("fake-access-2")


async def test_while_it_lives_the_old_token_is_used_when_the_provider_is_in_trouble(
    process: Process, endpoint: TokenEndpoint
) -> None:
    await process.put(a_credential(left=DUE))
    endpoint.failures = [UpstreamUnreachable()]

    for seconds in (0, 5, 10):
        process.seconds = seconds
        assert await process.source.token() == Secret("fake-access-0")
    assert len(endpoint.asked) == 1
    process.seconds = COOL_DOWN + 5
    assert await process.source.token() == Secret("fake-access-2")


async def test_another_s_success_is_seen_within_the_cool_down(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [UpstreamUnreachable()]
    with pytest.raises(UpstreamUnreachable):
        await process.source.token()

    await process.put(a_credential(7))

    assert await process.source.token() == Secret("fake-access-7")


REFUSALS = [
    (OAuthFailed("Refused (404 not_found).", remote_status=404, remote_id="not_found"), "oauth_failed"),
    (AccountSuspended(remote_status=403), "account_suspended"),
]


@pytest.mark.parametrize(("refusal", "code"), REFUSALS)
async def test_a_refusal_marks_the_account_and_says_why(
    process: Process, endpoint: TokenEndpoint, refusal: AdapterError, code: str
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [refusal]

    with pytest.raises(
        NeedsReauth, match=refusal.message.split(";", maxsplit=1)[0].replace("(", r"\(").replace(")", r"\)")
    ):
        await process.source.token()

    account = await process.account()
    assert account.status == "needs_reauth"
    assert account.last_error is not None
    assert (account.last_error.code, account.last_error.message) == (code, refusal.message)
    assert process.changed == ["a"]
    assert await process.stored() == endpoint.asked[0]


async def test_a_refused_refresh_after_a_401_marks_it_too(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential())
    endpoint.failures = [OAuthFailed()]

    with pytest.raises(NeedsReauth):
        await process.source.renew(await process.source.token())

    assert (await process.account()).status == "needs_reauth"


async def test_trouble_after_a_401_does_not(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential())
    endpoint.failures = [UpstreamUnreachable()]

    with pytest.raises(UpstreamUnreachable) as caught:
        await process.source.renew(await process.source.token())

    assert caught.value.was_sent is False
    assert (await process.account()).status == "active"


@pytest.mark.parametrize("dialect", ["sqlite"])  # on PostgreSQL the row is locked meanwhile
async def test_a_refusal_of_what_somebody_has_replaced_meanwhile_marks_nothing(
    process: Process, endpoint: TokenEndpoint
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [OAuthFailed()]
    endpoint.gate.clear()
    asking = asyncio.create_task(process.source.token())
    await endpoint.arrived.acquire()
    await process.put(a_credential(7))
    endpoint.gate.set()

    assert await asking == Secret("fake-access-7")
    assert (await process.account()).status == "active"


async def test_an_account_that_is_removed_meanwhile_needs_no_mark(process: Process, endpoint: TokenEndpoint) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [OAuthFailed()]
    endpoint.gate.clear()
    asking = asyncio.create_task(process.source.token())
    await endpoint.arrived.acquire()
    removing = asyncio.create_task(process.store.remove("a"))
    endpoint.gate.set()

    with pytest.raises((NeedsReauth, AccountNotFound)):
        await asking
    await removing
    assert await process.store.get("a") is None


# --- nothing is lost


async def test_keys_that_are_rotated_meanwhile_lose_no_refresh_token(
    database: Database, endpoint: TokenEndpoint, dialect: str
) -> None:
    process = Process(database, endpoint, keys=f"{NEW_KEY},{OLD_KEY}")
    await Process(database, endpoint, keys=OLD_KEY).put(a_credential(left=LAPSED))
    endpoint.rotates = True
    endpoint.gate.clear()
    asking = asyncio.create_task(process.source.token())
    await endpoint.arrived.acquire()
    sealed = await process.store.credential("a")
    assert sealed is not None
    fresh = seal(process.vault, "a", await process.stored())
    resealing = asyncio.create_task(process.store.reseal("a", old=sealed, new=fresh))
    if dialect == "sqlite":
        assert await resealing
    endpoint.gate.set()

    assert await asking == Secret("fake-access-1")
    await resealing
    assert (await process.stored()).refresh_token == Secret("fake-refresh-1")


async def test_a_database_that_goes_away_while_the_provider_answers_loses_no_refresh_token(
    process: Process, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.rotates = True
    trouble = [StorageUnavailable(), StorageUnavailable(), StorageUnavailable()]
    hold, reseal = process.refreshing._renewals.hold, process.store.reseal

    async def failing(account_id: str, *, old: bytes, new: bytes) -> bool:
        if trouble:
            raise trouble.pop()
        return await reseal(account_id, old=old, new=new)

    class Breaking:
        def __init__(self, account_id: str) -> None:
            self._inner = hold(account_id)

        async def __aenter__(self) -> object:
            held = await self._inner.__aenter__()
            held.replace = lambda new: failing("a", old=held.sealed or b"", new=new)
            return held

        async def __aexit__(self, *args: object) -> bool | None:
            return await self._inner.__aexit__(*args)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(process.refreshing._renewals, "hold", Breaking)
    monkeypatch.setattr(process.store, "reseal", failing)

    assert await process.source.token() == Secret("fake-access-1")
    assert trouble == []
    assert (await process.stored()).refresh_token == Secret("fake-refresh-1")


async def test_nothing_that_is_logged_opens_anything(
    process: Process, endpoint: TokenEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    await process.put(a_credential(left=LAPSED))
    endpoint.failures = [UpstreamUnreachable(), OAuthFailed(remote_status=401)]

    with capture_logs() as logged, caplog.at_level(logging.DEBUG):
        for seconds in (0, 100, 200):
            process.seconds = seconds
            with suppress(AdapterError):
                await process.source.token()

    assert {entry["event"] for entry in logged} == {"refresh_failed", "account_needs_reauth", "credential_refreshed"}
    assert "fake-" not in f"{logged} {caplog.text}"
