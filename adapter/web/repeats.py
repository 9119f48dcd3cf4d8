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
from adapter.web.auth import caller_of, require_scope

Header = tuple[bytes, bytes]

_OF_THE_MOMENT = (b"age", b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")


class Accounts(Protocol):
    """What is needed of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


class Repeating:
    """Plain ASGI around a list's own answer, which keeps its pages in `directory.pages`."""

    def __init__(self, app: ASGIApp, directory: Directory, accounts: Accounts) -> None:
        self._app = app
        self._directory = directory
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        require_scope(caller, Right.DIRECTORY_READ)
        page = self._directory.pages.get(question(scope, caller))
        if page is None or _insists(scope["headers"]) or not await self._repeated(page, caller, send):
            await self._app(scope, receive, send)

    async def _repeated(self, page: Page, caller: Caller, send: Send) -> bool:
        """Send the page, if it still holds and the caller may open its account."""
        client = await self._accounts.open(page.account_id, caller)
        with rated(client.budget):
            view = await self._directory.standing(page.account_id, client, page.resource, page.query)
        if view is None or view.version != page.version:
            return False
        age = str(int(self._directory.age_of(view))).encode()
        budget = [(name.encode(), value.encode()) for name, value in client.budget.headers()]
        headers = [*page.headers, (b"age", age), *budget]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page.body})
        return True


def question(scope: Scope, caller: Caller) -> Question:
    """What a request asks, of whom: the same question by whoever may ask it has the same answer."""
    return caller.account_id, scope["path_params"]["resource"], scope["query_string"]


def lasting_headers(headers: Iterable[Header]) -> tuple[Header, ...]:
    """An answer's headers without those that change from second to second."""
    return tuple(header for header in headers if header[0] not in _OF_THE_MOMENT)


def _insists(headers: Iterable[Header]) -> bool:
    return any([name == b"cache-control" for name, _ in headers])  # noqa: C419  # a list is faster than a generator here
