"""What a new write has to do with those under way: it may join one, be refused by one, or have some stopped.

A removal wins: whoever grants meanwhile is refused, and a grant that was under way sends no further step. The removal
makes its plan when that one has ended, so that it sees what the grant still did.
"""

from collections.abc import Mapping, Sequence

import msgspec

from adapter.directory.writing.model import Ask, Person, Plan
from adapter.errors import RemovalUnderWay
from adapter.storage.operation_rows import Judge, StoredOperation, Verdict
from adapter.storage.operations import GOING


class Standpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Who is given or loses what, and where: as much of a write as others have to do with. Places by their ids alone:
    a caller may name a kind of place in more than one word.
    """

    account_id: str
    ids: frozenset[str]
    emails: frozenset[str]
    gives: frozenset[str]
    takes: frozenset[str]
    everywhere: bool = False
    """Takes whatever this account can take."""

    def same_person(self, other: "Standpoint") -> bool:
        return bool(self.ids & other.ids or self.emails & other.emails)

    def removes_from(self, other: "Standpoint") -> bool:
        """Whether this takes something where the other gives something to the same person."""
        if not other.gives or not self.same_person(other):
            return False
        return bool(self.takes & other.gives) or (self.everywhere and self.account_id == other.account_id)


def standpoint(account_id: str, ask: Ask, plan: Plan) -> Standpoint:
    named = ask.person
    known = plan.person or Person()
    ids = {known.id, named.user_id if named else None}
    emails = {*known.emails, named.email.lower() if named and named.email else None}
    gives = {change.place.id for change in ask.changes if change.verb != "take"}
    takes = {change.place.id for change in ask.changes if change.verb == "take"} - gives
    touched = {step.place.id for step in plan.steps if step.place is not None}
    if ask.everywhere or not gives:
        takes |= touched
    elif not takes:
        gives |= touched
    return Standpoint(
        account_id=account_id,
        ids=frozenset(key for key in ids if key),
        emails=frozenset(address for address in emails if address),
        gives=frozenset(gives),
        takes=frozenset(takes),
        everywhere=ask.everywhere,
    )


def judge_of(mine: Standpoint, *, tenant_id: str, sameness: str, operation_id: str) -> Judge:
    """How the store is to treat a new operation, given those under way in all accounts."""

    def judge(going: Sequence[StoredOperation]) -> Verdict:
        under_way = [operation for operation in going if operation.status in GOING]
        for operation in under_way:
            if operation.sameness == sameness and operation.stop is None:
                return Verdict(join=operation.id)
        others = {operation.id: (operation, _standpoint_of(operation)) for operation in under_way}
        for operation, theirs in others.values():
            if theirs.removes_from(mine) and operation.stop is None:
                raise _removal_under_way(operation, tenant_id)
        reason: Mapping[str, str] = {"why": "removal", "operation_id": operation_id}
        stop = {key: reason for key, (_, theirs) in others.items() if mine.removes_from(theirs)}
        ended = {operation.id: _standpoint_of(operation) for operation in going if operation.id not in others}
        unseen = [key for key, one in ended.items() if mine.removes_from(one) or one.removes_from(mine)]
        return Verdict(stop=stop, unseen=tuple(sorted(unseen)))

    return judge


def _standpoint_of(operation: StoredOperation) -> Standpoint:
    return standpoint(operation.account_id, msgspec.convert(operation.ask, Ask), msgspec.convert(operation.plan, Plan))


def _removal_under_way(operation: StoredOperation, tenant_id: str) -> RemovalUnderWay:
    """Names the operation to whoever may know of it: another tenant's connection may reach the same place."""
    details = [{"operation_id": operation.id}] if operation.tenant_id == tenant_id else None
    return RemovalUnderWay(details=details)
