"""Write-back, for every door: planned, guarded, written down, carried out, and never lied about."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import msgspec
from cachetools import LRUCache

from adapter.directory.lists import Client
from adapter.directory.writing.conflicts import judge_of, standpoint
from adapter.directory.writing.faults import refused
from adapter.directory.writing.hands import Hands
from adapter.directory.writing.idempotency import caller_words, key_of, sameness_of
from adapter.directory.writing.journal import Journal, new_states, operation_of, row_of
from adapter.directory.writing.limits import Limits
from adapter.directory.writing.model import UNFINISHED, Ask, Operation, OperationStatus, Plan
from adapter.directory.writing.places import Places
from adapter.directory.writing.work import Work, WorkMaker
from adapter.errors import (
    IdempotencyKeyReused,
    NotResumable,
    OperationNotFound,
    PreconditionFailed,
    StorageUnavailable,
    UpstreamTimeout,
)
from adapter.models import Caller
from adapter.storage.dbclock import In
from adapter.storage.operation_rows import Begun, Key, Keyed, NewOperation, Note
from adapter.storage.operations import OperationStore
from adapter.storage.place_locks import PlaceLocks

TenantOf = Callable[[str], Awaitable[str]]
"""Tells whose connection an account is."""

_RESUMABLE: tuple[OperationStatus, ...] = ("lapsed", "failed", "partial", "waiting")
_PLANS = 256
_MARGIN = 0.1
"""Seconds that are added to a plan's age, for clocks that do not run alike."""
_SETTLES = 5.0
"""Seconds in which a cancelled operation is expected to have ended."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How far a write has come. `finished`: its status tells how it ended; `replayed`: it was begun by an earlier
    request.
    """

    operation: Operation
    finished: bool
    replayed: bool = False


