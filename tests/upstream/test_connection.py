import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import AdapterError, BadRequest, UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from adapter.upstream.reply import StreamedReply
from adapter.upstream.request import Body, RawHeaders
from tests.upstream.wire import PATIENCE_S, Requests, Shifted, Wire, settled, shifted

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"content-length: 2\r\n\r\nhi"
Parts = Sequence[bytes | Exception]


def _asked(wire: Wire, method: str = "GET", headers: RawHeaders = (), body: Body = None) -> StreamedReply:
    return wire.connection.ask(method, "/apps", headers, body)


async def _outcome(reply: StreamedReply) -> tuple[int, bytes] | type[Exception]:
    try:
        async with asyncio.timeout(10):
            await reply.head()
            return reply.status, await reply.body()
    except AdapterError as error:
        return type(error)


async def _sent(wire: Wire) -> None:
    upload = wire.connection._upload
    assert upload is not None
    await upload


async def _given(parts: Parts) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part
        await asyncio.sleep(0)


# --- answers


def _body(headers: bytes, body: bytes, status: bytes = b"200") -> bytes:
    return b"HTTP/1.1 " + status + b" X\r\n" + headers + b"\r\n\r\n" + body


CHUNKED = b"transfer-encoding: chunked"
KEPT: dict[str, tuple[str, bytes, tuple[int, bytes]]] = {
    "a length": ("GET", HI, (200, b"hi")),
    "no length to speak of": ("GET", _body(b"content-length: 0", b""), (200, b"")),
    "chunks": ("GET", _body(CHUNKED, b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"), (200, b"hi")),
    "chunks with extensions": ("GET", _body(CHUNKED, b'2;a="b;c"\r\nhi\r\n0;z\r\n\r\n'), (200, b"hi")),
    "chunks with trailers": ("GET", _body(CHUNKED, b"2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n"), (200, b"hi")),
    "CHUNKED": ("GET", _body(b"Transfer-Encoding: CHUNKED ", b"2\r\nhi\r\n0\r\n\r\n"), (200, b"hi")),
    "no reason phrase": ("GET", b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", (200, b"hi")),
    "a status of nobody's": ("GET", _body(b"content-length: 2", b"hi", b"799"), (799, b"hi")),
    "HEAD with a length": ("HEAD", _body(b"content-length: 9", b""), (200, b"")),
    "HEAD with chunks": ("HEAD", _body(CHUNKED, b""), (200, b"")),
    "HEAD with neither": ("HEAD", _body(b"x-a: b", b""), (200, b"")),
    "204": ("DELETE", _body(b"x-a: b", b"", b"204"), (204, b"")),
    "204 with a length": ("DELETE", _body(b"content-length: 9", b"", b"204"), (204, b"")),
    "304 with a length": ("GET", _body(b"content-length: 9", b"", b"304"), (304, b"")),
    "304 with chunks": ("GET", _body(CHUNKED, b"", b"304"), (304, b"")),
    "100 before": ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + HI, (200, b"hi")),
    "103 before": ("GET", _body(b"link: </a>\r\ncontent-length: 9", b"", b"103") + HI, (200, b"hi")),
    "several before": ("HEAD", _body(b"a: b", b"", b"100") * 3 + HI[:-2], (200, b"")),
    "HTTP/1.0 that stays": (
        "GET",
        b"HTTP/1.0 200 X\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi",
        (200, b"hi"),
    ),
    "an upgrade that is merely offered": (
        "GET",
        _body(b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2", b"hi"),
        (200, b"hi"),
    ),
}
CLOSED: dict[str, tuple[str, bytes, tuple[int, bytes]]] = {
    "close": ("GET", _body(b"connection: close\r\ncontent-length: 2", b"hi"), (200, b"hi")),
    "HEAD and close": ("HEAD", _body(b"connection: Close", b""), (200, b"")),
    "HTTP/1.0": ("GET", b"HTTP/1.0 200 X\r\ncontent-length: 2\r\n\r\nhi", (200, b"hi")),
    "HTTP/1.0 for HEAD": ("HEAD", b"HTTP/1.0 200 X\r\n\r\n", (200, b"")),
    "HEAD with a body": ("HEAD", HI, (200, b"")),
    "HEAD with a chunk": ("HEAD", _body(CHUNKED, b"2\r\nhi\r\n0\r\n\r\n"), (200, b"")),
    "204 with a body": ("DELETE", _body(b"content-length: 2", b"hi", b"204"), (204, b"")),
    "another answer behind": ("GET", HI + HI, (200, b"hi")),
    "the beginning of one behind": ("GET", HI + b"HTT", (200, b"hi")),
    "behind the end": ("GET", _body(b"connection: close\r\ncontent-length: 2", b"hihi"), (200, b"hi")),
}
NONSENSE: dict[str, bytes] = {
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"hi",
    "status 000": _body(b"content-length: 2", b"hi", b"000"),
    "status 000 without a body": _body(b"content-length: 0", b"", b"000"),
    "status 099": _body(b"content-length: 2", b"hi", b"099"),
    "status of four digits": _body(b"content-length: 2", b"hi", b"2000"),
    "101": _body(b"x-a: b", b"", b"101") + HI,
    "101, in earnest": _body(b"upgrade: x\r\nconnection: upgrade", b"", b"101") + HI,
    "a length and chunks": _body(b"content-length: 2\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunks and a length": _body(CHUNKED + b"\r\ncontent-length: 2", b"0\r\n\r\n"),
    "two lengths": _body(b"content-length: 2\r\ncontent-length: 3", b"hi"),
    "a list of lengths": _body(b"content-length: 2, 2", b"hi"),
    "a length with a sign": _body(b"content-length: +2", b"hi"),
    "a length beyond measure": _body(b"content-length: 99999999999999999999999", b"hi"),
    "a length of nothing": _body(b"content-length:", b"hi"),
    "a space before the colon": _body(b"content-length : 2", b"hi"),
    "coded in yet another way": _body(b"transfer-encoding: gzip, chunked", b"2\r\nhi\r\n0\r\n\r\n"),
    "coded, told in two headers": _body(b"transfer-encoding: gzip\r\n" + CHUNKED, b"2\r\nhi\r\n0\r\n\r\n"),
    "coded till the end": _body(b"transfer-encoding: gzip", b"hi"),
    "chunked twice": _body(b"transfer-encoding: chunked, chunked", b"2\r\nhi\r\n0\r\n\r\n"),
    "a chunk of no number": _body(CHUNKED, b"zz\r\nhi\r\n0\r\n\r\n"),
    "a chunk of a negative number": _body(CHUNKED, b"-2\r\nhi\r\n0\r\n\r\n"),
    "a chunk longer than it says": _body(CHUNKED, b"1\r\nhi\r\n0\r\n\r\n"),
    "a chunk beyond measure": _body(CHUNKED, b"fffffffffffffffff\r\nhi\r\n"),
    "trailers that would frame": _body(CHUNKED, b"0\r\ncontent-length: 5\r\n\r\n"),
    "a folded header": _body(b"x-a: 1\r\n content-length: 2", b"hi"),
    "bare line feeds": b"HTTP/1.1 200 X\ncontent-length: 2\n\nhi",
    "a bare carriage return": _body(b"x-a: a\rb\r\ncontent-length: 2", b"hi"),
    "a null in a header": _body(b"x-a: a\0b\r\ncontent-length: 2", b"hi"),
    "a header without a colon": _body(b"x-a\r\ncontent-length: 2", b"hi"),
}


def _pieces(data: bytes, *, whole: bool) -> list[bytes]:
    return [data] if whole else [bytes([byte]) for byte in data]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("case", KEPT)
async def test_a_whole_answer_leaves_the_connection_ready_for_the_next(case: str, *, whole: bool) -> None:
    method, data, expected = KEPT[case]
    wire = Wire()
    for _ in range(2):
        wire.idle.clear()
        reply = _asked(wire, method)
        wire.feed(*_pieces(data, whole=whole))

        assert await _outcome(reply) == expected
        assert wire.idle == [wire.connection]
        assert not wire.is_closing()
    wire.abort()


@pytest.mark.parametrize("case", CLOSED)
async def test_an_answer_after_which_nothing_may_follow_closes_the_connection(case: str) -> None:
    method, data, expected = CLOSED[case]
    wire = Wire()
    reply = _asked(wire, method)
    wire.feed(data)

    assert await _outcome(reply) == expected
    assert wire.idle == []
    await settled()
    assert wire.closed == [wire.connection]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("case", NONSENSE)
async def test_what_is_no_answer_is_called_nonsense_and_closes_the_connection(case: str, *, whole: bool) -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(*_pieces(NONSENSE[case], whole=whole))

    assert await _outcome(reply) is UpstreamNonsense
    assert wire.idle == []
    await settled()
    assert wire.closed == [wire.connection]


async def test_headers_keep_their_order_and_bytes_and_trailers_are_nobodys() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(_body(b"X-B: \xff\t \r\nX-A:\r\nx-b: 2\r\n" + CHUNKED, b"0\r\nx-c: d\r\n\r\n"))

    expected = [(b"x-b", b"\xff"), (b"x-a", b""), (b"x-b", b"2"), (b"transfer-encoding", b"chunked")]
    assert reply.headers == expected
    assert dict(reply.fields) == {"x-b": "2", "x-a": "", "transfer-encoding": "chunked"}
    assert "x-a" in reply.fields
    assert "X-C" not in reply.fields
    wire.abort()


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a header's value": (OK + b"x-a: ", b"a" * 9999),
    "a header's name": (OK, b"a" * 9999),
    "headers": (OK, b"x-a: b\r\n" * 999),
    "provisional answers": (b"", _body(b"link: </a>", b"", b"103") * 99),
    "a trailer": (OK + CHUNKED + b"\r\n\r\n0\r\nx-a: ", b"a" * 9999),
    "trailers": (OK + CHUNKED + b"\r\n\r\n0\r\n", b"x-a: b\r\n" * 999),
    "a chunk's extension": (OK + CHUNKED + b"\r\n\r\n2;a=", b"a" * 9999),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_what_goes_on_and_on_without_a_body_ends_after_256_kilobytes(case: str) -> None:
    begin, more = ENDLESS[case]
    wire = Wire()
    reply = _asked(wire)
    wire.feed(begin)
    fed = 0
    while not wire.is_closing():
        wire.feed(more)
        fed += len(more)

    assert 200_000 < fed < 300_000
    assert await _outcome(reply) is UpstreamNonsense


@given(
    case=st.sampled_from(sorted(KEPT)),
    cuts=st.lists(st.integers(0, 150), max_size=12),
    junk=st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b"HTTP/1.1 500 X\r\n\r\n", HI, b"0\r\n\r\n", b"x"])
    | st.binary(max_size=40),
)
async def test_cut_at_any_places_it_reads_the_same_and_what_is_behind_it_never_shows(
    case: str, cuts: list[int], junk: bytes
) -> None:
    method, data, expected = KEPT[case]
    wire = Wire()
    reply = _asked(wire, method)
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data) + len(junk)})
    wire.feed(*[(data + junk)[begin:end] for begin, end in pairwise(places)])

    assert await _outcome(reply) == expected
    assert await _outcome(reply) == expected, "as often as it is asked for"
    if not wire.is_closing():
        following = _asked(wire)
        wire.feed(_body(b"content-length: 4", b"next"))
        assert await _outcome(following) == (200, b"next")
    wire.abort()


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(HI)
    wire.feed(HI)

    assert wire.is_closing()
    assert await _outcome(reply) == (200, b"hi")


