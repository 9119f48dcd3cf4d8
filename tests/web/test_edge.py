import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapter import logs
from adapter.errors import InvalidParameter, RemoteError, RemoteForbidden
from adapter.web.answers import json_answer
from tests.upstream.recording import Recorder, answer
from tests.web.house import API, House
from tests.web.wire import Heard, request, say


async def _echo(request: Request) -> Response:
    return json_answer({"length": len(await request.body())})


async def _crash(_: Request) -> Response:
    raise RuntimeError("the password is hunter2")


async def _refuse(_: Request) -> Response:
    raise InvalidParameter("No.", details=[{"parameter": "x"}], headers={"Retry-After": "1"})


async def _remote(_: Request) -> Response:
    insight = {"forbidden_error": {"missing_scopes": ["global"]}}
    raise RemoteForbidden(403, "Nope.", remote_id="forbidden", raw={"id": "forbidden"}, insight=insight)


async def _broken(_: Request) -> Response:
    raise RemoteError(500, "Internal server error.")


ROUTES = [
    Route("/operations", _echo, methods=["POST"]),
    Route("/operations/crash", _crash),
    Route("/operations/refuse", _refuse),
    Route("/operations/remote", _remote),
    Route("/operations/broken", _broken),
    Route("/operations/{id}", _echo),
]


@pytest.fixture
async def house(provider: Recorder) -> AsyncIterator[House]:
    async with House(provider.url, routes=ROUTES, timeout=2).served() as served:
        yield served


@pytest.fixture
def log() -> io.StringIO:
    """What the configured logs say, as JSON lines."""
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    return stream


async def ask(house: House, raw: bytes) -> Heard:
    heard = await say(house.port, raw)
    assert heard is not None
    return heard


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (request("/operations/a/b"), 404, "not_found"),
        (request("/unified"), 404, "not_found"),
        (request("/"), 404, "not_found"),
        (request("/operations"), 405, "method_not_allowed"),
        (request("/healthz", method="POST"), 405, "method_not_allowed"),
        (request("/operations/refuse"), 400, "invalid_parameter"),
        (request("/operations/remote"), 403, "remote_forbidden"),
        (request("/operations/crash"), 500, "internal_error"),
        (request("/nowhere"), 401, "unauthorized"),
        (request("/nowhere?integrated_account_id=acc-1", token=API), 404, "not_found"),
        (request("/operations", ("Content-Length", str(11 * 1024**2)), method="POST"), 413, "payload_too_large"),
        (request("/operations/x?" + "a" * 17_000), 414, "uri_too_long"),
        (request("/operations/" + "a" * 9_000), 414, "uri_too_long"),
        (request("/custom/" + "a" * 9_000, token="udt_all"), 414, "uri_too_long"),
        (request("/operations/x", ("X-A", "a" * 33_000)), 431, "headers_too_large"),
    ],
)
async def test_every_error_has_the_one_shape(house: House, raw: bytes, status: int, code: str) -> None:
    heard = await ask(house, raw)
    body = heard.json()

    assert (heard.status, body["statusCode"], body["code"]) == (status, status, code)
    assert {"statusCode", "error", "message", "code", "request_id"} <= set(body)
    assert body["request_id"] == heard.header("x-request-id")
    assert heard.header("content-type") == "application/json"
    assert heard.header("server") == "adapter"
    assert not [name for name, _ in heard.headers if name.startswith("access-control")]


async def test_a_body_without_a_length_is_counted(house: House) -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    chunked = ("Transfer-Encoding", "chunked")

    heard = await ask(house, request("/operations", chunked, method="POST", body=chunk * 11 + b"0\r\n\r\n"))
    fitting = await ask(house, request("/operations", chunked, method="POST", body=chunk * 9 + b"0\r\n\r\n"))

    assert (heard.status, heard.json()["code"]) == (413, "payload_too_large")
    assert fitting.json() == {"length": 9 * 0x100000}


async def test_the_streaming_doors_take_larger_bodies(house: House, provider: Recorder) -> None:
    heard = await ask(house, request("/custom/apps", method="POST", token="udt_all", body=b"x" * 11 * 1024**2))

    assert heard.status == 200
    assert len(provider.requests[0].body) == 11 * 1024**2


async def test_who_asks_for_problem_documents_gets_them(house: House) -> None:
    heard = await ask(house, request("/operations/refuse", ("Accept", "application/problem+json, */*;q=0.1")))

    assert heard.header("content-type") == "application/problem+json"
    assert heard.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "No.",
        "instance": f"urn:request:{heard.header('x-request-id')}",
        "code": "invalid_parameter",
        "details": [{"parameter": "x"}],
    }


