"""Two adapters on one PostgreSQL, asked at once for the same large directory, of which neither has anything yet."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from adapter.app import open_house
from adapter.config import Settings
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox, SeedOptions
from adapter.storage.database import Database
from tests.cli.running import clean_environment
from tests.e2e.worlds import Truth
from tests.long.kill_gather import KEY

SEED = SeedOptions(teams=500, members=20_000, apps=3_000, enterprise_accounts=3, spaces=20)
OPTIONS = Options(latency_ms=50)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. AssertionError before there is any where an answer was not right."""

    requests: int
    seconds: float
    twice: dict[str, int]
    """Path -> how often it was asked for, of those asked for more than once: pages of one list count once."""


def two_processes(database_url: str, seed: SeedOptions = SEED, options: Options = OPTIONS) -> Found:
    """Ask both at once for everybody; each must answer with everybody."""
    with RunningSandbox(seed=seed, options=options, thread=False) as sandbox:
        settings = Settings(
            database_url=database_url, adapter_secret_keys=KEY, heroku_api_url=sandbox.url, log_level="error"
        )
        account_id = asyncio.run(_connected(settings, sandbox.owner_token))
        with ExitStack() as stack:
            workers = [stack.enter_context(_worker(settings, account_id)) for _ in range(2)]
            for worker in workers:
                assert _hear(worker) == "ready"
            sandbox.reset_requests()
            began = time.monotonic()
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("ask\n")
                worker.stdin.flush()
            answers = [_hear(worker) for worker in workers]
            seconds = time.monotonic() - began
        asked = sandbox.requests()
        people = Truth(sandbox.truth()).people
    assert all(set(answer["users"]) == set(people) for answer in answers), "an answer lacks people, or has too many"
    return Found(requests=len(asked), seconds=seconds, twice=_twice(asked))


def _twice(asked: list[dict[str, object]]) -> dict[str, int]:
    counts = Counter((str(request["path"]), str(request.get("range"))) for request in asked)
    return {f"{path} {page}": count for (path, page), count in counts.items() if count > 1}


async def _connected(settings: Settings, token: str) -> str:
    await Database(settings.database_url).migrate()
    async with open_house(settings) as house:
        account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(token))
        return account.id


@contextmanager
def _worker(settings: Settings, account_id: str) -> Iterator["subprocess.Popen[str]"]:
    environment = clean_environment(
        DATABASE_URL=settings.database_url,
        ADAPTER_SECRET_KEYS=settings.adapter_secret_keys,
        HEROKU_API_URL=settings.heroku_api_url,
        DIRECTORY_WAIT="600",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.long.worker", account_id],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _hear(worker: "subprocess.Popen[str]") -> Any:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    assert line, "a worker ended by itself"
    return msgspec.json.decode(line)