# --- how answers end


UNTIL_THE_END = OK + b"x-a: b\r\n\r\nhi"
BROKEN = _body(b"content-length: 3", b"hi")
ENDS: dict[str, tuple[bytes, Callable[[Wire], None], tuple[int, bytes] | type[Exception]]] = {
    "at its connection's end": (UNTIL_THE_END, lambda wire: wire.end(), (200, b"hi")),
    "by a reset": (UNTIL_THE_END, lambda wire: wire.end(ConnectionResetError()), UpstreamNonsense),
    "by our own closing": (UNTIL_THE_END, lambda wire: wire.abort(), UpstreamNonsense),
    "before its length": (BROKEN, lambda wire: wire.end(), UpstreamNonsense),
    "before its last chunk": (_body(CHUNKED, b"2\r\nhi\r\n"), lambda wire: wire.end(), UpstreamNonsense),
    "within its trailers": (_body(CHUNKED, b"2\r\nhi\r\n0\r\nx:"), lambda wire: wire.end(), UpstreamNonsense),
    "within its head": (OK + b"x-a", lambda wire: wire.end(), UpstreamUnreachable),
    "before it began": (b"", lambda wire: wire.end(), UpstreamUnreachable),
    "after a provisional one": (_body(b"a: b", b"", b"100"), lambda wire: wire.end(), UpstreamUnreachable),
}


