"""One removal over all accounts of a tenant: an operation in each, and their reports joined."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.lists import Missing
from adapter.directory.writing.atlas import Key, key_of
from adapter.directory.writing.faults import words
from adapter.directory.writing.model import Operation, OperationStatus
from adapter.directory.writing.report import Doubt, PlaceReport, Report, Return, Secrets, Standing, gaps
from adapter.errors import AdapterError
from adapter.models import IntegratedAccount

_AT_ONCE = 4
"""Operations under way at the same time: each sends several requests at once itself."""

_BEST: Sequence[Standing] = ("gone", "unverified", "remains")
_SEEN: Doubt = "still_listed"

CarryOut = Callable[[IntegratedAccount], Awaitable[Operation]]
"""Carries the removal out in one account, to its end; AdapterError where it can't be begun."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it in one account. `same_as`: other connections to the provider account behind it, in which nothing
    was done, for they see and may do the same.
    """

    account_id: str = msgspec.field(name="integrated_account_id")
    same_as: tuple[str, ...] = ()
    operation_id: str | None = None
    status: OperationStatus | None = None
    is_complete: bool = False
    error: Mapping[str, Any] | None = None


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts together. A place that one of them read as gone is gone, whatever others may not see or do there,
    unless another one saw the person there all the same.

    `is_complete` only where every account has a report, every place is gone, and nothing was unreadable to any.
    """

    is_complete: bool
    accounts: tuple[Part, ...]
    places: tuple[PlaceReport, ...]
    missing: tuple[Missing, ...]
    may_return: tuple[Return, ...]
    rotate_secrets_of: tuple[Secrets, ...]


async def over_all(accounts: Iterable[IntegratedAccount], carry_out: CarryOut) -> Joined:
    """Carry a removal out in every account, some at once. What fails in one keeps no other back, and is told."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(group: Sequence[IntegratedAccount]) -> tuple[Part, Report | None]:
        async with slots:
            return await _part(group, carry_out)

    return joined(await asyncio.gather(*map(one, by_identity(accounts))))


def by_identity(accounts: Iterable[IntegratedAccount]) -> list[list[IntegratedAccount]]:
    """Connections by the provider account that they lead to, those first through which something can be done."""
    groups: dict[str, list[IntegratedAccount]] = {}
    for account in accounts:
        groups.setdefault(account.identity.id if account.identity else account.id, []).append(account)
    return [sorted(group, key=_is_unusable) for group in groups.values()]


def joined(parts: Iterable[tuple[Part, Report | None]]) -> Joined:
    """The reports as one."""
    parts = list(parts)
    reports = [report for _, report in parts if report is not None]
    secrets = {key_of(one.place): one for report in reports for one in report.rotate_secrets_of}
    returns = {key_of(one.place): one for report in reports for one in report.may_return}
    places, missing = tuple(_places(reports)), gaps(*(report.missing for report in reports))
    return Joined(
        is_complete=bool(parts) and len(reports) == len(parts) and not missing and all(map(_is_gone, places)),
        accounts=tuple(part for part, _ in parts),
        places=places,
        missing=missing,
        may_return=tuple(returns.values()),
        rotate_secrets_of=tuple(secrets.values()),
    )


async def _part(group: Sequence[IntegratedAccount], carry_out: CarryOut) -> tuple[Part, Report | None]:
    account, same_as = group[0], tuple(other.id for other in group[1:])
    try:
        operation = await carry_out(account)
    except AdapterError as error:
        return Part(account_id=account.id, same_as=same_as, error=words(error)), None
    report = msgspec.convert(operation.result, Report) if operation.result else None
    done = operation.status == "succeeded" and report is not None and report.is_complete
    part = Part(
        account_id=account.id,
        same_as=same_as,
        operation_id=operation.id,
        status=operation.status,
        is_complete=done,
        error=operation.error,
    )
    return part, report


def _places(reports: Iterable[Report]) -> Iterable[PlaceReport]:
    """Each place once, as the account tells it that knows best."""
    found: dict[Key, PlaceReport] = {}
    for place in (place for report in reports for place in report.places):
        known = found.get(key_of(place.place))
        if known is None or _weight(place) < _weight(known):
            found[key_of(place.place)] = place
    return found.values()


def _weight(place: PlaceReport) -> int:
    return -1 if place.why == _SEEN else _BEST.index(place.state)


def _is_gone(place: PlaceReport) -> bool:
    return place.state == "gone"


def _is_unusable(account: IntegratedAccount) -> bool:
    return account.is_blocked or account.status != "active"
