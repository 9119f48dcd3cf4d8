"""The sandbox as an ASGI application: the control surface, the OAuth pages, and everything else as Heroku's API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from . import oauth, wire
from .answers import ENCODER, Answer, Refusal, unauthorized
from .control import control
from .exchange import Exchange, Incoming, rate_limited
from .faults import Fault
from .state import Sandbox
from .wire import Receive, Scope, Send

NONSENSE = "<html><body><h1>Application error</h1></body></html>"


def create_app(sandbox: Sandbox) -> SandboxApp:
    return SandboxApp(sandbox)


class SandboxApp:
    """Plain ASGI. What is below `/sandbox` is control: never authenticated, counted, slowed or broken."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        incoming = Incoming(scope, await wire.read_body(scope, receive))
        if incoming.path == "/sandbox" or incoming.path.startswith("/sandbox/"):
            answer = control(self.sandbox, incoming.method, incoming.path, incoming.query(), incoming.body)
            await wire.send_answer(send, answer, {"content-type": answer.media_type}, incoming.method)
            return
        await self._serve(scope, incoming, receive, send)

    async def _serve(self, scope: Scope, incoming: Incoming, receive: Receive, send: Send) -> None:
        exchange = Exchange(self.sandbox, incoming)
        fault = self.sandbox.faults.striking(incoming.method, incoming.path) if self.sandbox.faults.faults else None
        early = self._answer(exchange) if fault and fault.carried_out else None
        delay = self.sandbox.options.latency_ms / 1000
        if fault and fault.kind == "latency":
            delay += fault.seconds
        if delay:
            await asyncio.sleep(delay)
        if fault and fault.kind == "reset":
            exchange.log(0, fault)
            wire.reset_connection(scope)
            await wire.until_gone(receive)
            return
        answer = instead(fault) or early or self._answer(exchange)
        exchange.log(answer.status, fault)
        headers = exchange.headers(answer)
        if fault:
            await wire.send_broken(send, answer, headers, fault)
        else:
            await wire.send_answer(send, answer, headers, incoming.method)

    def _answer(self, exchange: Exchange) -> Answer:
        incoming = exchange.incoming
        match incoming.method, incoming.path:
            case "GET", "/oauth/authorize":
                return oauth.authorize(self.sandbox, incoming.query())
            case "POST", "/oauth/authorize":
                return oauth.authorize(self.sandbox, form(incoming))
            case "POST", "/oauth/token":
                return self._token(incoming)
        return exchange.answer()

    def _token(self, incoming: Incoming) -> Answer:
        try:
            return oauth.token(self.sandbox, form(incoming))
        except Refusal as refusal:
            return refusal.answer()


def form(incoming: Incoming) -> Mapping[str, str]:
    return dict(parse_qsl(incoming.body.decode("utf-8", "replace"), keep_blank_values=True))


def instead(fault: Fault | None) -> Answer | None:
    """What a fault answers in place of the real thing, if it is of that kind."""
    match fault:
        case Fault(kind="status"):
            error = {"id": "internal_server_error", "message": "Internal server error."}
            return Answer(fault.status, ENCODER.encode(error) if fault.body is None else fault.body.encode())
        case Fault(kind="nonsense"):
            return Answer(200, (fault.body or NONSENSE).encode(), media_type="text/html; charset=utf-8")
        case Fault(kind="rate_limit"):
            return rate_limited(fault.retry_after).answer()
        case Fault(kind="expired_token"):
            return unauthorized().answer()
    return None