async def test_an_error_of_the_provider_says_so_and_keeps_its_words(house: House) -> None:
    heard = await ask(house, request("/operations/remote"))

    assert heard.json() | {"request_id": ""} == {
        "statusCode": 403,
        "error": "Forbidden",
        "message": "Nope.",
        "code": "remote_forbidden",
        "request_id": "",
        "truto_is_remote_error": True,
        "raw_response": {"id": "forbidden"},
        "truto_error_insight": {"forbidden_error": {"missing_scopes": ["global"]}},
    }


async def test_headers_of_an_error_travel_with_it(house: House) -> None:
    refused = await ask(house, request("/operations/refuse"))
    wrong = await ask(house, request("/operations"))

    assert refused.header("retry-after") == "1"
    assert wrong.header("allow") == "POST"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abcdefgh-1234", True),
        ("short", False),
        ("has space inside", False),
        ("a" * 200, False),
        ('quo"ted-quoted', False),
        ("udt_0123456789abcdef", False),
    ],
)
async def test_a_sane_request_id_is_the_callers_own(house: House, given: str, kept: bool) -> None:
    heard = await ask(house, request("/healthz", ("X-Request-Id", given)))

    assert (heard.header("x-request-id") == given) is kept
    assert heard.header("x-request-id")


class TestLogs:
    async def test_the_access_log_holds_templates_and_no_url_or_token(
        self, house: House, provider: Recorder, log: io.StringIO
    ) -> None:
        provider.always = answer(200, b"{}")
        for raw in (
            request("/operations/secret-id?q=secret-query"),
            request("/custom/apps/secret-app?q=secret-query", token="udt_all"),
            request("/apps/secret-app", ("Cookie", "secret-cookie"), token="udt_all"),
            request("/proxy/apps/secret-app", token="udt_secret-token"),
            request("/unified/secret"),
        ):
            await ask(house, raw)
        structlog.get_logger("x").warning("that was all")
        *lines, _ = [json.loads(line) for line in log.getvalue().splitlines()]

        assert [line["route"] for line in lines] == [
            "/operations/{id}",
            "/custom/{path}",
            "/{path}",
            "/proxy/{path}",
            "unmatched",
        ]
        assert [line["status"] for line in lines] == [200, 200, 200, 401, 404]
        assert {"method", "ms", "request_id", "token_id", "timestamp", "level"} <= set(lines[1])
        assert "secret" not in log.getvalue()
        assert "udt_" not in log.getvalue()
        assert "HRKU" not in log.getvalue()

    async def test_a_crash_is_logged_with_its_trace_and_answered_without(self, house: House, log: io.StringIO) -> None:
        heard = await ask(house, request("/operations/crash"))
        crash = next(json.loads(line) for line in log.getvalue().splitlines() if '"crash"' in line)

        assert crash["request_id"] == heard.header("x-request-id")
        assert "RuntimeError" in crash["exception"]
        assert b"hunter2" not in heard.body

    async def test_a_crash_of_the_providers_is_none_of_ours(self, house: House, log: io.StringIO) -> None:
        heard = await ask(house, request("/operations/broken"))

        assert (heard.status, heard.json()["code"]) == (500, "remote_error")
        assert '"crash"' not in log.getvalue()

    async def test_a_caller_who_hangs_up_is_logged_as_such(
        self, house: House, provider: Recorder, log: io.StringIO
    ) -> None:
        provider.always = b""
        with pytest.raises(TimeoutError):
            await say(house.port, request("/custom/apps", token="udt_all"), patience=0.5)
        async with asyncio.timeout(3):
            while '"status":499' not in log.getvalue():  # noqa: ASYNC110  # a text tells nobody when it grows
                await asyncio.sleep(0.01)


class TestMetrics:
    async def test_labels_are_templates_methods_and_families(self, house: House) -> None:
        for target in ("/operations/1", "/operations/2", "/custom/apps/1", "/custom/apps/2", "/x/1", "/unified/1"):
            await ask(house, request(target))
        await ask(house, request("/unified/1", method="BREW"))
        await ask(house, request("/unified/1", method="STIR"))
        text = (await ask(house, request("/metrics"))).body.decode()

        assert 'adapter_http_requests_total{method="GET",route="/operations/{id}",status="2xx"} 2.0' in text
        assert 'adapter_http_requests_total{method="GET",route="/custom/{path}",status="4xx"} 2.0' in text
        assert 'adapter_http_requests_total{method="OTHER",route="unmatched",status="4xx"} 2.0' in text
        assert "BREW" not in text
        assert "/apps" not in text
