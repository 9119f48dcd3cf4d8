"""An account at work for real: the planner and the proof at its desk, and its steps sent by its own client."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from adapter.accounts.service import Accounts
from adapter.directory.lists import Client
from adapter.directory.service import Directory
from adapter.directory.writing.desk import Desk, WriteSettings
from adapter.directory.writing.model import Ask, Obstacle, Operation, Plan, Step
from adapter.directory.writing.planning import Planner
from adapter.directory.writing.report import Proved
from adapter.directory.writing.verifying import Verifier
from adapter.directory.writing.work import Halted, Looked, Tell
from adapter.errors import RemoteError
from adapter.upstream.client import BoundClient, Reply

Opener = Callable[[str], Awaitable[BoundClient]]
"""Opens an account; refuses one that is blocked or whose credential is not accepted any more."""


class Desks:
    """Puts accounts to work. `max_age` and `refill` are a desk's, in seconds."""

    def __init__(self, accounts: Accounts, directory: Directory, *, max_age: float, refill: float) -> None:
        self._accounts = accounts
        self._directory = directory
        self._max_age = max_age
        self._refill = refill
        self._planner = Planner()
        self._verifier = Verifier(self._planner)

    async def __call__(self, account_id: str, client: Client | None = None, /) -> "AtDesk":
        """AccountNotFound; AccountBlocked and NeedsReauth where it has to be opened and can't be."""
        account = await self._accounts.get(account_id)
        speaking = client or await self._accounts.open(account_id)
        desk = Desk(
            account_id=account_id,
            client=speaking,
            units=await self._directory.opened(account_id, speaking),
            model=self._directory.model,
            identity=account.identity,
            settings=WriteSettings(allow_admin_grants=account.allow_admin_grants),
            held_scopes=account.scopes,
            max_age=self._max_age,
            refill=self._refill,
        )
        return AtDesk(desk, self._planner, self._verifier, self._directory, self._accounts.open)

    async def tenant_of(self, account_id: str) -> str:
        return (await self._accounts.get(account_id)).tenant_id


class AtDesk:
    """Work at one desk. The account is opened anew for each step: one that was blocked meanwhile sends nothing more."""

    def __init__(self, desk: Desk, planner: Planner, verifier: Verifier, directory: Directory, opener: Opener) -> None:
        self._desk = desk
        self._planner = planner
        self._verifier = verifier
        self._directory = directory
        self._open = opener

    async def plan(self, ask: Ask) -> Plan:
        return await self._planner.plan(self._desk, ask)

    def difference(self, old: Plan, new: Plan) -> Sequence[Mapping[str, Any]]:
        return self._planner.difference(old, new)

    async def check(self, ask: Ask, step: Step, *, anew: bool = False) -> Step | Obstacle | None:
        return await self._planner.check(self._desk, ask, step, anew=anew)

    async def send(self, step: Step) -> Reply:
        client = await self._open(self._desk.account_id)
        return await client.send(step.method, step.path, headers=step.headers, json=step.body, retry=False)

    def is_already(self, step: Step, error: RemoteError) -> bool:
        return self._planner.says_already(self._desk, step, error.status, error.message)

    async def look_up(self, ask: Ask, step: Step, *, patient: bool = False) -> Looked:
        return await self._planner.look_up(self._desk, ask, step, patient=patient)

    async def touched(self, step: Step, answer: bytes, *, done: bool) -> None:
        async def said() -> bytes:
            return answer

        await self._directory.touched(
            self._desk.account_id,
            self._desk.client,
            step.path,
            method=step.method if done else "",
            answer=said if answer else None,
        )

    async def prove(self, operation: Operation, tell: Tell, halted: Halted) -> Proved | None:
        """None for what is no removal from everywhere: its places' lists are proof enough."""
        if not operation.ask.everywhere:
            return None
        return await self._verifier.prove(self._desk, operation, tell, halted)

    async def result(self, operation: Operation) -> Any:
        return await self._planner.result(self._desk, operation)
