"""A cold gather against the way that published connectors go: one request after the other, one for each app."""

import asyncio
import json
import math
import os
import resource
import subprocess
import sys
import time
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
from tests.bench.pages import prepared
from tests.bench.warm import resident

WHAT = "a cold gather at 50 ms of latency; small: 25 teams, 150 apps; large: 500 teams, 20,000 people, 3,000 apps"
AIMS = {
    "large, wall/bound": "at most 1",
    "large, peak MB": "at most 400",
    "large, warm MB, gathered": "at most 250",
    "large, warm MB, loaded": "at most 250",
    "small, sequential/ours, requests": "at least 2",
}
NEEDS = ()
LATENCY_MS = 50
WORKERS = 32
SMALL = SeedOptions(teams=25, members=1000, apps=150, enterprise_accounts=3, spaces=4)
LARGE = SeedOptions(teams=500, members=20000, apps=3000, enterprise_accounts=3, spaces=20)
_HEADERS = {"accept": "application/vnd.heroku+json; version=3"}


def measure(rounds: int, _seconds: float) -> dict[str, float]:
    """Both ways over the small world, in turn; ours alone over the large one, where the other would take minutes."""
    with RunningSandbox(seed=SMALL, options=Options(latency_ms=LATENCY_MS), thread=False) as sandbox:
        ours = [_in_a_process(sandbox) for _ in range(rounds)]
        theirs = [_sequential(sandbox) for _ in range(max(1, rounds // 2))]
    with RunningSandbox(seed=LARGE, options=Options(latency_ms=LATENCY_MS), thread=False) as sandbox:
        large = _in_a_process(sandbox)
        held = _served(sandbox)
    bound = 1.2 * math.ceil(large["requests"] / WORKERS) * LATENCY_MS / 1000 + large["cpu"]
    return {
        "small, ours, requests": median(run["requests"] for run in ours),
        "small, sequential, requests": median(run["requests"] for run in theirs),
        "small, sequential/ours, requests": theirs[0]["requests"] / ours[0]["requests"],
        "small, sequential/ours, time": median(r["wall"] for r in theirs) / median(r["wall"] for r in ours),
        "large, requests": large["requests"],
        "large, wall s": large["wall"],
        "large, cpu s": large["cpu"],
        "large, wall/bound": large["wall"] / bound,
        "large, peak MB": large["peak_mb"],
        "large, warm, a page of 100, requests": large["page_requests"],
        "large, warm, a page of 100, ms": large["page_wall"] * 1000,
        **{f"large, {name}": megabytes for name, megabytes in held.items()},
    }


def _served(sandbox: RunningSandbox) -> dict[str, float]:
    """What the memory of a server comes to."""
    sandbox.budget(4500)
    with TemporaryDirectory() as directory:
        environ = {**_environ(sandbox, directory), "DIRECTORY_MAX_AGE": "86400"}
        return resident(environ, asyncio.run(prepared(environ, sandbox.owner_token)))


def _in_a_process(sandbox: RunningSandbox) -> dict[str, float]:
    """A process of its own for each gather, so that memory and CPU are the gather's."""
    sandbox.budget(4500)
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
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def _environ(sandbox: RunningSandbox, directory: str) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{Path(directory) / 'bench.db'}",
        "ADAPTER_SECRET_KEYS": "b" * 40,
        "HEROKU_API_URL": sandbox.url,
        "DIRECTORY_WAIT": "600",
        "LOG_LEVEL": "error",
    }


def _sequential(sandbox: RunningSandbox) -> dict[str, float]:
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


async def _gather(api_key: str) -> dict[str, float]:
    settings = load()
    async with open_house(settings) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret(api_key))
        client = await house.accounts.open(account.id)
        users = house.directory.resource("users")
        query = parse_list(users, {"limit": ["100"]})
        begun = _count(settings.heroku_api_url)
        wall, cpu = time.perf_counter(), time.process_time()
        await house.directory.list_records(account.id, client, users, query)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        gathered = _count(settings.heroku_api_url)
        rewarmed = time.perf_counter()
        await house.directory.list_records(account.id, client, users, query)
        rewarmed = time.perf_counter() - rewarmed
        return {
            "wall": wall,
            "cpu": cpu,
            "requests": gathered - begun,
            "page_wall": rewarmed,
            "page_requests": _count(settings.heroku_api_url) - gathered,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _count(sandbox_url: str) -> float:
    answer = httpx.get(f"{sandbox_url}/sandbox/requests", params={"count_only": "1"}, trust_env=False)
    return float(answer.json()["count"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_gather(sys.stdin.read().strip()))) + "\n")
