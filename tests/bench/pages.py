"""A warm page of the directory against an ASGI route that returns the same bytes: 32 connections, one core."""

import asyncio
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from adapter.app import open_house
from adapter.config import load
from adapter.models import Secret
from adapter.sandbox import RunningSandbox, SeedOptions
from tests.bench import servers
from tests.bench.aims import at_least
from tests.bench.fixed import BODY_FILE
from tests.bench.servers import Served

WHAT = f"warm pages and filters of users, {servers.CONNECTIONS} connections, one core"
TAKES = "3 minutes"
NEEDS = ("wrk", "taskset")
AIMS = {"100 of 2,000 people: ours/bare": at_least(0.6)}
_ANEW = 20
OTHERWISE = {"asked for the first time": f"mean of {_ANEW}"}
_PAGES = {"100 of 2,000 people": "limit=100", "1,000 of 2,000 people": "limit=1000"}
_QUESTIONS = {
    "page": "limit=100",
    "filter": "user_type=admin&limit=100",
    "search": "q=son&limit=100",
    "sorted": "sort_by=-name&limit=100",
}


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Requests a second (medians of interleaved rounds), and our share of a route's that returns the same bytes."""
    figures: dict[str, float] = {}
    for seed, questions in (
        (SeedOptions(teams=40, members=2000, apps=200), _PAGES),
        (SeedOptions(teams=100, members=20000, apps=500), {f"20,000 people, {k}": v for k, v in _QUESTIONS.items()}),
    ):
        with TemporaryDirectory() as name, RunningSandbox(seed=seed, thread=False) as sandbox:
            directory = Path(name)
            environ = {
                "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
                "ADAPTER_SECRET_KEYS": "b" * 40,
                "HEROKU_API_URL": sandbox.url,
                "DIRECTORY_MAX_AGE": "86400",
                "DIRECTORY_WAIT": "300",
            }
            token = asyncio.run(prepared(environ, sandbox.owner_token))
            with servers.granian("apps:ours", environ) as ours:
                for question, query in questions.items():
                    figures |= _compared(question, query, ours, token, directory, rounds, seconds)
    return figures


def _compared(
    name: str, query: str, ours: Served, token: str, directory: Path, rounds: int, seconds: float
) -> dict[str, float]:
    path = f"/unified/user-directory/users?{query}"
    bearer = f"Authorization: Bearer {token}"
    body = directory / "page.json"
    body.write_bytes(_fetched(f"http://127.0.0.1:{ours.port}{path}", token))
    # The same question again and again is answered from the kept page; a differing one is put together each time.
    begun = time.perf_counter()
    for number in range(_ANEW):
        _fetched(f"http://127.0.0.1:{ours.port}{path}&created_at[gt]=2000-01-01T00:00:{number:02}Z", token)
    anew = (time.perf_counter() - begun) / _ANEW * 1000
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    with servers.granian("fixed:fixed", {BODY_FILE: str(body)}) as bare:
        for _ in range(rounds):
            for which, served in (("ours", ours), ("bare", bare)):
                rates[which].append(servers.load(served.port, path, seconds, [bearer]).rate)
    return {
        f"{name}: ours, requests a second": median(rates["ours"]),
        f"{name}: ours/bare": median(rates["ours"]) / median(rates["bare"]),
        f"{name}: asked for the first time, ms": anew,
    }


def _fetched(url: str, token: str) -> bytes:
    with urlopen(Request(url, headers={"authorization": f"Bearer {token}"}), timeout=300) as answer:  # noqa: S310  # loopback
        found: bytes = answer.read()
        return found


async def prepared(environ: dict[str, str], api_key: str) -> str:
    """Connect the account; a token for it."""
    async with open_house(load({**os.environ, **environ})) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret(api_key))
        _, secret = await house.tokens.create_account(account.id, expires_in=86400)
        return secret.reveal()
