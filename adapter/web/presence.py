"""Whether the caller is still there: whoever hangs up is not worked for any longer."""

import asyncio
from types import TracebackType

from starlette.types import Receive

_INTERVAL = 0.25


class Gone(Exception):
    """The caller hung up while their body was being read."""


class Presences:
    """The callers who have said all they have to say and wait for their answer.

    Most are answered before anybody could hang up, so each is only written down; a sweep every quarter of a second
    begins to listen to those who were already there at the sweep before.
    """

    def __init__(self) -> None:
        self._new: set[Presence] = set()
        self._old: set[Presence] = set()
        self._sweeping = False

    def of(self, receive: Receive) -> "Presence":
        """A context: when the caller goes, its body is cancelled, and left without an error."""
        return Presence(self, receive)

    def arrive(self, presence: "Presence") -> None:
        self._new.add(presence)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_INTERVAL, self._sweep)

    def leave(self, presence: "Presence") -> None:
        self._new.discard(presence)
        self._old.discard(presence)

    def _sweep(self) -> None:
        for presence in self._old:
            presence.listen()
        self._old, self._new = self._new, set()
        self._sweeping = bool(self._old)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_INTERVAL, self._sweep)


class Presence:
    __slots__ = ("_among", "_gone", "_receive", "_task", "_watch")

    def __init__(self, among: Presences, receive: Receive) -> None:
        self._among = among
        self._receive = receive
        self._gone = False
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._among.arrive(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._among.leave(self)
        if self._watch is not None:
            self._watch.cancel()
        if kind is asyncio.CancelledError and self._gone and self._task is not None:
            return self._task.uncancel() == 0
        return False

    def listen(self) -> None:
        """Wait for word from the caller; the only one that can still come is that they are gone."""
        self._watch = asyncio.get_running_loop().create_task(self._listening())

    async def _listening(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()
