"""One step sent, and what its answer means. A lost answer is looked up, never guessed.

| answer | becomes |
| --- | --- |
| 2xx that can be read | `done` |
| a refusal that the mapping declares to mean "so already", and a look agrees | `already` |
| 429 | not done: to be sent again after a pause |
| any other 4xx | `failed`, with the provider's words |
| 5xx, a reset after sending, nonsense | looked up: `done`, `failed` or `unknown` |
| no answer in time | looked up: `done` or `unknown`, since what is not done yet may still be on its way |
| no connection was made | sent again, then `failed` |
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from adapter.directory.writing.faults import words
from adapter.directory.writing.limits import Limits
from adapter.directory.writing.model import Ask, Step, StepStatus
from adapter.directory.writing.work import Looked, Sent, Work
from adapter.errors import (
    AdapterError,
    BudgetReserved,
    RemoteError,
    RemoteRateLimited,
    RemoteUnauthorized,
    StorageUnavailable,
    Unavailable,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
)

_REPEATABLE = frozenset({"PUT", "DELETE"})
"""Methods that may be sent twice: the second time changes nothing more."""
_LARGEST_ANSWER = 16_384
"""Bytes; more of an answer than this is not kept."""
_USUAL_PAUSE = 30.0


Leave = Callable[[], Awaitable[None]]
"""Asked right before a step leaves, each time that it does: raises where it must not."""


class Pause(Exception):
    """Whatever was to be done goes on after so many seconds; `undone`: it is certain that nothing was done so far."""

    def __init__(self, seconds: float, *, undone: bool) -> None:
        super().__init__()
        self.seconds = seconds
        self.undone = undone


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step. `hopeless`: the account is refused, and further steps would be too. `contradicted`: the
    provider calls it needless, and a look shows it undone; there may be another way to do it by now. `not_done`: its
    answer was lost, and a look shows it undone.
    """

    status: StepStatus
    http_status: int | None = None
    request_id: str | None = None
    error: Any = None
    note: str | None = None
    answer: Any = None
    raw: bytes = b""
    hopeless: bool = False
    contradicted: bool = False
    not_done: bool = False


