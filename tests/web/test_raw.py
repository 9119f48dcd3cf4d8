import asyncio
import gzip
import json
from collections.abc import Callable

import msgspec
import pytest
import structlog

from adapter.web.doors import RESERVED
from tests.upstream.endpoints import ENDPOINTS
from tests.upstream.recording import Received, Recorder, answer
from tests.web.house import API, House, Source
from tests.web.wire import Heard, request, say

JSON = ("content-type", "application/json")
_CHUNKED = (("transfer-encoding", "chunked"),)


async def ask(house: House, target: str, *headers: tuple[str, str], **more: object) -> Heard:
    heard = await say(house.port, request(target, *headers, **{"token": "udt_all", **more}))  # type: ignore[arg-type]  # as the table has them
    assert heard is not None
    return heard


def page(records: object, *headers: tuple[str, str], status: int = 200) -> bytes:
    return answer(status, msgspec.json.encode(records), JSON, *headers)


class TestCustom:
    async def test_status_body_and_query_are_handed_on_byte_for_byte(self, house: House, provider: Recorder) -> None:
        body = gzip.compress(bytes(range(256)) * 20)
        provider.always = answer(207, body, ("content-encoding", "gzip"), ("etag", '"x"'))

        heard = await ask(house, "/custom/apps?x=%20a&&y&z='")

        assert (heard.status, heard.body, heard.header("etag")) == (207, body, '"x"')
        assert heard.header("content-encoding") == "gzip"
        assert provider.requests[0].target == "/apps?x=%20a&&y&z='"
        assert provider.requests[0].header("authorization") == "Bearer HRKU-first"

    @pytest.mark.parametrize("status", [200, 201, 202, 301, 302, 307, 400, 402, 403, 404, 409, 416, 422, 500, 503])
    async def test_any_status_is_handed_on_with_its_body(self, house: House, provider: Recorder, status: int) -> None:
        provider.always = answer(status, b'{"id":"x"}', JSON, ("location", "https://elsewhere.example/"))

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.body) == (status, b'{"id":"x"}')
        assert heard.header("location") == "https://elsewhere.example/"
        assert len(provider.requests) == 1

    @pytest.mark.parametrize("status", [204, 304])
    async def test_an_answer_without_a_body_has_none(self, house: House, provider: Recorder, status: int) -> None:
        provider.always = answer(status, b"", ("etag", '"e"'), length=False)

        heard = await ask(house, "/custom/apps", ("If-None-Match", '"e"'))

        assert (heard.status, heard.body, heard.header("etag")) == (status, b"", '"e"')
        assert provider.requests[0].header("if-none-match") == '"e"'

    async def test_header_values_are_handed_on_as_they_are(self, house: House, provider: Recorder) -> None:
        provider.always = answer(200, b"x", ("x-name", "caf\xe9"), ("x-twice", "1"), ("x-twice", "2"))

        heard = await ask(house, "/custom/apps")

        assert heard.status == 200
        assert [pair for pair in heard.headers if pair[0].startswith("x-name") or pair[0] == "x-twice"] == [
            ("x-name", "caf\xe9"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ]

    async def test_head_keeps_the_length_and_sends_nothing(self, house: House, provider: Recorder) -> None:
        provider.always = answer(200, b"", JSON, ("content-length", "4096"))

        heard = await ask(house, "/custom/apps", method="HEAD")

        assert (heard.status, heard.header("content-length"), heard.body) == (200, "4096", b"")
        assert provider.requests[0].method == "HEAD"

    async def test_ranges_and_accept_pass_untouched(self, house: House, provider: Recorder) -> None:
        provider.always = page([1], ("content-range", "id a..b"), ("next-range", "id ]b..; max=1"), status=206)

        heard = await ask(house, "/custom/apps", ("Range", "id ..; ;"), ("Accept", "x/y; version=3.sdk"))

        assert (heard.status, heard.header("next-range"), heard.body) == (206, "id ]b..; max=1", b"[1]")
        assert provider.requests[0].header("range") == "id ..; ;"
        assert provider.requests[0].header("accept") == "x/y; version=3.sdk"

    async def test_the_providers_accept_is_sent_where_the_caller_has_none(
        self, house: House, provider: Recorder
    ) -> None:
        await ask(house, "/custom/apps")

        assert provider.requests[0].header("accept") == "application/vnd.heroku+json; version=3"

    @pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
    async def test_a_body_of_known_length_arrives_whole(self, house: House, provider: Recorder, size: int) -> None:
        body = bytes(index % 251 for index in range(size))

        heard = await ask(house, "/custom/apps", ("Content-Length", str(size)), method="POST", body=body)

        assert heard.status == 200
        assert provider.requests[0].body == body
        assert provider.requests[0].header("content-length") == str(size)

    async def test_a_chunked_body_is_streamed_on(self, house: House, provider: Recorder) -> None:
        heard = await ask(
            house,
            "/custom/apps",
            ("Transfer-Encoding", "chunked"),
            method="POST",
            body=b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        )

        assert heard.status == 200
        assert provider.requests[0].body == b"abcdefg"
        assert provider.requests[0].header("transfer-encoding") == "chunked"

    @pytest.mark.parametrize("piece", [b"abc", b"x" * 200_000 + b"abc"], ids=len)
    async def test_an_answer_is_streamed_while_it_is_made(self, house: House, provider: Recorder, piece: bytes) -> None:
        go_on = asyncio.Event()

        async def slowly(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"%x\r\n%s\r\n" % (len(piece), piece), *_CHUNKED, length=False))
            await go_on.wait()
            writer.write(b"3\r\ndef\r\n0\r\n\r\n")

        provider.always = slowly
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(request("/custom/apps", token="udt_all"))
        async with asyncio.timeout(2):
            first = b""
            while not first.endswith(b"abc\r\n"):
                first += await reader.read(65536)
            go_on.set()
            rest = await reader.readuntil(b"0\r\n\r\n")
        writer.close()

        assert first.startswith(b"HTTP/1.1 200")
        assert b"def" in rest

    async def test_a_large_answer_arrives_whole(self, house: House, provider: Recorder) -> None:
        body = bytes(index % 251 for index in range(5_000_000))
        provider.always = answer(200, body)

        heard = await ask(house, "/custom/apps")

        assert heard.body == body

    async def test_a_small_answer_that_breaks_off_is_502(self, house: House, provider: Recorder) -> None:
        async def broken(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"abc", ("content-length", "10")))
            writer.close()

        provider.always = broken

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.json()["code"]) == (502, "upstream_nonsense")

    async def test_a_large_answer_that_breaks_off_is_seen_to_break_off(self, house: House, provider: Recorder) -> None:
        async def broken(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"abc" * 100_000, ("content-length", "1000000")))
            writer.close()

        provider.always = broken

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.complete) == (200, False)

    @pytest.mark.parametrize(
        ("said", "status", "code"),
        [
            (answer(200, b"x", ("x-name", "a\x01b")), 502, "upstream_nonsense"),
            (answer(200, b"x", ("content-length", "1"), ("content-length", "2")), 502, "upstream_nonsense"),
            (answer(101, b"", ("upgrade", "h2c"), ("connection", "upgrade")), 502, "upstream_nonsense"),
            (b"garbage\r\n\r\n", 502, "upstream_nonsense"),
            (b"", 504, "upstream_timeout"),
        ],
    )
    async def test_nonsense_and_silence_are_no_answer(
        self, provider: Recorder, said: bytes, status: int, code: str
    ) -> None:
        provider.always = said
        async with House(provider.url, timeout=0.3).served() as house:
            heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.json()["code"]) == (status, code)
        assert provider.url.removeprefix("http://").encode() not in heard.body

    async def test_a_dead_provider_is_502_with_the_rates(self) -> None:
        async with House("http://127.0.0.1:1").served() as house:
            heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.json()["code"]) == (502, "upstream_unreachable")
        assert heard.header("ratelimit-limit") == "4500;w=3600"

    async def test_a_caller_who_hangs_up_ends_the_upstream_request(self, house: House, provider: Recorder) -> None:
        async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"", ("content-length", "100000000")))
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.01)

        provider.always = endless
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(request("/custom/apps", token="udt_all"))
        await reader.readuntil(b"xxx")
        writer.close()

        async with asyncio.timeout(3):
            await provider.closed.wait()

    async def test_a_caller_who_hangs_up_while_the_provider_thinks_ends_the_request_and_frees_the_slot(
        self, house: House, provider: Recorder
    ) -> None:
        provider.always = b""
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(request("/custom/apps", token="udt_all"))
        slots = house.accounts.clients["acc-1"]._lane._slots
        async with asyncio.timeout(3):
            await _until(lambda: slots.free == 31)
            writer.close()
            await _until(lambda: slots.free == 32)
            await provider.closed.wait()


