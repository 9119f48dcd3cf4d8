"""What is tried: a fleet before a sandbox, with the owner of everything connected, and somebody else for the load."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from adapter.app import open_house
from adapter.config import Settings
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox, SeedOptions
from tests.cli.running import clean_environment
from tests.e2e.consent import settings_for
from tests.e2e.worlds import Truth
from tests.long.many.fleet import Answer, Fleet, Layout, Line
from tests.long.many.load import DIRECTORY

SEED = SeedOptions(teams=24, members=200, apps=48)
PER_MINUTE = 1200
"""Requests that flow back: faster than at Heroku, that nobody has to wait for minutes."""
OPTIONS = Options(latency_ms=5, consistency_s=0.3, budget_capacity=10_000_000, budget_per_minute=PER_MINUTE)
OLD_S = 6
_SECOND = "second.admin@example.com"
_OWN_TEAMS = 4
_TOLD = ("database_url", "adapter_secret_keys", "heroku_api_url", "heroku_auth_url", "heroku_oauth_id",
         "heroku_oauth_secret", "mappings_dir")  # fmt: skip


class Trial:
    """What the points have in common. `old_s`: the age in seconds at which they call a list too old."""

    def __init__(
        self, fleet: Fleet, sandbox: RunningSandbox, settings: Settings, random: Random, *, old_s: int = OLD_S
    ) -> None:
        self.fleet = fleet
        self.sandbox = sandbox
        self.settings = settings
        self.random = random
        self.old_s = old_s
        self.token = ""
        self.account_id = ""
        self.load_account_id = ""
        truth = sandbox.truth()
        self._owner_id = next(one["id"] for one in truth["accounts"] if one["email"] == "owner@example.com")
        direct = [team for team in truth["teams"] if "team-invite-acceptance" not in team["features"]]
        self.load_teams, self.teams = direct[:_OWN_TEAMS], direct[_OWN_TEAMS:]
        """Whoever is added to these is a member at once."""
        self._numbers = iter(range(10**6))

    async def connect(self) -> None:
        """The account that is tried, and the load's: an administrator of some teams of the world's."""
        async with open_house(self.settings) as house:
            _, token = await house.tokens.create_api()
            self.token = token.reveal()
            mine = await house.accounts.connect_api_key(tenant_id="main", api_key=Secret(self.sandbox.owner_token))
            self.account_id = mine.id
            client = await house.accounts.open(mine.id)
            for team in self.load_teams:
                await client.send("PUT", f"/teams/{team['id']}/members", json={"email": _SECOND, "role": "admin"})
            key = Secret(self.sandbox.token(["global"], _SECOND))
            self.load_account_id = (await house.accounts.connect_api_key(tenant_id="load", api_key=key)).id

    def number(self) -> int:
        """Another one each time."""
        return next(self._numbers)

    def person(self) -> str:
        """The address of somebody whom nobody has heard of."""
        return f"person-{self.number()}-{self.random.randrange(10**6)}@example.com"

    def chosen(self) -> tuple[int, list[int]]:
        """A process, and the others."""
        pids = self.fleet.pids()
        one = self.random.choice(pids)
        return one, [pid for pid in pids if pid != one]

    # --- asking

    def get(self, line: Line, path: str, *, account_id: str = "", headers: Any = None, **query: Any) -> Answer:
        account = {"integrated_account_id": account_id or self.account_id}
        return line.ask("GET", path, self.token, headers=headers, **account, **query)

    def users(self, line: Line, *, account_id: str = "", max_age: int | None = None, **query: Any) -> Answer:
        headers = {} if max_age is None else {"cache-control": f"max-age={max_age}"}
        more = {"limit": 1000, **query}
        return self.get(line, f"{DIRECTORY}/users", account_id=account_id, headers=headers, **more)

    def write(self, line: Line, path: str, body: Any, *, headers: Any = None) -> Answer:
        account = {"integrated_account_id": self.account_id}
        return line.ask("POST", DIRECTORY + path, self.token, json=body, headers=headers, **account)

    def written(self, pid: int, path: str, body: Any) -> Answer:
        """The same, through a certain process."""
        with self.fleet.line(pid) as line:
            return self.write(line, path, body)

    def connected(self, pid: int, tenant: str) -> str:
        """The owner's account for another tenant, through a certain process."""
        key = {"api_key": self.sandbox.owner_token}
        body = {"tenant_id": tenant, "authentication_method": "api_key", "context": key}
        answer = self.fleet.ask(pid, "POST", "/integrated-account", self.token, json=body)
        assert answer.status in {200, 201}, answer.body
        return str(answer.json()["id"])

    # --- the world

    def asked(self) -> list[dict[str, Any]]:
        """What the owner's Heroku account was asked for since the last reset."""
        return [entry for entry in self.sandbox.requests() if entry["account_id"] == self._owner_id]

    def writes(self) -> list[dict[str, Any]]:
        return [entry for entry in self.asked() if entry["method"] != "GET"]

    def truth(self) -> Truth:
        return Truth(self.sandbox.truth())


@contextmanager
def trial(
    layout: Layout, count: int, database_url: str, seed: int, directory: Path, *, world: SeedOptions = SEED,
    old_s: int = OLD_S,
) -> Iterator[Trial]:  # fmt: skip
    """A fleet on a migrated database, before a sandbox of its own."""
    refill = directory / "mappings" / "heroku" / "provider.yaml"
    refill.parent.mkdir(parents=True, exist_ok=True)
    refill.write_text(f"budget: {{per_minute: {PER_MINUTE}}}\n")
    with RunningSandbox(seed=world, options=OPTIONS, thread=False) as sandbox:
        found = settings_for(sandbox, database_url)
        settings = msgspec.structs.replace(found, mappings_dir=str(refill.parent.parent), log_level="error")
        told = {name.upper(): str(getattr(settings, name)) for name in _TOLD}
        environment = clean_environment(**told, LOG_FORMAT="json", LOG_LEVEL="error")
        with Fleet(layout, count, environment, directory / f"{layout}.log") as fleet:
            random = Random(seed)  # noqa: S311  # who is asked, not a secret
            made = Trial(fleet, sandbox, settings, random, old_s=old_s)
            asyncio.run(made.connect())
            yield made
