"""A provider as small as can be, whose world is a folder: several processes, and a killed one, see the same.

A place is a folder of people, a grant makes a file and a removal takes it away; every request that arrives is a line in
a log. What goes wrong is told per place.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from adapter.directory.lists import Client
from adapter.directory.writing.limits import Limits
from adapter.directory.writing.model import (
    Ask,
    Change,
    Cost,
    Obstacle,
    Operation,
    Person,
    PersonRef,
    PlaceRef,
    Plan,
    Step,
)
from adapter.directory.writing.report import Proved
from adapter.directory.writing.service import Writes
from adapter.directory.writing.work import Halted, Looked, Tell
from adapter.errors import AdapterError, RemoteError, UpstreamNonsense
from adapter.models import Caller
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.operations import OperationStore
from adapter.storage.place_locks import PlaceLocks
from tests.storage.samples import an_account

ADA = PersonRef(user_id="ada", email="ada@example.com")
ACCOUNT = "account-1"
TENANT = "acme"
CALLER = Caller(kind="api", token_id="token-1")
CLIENT: Any = None
LIMITS = Limits(
    lease=15.0, pulse=0.1, scan=0.05, look_pauses=(0.0, 0.01), retry_pauses=(0.0, 0.01), journal_pauses=(0.01, 0.05)
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int = 200
    body: bytes = b'{"id": "made"}'
    request_id: str | None = "request-1"

    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise UpstreamNonsense from None


Fault = Callable[[Callable[[], None]], Awaitable[Answer | None]]
"""Takes the place of an answer; is given what would be done."""


def before(error: AdapterError) -> Fault:
    """The provider does nothing and says so."""

    async def fault(_: Callable[[], None]) -> Answer | None:
        raise error.fresh()

    return fault


def after(error: AdapterError) -> Fault:
    """The provider does it, and its answer is lost."""

    async def fault(do: Callable[[], None]) -> Answer | None:
        do()
        raise error.fresh()

    return fault


def saying(answer: Answer) -> Fault:
    async def fault(do: Callable[[], None]) -> Answer | None:
        do()
        return answer

    return fault


class Office:
    """The world, and what goes wrong in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        """Place id -> what happens to the next requests there."""
        self.looks: dict[str, list[AdapterError | Looked]] = defaultdict(list)
        self.guards: dict[str, Obstacle] = {}
        """Place id -> what refuses a plan for it."""
        self.late_guards: dict[str, Obstacle] = {}
        """Likewise what is only seen right before a step is sent."""
        self.on_plan: Callable[[], Awaitable[None]] | None = None
        self.on_result: AdapterError | None = None
        self.touched: list[str] = []
        self.plans = 0
        folder.mkdir(exist_ok=True)

    def has(self, place: str, person: str = "ada") -> bool:
        return (self.folder / place / person).exists()

    def give(self, place: str, person: str = "ada") -> None:
        (self.folder / place).mkdir(exist_ok=True)
        (self.folder / place / person).touch()

    def take(self, place: str, person: str = "ada") -> None:
        (self.folder / place / person).unlink(missing_ok=True)

    def places_of(self, person: str = "ada") -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and (path / person).exists())

    def requests(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def arrived(self, line: str) -> None:
        with os.fdopen(os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as log:
            log.write(f"{line}\n")


class OfficeWork:
    """An account at work in it."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def plan(self, ask: Ask) -> Plan:
        self.office.plans += 1
        assert ask.person is not None
        person = ask.person.user_id or ""
        changes = ask.changes
        if ask.everywhere:
            found = self.office.places_of(person)
            changes = tuple(Change(verb="take", place=PlaceRef(kind="team", id=place)) for place in found)
        wanted = [change for change in changes if self.office.has(change.place.id, person) is (change.verb == "take")]
        steps = tuple(self._step(n, person, change) for n, change in enumerate(wanted, 1))
        if self.office.on_plan is not None:
            await self.office.on_plan()
        obstacles = tuple(self.office.guards[c.place.id] for c in wanted if c.place.id in self.office.guards)
        known = Person(id=person, emails=(ask.person.email,) if ask.person.email else ())
        etag = ",".join(step.path for step in steps)
        return Plan(
            kind=ask.kind, person=known, steps=steps, obstacles=obstacles, cost=Cost(steps=len(steps)), etag=etag
        )

    def _step(self, n: int, person: str, change: Change) -> Step:
        method = "DELETE" if change.verb == "take" else "POST" if change.place.kind == "app" else "PUT"
        return Step(
            n=n,
            call=f"{change.place.kind}.{change.verb}",
            method=method,
            path=f"/{change.place.id}/{person}",
            place=change.place,
            summary=f"{change.verb} {change.place.id}",
        )

    def difference(self, old: Plan, new: Plan) -> Sequence[Mapping[str, Any]]:
        return [{"old": old.etag, "new": new.etag}]

    async def check(self, ask: Ask, step: Step, *, anew: bool = False) -> Step | Obstacle | None:
        del ask, anew
        assert step.place is not None
        if step.place.id in self.office.late_guards:
            return self.office.late_guards[step.place.id]
        return None if self._is_so(step) else step

    async def send(self, step: Step) -> Answer:
        await asyncio.sleep(0)
        assert step.place is not None
        self.office.arrived(f"{step.method} {step.path}")
        faults = self.office.faults[step.place.id]
        if faults:
            return await faults.pop(0)(lambda: self._do(step)) or Answer()
        self._do(step)
        return Answer()

    def is_already(self, step: Step, error: RemoteError) -> bool:
        return error.status == 404 and step.method == "DELETE"

    async def look_up(self, ask: Ask, step: Step, *, patient: bool = False) -> Looked:
        del ask, patient
        assert step.place is not None
        looks = self.office.looks[step.place.id]
        if looks:
            told = looks.pop(0)
            if isinstance(told, AdapterError):
                raise told.fresh()
            return told
        return "done" if self._is_so(step) else "not_done"

    async def touched(self, step: Step, answer: bytes, *, done: bool) -> None:
        del answer, done
        self.office.touched.append(step.path)

    async def prove(self, operation: Operation, tell: Tell, halted: Halted) -> Proved | None:
        del operation, tell, halted
        return None

    async def result(self, operation: Operation) -> Any:
        if self.office.on_result is not None:
            raise self.office.on_result.fresh()
        assert operation.ask.person is not None
        return {"places": self.office.places_of(operation.ask.person.user_id or "")}

    def _do(self, step: Step) -> None:
        place, person = step.path.strip("/").split("/")
        (self.office.take if step.method == "DELETE" else self.office.give)(place, person)

    def _is_so(self, step: Step) -> bool:
        place, person = step.path.strip("/").split("/")
        return self.office.has(place, person) is (step.method != "DELETE")


def writes_of(database: Database, office: Office, limits: Limits = LIMITS) -> Writes:
    """A process's write-back on the database: two of them share nothing else."""

    async def work(account_id: str, client: Client | None = None) -> OfficeWork:
        del account_id, client
        return OfficeWork(office)

    async def tenant_of(account_id: str) -> str:
        del account_id
        return TENANT

    return Writes(OperationStore(database), PlaceLocks(database), work, tenant_of=tenant_of, limits=limits)


async def add_account(database: Database, account_id: str = ACCOUNT) -> None:
    await AccountStore(database).add(an_account(id=account_id, tenant_id=TENANT), b"sealed")


def grant(*places: str, kind: str = "team", person: PersonRef = ADA) -> Ask:
    changes = tuple(Change(verb="give", place=PlaceRef(kind=kind, id=place), roles=("member",)) for place in places)
    return Ask(kind="users.create", person=person, changes=changes)


def removal(*places: str, person: PersonRef = ADA) -> Ask:
    changes = tuple(Change(verb="take", place=PlaceRef(kind="team", id=place)) for place in places)
    return Ask(kind="users.delete", person=person, changes=changes)


def offboarding(person: PersonRef = ADA) -> Ask:
    return Ask(kind="users.offboard", person=person, everywhere=True)


def fresh_key() -> str:
    return uuid4().hex
