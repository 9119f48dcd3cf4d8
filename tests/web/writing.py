"""A write-back that notes what it is asked and answers what a test puts into it, behind the real doors and edge."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from starlette.routing import Router

from adapter.app import declarations
from adapter.config import Settings
from adapter.directory.cursors import Cursors
from adapter.directory.writing.model import (
    Ask,
    Cost,
    Holding,
    Obstacle,
    Operation,
    Person,
    PlaceRef,
    Plan,
    Step,
    StepState,
)
from adapter.errors import AdapterError, OperationNotFound
from adapter.models import Caller
from adapter.web import operations, writes
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from tests.web.house import API, Tokens

PROVIDER, MODEL = declarations(Settings())
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEAM = PlaceRef(kind="team", id="t-1", name="acme")
STEP = Step(
    n=1,
    call="team.remove",
    method="DELETE",
    path="/teams/t-1/members/ada@example.com",
    place=TEAM,
    summary="Remove ada@example.com from acme",
    before=Holding(state="active", roles=("member",)),
    after=Holding(),
    scopes=("global",),
)
PLAN = Plan(
    kind="users.delete",
    person=Person(id="u-1", emails=("ada@example.com",), name="Ada"),
    steps=(STEP,),
    cost=Cost(steps=1, read_back=2, full_proof=9),
    etag="p1an",
)
SSO = Obstacle(guard="sso_only_admins", message='Every “admin” of "acme" signs in by SSO.', place=TEAM, is_warning=True)


def an_operation(**changes: Any) -> Operation:
    made = Operation(
        id="op-1",
        account_id="acc-1",
        tenant_id="acme",
        kind="users.delete",
        status="succeeded",
        caller={"kind": "api", "token_id": "t-api"},
        ask=Ask(kind="users.delete"),
        plan=PLAN,
        steps=(StepState(step=STEP, status="done", http_status=200, request_id="r-1"),),
        result={"id": "u-1", "username": "ada@example.com"},
        created_at=NOON,
        updated_at=NOON,
    )
    return msgspec.structs.replace(made, **changes)


ACCEPTED_FIELDS = {"integrated_account_id" if name == "account_id" else name for name in Operation.__struct_fields__}
"""Everything that is known of an operation."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    operation: Operation
    finished: bool = True


class Writes:
    """`asked` holds every call: method, account, caller, ask and what else came with it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.plan_made = PLAN
        self.outcome = Outcome(operation=an_operation())
        self.error: AdapterError | None = None
        self.kept: dict[str, Operation] = {}
        self.after: dict[str, Operation] = {}
        """What an operation is once it was resumed or cancelled."""

    async def plan(self, account_id: str, client: Any, caller: Caller, ask: Ask) -> Plan:
        self._note("plan", account_id=account_id, client=client, caller=caller, ask=ask)
        return self.plan_made

    async def write(self, account_id: str, client: Any, caller: Caller, ask: Ask, **more: Any) -> Outcome:
        self._note("write", account_id=account_id, client=client, caller=caller, ask=ask, **more)
        return self.outcome

    async def operations(
        self, caller: Caller, *, account_id: str | None = None, status: Any = None, after: str = "", limit: int = 100
    ) -> Sequence[Operation]:
        self._note("operations", caller=caller, account_id=account_id, status=status, after=after, limit=limit)
        return [one for key, one in sorted(self.kept.items()) if key > after][:limit]

    async def operation(self, caller: Caller, operation_id: str) -> Operation:
        self._note("operation", caller=caller, id=operation_id)
        if operation_id not in self.kept:
            raise OperationNotFound
        return self.kept[operation_id]

    async def resume(self, caller: Caller, operation_id: str) -> Operation:
        self._note("resume", caller=caller, id=operation_id)
        return self.after[operation_id]

    async def cancel(self, caller: Caller, operation_id: str) -> Operation:
        self._note("cancel", caller=caller, id=operation_id)
        return self.after[operation_id]

    def _note(self, call: str, **said: Any) -> None:
        self.asked.append({"call": call, **said})
        if self.error is not None:
            raise self.error


class Budget:
    def headers(self) -> list[tuple[str, str]]:
        return [("ratelimit-limit", "4500;w=3600"), ("ratelimit-remaining", "4470"), ("ratelimit-reset", "24")]


class Client:
    budget = Budget()


class Accounts:
    def __init__(self) -> None:
        self.client = Client()
        self.error: AdapterError | None = None
        self.opened: list[tuple[str, Caller | None]] = []

    async def open(self, account_id: str, caller: Caller | None = None) -> Client:
        self.opened.append((account_id, caller))
        if self.error is not None:
            raise self.error
        return self.client


class Door:
    """Asks with an API token that names the account, unless told otherwise."""

    def __init__(self, http: httpx.AsyncClient, made: Writes, accounts: Accounts) -> None:
        self.http = http
        self.writes = made
        self.accounts = accounts

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = API,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> httpx.Response:
        account = "integrated_account_id=acc-1" if token == API and not path.startswith("/operations") else ""
        mark = "&" if "?" in path else "?"
        given = [("authorization", f"Bearer {token}"), *dict(headers).items()] if isinstance(headers, Mapping) else [
            ("authorization", f"Bearer {token}"), *headers]  # fmt: skip
        content = msgspec.json.encode(body) if body is not None else None
        return await self.http.request(method, f"{path}{mark}{account}".rstrip("?&"), content=content, headers=given)

    async def directory(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.ask(method, f"/unified/user-directory{path}", body, **more)

    @property
    def last(self) -> dict[str, Any]:
        return self.writes.asked[-1]


@asynccontextmanager
async def a_door() -> AsyncIterator[Door]:
    made, accounts = Writes(), Accounts()
    routes = [
        *writes.routes(writes=made, accounts=accounts, model=MODEL),
        *operations.routes(writes=made, cursors=Cursors([b"k" * 32])),
    ]
    app = edged(
        Router(routes, redirect_slashes=False), tokens=Tokens(), metrics=Metrics(), remote_ids=PROVIDER.errors.id_of
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://adapter.example") as client:
        yield Door(client, made, accounts)
