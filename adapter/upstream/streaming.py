"""The byte-for-byte way to the provider: straight over the pool, bodies untouched, chunk by chunk."""

from typing import NamedTuple

from adapter.errors import RemoteForbidden, Unavailable
from adapter.models import Secret
from adapter.upstream.lane import Lane
from adapter.upstream.pool import Pool
from adapter.upstream.provider import Provider
from adapter.upstream.reply import StreamedReply
from adapter.upstream.request import Body, Origin, RawHeaders
from adapter.upstream.source import CredentialSource

_TELLING = frozenset({401, 403, 429})
"""Statuses that say something about the credential or the budget."""


class Link(NamedTuple):
    """What all requests of one account go over."""

    pool: Pool
    origin: Origin
    provider: Provider
    lane: Lane
    source: CredentialSource


class Exchange:
    """One streamed request as an async context; it holds one of the account's slots until it is left.

    Leaving it before the answer is here, or being cancelled, ends the upstream request at once.
    """

    __slots__ = ("_body", "_headers", "_link", "_method", "_reply", "_target")

    def __init__(self, link: Link, method: str, target: str, headers: RawHeaders, body: Body) -> None:
        self._link = link
        self._method = method
        self._target = target
        self._headers = headers
        self._body = body
        self._reply: StreamedReply | None = None

    async def __aenter__(self) -> StreamedReply:
        _, _, _, lane, source = self._link
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
        except BaseException:
            self._leave()
            lane.release()
            raise
        lane.budget.observe(reply.fields)
        return reply

    async def __aexit__(self, *_: object) -> None:
        self._leave()
        self._link.lane.release()

    async def _told(self, reply: StreamedReply, token: Secret) -> StreamedReply:
        if reply.status == 401:
            return await self._again(token, reply)
        await self._refused(reply)
        return reply

    async def _ask(self, token: Secret) -> StreamedReply:
        pool, origin, _, _, _ = self._link
        headers = [*self._headers, (b"authorization", b"Bearer " + token.reveal().encode())]
        self._reply = reply = await pool.send(origin, self._method, self._target, headers, self._body)
        return reply

    async def _again(self, token: Secret, reply: StreamedReply) -> StreamedReply:
        renewed = await self._link.source.renew(token)
        if renewed is not None:
            if self._body is not None and not isinstance(self._body, bytes):
                raise Unavailable(
                    "The credential was renewed, but the body can't be sent twice; send the request again.",
                    headers={"retry-after": "1"},
                )
            self._leave()
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

    def _leave(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.abort()
