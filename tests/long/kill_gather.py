"""Adapters that are killed in the middle of gathers, and whether what they leave behind is whole.

The world changes between the gathers, and every record in it shows of which version it is: a unit that is torn, or put
together from two readings, is not what the world said when it was read.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from adapter.app import open_house
from adapter.config import Settings
from adapter.declarations import bundled_dir
from adapter.mapping.loading import load_model
from adapter.mapping.model import Unit
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox, SeedOptions
from adapter.storage.database import Database
from adapter.storage.units import StoredUnit, UnitStore
from tests.cli.running import clean_environment
from tests.e2e.worlds import Truth

KEY = "a-key-for-tests-that-is-long-enough-0123456789"
PATIENCE_S = 60
SEED = SeedOptions(teams=5, members=1_100, apps=25)
OPTIONS = Options(latency_ms=3, consistency_s=0, budget_capacity=10_000_000, budget_per_minute=10_000_000)

MODEL = load_model([bundled_dir() / "heroku"])


class Changing:
    """A sandbox whose world is another one after each `change`, and what it says of a unit at the moment."""

    def __init__(self, sandbox: RunningSandbox, http: httpx.Client, random: Random) -> None:
        self._sandbox = sandbox
        self._random = random
        self._http = http
        self._version = 0
        self.since = time.time()
        world = sandbox.world
        big = min(world.teams.values(), key=lambda team: team.id)
        for account in list(world.accounts.values()):
            if account.id not in big.members and "@example.com" in account.email:
                # More than one page of them.
                world.add_member(big, account)

    def change(self) -> None:
        """Many people and places are renamed, some people leave teams, others join them. Some lists stay."""
        self._version += 1
        world = self._sandbox.world
        for account in filter(self._chosen, world.accounts.values()):
            account.name = f"{(account.name or 'Nobody').partition(' v')[0]} v{self._version}"
        for app in filter(self._chosen, list(world.apps.values())):
            world.rename("app", app, f"{app.name.partition('-v')[0]}-v{self._version}")
        for team in filter(self._chosen, list(world.teams.values())):
            world.rename("team", team, f"{team.name.partition('-v')[0]}-v{self._version}")
            plain = [member for member in team.members.values() if member.role == "member"]
            for member in self._random.sample(plain, min(3, len(plain))):
                world.remove_member(team, world.accounts[member.account_id])
            for account in self._random.sample(list(world.accounts.values()), 3):
                if account.id not in team.members and account.email != "loner@example.com":
                    world.add_member(team, account)
        world.touch()
        self.since = time.time()

    def _chosen(self, _: object) -> bool:
        return self._random.random() < 0.3

    def directory(self) -> dict[str, Any]:
        """Who has what by the world's own tables."""
        truth = Truth(self._sandbox.truth())
        world = self._sandbox.world
        return {
            "users": {who: world.accounts[who].name if who in world.accounts else None for who in truth.people},
            "grants": sorted(truth.grants),
        }  # fmt: skip

    def says(self, path: str) -> tuple[Any, str | None]:
        """What a unit's list is right now, or the status of its refusal; and the ETag of a list of one page."""
        unit = unit_of(path)
        headers = {
            "authorization": f"Bearer {self._sandbox.owner_token}",
            "accept": unit.accept or "application/vnd.heroku+json; version=3",
        }
        if unit.order:
            headers["range"] = f"{unit.order} ..; max=1000"
        records: list[Any] = []
        pages = 0
        while True:
            answer = self._http.get(path, headers=headers)
            pages += 1
            if answer.status_code >= 400:
                return answer.status_code, None
            body = answer.json()
            records += body if isinstance(body, list) else [body]
            if "next-range" not in answer.headers:
                return records, answer.headers.get("etag") if pages == 1 else None
            headers["range"] = answer.headers["next-range"]


def unit_of(path: str) -> Unit:
    for unit in MODEL.units.values():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", unit.get), path):
            return unit
    raise AssertionError(f"no unit lives at {path}")


