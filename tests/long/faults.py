"""An adapter that is struck by one fault after another while it is read from and written through: whether every answer
is true or told by a code that the fault explains, nothing is lost, and it is well again by itself after each of them.
"""

import asyncio
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from adapter.config import Settings
from adapter.directory.writing.model import UNFINISHED
from adapter.sandbox import Options, RunningSandbox
from adapter.sandbox.records import Account
from adapter.storage.database import Database
from tests.directory.writing.worlds import held
from tests.e2e.serving import KEY, Connected, _connected, _free_port
from tests.e2e.worlds import Truth
from tests.faults.line import Authority, Line
from tests.faults.servers import Vanishing
from tests.faults.trials import DIRECTORY, FRESH, QUICK, Trial, a_town, believe
from tests.long.served import Served
from tests.long.striking import OF_DATABASES, STRIKES, Field, Strike, Told, wrong_clock

PATIENCE_S = 120.0
"""For an adapter to be well again, and for an operation to end: a lease of thirty seconds has to lapse first."""
READERS, WRITERS = 3, 3
OPTIONS = Options(consistency_s=0, latency_ms=3, budget_capacity=10_000_000, budget_per_minute=10_000_000)
SETTINGS = {**QUICK, "directory_max_age": 1.0}
WRITTEN = (200, 202)
KINDS = ("grant", "grant", "invite", "take", "off-board")


@dataclass(kw_only=True)
class Write:
    """One thing that is asked about one person, whom nobody else asks anything about meanwhile."""

    kind: str
    who: Account
    place: str
    before: Mapping[str, set[str]]
    answer: Told | None = None
    text: str = ""

    def is_done(self, now: Mapping[str, set[str]]) -> bool:
        if self.kind == "off-board":
            return not now
        return (self.place in now) == (self.kind != "take")


@dataclass(kw_only=True)
class Found:
    """What came of all rounds so far."""

    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[Told] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    """The longest that it took to be well again after a fault was over."""
    slowest: str = ""


