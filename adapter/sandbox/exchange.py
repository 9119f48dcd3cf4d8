"""One request on its way through the sandbox: who asks, may they, what is answered, with which headers, and the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from . import (
    account,
    addons,
    apps,
    attachments,
    collaborators,
    enterprise,
    marketplace,
    members,
    networks,
    oauth,
    oauth_tokens,
    spaces,
    teams,
    tools,
    usage,
    webhooks,
)
from .access import Authorization
from .answers import Answer, Refusal, no_such_path, unauthorized
from .calls import Call
from .faults import Fault
from .routes import RouteTree
from .state import LoggedRequest, Sandbox

LOG = logging.getLogger(__name__)

ROUTES = RouteTree(
    module.routes
    for module in (
        account,
        teams,
        members,
        apps,
        collaborators,
        spaces,
        networks,
        enterprise,
        usage,
        oauth,
        oauth_tokens,
        addons,
        attachments,
        webhooks,
        marketplace,
        tools,
    )
)

ACCEPT = re.compile(r"application/vnd\.heroku\+json\s*;\s*version=3(\.[\w-]+)?(?=[\s;,]|$)", re.IGNORECASE)
FREE_PATHS = {"/account/rate-limits"}
LONGEST_REQUEST_ID = 7168


class Incoming:
    """A request as it came in."""

    __slots__ = ("body", "headers", "method", "path", "query_string")

    def __init__(self, scope: MutableMapping[str, Any], body: bytes) -> None:
        self.method: str = scope["method"]
        self.path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.body = body

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


class Exchange:
    """One request on its way through the sandbox, with what the log will say about it."""

    def __init__(self, sandbox: Sandbox, incoming: Incoming) -> None:
        self.sandbox = sandbox
        self.incoming = incoming
        self.authorization: Authorization | None = None
        self.accepted: tuple[str, ...] | None = None
        own = sandbox.next_request_id()
        theirs = incoming.headers.get("request-id", "")[:LONGEST_REQUEST_ID]
        self.request_id = f"{theirs},{own}" if theirs else own

    def answer(self) -> Answer:
        try:
            return self._answer()
        except Refusal as refusal:
            return refusal.answer()
        except Exception:
            LOG.exception("%s %s broke the sandbox", self.incoming.method, self.incoming.path)
            return Refusal(500, "internal_server_error", "Internal server error.").answer()

    def _answer(self) -> Answer:
        headers = self.incoming.headers
        if not ACCEPT.search(headers.get("accept", "")):
            raise Refusal(
                406,
                "not_acceptable",
                "Please specify a version along with the API's MIME type. "
                "For example, `Accept: application/vnd.heroku+json; version=3`.",
            )
        self.authorization = self.sandbox.keyring.holder(headers.get("authorization"))
        if self.authorization is None:
            raise unauthorized()
        self._spend(1)
        call, handler = self._route(self.authorization)
        answer = handler(call)
        return self._not_modified(answer) if call.method in ("GET", "HEAD") else answer

    def _spend(self, cost: float) -> None:
        account_id = self.authorization.account_id if self.authorization else ""
        if self.incoming.path in FREE_PATHS or self.sandbox.budget.spend(account_id, cost):
            return
        raise rate_limited(self._retry_after())

    def _retry_after(self) -> str | None:
        seconds = 60 / max(self.sandbox.options.budget_per_minute, 0.001)
        match self.sandbox.options.retry_after:
            case "seconds":
                return str(int(seconds) + 1)
            case "epoch":
                return str(int(self.sandbox.clock.seconds() + seconds) + 1)
        return None

    def _route(self, authorization: Authorization) -> tuple[Call, Callable[[Call], Answer]]:
        incoming = self.incoming
        method = "GET" if incoming.method == "HEAD" else incoming.method
        found = ROUTES.find(method, incoming.path)
        if found is None:
            raise no_such_path()
        route, params = found
        self.accepted = route.scopes
        caller = self.sandbox.world.accounts[authorization.account_id]
        if caller.suspended:
            raise Refusal(403, "suspended", "Your account is suspended.")
        if not set(authorization.scope) & set(route.scopes):
            raise Refusal(
                403, "forbidden", "The scope of this OAuth authorization does not allow access to this resource."
            )
        call = Call(
            sandbox=self.sandbox,
            method=incoming.method,
            path=incoming.path,
            params=params,
            query=incoming.query() if incoming.query_string else {},
            headers=incoming.headers,
            raw_body=incoming.body,
            account=caller,
            authorization=authorization,
        )
        return call, route.handler

    def _not_modified(self, answer: Answer) -> Answer:
        tag, known = answer.headers.get("etag"), self.incoming.headers.get("if-none-match")
        if not (tag and known) or answer.status not in (200, 206):
            return answer
        if tag not in [one.strip().removeprefix("W/") for one in known.split(",")]:
            return answer
        if not self.sandbox.options.not_modified_costs:
            account_id = self.authorization.account_id if self.authorization else ""
            self.sandbox.budget.put(account_id, self.sandbox.budget.level(account_id) + 1)
        return Answer(304, b"", answer.headers)

    def headers(self, answer: Answer) -> dict[str, str]:
        """The headers of an answer. A 401 says nothing about scopes or budget."""
        common = {
            "cache-control": "private, no-cache",
            "content-type": answer.media_type,
            "request-id": self.request_id,
            "vary": "Authorization,Accept-Encoding",
            "x-runtime": "0.012345678",
        }
        if self.authorization is not None and answer.status != 401:
            account_id = self.authorization.account_id
            common["oauth-scope"] = " ".join(self.authorization.scope)
            common["ratelimit-remaining"] = str(self.sandbox.budget.remaining(account_id))
            common["ratelimit-multiplier"] = "1"
            if self.accepted is not None:
                common["oauth-scope-accepted"] = " ".join(self.accepted)
        return common | answer.headers

    def log(self, status: int, fault: Fault | None) -> None:
        held = self.authorization
        self.sandbox.log.add(
            LoggedRequest(
                method=self.incoming.method,
                path=self.incoming.path,
                query=self.incoming.query_string,
                status=status,
                account_id=held.account_id if held else None,
                token_id=held.id if held else None,
                range=self.incoming.headers.get("range"),
                time=self.sandbox.clock.stamp(),
                request_id=self.request_id,
                fault=fault.kind if fault else None,
                remaining=self.sandbox.budget.remaining(held.account_id) if held else None,
            )
        )


def rate_limited(retry_after: str | None) -> Refusal:
    return Refusal(
        429,
        "rate_limit",
        "Your account reached the API rate limit\nPlease wait a few minutes before making new requests",
        {"retry-after": retry_after} if retry_after is not None else None,
        url="https://devcenter.heroku.com/articles/platform-api-reference#rate-limits",
    )
