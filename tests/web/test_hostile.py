"""Requests that try to leave the path, the host, the account or the protocol: none of them reaches the provider."""

import asyncio

import pytest

from tests.upstream.recording import Recorder
from tests.web.house import API, House
from tests.web.wire import request, say

# What stands behind a door's prefix. Sent by a token that may do everything: the target alone is what is refused.
TARGETS: tuple[bytes, ...] = (
    b"/..",
    b"/../apps",
    b"/apps/..",
    b"/apps/../account/keys",
    b"/apps/./x",
    b"/./apps",
    b"/apps/%2e%2e/keys",
    b"/apps/%2E%2e/keys",
    b"/apps/.%2e/keys",
    b"/apps/%2e/x",
    b"/%2e%2e",
    b"/apps/%252e%252e/keys",
    b"/apps/..;/keys",
    b"/apps/..;x=y/keys",
    b"/apps/...",
    b"/apps/%2f/keys",
    b"/apps%2fx",
    b"/apps%2Fx%2Fconfig-vars",
    b"/apps%252fx",
    b"/apps%5cx",
    b"/apps\\x",
    b"\\apps",
    b"/\\evil.example/x",
    b"//evil.example/x",
    b"///evil.example",
    b"/apps//x",
    b"/apps//",
    b"/http://evil.example/x",
    b"/https://evil.example",
    b"/@evil.example//x",
    b"/apps/%00",
    b"/apps%00.json",
    b"/apps\x00",
    b"/apps\x01x",
    b"/apps\x7f",
    b"/apps\x85",
    b"/apps x",
    b"/apps\tx",
    b"/apps%0d%0aHost:%20evil.example",
    b"/apps%0aX: y",
    b"/apps%0d",
    b"/apps%09",
    b"/apps%7f",
    b"/apps/%c0%ae%c0%ae/keys",
    b"/apps%c0%afx",
    b"/apps%e0%80%afx",
    b"/apps%f0%80%80%afx",
    b"/apps/\xc0\xae\xc0\xae/keys",
    b"/apps/\xe2\x80\xae",
    b"/apps/\xef\xbc\x8fkeys",
    b"/apps%ef%bc%8fkeys",
    b"/apps/%ef%bc%8e%ef%bc%8e/keys",
    b"/apps%e2%81%84keys%ef%bc%8f",
    b"/apps%e2%80%8b",
    b"/apps/%ff",
    b"/apps/%c3",
    b"/apps/%ed%a0%80",
    b"/apps/%",
    b"/apps/%2",
    b"/apps/%zz",
    b"/apps/%u002e",
    b"/apps/%3fx",
    b"/apps/%23x",
    b"/apps/%3bx",
    b"/apps/config%2dvars",
    b"/%61pps",
    b"/apps/%7E",
    b'/apps/"x"',
    b"/apps/<x>",
    b"/apps/{x}",
    b"/apps/x|y",
    b"/apps/x^y",
    b"/apps/`x`",
    b"/apps?x=\x00",
    b"/apps?x=%00",
    b"/apps?x=%0d%0aX:y",
    b"/apps?x=\xe9",
    b"/apps?x=\x7f",
    b"/apps? x",
)
DOORS = (b"/custom", b"/proxy", b"")

# Whole first lines: other forms than a path, other methods, other versions.
LINES: tuple[bytes, ...] = (
    b"GET http://127.0.0.1:{provider}/custom/apps/.. HTTP/1.1",
    b"GET https://evil.example//apps HTTP/1.1",
    b"GET evil.example:443 HTTP/1.1",
    b"GET apps HTTP/1.1",
    b"GET * HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET ?x HTTP/1.1",
    b"GET  /apps HTTP/1.1",
    b"GET /apps HTTP/9.9",
    b"GET /apps",
    b"CONNECT 127.0.0.1:{provider} HTTP/1.1",
    b"CONNECT /apps HTTP/1.1",
    b"TRACE /apps HTTP/1.1",
    b"get /apps HTTP/1.1",
    b"G\x00T /apps HTTP/1.1",
    b"GET\t/apps HTTP/1.1",
    b"G(T /apps HTTP/1.1",
    b"GETGETGETGETGETGETGETGET /apps HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0",
)

