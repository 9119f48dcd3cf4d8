"""Callers who go on asking several processes for this and that, while something else is tried."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from random import Random
from types import TracebackType
from typing import Any, Self

from adapter.directory.writing.model import UNFINISHED
from tests.long.many.fleet import Answer, Fleet, Line, LineLostError

DIRECTORY = "/unified/user-directory"
HEROKU = {"accept": "application/vnd.heroku+json; version=3"}
OF_LOAD = "load-"
"""How the addresses of the people begin whom the load gives and takes places."""
_PAUSE_S = 0.2
_LOOKS_S = 0.1


class Load:
    """`callers` threads, each on a connection of its own, spread over the processes; stopped at the end of the `with`.

    Each gives and takes places in teams (`teams`) and reads; every answer is looked at, and what it should not have
    been stands in `wrong`.
    """

    def __init__(self, fleet: Fleet, token: str, account_id: str, teams: Sequence[str], random: Random) -> None:
        self._fleet = fleet
        self._token = token
        self._account = {"integrated_account_id": account_id}
        self._teams = teams
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._seeds = random
        self._threads: list[threading.Thread] = []
        self.answered: Counter[int] = Counter()
        """By process."""
        self.kinds: Counter[str] = Counter()
        self.lost = 0
        """Requests whose process was killed."""
        self.wrong: list[str] = []
        self.later: list[str] = []
        """Operations that went on when their callers were answered."""
        self.slowest = 0.0

    def begin(self, callers: int) -> None:
        lines = self._fleet.lines(-(-callers // self._fleet.count))
        for number, line in enumerate(lines):
            if number >= callers:
                line.close()
                continue
            caller = threading.Thread(
                target=self._go_on, args=(number, line, Random(self._seeds.random())), daemon=True  # noqa: S311  # which question comes next, not a secret
            )  # fmt: skip
            self._threads.append(caller)
            caller.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _go_on(self, number: int, line: Line, random: Random) -> None:
        kills = self._fleet.kills
        person = f"{OF_LOAD}{number}-{random.randrange(10**9)}@example.com"
        member = False
        team = self._teams[number % len(self._teams)]
        later = ""
        while not self._stop.wait(random.uniform(0, _PAUSE_S)):
            kind = random.choices([*_READS, "write"], [*_WEIGHTS, 4])[0]
            try:
                began = time.monotonic()
                if later and kind == "write":
                    later = self._unless_ended(line, later)
                    continue
                answer = self._write(line, person, team, member) if kind == "write" else self._read(line, kind, random)
            except LineLostError as error:
                line.close()
                self._note_lost(str(error), kills)
                line, kills = self._reopened()
                member = kind == "write" or member  # whichever it became, taking is no error
                continue
            member = member if kind != "write" else not member
            later = str(answer.json()["id"]) if kind == "write" and answer.status == 202 else later
            self._note(line.pid, kind, answer, time.monotonic() - began)

    def _read(self, line: Line, kind: str, random: Random) -> Answer:
        path, query, headers = _READS[kind]
        more = {name: random.choice(self._teams) if value == "TEAM" else value for name, value in query.items()}
        return line.ask("GET", path, self._token, headers=headers, **self._account, **more)

    def _write(self, line: Line, person: str, team: str, member: bool) -> Answer:
        path = f"{DIRECTORY}/groups/{'remove' if member else 'add'}-user"
        return line.ask("POST", path, self._token, json={"group_id": team, "email": person}, **self._account)

    def _unless_ended(self, line: Line, operation_id: str) -> str:
        """The operation, while it goes on; another write about the same person would be refused, or end it."""
        answer = line.ask("GET", f"/operations/{operation_id}", self._token)
        return operation_id if answer.json()["status"] in UNFINISHED else ""

    def _reopened(self) -> tuple[Line, int]:
        """Another connection, to whichever process takes it, once one does."""
        while not self._stop.wait(0.1):
            kills = self._fleet.kills
            try:
                return self._fleet.any_line(), kills
            except (LineLostError, OSError):
                continue
        raise SystemExit  # ends this thread alone

    def _note_lost(self, what: str, kills: int) -> None:
        with self._lock:
            self.lost += 1
            if kills == self._fleet.kills:
                self.wrong.append(what)

    def _note(self, pid: int, kind: str, answer: Answer, seconds: float) -> None:
        with self._lock:
            self.answered[pid] += 1
            self.kinds[kind] += 1
            self.slowest = max(self.slowest, seconds)
            if answer.status == 202 and kind == "write":
                # What stood in its way may have been a lock of a process that was killed.
                self.later.append(str(answer.json()["id"]))
            elif answer.status != 200:
                self.wrong.append(f"{kind} at process {pid}: {answer.status} {answer.body[:300]!r}")


class Watch:
    """One who asks a process again and again, for a page and for a raw answer, and notes when it was last let in."""

    def __init__(self, fleet: Fleet, pid: int, name: str, token: str, account_id: str) -> None:
        self.pid = pid
        self.name = name
        self.last_accepted = 0.0
        """When the last request that was answered had been sent."""
        self.refusals: set[str] = set()
        self._token = token
        self._account = {"integrated_account_id": account_id}
        self._line = fleet.line(pid)
        self._accepted = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def until_accepted(self) -> None:
        assert self._accepted.wait(60), f"{self.name}: never taken by process {self.pid}: {self.refusals}"

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self._line.close()

    def _go_on(self) -> None:
        both = cycle(((f"{DIRECTORY}/users", {}), ("/custom/account", HEROKU)))
        taken: set[str] = set()
        while not self._stop.wait(_LOOKS_S):
            path, headers = next(both)
            asked_at = time.monotonic()
            answer = self._line.ask("GET", path, self._token, headers=headers, **self._account)
            if answer.status == 200:
                self.last_accepted = asked_at
                taken.add(path)
                if len(taken) == 2:
                    self._accepted.set()
            elif self._accepted.is_set():
                self.refusals.add(f"{answer.status} {answer.code}")


_READS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "page": (f"{DIRECTORY}/users", {"limit": 50}, {}),
    "group": (f"{DIRECTORY}/users", {"group_id": "TEAM", "limit": 100}, {}),
    "grants": (f"{DIRECTORY}/role_assignments", {"limit": 100}, {}),
    "search": (f"{DIRECTORY}/users", {"q": "ada"}, {}),
    "raw": ("/custom/account", {}, HEROKU),
    "proxy": ("/proxy/teams", {"limit": 5}, HEROKU),
}
_WEIGHTS = (20, 10, 10, 10, 40, 6)