class Sender:
    """Sends the steps of one ask."""

    def __init__(self, work: Work, ask: Ask, limits: Limits) -> None:
        self._work = work
        self._ask = ask
        self._look_pauses = limits.look_pauses
        self._retry_pauses = limits.retry_pauses

    async def send(self, step: Step, leave: Leave) -> Result:
        """The step, sent once; twice where it provably was not done and may be repeated.

        Pause; StorageUnavailable; what `leave` raises, after which nothing was sent that is not known to be undone.
        """
        result = await self._once(step, leave)
        if result.not_done and step.method in _REPEATABLE:
            result = await self._once(step, leave)
        return result

    async def _once(self, step: Step, leave: Leave) -> Result:
        try:
            sent = await self._reaching(step, leave)
        except (RemoteRateLimited, BudgetReserved) as error:
            raise paused(error, undone=True) from None
        except RemoteError as error:
            return await self._refused(step, error)
        except UpstreamFailure as error:
            if error.was_sent is False:
                return _failed(error, "No connection was made: nothing was sent.")
            return await self._lost(step, error)
        except StorageUnavailable:
            raise
        except AdapterError as error:
            if type(error) is Unavailable:
                raise paused(error, undone=True) from None  # too much is under way for this account
            return _failed(error, "Nothing was sent.", hopeless=True)
        return await self._answered(step, sent)

    async def _reaching(self, step: Step, leave: Leave) -> Sent:
        """Sent again only where nothing has left."""
        for pause in self._retry_pauses:
            await leave()
            try:
                return await self._work.send(step)
            except UpstreamFailure as error:
                if error.was_sent is not False:
                    raise
                await asyncio.sleep(pause)
        await leave()
        return await self._work.send(step)

    async def _answered(self, step: Step, sent: Sent) -> Result:
        try:
            answer = sent.json() if sent.body else None
        except UpstreamNonsense as error:
            found = await self._lost(step, error)
            return msgspec.structs.replace(found, http_status=sent.status, request_id=sent.request_id)
        kept = answer if len(sent.body) <= _LARGEST_ANSWER else None
        return Result(status="done", http_status=sent.status, request_id=sent.request_id, answer=kept, raw=sent.body)

    async def _refused(self, step: Step, error: RemoteError) -> Result:
        if error.status >= 500 or error.status == 408:
            return await self._lost(step, error)
        failed = _failed(error, None, hopeless=isinstance(error, RemoteUnauthorized))
        if not self._work.is_already(step, error):
            return failed
        # "There is no such thing" is also what a place says that is hidden from us by now.
        looked = await self._look(step, patient=True)
        if looked == "done":
            return msgspec.structs.replace(failed, status="already", error=None)
        if looked == "not_done":
            return msgspec.structs.replace(failed, contradicted=True)
        return msgspec.structs.replace(failed, status="unknown")

    async def _lost(self, step: Step, error: AdapterError) -> Result:
        return self.after_look(await self.look(step, hoped_for="done"), error)

    def after_look(self, looked: Looked, error: AdapterError | None = None) -> Result:
        """What a look has told of a step whose answer is not known."""
        said = words(error) if error else _LOST
        is_open = looked == "not_done" and isinstance(error, UpstreamTimeout)
        status, note = _STILL_OPEN if is_open else _AFTER_LOOK[looked]
        return Result(
            status=status,
            http_status=error.status if isinstance(error, RemoteError) else None,
            request_id=error.request_id if isinstance(error, RemoteError) else None,
            error=None if looked == "done" else said,
            note=note,
            not_done=looked == "not_done",
        )

    async def look(self, step: Step, *, hoped_for: Looked | None = None) -> Looked:
        """What the provider shows of a step, looked at again while it is not what is hoped for. Pause.

        Whoever is given what was taken from them a moment ago stands in a list that hides them for that: the last look
        waits until the list can be taken at its word.
        """
        *early, last = self._look_pauses
        for pause in early:
            await asyncio.sleep(pause)
            looked = await self._look(step)
            if looked == hoped_for:
                return looked
        await asyncio.sleep(last)
        return await self._look(step, patient=not step.takes)

    async def _look(self, step: Step, *, patient: bool = False) -> Looked:
        try:
            return await self._work.look_up(self._ask, step, patient=patient)
        except (RemoteRateLimited, BudgetReserved) as error:
            raise paused(error, undone=False) from None
        except StorageUnavailable:
            raise
        except AdapterError:
            return "unknown"


_AFTER_LOOK: Mapping[Looked, tuple[StepStatus, str]] = {
    "done": ("done", "The answer was lost; a look shows it done."),
    "not_done": ("failed", "The answer was lost; a look shows it undone."),
    "unknown": ("unknown", "The answer was lost, and a look could not tell."),
}
_STILL_OPEN: tuple[StepStatus, str] = ("unknown", "No answer came in time; a look shows it undone so far.")
_LOST = {"code": "answer_lost", "message": "The provider's answer was lost.", "status": 502}


def paused(error: AdapterError, *, undone: bool) -> Pause:
    """For how long an empty budget asks to wait."""
    given = {name.lower(): value for name, value in error.headers.items()}.get("retry-after", "")
    return Pause(float(given) if given.isdigit() else _USUAL_PAUSE, undone=undone)


def _failed(error: AdapterError, note: str | None, *, hopeless: bool = False) -> Result:
    refused = isinstance(error, RemoteError)
    return Result(
        status="failed",
        http_status=error.status if refused else None,
        request_id=error.request_id if isinstance(error, RemoteError) else None,
        error=words(error),
        note=note,
        hopeless=hopeless,
    )
