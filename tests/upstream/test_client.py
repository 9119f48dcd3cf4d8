import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from adapter.errors import (
    AdapterError,
    InvalidTarget,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.models import Secret
from adapter.upstream.client import BoundClient, FixedCredential, UpstreamClient
from adapter.upstream.provider import load_provider
from tests.upstream.recording import Received, Recorder, answer
from tests.web.house import Source

JSON = ("content-type", "application/json")


def page(records: Any, *headers: tuple[str, str], status: int = 200) -> bytes:
    return answer(status, msgspec.json.encode(records), JSON, *headers)


@pytest.fixture
async def provider() -> AsyncIterator[Recorder]:
    async with Recorder().running() as recorder:
        yield recorder


@pytest.fixture
async def upstream(provider: Recorder) -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(load_provider(), api_url=provider.url, timeout=1)
    yield client
    await client.close()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def bound(upstream: UpstreamClient, source: Source) -> BoundClient:
    return upstream.bind(source, account_key="heroku-1")


class TestSend:
    async def test_sends_what_it_is_told_and_the_providers_headers(
        self, bound: BoundClient, provider: Recorder
    ) -> None:
        reply = await bound.send("PUT", "/teams/t/members", query={"a": ["b c", "d"]}, json={"email": "x"})
        [sent] = provider.requests

        assert (reply.status, reply.json()) == (200, {})
        assert (sent.method, sent.target, sent.body) == ("PUT", "/teams/t/members?a=b+c&a=d", b'{"email":"x"}')
        assert sent.header("content-type") == "application/json"
        assert sent.header("accept") == "application/vnd.heroku+json; version=3"
        assert sent.header("authorization") == "Bearer HRKU-first"

    async def test_a_calls_own_header_goes_before_the_providers(self, bound: BoundClient, provider: Recorder) -> None:
        await bound.send("GET", "/teams/t/invitations", headers={"Accept": "x; version=3.team-invitations"})

        assert [value for name, value in provider.requests[0].headers if name == "accept"] == [
            "x; version=3.team-invitations"
        ]

    async def test_a_compressed_answer_is_read(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(200, gzip.compress(b'{"a":1}'), JSON, ("content-encoding", "gzip"))

        assert (await bound.send("GET", "/x")).json() == {"a": 1}

    async def test_cookies_are_not_kept(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(200, b"{}", JSON, ("set-cookie", "session=1; Path=/"))
        await bound.send("GET", "/x")
        await bound.send("GET", "/x")

        assert provider.requests[1].header("cookie") is None

    @pytest.mark.parametrize("path", ["/../x", "/a/%2e%2e", "//x", "x", "/a?b", "/a b"])
    async def test_a_path_that_is_not_plain_is_not_sent(
        self, bound: BoundClient, provider: Recorder, path: str
    ) -> None:
        with pytest.raises(InvalidTarget):
            await bound.send("GET", path)
        assert provider.requests == []

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (401, RemoteUnauthorized),
            (403, RemoteForbidden),
            (404, RemoteNotFound),
            (409, RemoteError),
            (422, RemoteError),
            (429, RemoteRateLimited),
            (500, RemoteError),
        ],
    )
    async def test_a_refusal_keeps_its_status_and_words(
        self, bound: BoundClient, provider: Recorder, status: int, kind: type[RemoteError]
    ) -> None:
        provider.always = answer(status, b'{"id":"the_id","message":"The words."}', JSON)

        with pytest.raises(RemoteError) as caught:
            await bound.send("DELETE", "/x")
        error = caught.value

        assert (type(error), error.status, error.remote_id, error.message) == (kind, status, "the_id", "The words.")
        assert error.raw == {"id": "the_id", "message": "The words."}
        assert len(provider.requests) == 1

    async def test_a_refusal_in_plain_text_is_kept_too(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(403, b"Your account is suspended.", ("content-type", "text/plain"))

        with pytest.raises(RemoteForbidden) as caught:
            await bound.send("GET", "/x")

        assert caught.value.raw == "Your account is suspended."

    async def test_403_names_the_missing_scopes_and_tells_the_keeper(
        self, bound: BoundClient, provider: Recorder, source: Source
    ) -> None:
        provider.always = answer(403, b"{}", JSON, ("oauth-scope", "read"), ("oauth-scope-accepted", "global"))

        with pytest.raises(RemoteForbidden) as caught:
            await bound.send("GET", "/teams/t/members")

        assert caught.value.insight["forbidden_error"]["missing_scopes"] == ["global"]
        assert source.refusals == [caught.value]

    async def test_429_says_how_long_and_empties_the_budget(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(429, b'{"id":"rate_limit"}', JSON, ("retry-after", "7"))

        with pytest.raises(RemoteRateLimited) as caught:
            await bound.send("GET", "/x")

        assert caught.value.headers == {"retry-after": "7"}
        assert bound.budget.remaining == 0
        assert len(provider.requests) == 1

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_is_not_followed(self, bound: BoundClient, provider: Recorder, status: int) -> None:
        provider.always = answer(status, b"", ("location", "/elsewhere"))

        with pytest.raises(UpstreamNonsense):
            await bound.send("POST", "/x")
        assert [sent.target for sent in provider.requests] == ["/x"]


class SlowSource(Source):
    """Gives nothing until `gate` is set: no token, or (with `first`) no second one."""

    def __init__(self, *tokens: str, first: bool) -> None:
        super().__init__()
        self.tokens = list(tokens)
        self.first = first
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def token(self) -> Secret:
        if not self.first:
            self.asked.set()
            await self.gate.wait()
        return await super().token()

    async def renew(self, rejected: Secret) -> Secret | None:
        self.asked.set()
        await self.gate.wait()
        return await super().renew(rejected)


class TestCredentials:
    @pytest.mark.parametrize("first", [True, False])
    async def test_who_waits_for_a_fresh_credential_takes_no_slot_from_the_others(
        self, provider: Recorder, first: bool
    ) -> None:
        provider.answers = [answer(401)] if first else []
        client = UpstreamClient(load_provider(), api_url=provider.url, timeout=1, concurrency=1)
        source = SlowSource("fake-1", "fake-2", first=first)
        waiting = asyncio.create_task(client.bind(source, account_key="same").send("GET", "/account"))
        await source.asked.wait()

        other = client.bind(FixedCredential(Secret("fake-3")), account_key="same")
        async with asyncio.timeout(5):
            assert (await other.send("GET", "/apps")).status == 200
        source.gate.set()

        assert (await waiting).status == 200
        await client.close()

    async def test_a_401_is_tried_once_more_with_a_renewed_credential(
        self, bound: BoundClient, provider: Recorder, source: Source
    ) -> None:
        source.tokens = ["HRKU-first", "HRKU-second"]
        provider.answers = [answer(401, b"{}", JSON)]

        await bound.send("POST", "/x", json={})

        assert [sent.header("authorization") for sent in provider.requests] == [
            "Bearer HRKU-first",
            "Bearer HRKU-second",
        ]
        assert source.was_rejected == 0

    async def test_a_401_that_stands_tells_the_keeper(
        self, bound: BoundClient, provider: Recorder, source: Source
    ) -> None:
        source.tokens = ["HRKU-first", "HRKU-second"]
        provider.always = answer(401, b"{}", JSON)

        with pytest.raises(RemoteUnauthorized):
            await bound.send("GET", "/x")

        assert (len(provider.requests), source.was_rejected) == (2, 1)


class TestRetries:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_a_read_is_repeated_when_trouble_passes(
        self, bound: BoundClient, provider: Recorder, status: int
    ) -> None:
        provider.answers = [answer(status, b"{}", JSON), answer(status, b"{}", JSON)]

        assert (await bound.send("GET", "/x")).status == 200
        assert len(provider.requests) == 3

    async def test_three_times_is_enough(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(503, b"{}", JSON)

        with pytest.raises(RemoteError):
            await bound.send("GET", "/x")
        assert len(provider.requests) == 3

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    async def test_a_write_is_never_repeated(self, bound: BoundClient, provider: Recorder, method: str) -> None:
        provider.always = answer(503, b"{}", JSON)

        with pytest.raises(RemoteError):
            await bound.send(method, "/x")
        assert len(provider.requests) == 1

    @pytest.mark.parametrize("status", [400, 403, 404, 422, 429])
    async def test_a_clear_refusal_is_not_repeated(self, bound: BoundClient, provider: Recorder, status: int) -> None:
        provider.always = answer(status, b"{}", JSON)

        with pytest.raises(RemoteError):
            await bound.send("GET", "/x")
        assert len(provider.requests) == 1

    async def test_who_wants_no_repetition_gets_none(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(503, b"{}", JSON)

        with pytest.raises(RemoteError):
            await bound.send("GET", "/x", retry=False)
        assert len(provider.requests) == 1

    async def test_silence_is_waited_for_once(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = b""

        with pytest.raises(UpstreamTimeout):
            await bound.send("GET", "/x")
        assert len(provider.requests) == 1


class TestTrouble:
    async def test_nobody_there(self, source: Source) -> None:
        client = UpstreamClient(load_provider(), api_url="http://127.0.0.1:1")
        try:
            with pytest.raises(UpstreamUnreachable) as failure:
                await client.bind(source, account_key="x").send("POST", "/x")
        finally:
            await client.close()
        assert failure.value.was_sent is False

    async def test_a_connection_that_ends_instead_of_an_answer_may_have_brought_the_request(
        self, bound: BoundClient, provider: Recorder
    ) -> None:
        async def hangs_up(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        provider.always = hangs_up

        with pytest.raises(UpstreamFailure) as failure:
            await bound.send("POST", "/x")
        assert failure.value.was_sent is not False
        assert len(provider.requests) == 1

    async def test_answers_and_refusals_tell_the_providers_request_id(
        self, bound: BoundClient, provider: Recorder
    ) -> None:
        provider.always = answer(200, b"{}", JSON, ("request-id", "one,two"))
        assert (await bound.send("POST", "/x")).request_id == "one,two"
        provider.always = answer(200, b"{}", JSON)
        assert (await bound.send("POST", "/x")).request_id is None

        provider.always = answer(422, b"{}", JSON, ("request-id", "x" * 9000))
        with pytest.raises(RemoteError) as refusal:
            await bound.send("POST", "/x")
        assert refusal.value.request_id == "x" * 512

    @pytest.mark.parametrize(
        "said",
        [
            answer(200, b"abc", ("content-encoding", "gzip")),
            b"garbage\r\n\r\n",
        ],
    )
    async def test_what_cannot_be_read_is_nonsense(self, bound: BoundClient, provider: Recorder, said: bytes) -> None:
        provider.always = said

        with pytest.raises(UpstreamNonsense):
            await bound.send("POST", "/x")

    async def test_an_answer_that_breaks_off_is_a_failure(self, bound: BoundClient, provider: Recorder) -> None:
        async def breaks(_: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, b"[1,", JSON, ("content-length", "10")))
            writer.close()

        provider.always = breaks

        with pytest.raises(AdapterError) as caught:
            await bound.send("POST", "/x")
        assert caught.value.status == 502

    async def test_json_that_is_none_is_nonsense(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(200, b'{"a":', JSON)
        reply = await bound.send("GET", "/x")

        with pytest.raises(UpstreamNonsense):
            reply.json()


class TestIterate:
    async def test_follows_the_way_on_to_the_end(self, bound: BoundClient, provider: Recorder) -> None:
        provider.answers = [
            page([1, 2], ("next-range", "id ]b..; max=2"), ("etag", '"a"'), status=206),
            page([3, 4], ("next-range", "id ]d..; max=2"), status=200),
            page([5]),
        ]

        listed = await bound.iterate("/apps", order="id", page=2)

        assert (listed.records, listed.requests, listed.etag) == ([1, 2, 3, 4, 5], 3, None)
        ranges = [sent.header("range") for sent in provider.requests]
        assert ranges == ["id ..; max=2", "id ]b..; max=2", "id ]d..; max=2"]

    async def test_a_page_that_is_full_has_none_for_the_list_may_come_to_go_on_behind_it(
        self, bound: BoundClient, provider: Recorder
    ) -> None:
        provider.always = page([1, 2], ("etag", '"a"'))

        assert (await bound.iterate("/apps", order="id", page=2)).etag is None
        assert (await bound.iterate("/apps", order="id", page=3)).etag == '"a"'
        assert (await bound.iterate("/apps", order=None, page=2)).etag == '"a"'

    async def test_a_whole_list_has_its_etag(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = page([1], ("etag", '"a"'), ("last-modified", "Sun, 01 Feb 2026 12:00:00 GMT"))

        listed = await bound.iterate("/apps", order="id")

        assert (listed.etag, listed.last_modified) == ('"a"', "Sun, 01 Feb 2026 12:00:00 GMT")
        assert provider.requests[0].header("range") == "id ..; max=1000"

    async def test_an_unchanged_list_says_so(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = answer(304, length=False)

        listed = await bound.iterate("/apps", order="id", etag='"a"')

        assert (listed.not_modified, listed.records, listed.etag) == (True, [], '"a"')
        assert provider.requests[0].header("if-none-match") == '"a"'

    async def test_later_pages_are_asked_for_without_a_condition(self, bound: BoundClient, provider: Recorder) -> None:
        provider.answers = [page([1], ("next-range", "id ]a..; max=1"), status=206), page([2])]

        await bound.iterate("/apps", order="id", etag='"a"')

        assert [sent.header("if-none-match") for sent in provider.requests] == ['"a"', None]

    async def test_a_list_without_ranges_is_asked_for_without(self, bound: BoundClient, provider: Recorder) -> None:
        provider.always = page([1])

        assert (await bound.iterate("/enterprise-accounts/e/members", order=None)).records == [1]
        assert provider.requests[0].header("range") is None

    @pytest.mark.parametrize("circle", [["id ]a.."], ["id ]a..", "id ]b.."]])
    async def test_a_circle_is_nonsense(self, bound: BoundClient, provider: Recorder, circle: list[str]) -> None:
        provider.answers = [page([1], ("next-range", onward), status=206) for onward in circle * 2]

        with pytest.raises(UpstreamNonsense):
            await bound.iterate("/apps", order="id")
        assert len(provider.requests) == len(circle) + 1

    @pytest.mark.parametrize("body", [b"{}", b"null", b'"x"', b"", b"[1,2", b"<html>"])
    async def test_what_is_no_list_is_nonsense_and_never_empty(
        self, bound: BoundClient, provider: Recorder, body: bytes
    ) -> None:
        provider.always = answer(200, body, JSON)

        with pytest.raises(UpstreamNonsense):
            await bound.iterate("/apps", order="id")

    async def test_a_page_that_fails_fails_the_list(self, bound: BoundClient, provider: Recorder) -> None:
        provider.answers = [page([1], ("next-range", "id ]a..; max=1"), status=206), answer(404, b"{}", JSON)]

        with pytest.raises(RemoteNotFound):
            await bound.iterate("/apps", order="id")


class TestSharing:
    async def test_at_most_so_many_at_a_time_whichever_connection_asks(
        self, provider: Recorder, source: Source
    ) -> None:
        now = most = 0

        async def slow(_: Received, writer: asyncio.StreamWriter) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            writer.write(page([1]))

        provider.always = slow
        client = UpstreamClient(load_provider(), api_url=provider.url, concurrency=8)
        one, two = client.bind(source, account_key="same"), client.bind(Source(), account_key="same")
        try:
            walks = [one.iterate("/a", order="id") for _ in range(20)]
            sends = [two.send("GET", "/b") for _ in range(20)]
            await asyncio.gather(*walks, *sends)
        finally:
            await client.close()

        assert most == 8
        assert one.budget is two.budget

    async def test_an_account_that_nobody_holds_is_forgotten(self, upstream: UpstreamClient) -> None:
        held = upstream.bind(Source(), account_key="a")
        budget = held.budget
        del held

        assert upstream.bind(Source(), account_key="a").budget is not budget
