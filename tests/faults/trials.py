"""An adapter before a Heroku that is reached over a line that breaks: what is asked of it, and how it is judged."""

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec

from adapter.config import Settings
from adapter.sandbox import Options, RunningSandbox, World
from tests.cli.running import until
from tests.e2e.serving import KEY, Connected, _connected, _free_port, serving
from tests.e2e.test_writes import a_world
from tests.e2e.worlds import Truth
from tests.faults.line import Authority, Line
from tests.long.served import Served

DIRECTORY = "/unified/user-directory"
HEROKU = {"accept": "application/vnd.heroku+json; version=3"}
FRESH = {"cache-control": "no-cache"}
QUICK: dict[str, Any] = {
    "upstream_timeout": 1.0,
    "upstream_concurrency": 8,
    "directory_wait": 5.0,
    "directory_reserve": 0,
    "log_level": "error",
}
NEWCOMERS = 12


def told(answer: httpx.Response) -> tuple[int, str]:
    """An error's status, and its stable code."""
    return answer.status_code, answer.json()["code"]


@dataclass(kw_only=True)
class Trial:
    """What is tried, and what is so."""

    connected: Connected
    line: Line
    http: httpx.Client
    ids: dict[str, str]

    @property
    def sandbox(self) -> RunningSandbox:
        return self.connected.sandbox

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        params = {"integrated_account_id": self.connected.account_id, **more.pop("params", {})}
        return self.http.request(method, path, params=params, headers={**HEROKU, **more.pop("headers", {})}, **more)

    def people(self, **params: str) -> httpx.Response:
        """Everybody, as Heroku has them now."""
        return self.ask(f"{DIRECTORY}/users", headers=FRESH, params=params)

    def grant(self, person: str = "carl", **more: Any) -> httpx.Response:
        """Give somebody an app."""
        body = {"user_id": self.ids[person], "role_id": "app:deploy", "workspace_id": self.ids["core"]}
        return self.ask(f"{DIRECTORY}/role_assignments", "POST", json=body, **more)

    def granted(self, person: str = "carl") -> int:
        """How often the world has that grant."""
        wanted = (self.ids[person], self.ids["core"])
        return sum((row["account_id"], row["app_id"]) == wanted for row in self.sandbox.truth()["collaborations"])

    def mint(self) -> httpx.Response:
        """A write of the adapter's own."""
        return self.http.post("/integrated-account/token", json={"integrated_account_id": self.connected.account_id})

    def tokens(self) -> int:
        """How many it knows to have made."""
        return len(self.http.get(f"/integrated-account/{self.connected.account_id}/tokens").json()["result"])

    def is_well(self) -> None:
        """Every door answers with what is so: nothing was lost, nothing is half-written, and nobody restarted it."""
        assert self.ask("/custom/teams").status_code == 200
        assert self.ask("/proxy/teams").json()["result_count"] > 0
        until(self._reads_again, "a directory that is read again")
        answer = self.people(limit="1000")
        assert answer.status_code == 200, answer.text
        assert "is_partial_response" not in answer.json(), answer.json()["missing"]
        truth = Truth(self.sandbox.truth())
        assert {user["id"] for user in answer.json()["result"]} == truth.people
        grants = self.ask(f"{DIRECTORY}/role_assignments", headers=FRESH, params={"limit": "1000"}).json()["result"]
        assert {grant["id"] for grant in grants} == truth.grants

    def _reads_again(self) -> bool:
        """Whether every list is asked for anew by who insists: after a refusal of the whole account it is not at first,
        and what is known is answered instead.
        """
        before = len(self.line.asked)
        self.people()
        return f"GET /teams/{self.ids['acme']}/members" in self.line.asked[before:]


def a_town() -> tuple[World, dict[str, str]]:
    """A small world with people who have no app yet, `new-0` and on: what is given and taken back settles slowly.

    And `lone`, of whom one list alone tells: that of the members of `acme`.
    """
    world, ids = a_world()
    for n in range(NEWCOMERS):
        who = world.add_account(f"new-{n}@example.com", f"New {n}")
        world.add_member(world.teams[ids["works"]], who, "member")
        ids[f"new-{n}"] = who.id
    lone = world.add_account("lone@example.com", "Lone")
    world.add_member(world.teams[ids["acme"]], lone, "member")
    return world, {**ids, "lone": lone.id}


@contextmanager
def a_trial(
    where: Path, database_url: str = "", tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Trial]:
    """A trial of its own, by an adapter in this process; well at its beginning, and at its end."""
    with a_line(tls) as (sandbox, line, ids):
        url = line.url.replace("127.0.0.1", host)
        beside = serving(sandbox, where, database_url=database_url, heroku_api_url=url, **QUICK)
        with _well(beside, line, ids) as trial:
            yield trial


@contextmanager
def a_trial_apart(where: Path, database_url: str = "", **changes: Any) -> Iterator[tuple[Trial, Served]]:
    """Likewise by an adapter in a process of its own, which comes second; over TLS, as Heroku is reached."""
    authority = Authority(where)
    with a_line(authority.good()) as (sandbox, line, ids):
        settings = Settings(
            database_url=database_url or f"sqlite:///{where / 'adapter.db'}",
            adapter_secret_keys=KEY,
            heroku_api_url=sandbox.url,
            port=_free_port(),
            **{**QUICK, **changes},
        )
        token, account = asyncio.run(_connected(settings, sandbox.owner_token))
        settings = msgspec.structs.replace(settings, heroku_api_url=line.url)
        with Served(settings, partial(believe, authority.path)) as served:
            connected = Connected(
                url=served.url, sandbox=sandbox, api_token=token, account_id=account, settings=settings
            )
            with _well(_as_it_is(connected), line, ids) as trial:
                yield trial, served


def believe(path: Path) -> None:
    """Have this process take an authority's word for who is who."""
    os.environ["SSL_CERT_FILE"] = str(path)


@contextmanager
def a_line(tls: ssl.SSLContext | None = None) -> Iterator[tuple[RunningSandbox, Line, dict[str, str]]]:
    world, ids = a_town()
    options = Options(consistency_s=0, budget_capacity=1_000_000)
    with RunningSandbox(world, options=options) as sandbox, Line(sandbox.url, tls) as line:
        yield sandbox, line, ids


@contextmanager
def _well(served: AbstractContextManager[Connected], line: Line, ids: dict[str, str]) -> Iterator[Trial]:
    with served as connected, connected.client() as http:
        trial = Trial(connected=connected, line=line, http=http, ids=ids)
        trial.is_well()
        yield trial
        trial.is_well()


@contextmanager
def _as_it_is(connected: Connected) -> Iterator[Connected]:
    yield connected
