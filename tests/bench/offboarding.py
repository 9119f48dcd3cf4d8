"""Somebody in 40 places: one off-boarding of ours, proved, against the same removals one after the other."""

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from adapter.app import open_house
from adapter.config import Settings
from adapter.directory.writing.model import Ask, PersonRef
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox
from tests.bench.aims import Aim
from tests.bench.apart import Apart, apart
from tests.directory.writing.test_verifying import BOB, forty

LATENCY_MS = 50
WHAT = f"off-boarding from 40 places at {LATENCY_MS} ms of latency: planned, journalled, carried out and read back"
TAKES = "a minute"
NEEDS: tuple[str, ...] = ()
AIMS: dict[str, Aim] = {}  # nobody has put a number to it
OTHERWISE = {"removals": "counted"}
_OPTIONS = Options(consistency_s=0, latency_ms=LATENCY_MS)
_HEADERS = {"accept": "application/vnd.heroku+json; version=3"}


def measure(rounds: int, _seconds: float) -> dict[str, float]:
    """Seconds of each way (medians of interleaved rounds). The other is told the places, and looks at nothing after."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        with apart(_forty) as heroku:
            ours.append(asyncio.run(_ours(heroku)))
            removals = [(one["method"], one["path"]) for one in heroku.requests() if one["method"] != "GET"]
        with apart(_forty) as heroku:
            theirs.append(_one_by_one(heroku, removals))
    return {
        "removals": len(removals),
        "ours, s": median(ours),
        "one after the other, s": median(theirs),
        "one after the other/ours": median(theirs) / median(ours),
    }


def _forty() -> RunningSandbox:
    return RunningSandbox(forty, options=_OPTIONS)


async def _ours(heroku: Apart) -> float:
    """From the question to the proof, on a directory that was read before."""
    with TemporaryDirectory() as name:
        url = f"sqlite:///{Path(name) / 'bench.db'}"
        settings = Settings(database_url=url, adapter_secret_keys="b" * 40, heroku_api_url=heroku.url)
        async with open_house(settings) as house:
            house.writes.start()
            account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret(heroku.owner_token))
            client = await house.accounts.open(account.id)
            ask = Ask(kind="users.offboard", person=PersonRef(email=BOB), everywhere=True, proof="places")
            await house.writes.plan(account.id, client, None, ask)
            begun = time.perf_counter()
            outcome = await house.writes.write(account.id, client, None, ask, wait=120)
            if outcome.operation.status != "succeeded":
                raise RuntimeError(f"The off-boarding {outcome.operation.status}.")
            return time.perf_counter() - begun


def _one_by_one(heroku: Apart, removals: list[tuple[str, str]]) -> float:
    headers = {**_HEADERS, "authorization": f"Bearer {heroku.owner_token}"}
    begun = time.perf_counter()
    with httpx.Client(base_url=heroku.url, headers=headers, trust_env=False) as client:
        for method, path in removals:
            client.request(method, path).raise_for_status()
    return time.perf_counter() - begun