# Header blocks of a request that would otherwise pass.
HEADERS: tuple[bytes, ...] = (
    b"X-A: b\x00c\r\n",
    b"X-A: b\x01c\r\n",
    b"X-A: b\r\n c\r\n",
    b"X-A: b\rX-B: c\r\n",
    b"X-A : b\r\n",
    b"X A: b\r\n",
    b": b\r\n",
    b"X-\x80: b\r\n",
    b"X-A: caf\xe9\r\n",
    b"X-A: \xe2\x80\xae\r\n",
    b"Content-Length: 1\r\nContent-Length: 2\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: +1\r\n",
    b"Content-Length: 0x1\r\n",
    b"Content-Length: 1, 2\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Authorization: Bearer udt_reader\r\n",
    b"Authorization: Basic OnVkdF9hbGw=\r\n",
    b"X-A: " + b"a" * 40_000 + b"\r\n",
    b"".join(b"X-%d: a\r\n" % number for number in range(200)),
)


def _ids(raw: bytes) -> str:
    return ascii(raw.decode("latin-1"))[1:-1][:40]


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(TARGETS) * len(DOORS) + len(LINES) + len(HEADERS) > 250
    assert len(set(TARGETS)) == len(TARGETS)


@pytest.mark.parametrize("target", TARGETS, ids=_ids)
async def test_a_hostile_target_is_refused_at_each_door(house: House, provider: Recorder, target: bytes) -> None:
    for door in DOORS:
        heard = await say(house.port, request(door + target, token="udt_all"))

        assert heard is not None, door
        # `\apps` behind no door is no path at all; what the server itself refuses has no body.
        assert heard.status == 400, (door, heard)
        assert heard.body == b"" or heard.json()["statusCode"] == 400
    assert provider.requests == []


@pytest.mark.parametrize("line", LINES, ids=_ids)
async def test_a_hostile_first_line_is_refused(house: House, provider: Recorder, line: bytes) -> None:
    line = line.replace(b"{provider}", provider.url.rpartition(":")[2].encode())
    asked = line + b"\r\nHost: adapter.example\r\nAuthorization: Bearer udt_all\r\n\r\n"
    try:
        heard = await say(house.port, asked, patience=1)
    except TimeoutError:
        heard = None  # the server waits for more of what it doesn't take for a request

    assert heard is None or heard.status in {400, 404, 405, 431, 505}, heard
    assert provider.requests == []
    assert provider.connections == 0


@pytest.mark.parametrize("block", HEADERS, ids=_ids)
async def test_a_hostile_header_is_refused(house: House, provider: Recorder, block: bytes) -> None:
    asked = b"POST /custom/apps HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer udt_all\r\n" + block + b"\r\n"
    try:
        heard = await say(house.port, asked, patience=1)
    except TimeoutError:
        heard = None

    assert heard is None or heard.status in {400, 401, 413, 431}, heard
    assert provider.requests == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://{evil}/custom/apps HTTP/1.1",
        b"GET http://{evil}/apps HTTP/1.1",
        b"GET https://{evil}/proxy/apps HTTP/1.1",
        b"GET http://user:pass@{evil}/custom/apps HTTP/1.1",
    ],
)
async def test_an_absolute_form_never_chooses_the_host(house: House, provider: Recorder, line: bytes) -> None:
    """The server below drops scheme and host from an absolute form, as RFC 9112 has it: what is left is a path of ours,
    and goes where every path goes."""
    async with Recorder().running() as evil:
        named = line.replace(b"{evil}", evil.url.removeprefix("http://").encode())
        for host in (b"adapter.example", evil.url.removeprefix("http://").encode()):
            asked = named + b"\r\nHost: " + host + b"\r\nAuthorization: Bearer udt_all\r\n\r\n"
            heard = await say(house.port, asked)
            assert heard is not None

        assert evil.connections == 0
    assert {sent.target for sent in provider.requests} <= {"/apps"}
    assert {sent.header("host") for sent in provider.requests} <= {provider.url.removeprefix("http://")}


