"""The byte-for-byte way to the provider: straight over the pool, bodies untouched, chunk by chunk."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from pyreqwest.request import RequestBuilder, StreamRequest
from pyreqwest.response import Response

from adapter.errors import RemoteForbidden, Unavailable
from adapter.models import Secret
from adapter.upstream.lane import Lane
from adapter.upstream.provider import Provider
from adapter.upstream.source import CredentialSource
from adapter.upstream.transport import FOREIGN, broken, translated

_TELLING = frozenset({401, 403, 429})
"""Statuses that say something about the credential or the budget."""


class Pool(Protocol):
    """What is used of pyreqwest's client."""

    def request(self, method: str, url: str, /) -> RequestBuilder: ...

    async def close(self) -> None: ...


class Link(NamedTuple):
    """What all requests of one account go over."""

    pool: Pool
    provider: Provider
    lane: Lane
    source: CredentialSource


class StreamedReply:
    """An answer whose head is here and whose body is on its way, as it is on the wire."""

    __slots__ = ("_response", "fields", "headers", "over", "status")

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.headers: list[tuple[str, str]] = list(response.headers.items())
        """Names in lower case, in their order, repeated ones too."""
        self.fields: dict[str, str] = dict(self.headers)
        """One value a name, for what comes once."""
        self.over = False
        """Whether the body has been read to its end."""

    async def body(self) -> bytes:
        """All that is left of the body; UpstreamFailure where it breaks off."""
        try:
            whole = (await self._response.bytes()).to_bytes()
        except FOREIGN as error:
            raise broken(error) from None
        self.over = True
        return whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; UpstreamFailure where it breaks off."""
        reader = self._response.body_reader
        try:
            while (chunk := await reader.read_chunk()) is not None:
                yield chunk.to_bytes()
        except FOREIGN as error:
            raise broken(error) from None


class Exchange:
    """One streamed request as an async context; it holds one of the account's slots until it is left.

    Leaving it while the body is on its way ends the upstream request at once. Before the head has come, the pool (as
    of pyreqwest 0.15) can't take a request back: we stop waiting, and it ends with its answer or the pool's timeout.
    """

    __slots__ = ("_body", "_headers", "_link", "_method", "_open", "_reply", "_url")

    def __init__(
        self,
        link: Link,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | AsyncIterable[bytes] | None,
    ) -> None:
        self._link = link
        self._method = method
        self._url = url
        self._headers = headers
        self._body = body
        self._open: StreamRequest | None = None
        self._reply: StreamedReply | None = None

    async def __aenter__(self) -> StreamedReply:
        _, _, lane, source = self._link
        token = await source.token()  # who waits for a fresh one meanwhile takes no slot from the others
        waited = not lane.take()
        if waited:
            await lane.acquire()
        try:
            if waited:
                token = await source.token()
            reply = await self._ask(token)
            if reply.status in _TELLING:
                reply = await self._told(reply, token)
        except BaseException as error:
            await self._close()
            if isinstance(error, FOREIGN):
                raise translated(error) from None
            raise
        lane.budget.observe(reply.fields)
        return reply

    async def __aexit__(self, *_: object) -> None:
        if self._reply is not None and self._reply.over:
            self._link.lane.release()
        else:
            await self._close()

    async def _told(self, reply: StreamedReply, token: Secret) -> StreamedReply:
        if reply.status == 401:
            return await self._again(token, reply)
        await self._refused(reply)
        return reply

    async def _ask(self, token: Secret) -> StreamedReply:
        builder = (
            self._link.pool.request(self._method, self._url)
            .headers([*self._headers, ("authorization", f"Bearer {token.reveal()}")])
            # Nothing is held back to fill a buffer: the head is handed on when it comes, and then each chunk.
            .streamed_read_buffer_limit(0)
        )
        if isinstance(self._body, bytes):
            builder = builder.body_bytes(self._body)
        elif self._body is not None:
            builder = builder.body_stream(self._body)
        request = builder.build_streamed()
        response = await request.__aenter__()
        self._open = request
        self._reply = reply = StreamedReply(response)
        return reply

    async def _again(self, token: Secret, reply: StreamedReply) -> StreamedReply:
        renewed = await self._link.source.renew(token)
        if renewed is not None:
            if self._body is not None and not isinstance(self._body, bytes):
                raise Unavailable(
                    "The credential was renewed, but the body can't be sent twice; send the request again.",
                    headers={"retry-after": "1"},
                )
            await self._leave()
            token = renewed
            reply = await self._ask(token)
        if reply.status == 401:
            await self._link.source.rejected(token)
        return reply

    async def _refused(self, reply: StreamedReply) -> None:
        if reply.status == 429:
            self._link.lane.budget.exhausted()
            return
        missing = list(self._link.provider.scopes.missing(reply.fields))
        error = RemoteForbidden(403, insight={"forbidden_error": {"missing_scopes": missing}})
        await self._link.source.forbidden(error)

    async def _leave(self) -> None:
        request, self._open = self._open, None
        if request is not None:
            await request.__aexit__(None, None, None)

    async def _close(self) -> None:
        try:
            await self._leave()
        finally:
            self._link.lane.release()