class Worker:
    """A process that gathers on command, killed at the end of the `with` if it still lives."""

    def __init__(self, settings: Settings, account_id: str) -> None:
        environment = clean_environment(
            DATABASE_URL=settings.database_url,
            ADAPTER_SECRET_KEYS=settings.adapter_secret_keys,
            HEROKU_API_URL=settings.heroku_api_url,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.long.worker", account_id],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the worker ended by itself ({self._process.wait(PATIENCE_S)})"
        return msgspec.json.decode(line)

    def kill(self) -> bool:
        """SIGKILL; whether it was still gathering, or else had said that it was done."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        return not self._process.stdout.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Trial:
    """One database, with adapters on it that are killed again and again. AssertionError says what was found broken."""

    def __init__(
        self, sandbox: RunningSandbox, http: httpx.Client, database_url: str, random: Random, *, companion: bool
    ) -> None:
        self._random = random
        self._world = Changing(sandbox, http, random)
        self._settings = Settings(
            database_url=database_url, adapter_secret_keys=KEY, heroku_api_url=sandbox.url, log_level="error"
        )
        self._account_id = asyncio.run(self._connected(sandbox.owner_token))
        self._seen: dict[str, Any] = {}
        """Path -> what the unit was when it was last held against the world."""
        self._companion = companion
        """Whether a second process gathers on the same database at the same time, and lives."""
        self.killed_midway = 0
        self.units_checked = 0

    async def _connected(self, token: str) -> str:
        await Database(self._settings.database_url).migrate()
        async with open_house(self._settings) as house:
            account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(token))
            return account.id

    def run(self) -> None:
        """A restarted adapter completes with the right directory; then it is killed in the middle of the next gather,
        and what it leaves behind is whole. A second one beside it completes all the same.
        """
        self._world.change()
        with self._worker() as worker, ExitStack() as others:
            beside = others.enter_context(self._worker()) if self._companion else None
            assert worker.hear() == "ready"
            took = self._completes(worker)
            self._check_units()
            self._world.change()
            worker.tell("write")
            assert worker.hear() == "begun"
            if beside is not None:
                assert beside.hear() == "ready"
                beside.tell("gather")
            time.sleep(self._random.uniform(0, took))
            self.killed_midway += worker.kill()
            if beside is not None:
                self._is_right(beside.hear())
            self._check_units()

    def _worker(self) -> Worker:
        return Worker(self._settings, self._account_id)

    def _completes(self, worker: Worker) -> float:
        began = time.monotonic()
        worker.tell("gather")
        self._is_right(worker.hear())
        return time.monotonic() - began

    def _is_right(self, found: dict[str, Any]) -> None:
        expected = self._world.directory()
        assert found["users"] == expected["users"], _difference(found["users"], expected["users"])
        assert found["grants"] == expected["grants"], _difference(found["grants"], expected["grants"])

    def _check_units(self) -> None:
        for row in asyncio.run(self._stored()):
            found = content(row)
            if row.fetched_at >= self._world.since:
                expected, etag = self._world.says(row.path)
                assert found == expected, f"{row.path} is not what the world says"
                assert row.etag in {None, etag}, f"{row.path} has the ETag of something else"
                self._seen[row.path] = found
            else:
                assert found == self._seen[row.path], f"{row.path} is neither what it was nor what it became"
            self.units_checked += 1

    async def _stored(self) -> list[StoredUnit]:
        async with Database(self._settings.database_url) as database:
            return await UnitStore(database).load(self._account_id)


def content(row: StoredUnit) -> Any:
    """A stored unit's records, or the status of the refusal that is kept instead."""
    if row.body is None:
        assert row.refusal is not None, f"{row.path} has neither records nor a refusal"
        return row.refusal["status"]
    return msgspec.json.decode(zlib.decompress(row.body))


def _difference(found: Any, expected: Any) -> str:
    mine, theirs = (set(x.items()) if isinstance(x, dict) else set(x) for x in (found, expected))
    return f"too much: {sorted(map(str, mine - theirs))[:3]}; lacking: {sorted(map(str, theirs - mine))[:3]}"


@contextmanager
def trial(database_url: str, seed: int) -> Iterator[Trial]:
    """A trial over a sandbox of its own. On PostgreSQL, which many processes share, a second one gathers beside."""
    with (
        RunningSandbox(seed=SEED, options=OPTIONS) as sandbox,
        httpx.Client(base_url=sandbox.url, trust_env=False, timeout=PATIENCE_S) as http,
    ):
        random = Random(seed)  # noqa: S311  # a moment to kill at, not a secret
        yield Trial(sandbox, http, database_url, random, companion=not database_url.startswith("sqlite:"))


def kill_gather(runs: int, seed: int, directory: Path, postgres_url: str) -> Iterator[tuple[str, int, Trial]]:
    """So many runs, on both databases in turn; after each its database, its number, and the trial so far."""
    urls = {"sqlite": f"sqlite:///{directory / 'adapter.db'}", "postgresql": postgres_url}
    with ExitStack() as stack:
        trials = {name: stack.enter_context(trial(url, seed + n)) for n, (name, url) in enumerate(urls.items())}
        for number in range(runs):
            name = list(urls)[number % len(urls)]
            trials[name].run()
            yield name, number + 1, trials[name]


assert os.name == "posix", "SIGKILL is what this is about"