async def test_a_fragment_is_no_part_of_what_is_judged_or_sent(house: House, provider: Recorder) -> None:
    heard = await say(house.port, request("/custom/apps#/../account/keys?x", token="udt_reader"))

    assert heard is not None
    assert [sent.target for sent in provider.requests] in ([], ["/apps"])


async def test_a_second_request_smuggled_in_a_body_stays_a_body(house: House, provider: Recorder) -> None:
    inner = request("/account/keys", token="udt_all")
    await say(house.port, request("/custom/teams/t/members", method="PUT", token="udt_all", body=inner))

    assert [sent.target for sent in provider.requests] == ["/teams/t/members"]
    assert provider.requests[0].body == inner


async def test_a_length_beside_chunks_does_not_hide_a_request(house: House, provider: Recorder) -> None:
    """RFC 9112 6.3: chunks win, and the connection is closed behind them."""
    hidden = request("/custom/account/keys", token="udt_all")
    both = (("Content-Length", "5"), ("Transfer-Encoding", "chunked"))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    first = request("/custom/teams/t/members", *both, method="PUT", token="udt_all", body=b"0\r\n\r\n")
    writer.write(first + hidden)
    async with asyncio.timeout(3):
        await reader.read()
    writer.close()

    assert [sent.target for sent in provider.requests] in ([], ["/teams/t/members"])


@pytest.mark.parametrize("path", ["/apps/a/config-vars", "/oauth/authorizations", "/account/keys", "/apps/a/dynos"])
@pytest.mark.parametrize(
    "header",
    [
        ("X-HTTP-Method-Override", "GET"),
        ("X-HTTP-Method", "GET"),
        ("X-Original-URL", "/apps"),
        ("X-Rewrite-URL", "/apps"),
        ("X-Forwarded-Prefix", "/custom/apps"),
        ("X-Forwarded-Path", "/apps"),
        ("Range", "id ..; max=1"),
    ],
)
async def test_no_header_opens_a_secret_path(
    house: House, provider: Recorder, path: str, header: tuple[str, str]
) -> None:
    for door in ("/custom", "/proxy", ""):
        for method in ("GET", "HEAD", "POST"):
            heard = await say(house.port, request(door + path, header, method=method, token="udt_below"))
            assert heard is not None
            assert heard.status == 403
    assert provider.requests == []


@pytest.mark.parametrize("header", [("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/account/keys")])
async def test_no_header_turns_an_open_path_into_another(
    house: House, provider: Recorder, header: tuple[str, str]
) -> None:
    await say(house.port, request("/custom/apps", header, method="POST", token="udt_below"))

    assert [(sent.method, sent.target) for sent in provider.requests] == [("POST", "/apps")]
    assert provider.requests[0].header(header[0].lower()) is None


@pytest.mark.parametrize("name", ["integrated_account_id", "integrated%5Faccount_id", "integrated_account_id[]"])
async def test_no_spelling_of_the_account_reaches_another_account(house: House, provider: Recorder, name: str) -> None:
    for token in ("udt_all", API):
        heard = await say(house.port, request(f"/custom/apps?{name}=acc-2", token=token))
        assert heard is not None
        if name.endswith("[]"):
            # Not our parameter: an account token's own account is asked, an API token names none.
            assert heard.status in {200, 400}
        else:
            assert heard.status in {403, 404}
    assert {sent.header("authorization") for sent in provider.requests} <= {"Bearer HRKU-first"}
