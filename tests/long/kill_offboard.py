"""Adapters that are killed in the middle of writes over forty places, and whether what their journals say then is true.

Somebody is given access everywhere, by the world or by the adapter, and off-boarded. The adapter is killed at any
request of it, once or twice, while the provider is well or makes trouble. What the next adapter says in the end is held
against the world.
"""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx

from adapter.app import open_house
from adapter.config import Settings
from adapter.directory.writing.model import UNFINISHED
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox, World
from adapter.sandbox.records import Account
from adapter.storage.database import Database
from adapter.storage.operations import GOING
from adapter.storage.tables import OPERATIONS, PLACE_LOCKS
from tests.directory.writing.offboarding import held
from tests.long.kill_gather import KEY
from tests.long.served import PATIENCE_S, Served

OPTIONS = Options(consistency_s=0.3, latency_ms=15, budget_capacity=10_000_000, budget_per_minute=10_000_000)
CONTROLS, INVITES = "org-access-controls", "team-invite-acceptance"
LONGER_THAN_A_LEASE = 60.0
DIRECTORY = "/unified/user-directory"

TROUBLES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "none": (),
    "refused": ({"kind": "status", "status": 403, "match": {"method": "DELETE", "path": "/teams/{team}/members/*"}},),
    "broken": ({"kind": "status", "status": 500, "match": {"method": "DELETE", "path": "/apps/{app}/*"}},),
    "lost": (
        {"kind": "reset", "carried_out": True, "probability": 0.3, "match": {"method": "DELETE", "path": "/*"}},
        {"kind": "reset", "carried_out": True, "probability": 0.3, "match": {"method": "PUT", "path": "/*"}},
        {"kind": "reset", "carried_out": True, "probability": 0.3, "match": {"method": "POST", "path": "/*"}},
    ),
    "undone": ({"kind": "reset", "probability": 0.2, "match": {"method": "DELETE", "path": "/*"}},),
    "busy": ({"kind": "rate_limit", "retry_after": "1", "times": 3, "match": {"method": "DELETE", "path": "/*"}},),
}
"""What the provider does while somebody is off-boarded, by name."""
HARMLESS = frozenset({"none", "lost", "busy"})
"""After these everybody is out who could be taken out."""


class Town:
    """A world in which one can be in forty places, none of which goes with another, and in two that go with one."""

    def __init__(self) -> None:
        self.world = World()
        self.owner = self.world.add_account("owner@example.com", "Olga Owner")
        self._corps = [self.world.add_enterprise(f"corp-{n}") for n in range(6)]
        for corp in self._corps:
            self.world.add_enterprise_member(corp, self.owner, "view", "create", "manage")
        add = self.world.add_team
        self._teams = [add(f"team-{n}", admins=[self.owner]) for n in range(10)]
        self._open = [add(f"open-{n}", admins=[self.owner], features={INVITES}) for n in range(10)]
        self._works = [self._work(n) for n in range(4)]
        self._cores = [self.world.add_app(f"core-{n}", team=team) for n, team in enumerate(self._works)]
        self._vault = self.world.add_space("vault", self._works[0])
        self._mine = [self.world.add_app(f"mine-{n}", owner=self.owner) for n in range(10)]

    def _work(self, n: int) -> Any:
        return self.world.add_team(
            f"works-{n}", kind="enterprise", admins=[self.owner], features={CONTROLS}, enterprise=self._corps[0]
        )

    def roles(self) -> list[dict[str, Any]]:
        """Access to every place, as it is asked of the adapter."""
        wanted: list[tuple[str, str, Sequence[Any]]] = [
            ("team:member", "group", [*self._teams, *self._open, *self._works[:2]]),
            ("enterprise:view", "organization", self._corps),
            ("app:deploy", "workspace", [self._cores[0], *self._cores[2:]]),
            ("app:collaborator", "workspace", self._mine),
            ("space:create_apps", "workspace", [self._vault]),
        ]
        return [{"id": role, word: {"id": place.id}} for role, word, places in wanted for place in places]

    def put_everywhere(self, who: Account) -> None:
        """The same access, given by the world."""
        for team in (*self._teams, *self._works[:2]):
            self.world.add_member(team, who, "member")
        for team in self._open:
            self.world.invite(team, who.email, "member", by=self.owner)
        for corp in self._corps:
            self.world.add_enterprise_member(corp, who, "view")
        for app in (self._cores[0], *self._cores[2:]):
            self.world.grant(app, who, "view", "deploy")
        for app in self._mine:
            self.world.grant(app, who)
        self.world.allow_in_space(self._vault, who, "create_apps")

    def keep(self, who: Account) -> None:
        """Two more places, which nobody but the person can leave: a team that they run alone, an app of their own."""
        self.world.add_team(
            f"sole-{who.name}", kind="enterprise", admins=[who], features={CONTROLS}, enterprise=self._corps[0]
        )
        self.world.grant(self.world.add_app(f"own-{who.name}", owner=who), self.owner)

    def faults(self, trouble: str) -> list[dict[str, Any]]:
        ids = {"{team}": self._teams[3].id, "{app}": self._mine[3].id}
        made = []
        for fault in TROUBLES[trouble]:
            path = fault["match"]["path"]
            for word, id_ in ids.items():
                path = path.replace(word, id_)
            made.append({**fault, "match": {**fault["match"], "path": path}})
        return made