class Writes:
    """The writes of this deployment. Every refusal is raised before anything is sent."""

    def __init__(
        self,
        store: OperationStore,
        locks: PlaceLocks,
        work: WorkMaker,
        *,
        tenant_of: TenantOf,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        owner = uuid4().hex
        self._store = store
        self._work = work
        self._tenant_of = tenant_of
        self._plans: LRUCache[tuple[str, str], Plan] = LRUCache(_PLANS)
        """Plans that were shown, by account and etag: what a later one differs from."""
        self._journal = Journal(store, owner, self._limits)
        places = Places(locks, owner, seconds=self._limits.lease)
        self._hands = Hands(self._journal, places, work, self._limits)

    def start(self) -> None:
        """Begin to look for operations that other processes left behind."""
        self._hands.watcher.start()

    async def close(self) -> None:
        """Send nothing more; what is being sent is finished and written down first."""
        await self._hands.close()

    # --- asking

    async def plan(self, account_id: str, client: Client, caller: Caller | None, ask: Ask) -> Plan:  # noqa: ARG002  # doors ask for a plan as they ask for the write
        """What would be done, with what stands in its way; nothing is kept of it."""
        plan = await self._planned(await self._work(account_id, client), ask)
        self._plans[account_id, plan.etag] = plan
        return plan

    async def write(
        self,
        account_id: str,
        client: Client,
        caller: Caller | None,
        ask: Ask,
        *,
        if_match: str | None = None,
        key: str | None = None,
        address: str = "",
        wait: float = 20.0,
    ) -> Outcome:
        """Carry out what is asked, waiting at most `wait` seconds for its end; it goes on without whoever asked.

        `if_match` is a plan's etag, bare. `key` is an `Idempotency-Key`, `address` what more than the kind of write
        belongs to its scope: method and path. Raises what planning raises, GuardRefused, PreconditionFailed,
        RemovalUnderWay, IdempotencyKeyReused, StorageUnavailable.
        """
        given = key_of(account_id, caller, ask, key, address) if key is not None else None
        sameness = sameness_of(account_id, caller, ask)
        earlier = await self._earlier(given, sameness)
        if earlier is None:
            begun = await self._begin(account_id, client, caller, ask, if_match=if_match, key=given, sameness=sameness)
            earlier = begun.id if _checked(begun.keyed, given) or begun.joined else None
            operation_id = begun.id
        else:
            operation_id = earlier
        operation = await self._ended(operation_id, wait)
        return Outcome(operation=operation, finished=operation.status not in UNFINISHED, replayed=earlier is not None)

    async def _earlier(self, key: Key | None, sameness: str) -> str | None:
        """The operation that stands for this request already, by its key or because it is under way."""
        if key is not None and (keyed := await self._store.keyed(key.id)) is not None:
            return _checked(keyed, key)
        return await self._store.same(sameness) if key is None else None

    async def _begin(
        self,
        account_id: str,
        client: Client,
        caller: Caller | None,
        ask: Ask,
        *,
        if_match: str | None,
        key: Key | None,
        sameness: str,
    ) -> Begun:
        began = time.monotonic()
        work = await self._work(account_id, client)
        plan = await self._planned(work, ask)
        self._check_match(account_id, work, plan, if_match)
        if plan.refusals:
            raise refused(plan.refusals)
        new = self._new(account_id, await self._tenant_of(account_id), caller, ask, plan, sameness)
        new = msgspec.structs.replace(new, plan_age=time.monotonic() - began + _MARGIN)
        judge = judge_of(
            standpoint(account_id, ask, plan), tenant_id=new.tenant_id, sameness=sameness, operation_id=new.id
        )
        owner, lease = self._journal.owner, self._journal.lease
        begun = await self._store.begin(new, owner=owner, lease=lease, key=key, judge=judge)
        if begun.id == new.id:
            await self._hands.carry_out(new.id, work)
        return begun

    async def _planned(self, work: Work, ask: Ask) -> Plan:
        try:
            async with asyncio.timeout(self._limits.planning):
                return await work.plan(ask)
        except TimeoutError:
            raise UpstreamTimeout(
                "What this write needs to know could not be read in time, so nothing was sent; ask again."
            ) from None

    def _check_match(self, account_id: str, work: Work, plan: Plan, if_match: str | None) -> None:
        if if_match in {None, "*", plan.etag}:
            return
        old = self._plans.get((account_id, if_match or ""))
        details = list(work.difference(old, plan)) if old is not None else []
        raise PreconditionFailed(plan=msgspec.to_builtins(plan), details=details, headers={"ETag": f'"{plan.etag}"'})

    def _new(
        self, account_id: str, tenant_id: str, caller: Caller | None, ask: Ask, plan: Plan, sameness: str
    ) -> NewOperation:
        who = caller_words(caller)
        return NewOperation(
            id=f"{time.time_ns() // 1_000_000:012x}{uuid4().hex[:20]}",
            account_id=account_id,
            tenant_id=tenant_id,
            kind=ask.kind,
            caller=who,
            sameness=sameness,
            ask=msgspec.to_builtins(ask),
            plan=msgspec.to_builtins(plan),
            steps=[row_of(state) for state in new_states(plan)],
            events=[("asked", {"caller": who, "etag": plan.etag, "steps": len(plan.steps)})],
            patience=self._limits.patience,
        )

    async def _ended(self, operation_id: str, wait: float) -> Operation:
        """The operation as it stands at its end, or when the wait is over."""
        try:
            await self._hands.ended(operation_id, wait)
            return await self._journal.read(operation_id)
        except StorageUnavailable:
            raise StorageUnavailable(
                f"The database can't be reached; once it can, `GET /operations/{operation_id}` tells what became of it."
            ) from None

    # --- what was asked

    async def operations(
        self,
        caller: Caller | None,
        *,
        account_id: str | None = None,
        status: OperationStatus | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[Operation]:
        """What was asked for, the newest first, without histories; before the operation that `after` names.

        None of an account that isn't the caller's to see.
        """
        tenant_id = caller.tenant_id if caller is not None else None
        own = caller.account_id if caller is not None else None
        if not all(text.isprintable() for text in (account_id or "", after)) or (own and account_id not in {None, own}):
            return []
        rows = await self._store.newest(
            account_id=account_id or own, tenant_id=tenant_id, status=status, after=after, limit=limit
        )
        return [operation_of(row) for row in rows]

    async def operation(self, caller: Caller | None, operation_id: str) -> Operation:
        """OperationNotFound, also where it isn't the caller's to see."""
        if not operation_id.isprintable():
            raise OperationNotFound
        operation = await self._journal.read(operation_id)
        if not _may_see(caller, operation):
            raise OperationNotFound
        return operation

    async def resume(self, caller: Caller | None, operation_id: str) -> Operation:
        """Go on with an operation that lapsed or did not end well, by a new plan. NotResumable."""
        operation = await self.operation(caller, operation_id)
        store, owner, lease = self._store, self._journal.owner, self._journal.lease
        if not await store.take(operation_id, owner=owner, lease=lease, statuses=_RESUMABLE):
            raise NotResumable
        fields: dict[str, Any] = {"status": "running", "error": None, "stop": None, "retry_at": None}
        fields |= {"finished_at": None, "deadline": In(self._limits.patience)}
        await self._journal.note(
            operation_id, Note(fields=fields, events=[("resumed", {"caller": caller_words(caller)})])
        )
        await self._hands.carry_out(operation_id, await self._work(operation.account_id), anew=True)
        return await self._journal.read(operation_id)

    async def cancel(self, caller: Caller | None, operation_id: str) -> Operation:
        """Send nothing more of it; a step that is being sent is finished. NotResumable where it has ended."""
        await self.operation(caller, operation_id)
        reason = {"why": "cancel", "caller": caller_words(caller)}
        if not await self._store.stop(operation_id, reason):
            raise NotResumable
        self._hands.stop(operation_id, reason)
        await self._hands.take_up(operation_id, also_lapsed=True)
        return await self._ended(operation_id, _SETTLES)


def _checked(keyed: Keyed | None, key: Key | None) -> str | None:
    """The operation that a key was used for; IdempotencyKeyReused where something else was asked with it."""
    if keyed is None or key is None:
        return None
    if keyed.body != key.body:
        raise IdempotencyKeyReused
    return keyed.operation_id


def _may_see(caller: Caller | None, operation: Operation) -> bool:
    if caller is None:
        return True
    if caller.kind == "account":
        return caller.account_id == operation.account_id
    return caller.tenant_id in {None, operation.tenant_id}
