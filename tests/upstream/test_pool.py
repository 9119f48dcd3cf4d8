import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import certifi
import httpx
import pytest

from adapter.errors import (
    AdapterError,
    BadRequest,
    Unavailable,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.upstream.connection import Connection
from adapter.upstream.pool import Pool, origin_of
from adapter.upstream.provider import Timeouts
from adapter.upstream.reply import StreamedReply
from adapter.upstream.request import Body, Origin
from adapter.upstream.transport import interface
from tests.faults.line import Authority
from tests.upstream.loops import on_both_loops
from tests.upstream.recording import Answer, Received, Recorder, answer

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HI = answer(200, b"hi")
PATIENT = Timeouts(connect=20, answer=20)


@asynccontextmanager
async def _pool(timeouts: Timeouts = PATIENT) -> AsyncIterator[Pool]:
    pool = Pool(timeouts)
    try:
        yield pool
    finally:
        await pool.close()
        assert pool._open == set()


@asynccontextmanager
async def _serving(serve: Served, context: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    """A server of connections that does with each what `serve` says."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await serve(reader, writer)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(served(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Origin("127.0.0.1", port, context is not None, b"127.0.0.1:%d" % port)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # what they closed ends


async def _whole(pool: Pool, origin: Origin, method: str = "GET", body: Body = None) -> tuple[int, bytes]:
    async with asyncio.timeout(20):
        reply = await pool.send(origin, method, "/apps", [], body)
        try:
            return reply.status, await reply.body()
        finally:
            reply.abort()


def _origin(recorder: Recorder) -> Origin:
    return origin_of(httpx.URL(recorder.url))


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.001)


# --- reuse


@on_both_loops
async def test_requests_after_each_other_share_a_connection_and_those_at_once_do_not() -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        for _ in range(5):
            assert (await _whole(pool, _origin(recorder)))[0] == 200
        assert recorder.connections == 1
        await asyncio.gather(*(_whole(pool, _origin(recorder)) for _ in range(5)))

        assert recorder.connections == 5
        assert len(pool._idle[_origin(recorder)]) == 5
        assert len(set(pool._idle[_origin(recorder)])) == 5


@on_both_loops
async def test_an_idle_connection_that_the_provider_closes_is_not_used_again() -> None:
    async def once(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HI)
        writer.close()

    async with Recorder().running() as recorder, _pool() as pool:
        recorder.answers = [once]
        await _whole(pool, _origin(recorder))
        await _until(lambda: not pool._open)

        assert await _whole(pool, _origin(recorder)) == (200, b"{}")
        assert recorder.connections == 2


async def _leaves(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@on_both_loops
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_only_reads_is_asked_again_where_its_used_connection_ended_without_a_word(method: str) -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        recorder.answers = [HI, _leaves, HI]
        await _whole(pool, _origin(recorder))

        assert (await _whole(pool, _origin(recorder), method))[0] == 200
        assert [received.method for received in recorder.requests] == ["GET", method, method]
        assert recorder.connections == 2


@on_both_loops
@pytest.mark.parametrize(
    ("before", "method", "body", "ends"),
    [
        ([HI], "POST", None, _leaves),
        ([HI], "DELETE", None, _leaves),
        ([HI], "GET", b"x", _leaves),
        ([], "GET", None, _leaves),
    ],
    ids=["a_write", "a_removal", "a_body", "a_new_connection"],
)
async def test_nothing_else_is_asked_twice(before: list[Answer], method: str, body: Body, ends: Answer) -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        recorder.answers = [*before, ends]
        for _ in before:
            await _whole(pool, _origin(recorder))

        with pytest.raises(UpstreamUnreachable) as failure:
            await _whole(pool, _origin(recorder), method, body)
        assert failure.value.was_sent is None
        assert len(recorder.requests) == len(before) + 1


@on_both_loops
async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    async def begins(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 O")
        await writer.drain()
        writer.close()

    async with Recorder().running() as recorder, _pool() as pool:
        recorder.answers = [HI, begins]
        await _whole(pool, _origin(recorder))

        with pytest.raises(UpstreamUnreachable):
            await _whole(pool, _origin(recorder))
        assert len(recorder.requests) == 2


@on_both_loops
async def test_bytes_that_come_later_behind_an_answer_are_nobodys() -> None:
    async def doubled(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HI)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(answer(200, b"another's"))

    async with Recorder().running() as recorder, _pool() as pool:
        recorder.answers = [doubled]
        assert await _whole(pool, _origin(recorder)) == (200, b"hi")
        await _until(lambda: not pool._open)

        assert await _whole(pool, _origin(recorder)) == (200, b"{}")


@on_both_loops
async def test_no_more_lie_idle_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.upstream.pool._MAX_IDLE", 2)
    async with Recorder().running() as recorder, _pool() as pool:
        await asyncio.gather(*(_whole(pool, _origin(recorder)) for _ in range(5)))
        await _until(lambda: len(pool._open) == 2)

        assert len(pool._idle[_origin(recorder)]) == 2


@on_both_loops
async def test_idle_connections_are_closed_after_their_time() -> None:
    async with Recorder().running() as recorder, _pool(Timeouts(connect=5, answer=0.3)) as pool:
        await _whole(pool, _origin(recorder))
        await _until(lambda: not pool._open)

        assert pool._idle[_origin(recorder)] == []


@on_both_loops
async def test_what_cannot_be_sent_costs_no_more_than_its_connection() -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        with pytest.raises(BadRequest):
            await pool.send(_origin(recorder), "GET", "/", [(b"x-a", b"\r\n")])
        assert (await _whole(pool, _origin(recorder)))[0] == 200

        assert [request.target for request in recorder.requests] == ["/apps"]


# --- cancelled


@on_both_loops
async def test_whoever_is_cancelled_while_connecting_leaves_nothing() -> None:
    accepted = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()  # the hello, and then the end
        await reader.read()

    async with _serving(silent) as origin, _pool() as pool:
        task = asyncio.ensure_future(_whole(pool, origin._replace(tls=True)))
        await asyncio.wait_for(accepted.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("steps", range(12))
@on_both_loops
async def test_whoever_is_cancelled_at_any_step_leaves_nothing_and_ends_nobody_elses(steps: int) -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        task = asyncio.ensure_future(_whole(pool, _origin(recorder)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        others = [asyncio.ensure_future(_whole(pool, _origin(recorder))) for _ in range(3)]
        with suppress(asyncio.CancelledError):
            await task

        assert await asyncio.gather(*others) == [(200, b"{}")] * 3


@on_both_loops
async def test_whoever_is_cancelled_as_their_answer_comes_does_not_end_whoever_took_the_connection() -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        origin = _origin(recorder)
        await _whole(pool, origin)
        seconds: list[asyncio.Future[tuple[int, bytes]]] = []

        def taken_at_once(idle: Connection) -> None:
            idle._on_idle = pool._lay_back
            seconds.append(asyncio.ensure_future(_read(idle.ask("GET", "/second", [], None))))
            first.cancel()

        next(iter(pool._open))._on_idle = taken_at_once
        first = asyncio.ensure_future(pool.send(origin, "GET", "/first", []))
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await seconds[0] == (200, b"{}")
        assert recorder.connections == 1


async def _read(reply: StreamedReply) -> tuple[int, bytes]:
    await reply.head()
    return reply.status, await reply.body()


@on_both_loops
async def test_whoever_is_cancelled_before_the_head_within_the_body_or_an_upload_ends_the_request() -> None:
    reached = asyncio.Event()

    async def headless(*_: object) -> None:
        reached.set()

    async def bodiless(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\na")
        await writer.drain()
        reached.set()

    async def uploading() -> AsyncIterator[bytes]:
        yield b"a"
        reached.set()
        await asyncio.Event().wait()

    async with Recorder().running() as recorder, _pool() as pool:
        for given, body in ((headless, None), (bodiless, None), (headless, uploading())):
            recorder.answers = [given]
            task = asyncio.ensure_future(_whole(pool, _origin(recorder), "POST", body))
            await asyncio.wait_for(reached.wait(), 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(recorder.closed.wait(), 20)
            await _until(lambda: not pool._open)
            reached.clear()
            recorder.closed.clear()


# --- the way there


async def _never(*_: object) -> None:
    await asyncio.Event().wait()


async def _failing(pool: Pool, origin: Origin) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        await _whole(pool, origin)
    return caught.value


@on_both_loops
async def test_nobody_there_a_name_of_nobodys_and_a_silent_handshake_are_told_apart_from_what_was_sent() -> None:
    async with _serving(_never) as origin, _pool(Timeouts(connect=0.5, answer=20)) as pool:
        silent = await _failing(pool, origin._replace(tls=True))
    async with _pool() as pool:
        refused = await _failing(pool, origin)
        nameless = await _failing(pool, origin._replace(host="a" * 70 + ".invalid"))

    assert (type(silent), silent.was_sent) == (UpstreamTimeout, False)
    assert (type(refused), refused.was_sent) == (UpstreamUnreachable, False)
    assert (type(nameless), nameless.was_sent) == (UpstreamUnreachable, False)


@on_both_loops
async def test_a_connection_that_is_reset_at_once_or_answered_unasked_is_no_answer() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def unasked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 408 X\r\ncontent-length: 0\r\n\r\n" * 3)
        await writer.drain()

    for serve in (reset, unasked):
        async with _serving(serve) as origin, _pool() as pool:
            for _ in range(5):
                with suppress(UpstreamFailure):
                    assert (await _whole(pool, origin))[0] == 408
            assert pool._idle[origin] == []


@on_both_loops
async def test_silence_after_the_request_is_a_timeout_of_which_nobody_knows_whether_it_arrived() -> None:
    async with _serving(_never) as origin, _pool(Timeouts(connect=5, answer=0.3)) as pool:
        failure = await _failing(pool, origin)
        await _until(lambda: not pool._open)

    assert (type(failure), failure.was_sent) == (UpstreamTimeout, None)


# --- TLS


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


def _cut(writer: asyncio.StreamWriter) -> None:
    """End what carries TLS, without a word of TLS."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as carrier:
        carrier.shutdown(socket.SHUT_WR)


def _saying(data: bytes, *, cut_off: bool = False) -> Served:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()
            if cut_off:
                _cut(writer)
                await asyncio.sleep(20)
            if b"length" not in data:
                return

    return serve


@on_both_loops
async def test_tls_to_whoever_the_authorities_vouch_for(authority: Authority) -> None:
    async with _serving(_saying(HI), authority.good()) as origin, _pool() as pool:
        assert [await _whole(pool, origin) for _ in range(3)] == [(200, b"hi")] * 3
        assert len(pool._open) == 1


@pytest.mark.parametrize("presented", ["expired", "of_another", "unknown"])
@on_both_loops
async def test_tls_to_nobody_else(authority: Authority, presented: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    contexts = {
        "expired": authority.expired,
        "of_another": authority.of_another,
        "unknown": Authority(tmp_path / "other").good,
    }
    async with _serving(_saying(HI), contexts[presented]()) as origin, _pool() as pool:
        failure = await _failing(pool, origin)

    assert (type(failure), failure.was_sent) == (UpstreamUnreachable, False)


UNTIL_THE_END = b"HTTP/1.1 200 X\r\n\r\nhi"


@pytest.mark.parametrize("said", [UNTIL_THE_END, b"HTTP/1.1 200 X\r\ncontent-length: 3\r\n\r\nhi"])
@on_both_loops
async def test_an_answer_within_which_tls_is_cut_off_is_not_whole(authority: Authority, said: bytes) -> None:
    async with _serving(_saying(said, cut_off=True), authority.good()) as origin, _pool() as pool:
        assert type(await _failing(pool, origin)) is UpstreamNonsense


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_an_answer_that_its_connection_ends(authority: Authority, *, tls: bool) -> None:
    async with _serving(_saying(UNTIL_THE_END), authority.good() if tls else None) as origin, _pool() as pool:
        assert await _whole(pool, origin) == (200, b"hi")


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_a_slow_reader_gets_all_of_a_large_answer_that_closes(authority: Authority, *, tls: bool) -> None:
    whole = bytes(range(256)) * 8192
    data = answer(200, whole, ("connection", "close"))
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        gone.set()

    async with _serving(serve, authority.good() if tls else None) as origin, _pool() as pool:
        reply = await pool.send(origin, "GET", "/", [])
        read = b""
        async for chunk in reply.chunks():
            read += chunk
            await asyncio.sleep(0.02)
        assert read == whole
        assert reply.over
        await gone.wait()
        del reply


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_large_bodies_go_both_ways_with_little_held(authority: Authority, *, tls: bool) -> None:
    part = bytes(range(256)) * 256
    held = 0

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield part

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % (64 * len(part)))
        for _ in range(64):
            writer.write(await reader.readexactly(len(part)))
            await writer.drain()
        await reader.read()

    async with _serving(echo, authority.good() if tls else None) as origin, _pool() as pool:
        length = [(b"content-length", b"%d" % (64 * len(part)))]
        async with asyncio.timeout(20):
            reply = await pool.send(origin, "POST", "/", length, parts())
            read = b""
            async for chunk in reply.chunks():
                held = max(held, len(chunk), reply.held)
                read += chunk
                await asyncio.sleep(0.001)
        assert read == part * 64
        assert held <= 1024 * 1024
        del reply


def test_authorities_are_the_systems_or_else_those_that_come_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    shipped = ssl.create_default_context(cafile=certifi.where())

    async def trusted() -> ssl.SSLContext:
        return Pool(PATIENT)._trust

    assert len(asyncio.run(trusted()).get_ca_certs()) == len(shipped.get_ca_certs())
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).path))
    assert len(asyncio.run(trusted()).get_ca_certs()) == 1
    assert asyncio.run(trusted()).verify_mode is ssl.CERT_REQUIRED
    assert asyncio.run(trusted()).check_hostname