@pytest.mark.parametrize("case", ENDS)
async def test_an_answer_that_ends(case: str) -> None:
    data, ending, expected = ENDS[case]
    wire = Wire()
    reply = _asked(wire)
    wire.feed(data)
    ending(wire)
    await settled()

    assert await _outcome(reply) == expected
    assert wire.closed == [wire.connection]
    assert wire.idle == []


async def test_what_came_before_a_break_is_read_and_then_the_error_each_time_anew() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(BROKEN)
    wire.end()
    chunks = reply.chunks()
    raised: list[UpstreamNonsense] = []

    assert await anext(chunks) == b"hi"
    for _ in range(3):
        with pytest.raises(UpstreamNonsense) as caught:
            await reply.body()
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3
    assert len({len(traceback.extract_tb(error.__traceback__)) for error in raised}) == 1


# --- requests


REFUSED: dict[str, tuple[str, str, RawHeaders, Body]] = {
    "a line's end in a value": ("GET", "/", [(b"x-a", b"b\r\nhost: evil")], None),
    "a line feed in a value": ("GET", "/", [(b"x-a", b"b\nhost: evil")], None),
    "a carriage return in a value": ("GET", "/", [(b"x-a", b"b\rhost: evil")], None),
    "a line's end in a name": ("GET", "/", [(b"x-a: b\r\nx-b", b"c")], None),
    "a null": ("GET", "/", [(b"x-a", b"\0")], None),
    "a line's end in the target": ("GET", "/ HTTP/1.1\r\nx-a:b", [], None),
    "a space in the target": ("GET", "/ HTTP/1.1", [], None),
    "a space in the method": ("GET /evil", "/", [], None),
    "a target beyond ASCII": ("GET", "/ä", [], None),
    "another host": ("GET", "/", [(b"host", b"evil")], None),
    "another Host": ("GET", "/", [(b"Host", b"evil")], None),
    "a length without a body": ("GET", "/", [(b"content-length", b"5")], None),
    "chunks without a body": ("GET", "/", [(b"transfer-encoding", b"chunked")], None),
    "another length": ("POST", "/", [(b"content-length", b"5")], b"hi"),
    "chunks and a length": ("POST", "/", [(b"Transfer-Encoding", b"chunked")], b"hi"),
    "a length twice": ("POST", "/", [(b"content-length", b"2"), (b"Content-Length", b"2")], _given([])),
    "a length of no digits": ("POST", "/", [(b"content-length", b"+2")], _given([])),
    "a length with a stroke": ("POST", "/", [(b"content-length", b"1_0")], _given([])),
    "a length of many digits": ("POST", "/", [(b"content-length", b"9" * 5000)], _given([])),
    "chunks of one's own": ("POST", "/", [(b"transfer-encoding", b"gzip, chunked")], _given([])),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_might_be_read_as_something_else_is_not_sent(case: str) -> None:
    method, target, headers, body = REFUSED[case]
    wire = Wire()

    with pytest.raises(BadRequest):
        wire.connection.ask(method, target, headers, body)
    assert wire.written == b""
    wire.abort()


@given(
    headers=st.lists(
        st.tuples(st.sampled_from([b"x-a", b"accept", b"content-length"]), st.binary(max_size=12)), max_size=4
    ),
    body=st.none() | st.binary(max_size=20),
)
async def test_whatever_the_headers_hold_a_server_reads_one_request_of_that_body(
    headers: list[tuple[bytes, bytes]], body: bytes | None
) -> None:
    wire = Wire()
    try:
        _asked(wire, "POST", headers, body)
    except BadRequest:
        assert wire.written == b""
    else:
        try:
            read = Requests(bytes(wire.written))
        except httptools.HttpParserError:
            pass  # a control character: refused whole
        else:
            assert read.complete == 1
            assert read.targets == [b"/apps"]
            assert read.bodies == [body or b""]
            assert [name for name, _ in read.headers[0] if name.startswith(b"x-a")] == [
                name for name, _ in headers if name == b"x-a"
            ]
    wire.abort()


# --- uploads


@given(
    parts=st.lists(st.just(b"") | st.binary(max_size=9), max_size=6),
    announced=st.booleans(),
)
async def test_any_parts_arrive_as_the_same_bytes(parts: list[bytes], *, announced: bool) -> None:
    whole = b"".join(parts)
    wire = Wire()
    reply = _asked(wire, "POST", [(b"content-length", b"%d" % len(whole))] if announced else [], _given(parts))
    await _sent(wire)
    wire.feed(HI)

    assert await _outcome(reply) == (200, b"hi")
    assert wire.idle == [wire.connection]
    read = Requests(bytes(wire.written))
    assert (read.complete, read.bodies) == (1, [whole])
    wire.abort()


class Trouble(Exception):
    pass


LENGTH_3: RawHeaders = [(b"content-length", b"3")]
UNEVEN: dict[str, tuple[RawHeaders, Parts, type[Exception], bytes]] = {
    "short": (LENGTH_3, [b"a", b"b"], BadRequest, b"ab"),
    "long": (LENGTH_3, [b"a", b"b", b"cd"], BadRequest, b"ab"),
    "long from the first": (LENGTH_3, [b"abcd"], BadRequest, b""),
    "in trouble": (LENGTH_3, [b"a", Trouble()], Trouble, b"a"),
    "in trouble, in chunks": ([], [b"a", Trouble()], Trouble, b"1\r\na\r\n"),
}


@pytest.mark.parametrize("case", UNEVEN)
async def test_an_upload_that_ends(case: str) -> None:
    headers, parts, expected, sent = UNEVEN[case]
    wire = Wire()
    reply = _asked(wire, "POST", headers, _given(parts))

    for _ in range(2):
        with pytest.raises(expected):
            await reply.head()
    with pytest.raises(expected):
        await reply.body()
    assert wire.written.partition(b"\r\n\r\n")[2] == sent
    assert wire.is_closing()
    await settled()
    assert wire.closed == [wire.connection]


async def test_an_answer_before_the_end_of_an_upload_is_read_and_the_upload_ends() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
                await asyncio.sleep(0)
        finally:
            ended.set()

    wire = Wire()
    reply = _asked(wire, "POST", [], endless())
    await settled()
    wire.feed(_body(b"content-length: 2", b"no", b"413"))

    assert await _outcome(reply) == (413, b"no")
    await asyncio.wait_for(ended.wait(), 10)
    assert wire.idle == []
    assert wire.is_closing()


async def test_an_answer_before_all_bytes_have_left_closes_the_connection() -> None:
    wire = Wire()
    reply = _asked(wire, "POST", [], b"a" * 99)
    wire.buffered = 50
    wire.feed(HI)

    assert await _outcome(reply) == (200, b"hi")
    assert wire.idle == []
    assert wire.is_closing()


async def test_an_upload_waits_for_room_and_holds_one_part_at_a_time() -> None:
    asked: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            asked.append(number)
            yield b"a"

    wire = Wire()
    reply = _asked(wire, "POST", [], parts())
    wire.connection.pause_writing()
    await settled()
    assert asked == [0]
    wire.connection.resume_writing()
    await settled()
    assert asked == [0, 1, 2, 3, 4]
    wire.connection.pause_writing()  # and a connection that breaks then
    wire.end(ConnectionResetError())
    assert await _outcome(reply) is UpstreamUnreachable


async def test_an_upload_whose_connection_breaks_while_it_waits_for_room_ends() -> None:
    wire = Wire()
    reply = _asked(wire, "POST", [], _given([b"a"] * 5))
    wire.connection.pause_writing()
    await settled()
    wire.end(ConnectionResetError())

    assert await _outcome(reply) is UpstreamUnreachable
    await settled()
    assert [task for task in asyncio.all_tasks() if "_uploading" in repr(task)] == []


# --- slow readers


async def test_what_a_slow_reader_leaves_is_bounded_and_goes_on_when_it_has_read() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(OK + b"content-length: 1000000\r\n\r\n")
    fed = 0
    while wire.is_reading():
        wire.feed(b"a" * 50_000)
        fed += 50_000
    assert 256_000 < fed <= 350_000
    chunks = reply.chunks()

    assert len(await anext(chunks)) == fed
    rest = asyncio.ensure_future(anext(chunks))
    await settled()
    assert wire.is_reading()
    wire.feed(b"a" * (1_000_000 - fed))
    assert len(await rest) == 1_000_000 - fed
    assert [chunk async for chunk in chunks] == []
    assert wire.idle == [wire.connection]
    wire.abort()


async def test_an_answer_that_ends_while_it_is_held_back_leaves_a_connection_that_reads() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(OK + b"content-length: 300002\r\n\r\n", b"a" * 300_000)
    assert not wire.is_reading()
    wire.connection.data_received(b"aa")  # decrypted before the pause, as TLS may

    assert wire.is_reading()
    assert wire.idle == [wire.connection]
    assert len(await reply.body()) == 300_002
    wire.abort()


# --- patience

LONG = PATIENCE_S * 0.9


@shifted
async def test_a_provider_that_is_silent_before_the_head_is_given_up(loop: Shifted) -> None:
    wire = Wire()
    await loop.pass_by(LONG)
    reply = _asked(wire)
    await loop.pass_by(LONG)
    assert not wire.is_closing(), "its patience begins with the request"
    await loop.pass_by(LONG)

    assert await _outcome(reply) is UpstreamTimeout
    assert wire.closed == [wire.connection]


@shifted
async def test_a_head_that_comes_drop_by_drop_is_given_up(loop: Shifted) -> None:
    wire = Wire()
    reply = _asked(wire)
    for drop in (b"HTTP/1.1 100 X\r\n\r\n", b"HTTP/1.1 ", b"200 OK\r\n", b"x-a: "):
        wire.feed(drop)
        await loop.pass_by(LONG / 3)

    assert await _outcome(reply) is UpstreamTimeout


@shifted
async def test_a_body_may_take_its_time_but_not_fall_silent(loop: Shifted) -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(OK + b"content-length: 99\r\n\r\n")
    for _ in range(5):
        await loop.pass_by(LONG)
        wire.feed(b"a")
    assert not wire.is_closing()
    await loop.pass_by(LONG)
    await loop.pass_by(LONG)

    assert await _outcome(reply) is UpstreamTimeout


@shifted
async def test_a_slow_reader_is_no_silent_provider(loop: Shifted) -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(OK + b"content-length: 300002\r\n\r\n", b"a" * 300_000)
    for _ in range(5):
        await loop.pass_by(LONG)
    chunks = reply.chunks()
    assert len(await anext(chunks)) == 300_000
    rest = asyncio.ensure_future(anext(chunks))
    await settled()
    await loop.pass_by(LONG)
    assert not wire.is_closing(), "its patience begins again when more is wanted"
    wire.feed(b"aa")

    assert await rest == b"aa"
    wire.abort()


@shifted
async def test_a_slow_caller_is_no_silent_provider_but_after_them_it_has_its_patience_only(loop: Shifted) -> None:
    more, last = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await more.wait()
        yield b"b"
        await last.wait()

    wire = Wire()
    reply = _asked(wire, "POST", [(b"content-length", b"2")], slow())
    for event, times in ((more, 3), (last, 4)):  # until shortly before it is looked after again
        for _ in range(times):
            await loop.pass_by(LONG)
        event.set()
        await settled()
    await loop.pass_by(LONG)
    assert not wire.is_closing(), "it has just been told the end"
    await loop.pass_by(LONG)

    assert await _outcome(reply) is UpstreamTimeout


@shifted
async def test_a_provider_that_does_not_read_an_upload_is_given_up(loop: Shifted) -> None:
    more = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        await more.wait()
        yield b"a"

    wire = Wire()
    reply = _asked(wire, "POST", [], parts())
    for _ in range(3):
        await loop.pass_by(LONG)
    wire.connection.pause_writing()
    more.set()
    await settled()
    await loop.pass_by(LONG)
    assert not wire.is_closing(), "its patience begins when it is to read"
    await loop.pass_by(LONG)

    assert await _outcome(reply) is UpstreamTimeout


@shifted
async def test_a_provider_that_takes_an_upload_slowly_is_not_given_up(loop: Shifted) -> None:
    wire = Wire()
    reply = _asked(wire, "POST", [], _given([b"a"] * 5))
    for _ in range(5):
        wire.connection.pause_writing()
        await settled()
        await loop.pass_by(LONG)
        wire.connection.resume_writing()
        await settled()
    wire.feed(HI)

    assert await _outcome(reply) == (200, b"hi")


@shifted
async def test_a_connection_that_nobody_uses_is_closed(loop: Shifted) -> None:
    wire = Wire()
    for _ in range(3):
        reply = _asked(wire)
        wire.feed(HI)
        assert await _outcome(reply) == (200, b"hi")
        await loop.pass_by(LONG)
    assert not wire.is_closing()
    await loop.pass_by(LONG)

    assert wire.closed == [wire.connection]


@shifted
async def test_our_own_giving_up_never_makes_an_answer_whole(loop: Shifted) -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(UNTIL_THE_END)
    await loop.pass_by(PATIENCE_S * 2)
    assert wire.closed == [wire.connection]

    assert await _outcome(reply) is UpstreamTimeout


async def test_whoever_aborts_once_it_is_over_does_not_end_what_follows() -> None:
    wire = Wire()
    reply = _asked(wire)
    wire.feed(HI)
    following = _asked(wire)
    reply.abort()
    assert not wire.is_closing()
    following.abort()

    assert wire.is_closing()
