"""An answer of the provider's as it comes: its head, and then its body for as long as there is more of it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Protocol

from adapter.errors import AdapterError
from adapter.upstream.request import RawHeaders


class Carrier(Protocol):
    """What an answer comes over."""

    def flow(self) -> None: ...

    def abort(self) -> None: ...


class Fields(Mapping[str, str]):
    """One value a name, for what comes once; names in lower case."""

    __slots__ = ("_raw",)

    def __init__(self, headers: RawHeaders) -> None:
        self._raw = dict(headers)

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode("latin-1") in self._raw

    def get(self, name: str, default: Any = None) -> Any:
        """As any Mapping's, without an exception on the way."""
        value = self._raw.get(name.encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class StreamedReply:
    """An answer whose head is here and whose body is on its way, as it is on the wire."""

    __slots__ = ("_carrier", "_error", "_fields", "_parts", "_waiting", "headers", "held", "over", "status")

    def __init__(self, carrier: Carrier) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Names in lower case, in their order, repeated ones too."""
        self.over = False
        """Whether all of the body has come."""
        self.held = 0
        self._carrier = carrier
        self._parts: list[bytes] = []
        self._error: BaseException | None = None
        self._fields: Fields | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def fields(self) -> Fields:
        if self._fields is None:
            self._fields = Fields(self.headers)
        return self._fields

    async def head(self) -> None:
        """Return when status and headers are known; UpstreamFailure where none will come."""
        while not self.status:
            await self._change()

    async def body(self) -> bytes:
        """All that is left of the body, as often as it is asked for; UpstreamFailure where it breaks off."""
        parts = self._parts if self.over else [part async for part in self.chunks()]
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = [whole]
        return whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; UpstreamFailure where it breaks off."""
        while True:
            if self._parts:
                parts, self._parts, self.held = self._parts, [], 0
                yield b"".join(parts)
            elif self.over:
                return
            else:
                self._carrier.flow()
                await self._change()

    def abort(self) -> None:
        """End the request, unless it has ended by itself: nobody wants its answer any more."""
        if not self.over:
            self._carrier.abort()

    def finish(self) -> None:
        """That was all of it, unless something went wrong before."""
        self.over = self.over or self._error is None

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self.held += len(part)

    def fail(self, error: BaseException) -> None:
        """What the reader gets once it has read what did come."""
        if not self.over and self._error is None:
            self._error = error
        self.wake()

    def wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _change(self) -> None:
        """Return when something has come; raise what went wrong."""
        error = self._error
        if error is not None:
            raise error.fresh() if isinstance(error, AdapterError) else error.with_traceback(None)
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None