class Faults:
    """One adapter on one database, struck again and again. AssertionError says what was untrue, or lost."""

    def __init__(self, struck: Field, strikes: Mapping[str, Strike], random: Random, found: Found) -> None:
        self._field = struck
        self._trial = struck.trial
        self._strikes = strikes
        self._random = random
        self._people = 0
        self._present: list[Account] = []
        """Those who may have something to lose."""
        self._known: set[str] = set()
        """Operations that have been judged."""
        self._steady: frozenset[str] = frozenset()
        self._possible: frozenset[str] = frozenset()
        self._wrong: list[str] = []
        self._asked: list[tuple[str, Told]] = []
        self._threads: list[threading.Thread] = []
        self.found = found

    def run(self, name: str | None = None) -> str:
        """One round; the name of what it was struck with."""
        name = name or self._random.choice(sorted(self._strikes))
        strike = self._strikes[name]
        writes = [self._write(self._random.choice(KINDS)) for _ in range(self._random.randint(4, 8))]
        self._expect(writes)
        with strike.act(self._field):
            self._load(writes, self._random.uniform(*strike.seconds))
        self._well_again(name)
        self._judge(name, strike)
        for write in writes:
            self._settled(name, write)
        self._trial.is_well()
        self.found.struck[name] += 1
        return name

    # --- what is asked

    def _write(self, kind: str) -> Write:
        if kind in {"take", "off-board"} and self._present:
            who = self._present.pop(self._random.randrange(len(self._present)))
        else:
            who, kind = self._newcomer(), kind if kind in {"grant", "invite"} else "grant"
        place = "acme" if kind == "invite" else self._random.choice(["core", "moon"])
        now = held(self._trial.sandbox, who.email)
        if kind == "take":
            place = next((name for name in now if name in {"core", "moon"}), "")
            kind = kind if place else "off-board"
        return Write(kind=kind, who=who, place=place, before=now)

    def _newcomer(self) -> Account:
        """Somebody of the team, who has no app."""
        self._people += 1
        world, ids = self._trial.sandbox.world, self._trial.ids
        who = world.add_account(f"person-{self._people}@example.com", f"Person {self._people}")
        world.add_member(world.teams[ids["works"]], who, "member")
        return who

    def _expect(self, writes: list[Write]) -> None:
        """What the directory may show while these are written: those whom nothing is asked about, and perhaps them."""
        self._trial.is_well()
        people = Truth(self._trial.sandbox.truth()).people
        touched = {write.who.id for write in writes}
        self._steady, self._possible = frozenset(people - touched), frozenset(people | touched)
        self._asked.clear()
        self._trial.line.asked.clear()

    def _load(self, writes: list[Write], seconds: float) -> None:
        over = time.monotonic() + seconds
        queue = list(reversed(writes))
        threads = [threading.Thread(target=self._reads, args=(over, n), daemon=True) for n in range(READERS)]
        pause = seconds * WRITERS / len(writes) / 2
        threads += [threading.Thread(target=self._writes, args=(queue, pause), daemon=True) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        time.sleep(max(0.0, over - time.monotonic()))
        self._threads = threads

    def _reads(self, over: float, number: int) -> None:
        kinds: list[Callable[[], None]] = [self._read_people, self._read_freshly, self._read_raw, self._read_one]
        turn = number
        while time.monotonic() < over:
            kinds[turn % len(kinds)]()
            turn += 1

    def _read_people(self) -> None:
        self._judge_people(self._ask("users", f"{DIRECTORY}/users", params={"limit": "1000"}))

    def _read_freshly(self) -> None:
        self._judge_people(self._ask("users", f"{DIRECTORY}/users", params={"limit": "1000"}, headers=FRESH))

    def _judge_people(self, answer: httpx.Response | None) -> None:
        if answer is None or answer.status_code != 200:
            return
        body = answer.json()
        people = {user["id"] for user in body["result"]}
        if not people <= self._possible:
            self._wrong.append(f"shows people who are not there: {sorted(people - self._possible)}")
        if not body.get("missing") and not self._steady <= people:
            self._wrong.append(f"does not show, and names nothing missing: {sorted(self._steady - people)}")

    def _read_raw(self) -> None:
        self._ask("custom", "/custom/teams")
        self._ask("proxy", "/proxy/teams")

    def _read_one(self) -> None:
        self._ask("user", f"{DIRECTORY}/users/{self._trial.ids['ada']}")

    def _writes(self, queue: list[Write], pause: float) -> None:
        while True:
            try:
                write = queue.pop()
            except IndexError:
                return
            answer = self._send(write)
            write.text = answer.text if answer is not None else "broken off"
            write.answer = _told(answer)
            self._asked.append(("mint", _told(self._trial.mint())))
            time.sleep(pause)

    def _send(self, write: Write) -> httpx.Response | None:
        place, who = self._trial.ids.get(write.place, ""), write.who
        if write.kind == "grant":
            body = {"user_id": who.id, "role_id": "app:deploy", "workspace_id": place}
            return self._ask("write", f"{DIRECTORY}/role_assignments", "POST", json=body)
        if write.kind == "invite":
            roles = {"email": who.email, "roles": [{"id": "team:member", "group": {"id": place}}]}
            return self._ask("write", f"{DIRECTORY}/users", "POST", json=roles)
        if write.kind == "take":
            params = {"workspace_id": place}
            return self._ask("write", f"{DIRECTORY}/users/{who.id}", "DELETE", params=params)
        return self._ask("write", f"{DIRECTORY}/users/offboard", "POST", json={"user_id": who.id})

    def _ask(self, what: str, path: str, method: str = "GET", **more: Any) -> httpx.Response | None:
        """An answer; None where it broke off."""
        try:
            answer = self._trial.ask(path, method, **more)
        except httpx.RemoteProtocolError:
            answer = None
        self._asked.append((what, _told(answer)))
        return answer

    # --- what came of it

    def _well_again(self, name: str) -> None:
        began = time.monotonic()
        while (trouble := self._trouble()) and time.monotonic() - began < PATIENCE_S:
            time.sleep(0.05)
        assert not trouble, f"{name}: not well again after {PATIENCE_S:.0f} s: {trouble}"
        took = time.monotonic() - began
        if took > self.found.slowest_s:
            self.found.slowest_s, self.found.slowest = took, name
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"{name}: a call that never ends"

    def _trouble(self) -> str:
        """What is not as it should be; empty where nothing is."""
        for path in ("/readyz", "/custom/teams", "/proxy/teams"):
            answer = self._trial.ask(path) if path != "/readyz" else self._trial.http.get(path)
            if answer.status_code != 200:
                return f"{path}: {answer.status_code} {answer.text}"
        answer = self._trial.people(limit="1000")
        if answer.status_code != 200 or "missing" in answer.json():
            return f"users: {answer.status_code} {answer.text[:500]}"
        return ""

    def _judge(self, name: str, strike: Strike) -> None:
        assert not self._wrong, f"{name}: {self._wrong[0]}"
        for what, told in self._asked:
            self.found.answers[what] += 1
            if told[0] >= 400 or told[0] == 0:
                self.found.errors[told] += 1
                assert told in strike.explains, f"{name}: {what} was answered {told}, which nothing explains"

    def _settled(self, name: str, write: Write) -> None:
        """Whether a write's answer, its operation and the world agree; where it was not done, it is done now."""
        operation = self._operation_of(write)
        now = held(self._trial.sandbox, write.who.email)
        words = f"{name}: {write.kind} of {write.who.email} in {write.place or 'all'}, answered {write.answer}"
        if operation is None:
            assert write.answer is not None, words
            assert write.answer[0] not in WRITTEN, f"{words}: no operation is known"
            assert now == write.before, f"{words}: no operation is known, and {now} was {write.before}"
            self._keep(write, now)
            return
        self._is_true(words, write, operation, now)
        if operation["status"] != "succeeded":
            operation = self._resumed(words, operation)
            now = held(self._trial.sandbox, write.who.email)
            assert operation["status"] == "succeeded", f"{words}: resumed, and {_steps(operation)}"
        if not _is_complete(operation):
            operation, now = self._once_more(words, write)
        assert write.is_done(now), f"{words}: said to be done, and the world has {now}; {_steps(operation)}"
        self._keep(write, now)

    def _once_more(self, words: str, write: Write) -> tuple[Mapping[str, Any], dict[str, set[str]]]:
        """A removal from everywhere that told that it could not see everything, now that everything can be seen."""
        answer = self._send(write)
        assert _told(answer) == (200, ""), f"{words}: asked once more: {answer.text if answer else answer}"
        operation = self._operation_of(write)
        assert operation is not None, words
        return operation, held(self._trial.sandbox, write.who.email)

    def _keep(self, write: Write, now: Mapping[str, set[str]]) -> None:
        if now:
            self._present.append(write.who)

    def _is_true(self, words: str, write: Write, operation: Mapping[str, Any], now: Mapping[str, set[str]]) -> None:
        self.found.operations[operation["status"]] += 1
        done = write.is_done(now) or not _is_complete(operation)
        assert done or write.answer is None or write.answer[0] != 200, f"{words}: and the world has {now}: {write.text}"
        for state in operation["steps"]:
            assert state["status"] not in {"planned", "sending"}, f"{words}: ended, and {_steps(operation)}"
        if operation["status"] == "succeeded":
            assert done, f"{words}: succeeded, and the world has {now}; {_steps(operation)}"
        elif write.is_done(now) and write.kind != "off-board":
            unsure = any(state["status"] == "unknown" for state in operation["steps"])
            assert unsure, f"{words}: {operation['status']}, and the world has {now}; {_steps(operation)}"

    def _operation_of(self, write: Write) -> Mapping[str, Any] | None:
        """The one operation about the person since the last round, at its end."""
        listed = self._trial.ask("/operations", params={"limit": "1000"}).json()["result"]
        new = [one for one in listed if one["id"] not in self._known]
        mine = [one["id"] for one in new if write.who.email in str(one["person"]) or write.who.id in str(one["person"])]
        assert len(mine) <= 1, f"{len(mine)} operations for one write"
        if not mine:
            return None
        self._known.add(mine[0])
        return self._ended(mine[0])

    def _operation(self, id_: str) -> Mapping[str, Any]:
        answer = self._trial.ask(f"/operations/{id_}")
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    def _ended(self, id_: str) -> Mapping[str, Any]:
        over = time.monotonic() + PATIENCE_S
        while (operation := self._operation(id_))["status"] in UNFINISHED - {"lapsed"}:
            assert time.monotonic() < over, f"operation {id_} does not end: {_steps(operation)}"
            time.sleep(0.05)
        return operation

    def _resumed(self, words: str, operation: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self._trial.ask(f"/operations/{operation['id']}/resume", "POST")
        assert answer.status_code in WRITTEN, f"{words}: can't be resumed: {answer.text}"
        return self._ended(operation["id"])


def _told(answer: httpx.Response | None) -> Told:
    if answer is None:
        return 0, "broken_off"
    try:
        body = answer.json()
    except ValueError:
        body = None
    return answer.status_code, str(body.get("code", "")) if isinstance(body, dict) else ""


def _is_complete(operation: Mapping[str, Any]) -> bool:
    """False where a removal from everywhere says that it may not have been one."""
    return bool((operation["result"] or {}).get("is_complete", True))


def _steps(operation: Mapping[str, Any]) -> str:
    steps = [(one["step"]["summary"], one["status"], one["http_status"], one["error"]) for one in operation["steps"]]
    return f"operation {operation['id']} {operation['status']}, {steps}, {[one['what'] for one in operation['events']]}"


def _prepared(authority: Path, shift: Any) -> None:
    believe(authority)
    wrong_clock(shift)


def strike_again(runs: int, seed: int, directory: Path) -> Iterator[tuple[int, str, Found]]:
    """So many rounds, on both databases in turn; after each its number, what it was, and what was found in all."""
    found = Found()
    with ExitStack() as stack:
        trials = []
        for number, engine in enumerate(("sqlite", "postgresql")):
            (where := directory / engine).mkdir()
            trials.append((engine, stack.enter_context(faults(where, engine, seed + number, found))))
        for number in range(runs):
            engine, trial = trials[number % len(trials)]
            yield number + 1, f"{engine}: {trial.run()}", found


@contextmanager
def faults(where: Path, engine: str, seed: int, found: Found, gone_s: float = 30.0) -> Iterator[Faults]:
    """A trial on a database of its own, with its files in the directory `where`."""
    random = Random(seed)  # noqa: S311  # a sequence to come again, not a secret
    authority = Authority(where)
    world, ids = a_town()
    shift = multiprocessing.get_context("forkserver").Value("d", 0.0)
    with ExitStack() as stack:
        server = None
        if engine == "postgresql":
            server = Vanishing()
            stack.callback(server.remove)
            asyncio.run(Database(server.url).migrate())
        sandbox = stack.enter_context(RunningSandbox(world, options=OPTIONS))
        line = stack.enter_context(Line(sandbox.url, authority.good()))
        path = where / "adapter.db"
        settings = Settings(
            database_url=server.url if server else f"sqlite:///{path}",
            adapter_secret_keys=KEY,
            heroku_api_url=sandbox.url,
            port=_free_port(),
            **SETTINGS,
        )
        token, account = asyncio.run(_connected(settings, sandbox.owner_token))
        settings = msgspec.structs.replace(settings, heroku_api_url=line.url)
        served = stack.enter_context(Served(settings, partial(_prepared, authority.path, shift)))
        connected = Connected(url=served.url, sandbox=sandbox, api_token=token, account_id=account, settings=settings)
        http = stack.enter_context(connected.client())
        trial = Trial(connected=connected, line=line, http=http, ids=ids)
        struck = Field(
            trial=trial, served=served, authority=authority, path=None if server else path, server=server,
            shift=shift, random=random, gone_s=gone_s,
        )  # fmt: skip
        yield Faults(struck, {**STRIKES, **OF_DATABASES[engine]}, random, found)