# --- the end


@on_both_loops
async def test_closing_ends_what_is_under_way_and_lets_nothing_new_begin() -> None:
    async with Recorder().running() as recorder, _pool() as pool:

        async def hang(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(UNTIL_THE_END)

        await _whole(pool, _origin(recorder))
        recorder.always = hang
        under_way = [asyncio.ensure_future(_whole(pool, _origin(recorder))) for _ in range(3)]
        await _until(lambda: len(recorder.requests) == 4)
        await asyncio.sleep(0.05)
        await pool.close()

        ended = await asyncio.gather(*under_way, return_exceptions=True)
        assert {type(error) for error in ended} <= {UpstreamNonsense, UpstreamUnreachable}
        with pytest.raises(Unavailable):
            await _whole(pool, _origin(recorder))
        await pool.close()


@on_both_loops
async def test_a_connection_that_is_made_while_the_pool_closes_is_closed() -> None:
    async with Recorder().running() as recorder, _pool() as pool:
        under_way = asyncio.ensure_future(_whole(pool, _origin(recorder)))
        await asyncio.sleep(0)
        await pool.close()

        with pytest.raises(AdapterError):
            await under_way
        assert pool._open == set()


# --- httpx over it


@on_both_loops
async def test_httpx_bodies_of_any_kind_arrive_whole() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with Recorder().running() as recorder, _pool() as pool, interface(pool, None) as http:
        await http.get(recorder.url)
        await http.post(recorder.url)
        await http.post(recorder.url, content=b"ab")
        await http.post(recorder.url, content=parts())
        await http.post(recorder.url, data={"a": "b"})

    assert [request.body for request in recorder.requests] == [b"", b"", b"ab", b"ab", b"a=b"]
    assert [request.header("content-length") for request in recorder.requests] == [None, "0", "2", "2", "3"]
    assert {request.header("transfer-encoding") for request in recorder.requests} == {None}
