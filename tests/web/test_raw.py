from collections.abc import AsyncIterator

import pytest

from tests.upstream.recording import Recorder, answer
from tests.web.house import House
from tests.web.wire import request, say


@pytest.fixture
async def provider() -> AsyncIterator[Recorder]:
    async with Recorder().running() as recorder:
        yield recorder


@pytest.fixture
async def house(provider: Recorder) -> AsyncIterator[House]:
    async with House(provider.url, timeout=2).served() as served:
        yield served


async def test_custom_hands_status_and_body_on_byte_for_byte(house: House, provider: Recorder) -> None:
    body = bytes(range(256)) * 20
    provider.always = answer(207, body, ("content-encoding", "gzip"), ("etag", '"x"'))

    heard = await say(house.port, request("/custom/apps?x=%20a&y", token="udt_reader"))

    assert heard is not None
    assert (heard.status, heard.body, heard.header("etag")) == (207, body, '"x"')
    assert heard.header("content-encoding") == "gzip"
    assert provider.requests[0].target == "/apps?x=%20a&y"
    assert provider.requests[0].header("authorization") == "Bearer HRKU-first"
    assert heard.header("ratelimit-limit") == "4500;w=3600"
