"""A cold gather against the way that published connectors go: one request after the other, one for each app; and the
same again when all of it is too old, which Heroku mostly answers with 304.
"""

import asyncio
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from adapter.app import open_house
from adapter.config import load
from adapter.directory.query import parse_list
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox, SeedOptions
from tests.bench.aims import at_least, at_most
from tests.bench.pages import prepared
from tests.bench.warm import resident

WHAT = (
    "a gather at 50 ms of latency, cold and again, and what serving it holds; small (25 teams, 150 apps) against one "
    "request after the other; large (500 teams, 20,000 people, 3,000 apps) ours alone, once"
)
TAKES = "3 minutes"
AIMS = {
    "large, wall/bound": at_most(1),
    "large, peak MB": at_most(400),
    "large, warm MB, gathered": at_most(250),
    "large, warm MB, loaded": at_most(250),
    "small, sequential/ours, requests": at_least(2),
}
NEEDS = ("taskset",)
OTHERWISE = {"large, ": "one run"}
"""A run of the large world takes most of a minute, and what is measured there is no comparison."""
LATENCY_MS = 50
BUDGET = 4500
"""Heroku's hourly requests, full again before each run: the large world takes 3,300 of them, cold and again."""
OPTIONS = Options(latency_ms=LATENCY_MS)
WORKERS = 32
SMALL = SeedOptions(teams=25, members=1000, apps=150, enterprise_accounts=3, spaces=4)
LARGE = SeedOptions(teams=500, members=20000, apps=3000, enterprise_accounts=3, spaces=20)
Run = dict[str, float]
"""What one process measured of one gather, by name."""
_HEADERS = {"accept": "application/vnd.heroku+json; version=3"}


def measure(rounds: int, _seconds: float) -> dict[str, float]:
    """Both ways over the small world, in turn; ours alone over the large one, where the other would take minutes."""
    with RunningSandbox(seed=SMALL, options=OPTIONS, thread=False) as sandbox:
        both = [(_in_a_process(sandbox), _sequential(sandbox)) for _ in range(rounds)]
    with RunningSandbox(seed=LARGE, options=OPTIONS, thread=False) as sandbox:
        large = _in_a_process(sandbox)
        held = _served(sandbox)
    return {**small_figures(both), **large_figures(large), **{f"large, {name}": mb for name, mb in held.items()}}


def small_figures(both: Sequence[tuple[Run, Run]]) -> dict[str, float]:
    """Medians, and their ratios, of runs of ours and of the other way."""
    ours, theirs = ({name: median(run[name] for run in runs) for name in runs[0]} for runs in zip(*both, strict=True))
    return {
        "small, ours, requests": ours["requests"],
        "small, sequential, requests": theirs["requests"],
        "small, sequential/ours, requests": theirs["requests"] / ours["requests"],
        "small, sequential/ours, time": theirs["wall"] / ours["wall"],
        **_again("small", ours),
    }


def large_figures(run: Run) -> dict[str, float]:
    bound = 1.2 * math.ceil(run["requests"] / WORKERS) * LATENCY_MS / 1000 + run["cpu"]
    return {
        "large, requests": run["requests"],
        "large, wall s": run["wall"],
        "large, cpu s": run["cpu"],
        "large, wall/bound": run["wall"] / bound,
        "large, peak MB": run["peak_mb"],
        "large, warm, a page of 100, requests": run["page_requests"],
        "large, warm, a page of 100, ms": run["page_wall"] * 1000,
        **_again("large", run),
    }


def _again(world: str, run: Run) -> dict[str, float]:
    return {
        f"{world}, gathered again, requests": run["again_requests"],
        f"{world}, gathered again, answered with 304": run["again_not_modified"],
        f"{world}, gathered again, wall s": run["again_wall"],
        f"{world}, gathered again, cpu s": run["again_cpu"],
        f"{world}, again/cold, time": run["again_wall"] / run["wall"],
    }