async def _until(holds: Callable[[], bool]) -> None:
    """The semaphore tells nobody when it is given back."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class TestHeaders:
    async def test_what_is_ours_or_hop_by_hop_stays_behind(self, house: House, provider: Recorder) -> None:
        dropped = {
            "Connection": "keep-alive, X-Listed",
            "X-Listed": "1",
            "Cookie": "a=b",
            "Forwarded": "for=1",
            "Keep-Alive": "5",
            "Origin": "http://adapter.example",
            "Proxy-Authorization": "Basic x",
            "Referer": "http://adapter.example/?integrated_account_id=1",
            "TE": "trailers",
            "Upgrade": "h2c",
            "Via": "1.1 x",
            "X-Forwarded-For": "1.2.3.4",
            "X-Forwarded-Host": "evil.example",
            "X-Heroku-Sudo": "true",
            "X-Heroku-Sudo-User": "root@heroku.com",
            "X-HTTP-Method-Override": "DELETE",
            "X-Original-URL": "/account/keys",
            "X-Rewrite-URL": "/account/keys",
        }
        kept = {"Accept-Expansion": "a", "Heroku-Two-Factor-Code": "1", "Request-Id": "r", "User-Agent": "heroku/9"}

        await ask(house, "/custom/apps", *dropped.items(), *kept.items())

        sent = {name for name, _ in provider.requests[0].headers}
        assert sent == {name.lower() for name in kept} | {"accept", "authorization", "host"}
        assert provider.requests[0].header("host") == provider.url.removeprefix("http://")

    async def test_what_would_speak_to_a_browser_in_our_name_is_not_handed_on(
        self, house: House, provider: Recorder
    ) -> None:
        provider.always = answer(
            200,
            b"<script>",
            ("content-type", "text/html"),
            ("Set-Cookie", "a=b"),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Clear-Site-Data", "*"),
            ("Alt-Svc", 'h2="evil.example"'),
            ("WWW-Authenticate", "Basic"),
            ("Content-Security-Policy", "default-src *"),
            ("X-Content-Type-Options", "off"),
            ("Server", "Cowboy"),
            ("Request-Id", "a,b"),
            ("Warning-Message", "w"),
        )

        heard = await ask(house, "/custom/apps")

        names = [name for name, _ in heard.headers]
        assert sorted(set(names)) == sorted(names)
        assert set(names) == {
            "content-length",
            "content-security-policy",
            "content-type",
            "date",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "request-id",
            "server",
            "warning-message",
            "x-content-type-options",
            "x-request-id",
        }
        assert heard.header("content-security-policy") == "sandbox"
        assert heard.header("x-content-type-options") == "nosniff"

    async def test_a_header_beyond_ascii_is_refused_before_anything_is_sent(
        self, house: House, provider: Recorder
    ) -> None:
        heard = await ask(house, "/custom/apps", ("X-Name", "caf\xe9"))

        assert heard.status == 400
        assert provider.requests == []

    async def test_rates_are_estimated_from_what_the_provider_told(self, house: House, provider: Recorder) -> None:
        provider.always = answer(200, b"{}", JSON, ("RateLimit-Remaining", "4000"))

        heard = await ask(house, "/custom/apps")

        assert heard.header("ratelimit-remaining") == "4000"
        assert heard.header("ratelimit-reset") == "400"

    @pytest.mark.parametrize(("given", "expected"), [(None, "30"), ("7", "7"), ("1353000000", "30"), ("soon", "30")])
    async def test_429_always_says_how_long_in_whole_seconds(
        self, house: House, provider: Recorder, given: str | None, expected: str
    ) -> None:
        provider.always = answer(429, b'{"id":"rate_limit"}', JSON, *([("Retry-After", given)] if given else []))

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.header("retry-after"), heard.body) == (429, expected, b'{"id":"rate_limit"}')
        assert heard.header("ratelimit-remaining") == "0"


class TestAccounts:
    async def test_an_api_token_names_the_account_which_does_not_pass_on(
        self, house: House, provider: Recorder
    ) -> None:
        heard = await ask(house, "/custom/apps?a=1&integrated%5faccount_id=acc-1&b=2", token=API)

        assert heard.status == 200
        assert provider.requests[0].target == "/apps?a=1&b=2"

    @pytest.mark.parametrize(
        ("target", "token", "status", "code"),
        [
            ("/custom/apps", API, 400, "invalid_parameter"),
            ("/custom/apps?integrated_account_id=", API, 400, "invalid_parameter"),
            ("/custom/apps?integrated_account_id=a&integrated_account_id=b", API, 400, "invalid_parameter"),
            ("/custom/apps?integrated_account_id=nope", API, 404, "account_not_found"),
            ("/custom/apps?integrated_account_id=acc-2", "udt_all", 403, "wrong_account"),
            ("/proxy/apps?integrated_account_id=acc-2", "udt_all", 403, "wrong_account"),
            ("/apps?integrated_account_id=acc-2", "udt_all", 403, "wrong_account"),
            ("/custom/apps", "udt_directory", 403, "insufficient_scope"),
            ("/custom/apps/a/config-vars", "udt_writer", 403, "insufficient_scope"),
            ("/custom/apps", "udt_revoked", 401, "unauthorized"),
            ("/custom/apps", None, 401, "unauthorized"),
            ("/apps", None, 401, "unauthorized"),
            ("/apps?integrated_account_id=acc-1", API, 404, "not_found"),
        ],
    )
    async def test_who_may_not_is_told_why_and_nothing_is_sent(
        self, house: House, provider: Recorder, target: str, token: str | None, status: int, code: str
    ) -> None:
        heard = await ask(house, target, token=token)

        assert (heard.status, heard.json()["code"]) == (status, code)
        assert provider.requests == []

    async def test_a_credential_that_lapsed_is_renewed_once_and_the_body_sent_again(
        self, house: House, provider: Recorder
    ) -> None:
        house.accounts.source.tokens = ["HRKU-first", "HRKU-second"]
        provider.answers = [answer(401, b'{"id":"unauthorized"}', JSON)]

        heard = await ask(house, "/custom/apps", method="POST", body=b"abc")

        assert heard.status == 200
        assert [sent.header("authorization") for sent in provider.requests] == [
            "Bearer HRKU-first",
            "Bearer HRKU-second",
        ]
        assert [sent.body for sent in provider.requests] == [b"abc", b"abc"]

    async def test_a_credential_that_is_refused_for_good_needs_reauth(self, house: House, provider: Recorder) -> None:
        provider.always = answer(401, b'{"id":"unauthorized"}', JSON, ("WWW-Authenticate", "Basic"))

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.json()["code"]) == (401, "needs_reauth")
        assert heard.header("www-authenticate") is None
        assert house.accounts.source.was_rejected == 1

    async def test_a_renewal_while_a_streamed_body_is_under_way_asks_to_send_again(
        self, house: House, provider: Recorder
    ) -> None:
        house.accounts.source.tokens = ["HRKU-first", "HRKU-second"]
        provider.answers = [answer(401, b"", JSON)]
        chunked = ("Transfer-Encoding", "chunked")

        heard = await ask(house, "/custom/apps", chunked, method="POST", body=b"3\r\nabc\r\n0\r\n\r\n")

        assert (heard.status, heard.header("retry-after")) == (503, "1")
        assert house.accounts.source.was_rejected == 0

    async def test_403_is_handed_on_and_remembered_with_the_missing_scopes(
        self, house: House, provider: Recorder
    ) -> None:
        provider.always = answer(
            403, b'{"id":"forbidden"}', JSON, ("oauth-scope", "read"), ("oauth-scope-accepted", "global")
        )

        heard = await ask(house, "/custom/teams/t/members")

        assert (heard.status, heard.body) == (403, b'{"id":"forbidden"}')
        assert [error.insight for error in house.accounts.source.refusals] == [
            {"forbidden_error": {"missing_scopes": ["global"]}}
        ]


class TestWrites:
    @pytest.mark.parametrize("door", ["/custom", "/proxy", ""])
    async def test_a_write_that_succeeds_is_told_and_audited_without_its_query(
        self, house: House, provider: Recorder, door: str
    ) -> None:
        provider.always = answer(201, b"{}", JSON)
        with structlog.testing.capture_logs() as logs:
            await ask(house, f"{door}/teams/t/members?secret=1", method="PUT", body=b"{}")

        assert house.written == [("acc-1", "PUT", "/teams/t/members")]
        [line] = [line for line in logs if line["event"] == "raw_write"]
        assert (line["method"], line["path"], line["token_id"]) == ("PUT", "/teams/t/members", "t-all")
        assert "secret" not in json.dumps(logs)

    async def test_a_path_that_is_itself_a_secret_is_not_written_down(self, house: House) -> None:
        with structlog.testing.capture_logs() as logs:
            await ask(house, "/custom/teams/invitations/0123-token/accept", method="POST")

        assert "0123-token" not in json.dumps(logs)
        assert "/teams/invitations/{token}/accept" in json.dumps(logs)

    @pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("PUT", 422), ("PUT", 500)])
    async def test_reads_and_failures_touch_nothing(
        self, house: House, provider: Recorder, method: str, status: int
    ) -> None:
        provider.always = answer(status, b"{}" if method != "HEAD" else b"", JSON)

        await ask(house, "/custom/teams/t/members", method=method)

        assert house.written == []


class TestProxy:
    async def test_a_list_is_put_into_the_envelope_and_its_way_on_into_a_cursor(
        self, house: House, provider: Recorder
    ) -> None:
        provider.answers = [
            page([{"id": "a"}, {"id": "b"}], ("next-range", "id ]b..; max=2"), ("etag", "x"), status=206),
            page([{"id": "c"}]),
        ]

        first = await ask(house, "/proxy/apps?limit=2&x=1")
        cursor = first.json()["next_cursor"]
        second = await ask(house, f"/proxy/apps?x=1&limit=2&next_cursor={cursor}")

        assert first.status == 200
        assert first.json() == {
            "result": [{"id": "a"}, {"id": "b"}],
            "next_cursor": cursor,
            "prev_cursor": None,
            "result_count": 2,
        }
        assert second.json() == {"result": [{"id": "c"}], "next_cursor": None, "prev_cursor": None, "result_count": 1}
        assert [sent.header("range") for sent in provider.requests] == ["id ..; max=2", "id ]b..; max=2"]
        assert [sent.target for sent in provider.requests] == ["/apps?x=1", "/apps?x=1"]
        assert {name for name, _ in first.headers} & {"next-range", "content-range", "etag"} == set()

    async def test_the_limit_may_change_on_the_way(self, house: House, provider: Recorder) -> None:
        provider.answers = [page([1], ("next-range", "id ]b..; max=1"), status=206), page([2])]

        first = await ask(house, "/proxy/apps?limit=1")
        await ask(house, f"/proxy/apps?limit=7&next_cursor={first.json()['next_cursor']}")

        assert provider.requests[1].header("range") == "id ]b..; max=7"

    @pytest.mark.parametrize(
        "target", ["/proxy/apps?x=2&next_cursor={}", "/proxy/teams?next_cursor={}", "/proxy/apps?next_cursor=nonsense"]
    )
    async def test_a_cursor_of_another_list_is_refused(self, house: House, provider: Recorder, target: str) -> None:
        provider.answers = [page([1], ("next-range", "id ]b..; max=1"), status=206)]
        first = await ask(house, "/proxy/apps?x=1")

        heard = await ask(house, target.format(first.json()["next_cursor"]))

        assert (heard.status, heard.json()["code"]) == (400, "invalid_cursor")
        assert len(provider.requests) == 1

    @pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1.5", "%D9%A3", "99999999999999999999"])
    async def test_a_limit_out_of_bounds_is_refused(self, house: House, provider: Recorder, limit: str) -> None:
        heard = await ask(house, f"/proxy/apps?limit={limit}")

        assert (heard.status, heard.json()["code"]) == (400, "invalid_parameter")
        assert provider.requests == []

    async def test_absent_and_empty_are_the_same(self, house: House, provider: Recorder) -> None:
        provider.always = page([1])

        heard = await ask(house, "/proxy/apps?next_cursor=&limit=")

        assert heard.status == 200
        assert provider.requests[0].header("range") == "id ..; max=100"

    async def test_an_empty_page_never_carries_a_cursor(self, house: House, provider: Recorder) -> None:
        provider.answers = [page([], ("next-range", "id ]b..; max=1"), status=206), page([3])]

        heard = await ask(house, "/proxy/apps")

        assert (heard.json()["result"], heard.json()["next_cursor"]) == ([3], None)

    async def test_a_list_that_leads_in_a_circle_is_no_answer(self, house: House, provider: Recorder) -> None:
        provider.always = page([], ("next-range", "id ]b..; max=1"), status=206)

        heard = await ask(house, "/proxy/apps")

        assert (heard.status, heard.json()["code"]) == (502, "upstream_nonsense")

    @pytest.mark.parametrize("body", [b'[{"id":1}', b"[1,2", b'[{"id":"a"},'])
    async def test_a_list_that_breaks_off_is_no_list(self, house: House, provider: Recorder, body: bytes) -> None:
        provider.always = answer(200, body, JSON)

        heard = await ask(house, "/proxy/apps")

        assert (heard.status, heard.json()["code"]) == (502, "upstream_nonsense")

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (200, b'{"id": "x",  "n":1.0}', "application/json"),
            (404, b'{"id":"not_found"}', "application/json"),
            (422, b"[1, 2]", "application/json"),
            (200, b"[not json", "text/plain"),
            (200, b"", "application/json"),
        ],
    )
    async def test_what_is_no_list_is_handed_on_verbatim(
        self, house: House, provider: Recorder, status: int, body: bytes, kind: str
    ) -> None:
        provider.always = answer(status, body, ("content-type", kind))

        heard = await ask(house, "/proxy/apps/a")

        assert (heard.status, heard.body, heard.header("content-type")) == (status, body, kind)

    async def test_a_list_that_refuses_the_usual_order_comes_as_it_pleases(
        self, house: House, provider: Recorder
    ) -> None:
        provider.answers = [answer(416, b'{"id":"requested_range_not_satisfiable"}', JSON), page([1])]

        heard = await ask(house, "/proxy/apps")

        assert heard.json()["result"] == [1]
        assert [sent.header("range") for sent in provider.requests] == ["id ..; max=100", None]

    async def test_a_callers_own_range_is_kept_but_for_its_size(self, house: House, provider: Recorder) -> None:
        provider.always = page([1])

        await ask(house, "/proxy/apps?limit=5", ("Range", "name a..; max=1000, order=desc"))

        assert provider.requests[0].header("range") == "name a..; max=5, order=desc"

    async def test_a_write_is_sent_without_a_range_and_a_list_in_its_answer_enveloped(
        self, house: House, provider: Recorder
    ) -> None:
        provider.always = page([1, 2])

        heard = await ask(house, "/proxy/filters/apps", method="POST", body=b"{}")

        assert heard.json()["result_count"] == 2
        assert provider.requests[0].header("range") is None

    @pytest.mark.parametrize("accept", ["*/*", "application/json"])
    async def test_an_accept_that_means_nothing_means_the_providers_own(
        self, house: House, provider: Recorder, accept: str
    ) -> None:
        await ask(house, "/proxy/apps", ("Accept", accept), ("Accept-Encoding", "gzip"))

        assert provider.requests[0].header("accept") == "application/vnd.heroku+json; version=3"
        assert provider.requests[0].header("accept-encoding") is None


class TestRoot:
    async def test_serves_the_providers_paths_to_an_account_token(self, house: House, provider: Recorder) -> None:
        heard = await ask(house, "/teams/t/members?x=1")

        assert heard.status == 200
        assert provider.requests[0].target == "/teams/t/members?x=1"

    @pytest.mark.parametrize(
        ("target", "token", "status", "remote_id"),
        [
            ("/apps", None, 401, "unauthorized"),
            ("/apps/a/config-vars", "udt_reader", 403, "forbidden"),
            ("/apps/..%2f", "udt_all", 400, "bad_request"),
        ],
    )
    async def test_errors_of_ours_can_be_read_by_the_providers_tools(
        self, house: House, target: str, token: str | None, status: int, remote_id: str
    ) -> None:
        heard = await ask(house, target, token=token)

        assert (heard.status, heard.json()["id"], heard.json()["statusCode"]) == (status, remote_id, status)
        assert "message" in heard.json()

    async def test_the_other_doors_errors_carry_no_such_id(self, house: House) -> None:
        heard = await ask(house, "/custom/apps", token=None)

        assert "id" not in heard.json()

    @pytest.mark.parametrize("first", sorted(RESERVED - {"healthz", "readyz", "metrics"}))
    async def test_our_own_first_segments_are_never_the_providers(
        self, house: House, provider: Recorder, first: str
    ) -> None:
        for target in (f"/{first}", f"/{first.upper()}/x", f"/{first}/x"):
            heard = await ask(house, target)
            if not target.startswith(("/custom/", "/proxy/")):
                assert (heard.status, heard.json()["code"]) == (404, "not_found"), target

        assert [sent.target for sent in provider.requests if sent.target != "/x"] == []

    def test_no_path_of_the_providers_begins_with_a_reserved_segment(self) -> None:
        assert len(ENDPOINTS) == 301
        assert {endpoint.path.split("/")[1] for endpoint in ENDPOINTS} & RESERVED == set()


class TestSlots:
    async def test_who_waits_too_long_for_a_slot_is_told_to_come_again(
        self, house: House, provider: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = house.accounts.clients["acc-1"]
        monkeypatch.setattr(client._lane, "_patience", 0.05)
        for _ in range(32):
            assert client._lane.take()

        heard = await ask(house, "/custom/apps")

        assert (heard.status, heard.json()["code"], heard.header("retry-after")) == (503, "unavailable", "1")
        assert provider.requests == []

    async def test_two_connections_to_one_account_share_its_slots_and_budget(self, house: House) -> None:
        other = house.upstream.bind(Source(), account_key="heroku-1")

        assert other.budget is house.accounts.clients["acc-1"].budget
