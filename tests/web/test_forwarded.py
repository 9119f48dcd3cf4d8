from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from adapter.web.forwarded import Forwarded


async def seen(hops: int, **headers: str) -> tuple[str, str]:
    """The scheme and the client's address as an application behind `hops` proxies sees them."""
    found: dict[str, Any] = {}

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        found.update(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    sent = [
        (name.replace("_", "-").encode(), part.encode()) for name, value in headers.items() for part in value.split("|")
    ]
    scope = {"type": "http", "scheme": "http", "client": ("10.0.0.1", 1), "headers": sent}
    await Forwarded(app, hops)(scope, nothing, nothing)
    return found["scheme"], found["client"][0]


HERE = ("http", "10.0.0.1")


@pytest.mark.parametrize(
    ("hops", "proto", "chain", "expected"),
    [
        (0, "https", "192.0.2.1", HERE),
        (1, "https", "192.0.2.1", ("https", "192.0.2.1")),
        (1, "HTTPS", "2001:db8::1", ("https", "2001:db8::1")),
        # Whoever calls may write what they like before what the proxy appends.
        (1, "https", "6.6.6.6, 192.0.2.1", ("https", "192.0.2.1")),
        (1, "https, http", "6.6.6.6", ("http", "6.6.6.6")),
        (2, "https", "6.6.6.6, 192.0.2.1, 10.0.0.9", ("https", "192.0.2.1")),
        (2, "https, http", "192.0.2.1, 10.0.0.9", ("https", "192.0.2.1")),
        # Fewer than were promised: nobody trusted has said anything.
        (2, "", "192.0.2.1", HERE),
        (1, "gopher", "nobody", HERE),
        (1, "", "", HERE),
        # A header that comes twice is one list.
        (1, "http|https", "6.6.6.6|192.0.2.1", ("https", "192.0.2.1")),
    ],
)
async def test_as_many_are_believed_as_are_ours(hops: int, proto: str, chain: str, expected: tuple[str, str]) -> None:
    assert await seen(hops, x_forwarded_proto=proto, x_forwarded_for=chain) == expected


async def test_without_the_headers_all_stays_as_it_is() -> None:
    assert await seen(1) == HERE
