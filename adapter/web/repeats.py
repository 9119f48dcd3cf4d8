"""A list that is asked for again is answered with the bytes of the last time, while the directory stands as it did.

Nothing is taken on trust for it: who calls is judged anew, and the directory says whether the view that the bytes were
made from is the one that the question would be answered from now. Only then they go out, with the age and the budget of
this moment. Whoever insists on freshness goes the long way.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from adapter.directory.pages import Page, Question
from adapter.directory.service import Directory
from adapter.models import Caller
from adapter.models import Scope as Right
from adapter.web.answers import rated

Header = tuple[bytes, bytes]

_OF_THE_MOMENT = (b"age", b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")


class Accounts(Protocol):
    """What is needed of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


class Repeating:
    """Plain ASGI before the router. The lists behind `prefix` keep their pages in `directory.pages`; all else, and
    whatever is refused for want of a right, is the router's.
    """

    def __init__(self, app: ASGIApp, directory: Directory, accounts: Accounts, *, prefix: str) -> None:
        self._app = app
        self._directory = directory
        self._accounts = accounts
        self._behind = f"{prefix}/".encode()
        self._route = prefix + "/{resource}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._kept(scope)
        if page is None or not await self._repeated(page, scope, send):
            await self._app(scope, receive, send)

    def _kept(self, scope: Scope) -> Page | None:
        """What was answered to this question before, for a caller who may ask for a directory."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["raw_path"].startswith(self._behind):
            return None
        caller: Caller | None = scope["state"]["caller"]
        if caller is None or Right.DIRECTORY_READ not in caller.scopes or _insists(scope["headers"]):
            return None
        return self._directory.pages.get(question(scope, caller))

    async def _repeated(self, page: Page, scope: Scope, send: Send) -> bool:
        """Send the page, if it still holds and the caller may open its account."""
        client = await self._accounts.open(page.account_id, scope["state"]["caller"])
        with rated(client.budget):
            view = await self._directory.standing(page.account_id, client, page.resource, page.query)
        if view is None or view.version != page.version:
            return False
        headers = [*page.headers, (b"age", b"%d" % self._directory.age_of(view)), *client.budget.raw_headers()]
        scope["state"]["route"] = self._route
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page.body})
        return True


def question(scope: Scope, caller: Caller) -> Question:
    """What a request asks, of whom: the same question by whoever may ask it has the same answer."""
    return caller.account_id, scope["raw_path"], scope["query_string"]


def lasting_headers(headers: Iterable[Header]) -> tuple[Header, ...]:
    """An answer's headers without those that change from second to second."""
    return tuple(header for header in headers if header[0] not in _OF_THE_MOMENT)


def _insists(headers: Iterable[Header]) -> bool:
    return b"cache-control" in [name for name, _ in headers]
