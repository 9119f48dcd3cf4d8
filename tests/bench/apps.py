"""What is measured, as granian loads it: our whole app, and the least that passes a request on."""

import os
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter import logs
from adapter.app import create_app
from adapter.cli.processes import take_turns_on_one_core

UPSTREAM = "BENCH_UPSTREAM"


def ours() -> ASGIApp:
    """The adapter as it is served, its access log written to nowhere."""
    take_turns_on_one_core()
    logs.configure("info", "json", Path(os.devnull).open("w"))  # noqa: SIM115  # open as long as the process
    return create_app()


def bare() -> ASGIApp:
    """A pass-through with no question asked: pyreqwest's client, headers there and back, the body whole."""
    return _Bare(os.environ[UPSTREAM])


def _pool() -> Client:
    plain = ClientBuilder().gzip(enable=False).brotli(enable=False).zstd(enable=False).deflate(enable=False)
    return plain.follow_redirects(enable=False).no_proxy().pool_max_idle_per_host(256).build()


class _Bare:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._pool: Client | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # it takes no body
        if scope["type"] != "http":
            return
        if self._pool is None:
            self._pool = _pool()
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"] if name != b"host"]
        target = self._upstream + scope["path"]
        response = await self._pool.request(scope["method"], target).headers(headers).build().send()
        back = [(name.encode(), value.encode()) for name, value in response.headers.items() if name != "connection"]
        await send({"type": "http.response.start", "status": response.status, "headers": back})
        await send({"type": "http.response.body", "body": (await response.bytes()).to_bytes(), "more_body": False})