class Trial:
    """One database, with adapters on it that are killed again and again. AssertionError says what was found untrue."""

    def __init__(self, town: Town, sandbox: RunningSandbox, database_url: str, random: Random) -> None:
        self._town = town
        self._sandbox = sandbox
        self._random = random
        self._settings = Settings(
            database_url=database_url,
            adapter_secret_keys=KEY,
            heroku_api_url=sandbox.url,
            port=_free_port(),
            log_level="error",
        )
        self._token, self._account_id = asyncio.run(self._connected())
        self._usual: dict[str, int] = {}
        """Requests that a write took from its first step on, by its path: any of them is a moment to kill at."""
        self._known: set[str] = set()
        """Operations that have been followed to their end."""
        self._served: Served | None = None
        self.kills = 0
        self.killed_midway = 0
        self.operations = 0
        self.ended: Counter[str] = Counter()

    async def _connected(self) -> tuple[str, str]:
        await Database(self._settings.database_url).migrate()
        async with open_house(self._settings) as house:
            _, token = await house.tokens.create_api()
            account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(self._sandbox.owner_token))
            return token.reveal(), account.id

    def close(self) -> None:
        if self._served is not None:
            self._served.kill()

    def run(self, number: int) -> None:
        """Somebody gets access everywhere, by the adapter in every third run, and loses it by the adapter."""
        who = self._town.world.add_account(f"person-{number}@example.com", f"person-{number}")
        self._start()
        if number % 3 == 0:
            self._hire(who)
        else:
            self._town.put_everywhere(who)
        self._off_board(who)

    # --- what is asked

    def _hire(self, who: Account) -> None:
        self._sandbox.faults(self._town.faults(self._random.choice(["none", "lost"])))
        operation = self._killed("/users", {"email": who.email, "roles": self._town.roles()}, who)
        self._sandbox.clear_faults()
        has = held(self._sandbox, who.email)
        assert operation["status"] == "succeeded", _told(operation)
        assert len(has) == len(self._town.roles()), f"said to have been given, and was not; has {sorted(has)}"

    def _off_board(self, who: Account) -> None:
        trouble = self._random.choice(sorted(TROUBLES))
        keeps = self._random.random() < 0.3
        if keeps:
            self._town.keep(who)
        before = held(self._sandbox, who.email)
        self._refreshed()
        self._sandbox.faults(self._town.faults(trouble))
        operation = self._killed("/users/offboard", {"email": who.email}, who)
        self._sandbox.clear_faults()
        left = held(self._sandbox, who.email)
        _is_true(operation, before, left)
        if trouble in HARMLESS:
            stays = {f"team sole-{who.name}", f"app own-{who.name}"} if keeps else set()
            assert left == stays, f"{trouble}: {sorted(left ^ stays)}; {_told(operation)}"

    def _nothing_done_twice(self) -> None:
        entries = [entry for entry in self._sandbox.requests() if entry["method"] != "GET"]
        done = Counter(
            f"{entry['method']} {entry['path']}"
            for entry in entries
            if 200 <= entry["status"] < 300 or entry["fault"] == "reset"
        )
        # An undone request is logged as a lost one is; and a removal that is sent again finds nobody.
        twice = {what: count for what, count in done.items() if count > 1 and not what.startswith("DELETE")}
        assert not twice, f"done twice: {twice}"

    # --- being killed

    def _killed(self, path: str, body: Mapping[str, Any], who: Account) -> dict[str, Any]:
        """Ask, kill at some request, and go on with what the journal knows, until it has ended; ask again what it does
        not know.
        """
        self._sandbox.reset_requests()
        before = held(self._sandbox, who.email)
        asked: threading.Thread | None = self._ask(path, body)
        for _ in range(1 + (self._random.random() < 0.3)):
            self._kill(self._random.randint(0, self._usual.get(path, 50)), asked)
            self._let_leases_lapse()
            self._start()
            asked = None
        found = self._operations(who)
        if not found:
            assert not self._writes(), "something was written of which no journal tells"
            assert held(self._sandbox, who.email) == before
            self._ask(path, body).join(PATIENCE_S)
            found = self._operations(who)
        assert len(found) == 1, f"{len(found)} operations for one write"
        operation = self._ended(found[0])
        self._nothing_done_twice()
        self._usual[path] = self._since_first_write()
        self.operations += 1
        self.ended[operation["status"]] += 1
        return operation

    def _ask(self, path: str, body: Mapping[str, Any]) -> threading.Thread:
        """The write, asked for by somebody whom the kill leaves without an answer."""

        def ask() -> None:
            try:
                self._http("POST", f"{DIRECTORY}{path}", json=body)
            except httpx.TransportError:
                return

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        return thread

    def _kill(self, after: int, asked: threading.Thread | None) -> None:
        """Kill after so many requests, mostly of those since the first step was sent, or once nothing is left to do."""
        if asked is not None and self._random.random() < 0.8:
            self._until(lambda: self._writes() > 0, asked)
        goal = self._requests() + after
        self._until(lambda: self._requests() >= goal, asked)
        time.sleep(self._random.uniform(0, 0.02))
        assert self._served is not None
        self._served.kill()
        self._served = None
        self.kills += 1
        if asked is not None:
            asked.join(PATIENCE_S)

    def _until(self, condition: Callable[[], bool], asked: threading.Thread | None) -> None:
        over = time.monotonic() + (PATIENCE_S if asked is not None else 3.0)
        while not condition() and time.monotonic() < over and (asked is None or asked.is_alive()):
            time.sleep(0.001)

    def _let_leases_lapse(self) -> None:
        self.killed_midway += asyncio.run(_leases_lapsed(self._settings.database_url))

    def _requests(self) -> int:
        return self._sandbox.sandbox.log.count

    def _writes(self) -> int:
        return sum(entry.method != "GET" for entry in list(self._sandbox.sandbox.log.entries))

    def _since_first_write(self) -> int:
        methods = [entry.method for entry in list(self._sandbox.sandbox.log.entries)]
        return len(methods) - next((n for n, method in enumerate(methods) if method != "GET"), 0)

    def _start(self) -> None:
        if self._served is None:
            self._served = Served(self._settings)

    # --- what the adapter says

    def _http(self, method: str, path: str, **more: Any) -> httpx.Response:
        params = {"integrated_account_id": self._account_id, **more.pop("params", {})}
        headers = {"authorization": f"Bearer {self._token}", **more.pop("headers", {})}
        url = f"http://{self._settings.host}:{self._settings.port}{path}"
        return httpx.request(method, url, params=params, headers=headers, trust_env=False, timeout=PATIENCE_S, **more)

    def _refreshed(self) -> None:
        """Have the directory read again what the world did behind its back."""
        answer = self._http("GET", f"{DIRECTORY}/users", params={"limit": 1}, headers={"cache-control": "no-cache"})
        assert answer.status_code == 200, answer.text

    def _operations(self, who: Account) -> list[str]:
        """The operations about somebody that have not been followed to their end."""
        answer = self._http("GET", "/operations", params={"limit": 5})
        assert answer.status_code == 200, answer.text
        new = [one["id"] for one in answer.json()["result"] if one["id"] not in self._known]
        return [id_ for id_ in new if self._operation(id_)["ask"]["person"]["email"] == who.email]

    def _operation(self, operation_id: str) -> dict[str, Any]:
        answer = self._http("GET", f"/operations/{operation_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _ended(self, operation_id: str) -> dict[str, Any]:
        self._known.add(operation_id)
        over = time.monotonic() + PATIENCE_S
        while (operation := self._operation(operation_id))["status"] in UNFINISHED:
            assert time.monotonic() < over, f"it does not end: {_told(operation)}"
            time.sleep(0.05)
        return operation


def _is_true(operation: Mapping[str, Any], before: set[str], left: set[str]) -> None:
    """Whether an off-boarding's report, and its steps, are what the world shows."""
    report = operation["result"]
    assert report is not None, _told(operation)
    states = {_name(told["place"]): told["state"] for told in report["places"]}
    gone = {name for name, state in states.items() if state == "gone"}
    assert not gone & left, f"called gone: {sorted(gone & left)}; {_told(operation)}"
    assert set(states) >= before, f"not told of: {sorted(before - set(states))}; {_told(operation)}"
    if report["is_complete"]:
        assert not left, f"called complete, left: {sorted(left)}; {_told(operation)}"
    untold = {name for name, state in states.items() if state == "remains"} - left
    assert not untold, f"said to remain, and gone: {sorted(untold)}; {_told(operation)}"
    last = {_name(state["step"]["place"]): state["status"] for state in operation["steps"]}
    undone = {name for name, status in last.items() if status in {"done", "already"}} & left
    assert not undone, f"steps said to be done: {sorted(undone)}; {_told(operation)}"
    if operation["status"] == "succeeded":
        assert not {name for name in left if name in last}, _told(operation)


def _name(place: Mapping[str, Any]) -> str:
    return f"{place['kind']} {place['name'] or place['id']}"


def _told(operation: Mapping[str, Any]) -> str:
    steps = Counter(state["status"] for state in operation["steps"])
    odd = [
        (state["step"]["summary"], state["status"], state["http_status"], state["error"], state["note"])
        for state in operation["steps"]
        if state["status"] not in {"done", "already"}
    ]
    events = [event["what"] for event in operation["events"] if not event["what"].startswith("step_")]
    return f"operation {operation['id']} {operation['status']}, steps {dict(steps)}, {events}, {odd[:3]}"


async def _leases_lapsed(database_url: str) -> int:
    """Let time pass for the database by more than a lease lasts; how many operations it left behind."""
    going = OPERATIONS.c.status.in_(GOING)
    lapsed = OPERATIONS.c.lease_until - LONGER_THAN_A_LEASE
    async with Database(database_url) as database, database.write() as connection:
        found = await connection.execute(OPERATIONS.update().where(going).values(lease_until=lapsed))
        await connection.execute(PLACE_LOCKS.update().values(until=PLACE_LOCKS.c.until - LONGER_THAN_A_LEASE))
        return found.rowcount


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def trial(database_url: str, seed: int) -> Iterator[Trial]:
    """A trial over a sandbox of its own."""
    town = Town()
    random = Random(seed)  # noqa: S311  # a moment to kill at, not a secret
    with RunningSandbox(town.world, options=OPTIONS) as sandbox:
        made = Trial(town, sandbox, database_url, random)
        try:
            yield made
        finally:
            made.close()


def kill_offboard(runs: int, seed: int, directory: Path, postgres_url: str) -> Iterator[tuple[str, int, Trial]]:
    """So many runs, on both databases in turn; after each its database, its number, and the trial so far."""
    urls = {"sqlite": f"sqlite:///{directory / 'adapter.db'}", "postgresql": postgres_url}
    with ExitStack() as stack:
        trials = {name: stack.enter_context(trial(url, seed + n)) for n, (name, url) in enumerate(urls.items())}
        for number in range(runs):
            name = list(urls)[number % len(urls)]
            trials[name].run(number // len(urls))
            yield name, number + 1, trials[name]
