"""What the raw doors tell of a write's answer, and that it is handed on all the same."""

import gzip

import pytest

from tests.upstream.recording import Recorder, answer
from tests.web.house import House
from tests.web.wire import request, say

JSON = ("content-type", "application/json")
BODY = b'{"id":"c-1"}'
LONG = b'{"id":"%s"}' % (b"x" * 70_000)
CHUNKED = (
    b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nc\r\n"
    + BODY
    + b"\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("door", ["/custom", "/proxy", ""])
@pytest.mark.parametrize(
    ("given", "said", "body"),
    [
        pytest.param(answer(200, BODY, JSON), BODY, BODY, id="plain"),
        pytest.param(CHUNKED, BODY, BODY, id="in chunks"),
        pytest.param(
            answer(200, gzip.compress(BODY, mtime=0), JSON, ("content-encoding", "gzip")),
            BODY,
            gzip.compress(BODY, mtime=0),
            id="packed",
        ),
        pytest.param(
            answer(200, b"\x1f\x8b?", JSON, ("content-encoding", "gzip")), b"", b"\x1f\x8b?", id="badly packed"
        ),
        pytest.param(answer(200, b"?", JSON, ("content-encoding", "br")), b"", b"?", id="packed in another way"),
        pytest.param(answer(200, LONG, JSON), b"", LONG, id="long"),
        pytest.param(answer(204, b"", length=False), b"", b"", id="nothing"),
    ],
)
async def test_the_answer_is_told_and_handed_on(
    house: House, provider: Recorder, door: str, given: bytes, said: bytes, body: bytes
) -> None:
    house.listens = True
    provider.always = given

    heard = await say(house.port, request(f"{door}/apps/a/collaborators/x", token="udt_all", method="DELETE"))

    assert heard is not None
    assert house.said == [said]
    assert heard.body == body