def _served(sandbox: RunningSandbox) -> dict[str, float]:
    """What the memory of a server comes to."""
    sandbox.budget(BUDGET)
    with TemporaryDirectory() as directory:
        environ = {**_environ(sandbox, directory), "DIRECTORY_MAX_AGE": "86400"}
        return resident(environ, asyncio.run(prepared(environ, sandbox.owner_token)))


def _in_a_process(sandbox: RunningSandbox) -> Run:
    """A process of its own for each gather, so that memory and CPU are the gather's."""
    sandbox.budget(BUDGET)
    with TemporaryDirectory() as directory:
        environ = _environ(sandbox, directory)
        command = [sys.executable, "-m", "tests.bench.gathering"]
        run = subprocess.run(
            command,
            env={**os.environ, **environ},
            input=sandbox.owner_token,
            capture_output=True,
            text=True,
            check=True,
        )
    found: Run = json.loads(run.stdout.splitlines()[-1])
    return found


def _environ(sandbox: RunningSandbox, directory: str) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{Path(directory) / 'bench.db'}",
        "ADAPTER_SECRET_KEYS": "b" * 40,
        "HEROKU_API_URL": sandbox.url,
        "DIRECTORY_WAIT": "600",
        "LOG_LEVEL": "error",
    }


def _sequential(sandbox: RunningSandbox) -> Run:
    sandbox.reset_requests()
    begun = time.perf_counter()
    with httpx.Client(base_url=sandbox.url, headers=_headers(sandbox.owner_token), trust_env=False) as client:
        for enterprise in _listed(client, "/enterprise-accounts"):
            _listed(client, f"/enterprise-accounts/{enterprise['id']}/members")
        for team in _listed(client, "/teams"):
            for kind in ("members", "invitations"):
                _listed(client, f"/teams/{team['id']}/{kind}")
            for app in _listed(client, f"/teams/{team['id']}/apps"):
                _listed(client, f"/apps/{app['id']}/collaborators")
    return {"requests": sandbox.request_count(), "wall": time.perf_counter() - begun}


def _listed(client: httpx.Client, path: str) -> list[Any]:
    """A list page by page, in the 200 that the provider gives unasked."""
    found: list[Any] = []
    headers: dict[str, str] = {}
    while True:
        answer = client.get(path, headers=headers)
        answer.raise_for_status()
        found += answer.json()
        if "next-range" not in answer.headers:
            return found
        headers = {"range": answer.headers["next-range"]}


def _headers(token: str) -> dict[str, str]:
    return {**_HEADERS, "authorization": f"Bearer {token}"}


async def _gather(api_key: str) -> Run:
    """Nobody's units are known at first; then all are; then all are too old."""
    settings = load()
    async with open_house(settings) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret(api_key))
        client = await house.accounts.open(account.id)
        users = house.directory.resource("users")
        query = parse_list(users, {"limit": ["100"]})

        async def ask() -> Run:
            return await _timed(house.directory.list_records(account.id, client, users, query), settings.heroku_api_url)

        cold = await ask()
        # Before the second gather, which holds two readings of everything for a while.
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        page = await ask()
        await (await house.directory.opened(account.id, client)).make_stale(lambda _: True)
        again = await ask()
    return {
        **{name: cold[name] for name in ("wall", "cpu", "requests")},
        "peak_mb": peak_mb,
        **{f"page_{name}": page[name] for name in ("wall", "requests")},
        **{f"again_{name}": value for name, value in again.items()},
    }


async def _timed(question: Awaitable[object], sandbox_url: str) -> Run:
    """What answering costs: seconds by the clock and of the processor, requests, and those answered with 304."""
    requests, unmodified = _count(sandbox_url), _count(sandbox_url, status="304")
    wall, cpu = time.perf_counter(), time.process_time()
    await question
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall": wall,
        "cpu": cpu,
        "requests": _count(sandbox_url) - requests,
        "not_modified": _count(sandbox_url, status="304") - unmodified,
    }


def _count(sandbox_url: str, **narrowed: str) -> float:
    query = {"count_only": "1", **narrowed}
    answer = httpx.get(f"{sandbox_url}/sandbox/requests", params=query, trust_env=False)
    return float(answer.json()["count"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_gather(sys.stdin.read().strip()))) + "\n")
