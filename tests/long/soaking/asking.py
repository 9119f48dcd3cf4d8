"""How callers ask, and what is kept of each answer that was none."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Any

import httpx
import msgspec

from tests.long.soaking.weather import WRITING, Failure

DIRECTORY = "/unified/user-directory"
HEROKU = {"accept": "application/vnd.heroku+json; version=3"}
PATIENCE_S = 60.0
READS = frozenset({"GET"})
WRITES = frozenset({"GET", *WRITING})


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """An integrated account, the address of who is behind it, and whether its token lapses."""

    id: str
    who: str
    refreshes: bool


class Asker:
    """What all callers share: the adapter's address and token, and the record of what was answered."""

    def __init__(self, url: str, token: str, random: Random) -> None:
        self.url = url
        self.token = token
        self.random = random
        self.answered: Counter[str] = Counter()
        """By what was asked: answers that were whole."""
        self.hung_up: Counter[str] = Counter()
        self.accepted = 0
        """Writes that went on without their caller."""
        self.failures: list[Failure] = []
        self.wrong: list[str] = []
        """Answers that were not true."""
        self.longest: tuple[float, str] = (0.0, "")
        """Of the answers that somebody waited for, in seconds."""
        self._http: httpx.AsyncClient | None = None

    async def open(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self._http = httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=PATIENCE_S, limits=limits)

    async def close(self) -> None:
        assert self._http is not None
        await self._http.aclose()
        self._http = None

    async def ask(
        self,
        what: str,
        method: str,
        path: str,
        account: Connected | None = None,
        *,
        methods: frozenset[str] = READS,
        allowed: Collection[int] = (200,),
        token: str | None = None,
        hang_up: float | None = None,
        on_hang_up: Callable[[], None] = lambda: None,
        **more: Any,
    ) -> httpx.Response | None:
        """The answer, if it has one of the statuses allowed and is whole; else it is written down as a failure.

        `hang_up`: seconds after which the caller goes away; `on_hang_up` is called then, None is answered, and nothing
        is written down.
        """
        assert self._http is not None
        if account is not None and token is None:
            more["params"] = {**more.get("params", {}), "integrated_account_id": account.id}
        headers = {"authorization": f"Bearer {token or self.token}", **more.pop("headers", {})}
        began = time.monotonic()
        timeout = PATIENCE_S if hang_up is None else hang_up
        try:
            answer = await self._http.request(method, path, headers=headers, timeout=timeout, **more)
        except httpx.TimeoutException:
            if hang_up is not None:
                self.hung_up[what] += 1
                on_hang_up()
                return None
            self.fail(what, "no_answer", began, account, methods, f"none within {PATIENCE_S:.0f} s")
            return None
        except httpx.TransportError as error:
            self.fail(what, "cut", began, account, methods, repr(error))
            return None
        self.longest = max(self.longest, (time.monotonic() - began, what))
        codes = codes_of(answer, allowed)
        for code in codes:
            self.fail(what, code, began, account, methods, f"{method} {path}: {answer.status_code} {answer.text[:400]}")
        self.answered[what] += not codes
        return None if codes else answer

    def fail(
        self, what: str, code: str, began: float, account: Connected | None, methods: frozenset[str], told: str
    ) -> None:
        refreshes = account is not None and account.refreshes
        self.failures.append(
            Failure(
                what=what,
                code=code,
                began=began,
                ended=time.monotonic(),
                methods=methods | ({"POST"} if refreshes else frozenset()),
                refreshes=refreshes,
                told=told,
            )
        )


def codes_of(answer: httpx.Response, allowed: Collection[int]) -> list[str]:
    """Why an answer is none, or not whole; nothing where it is."""
    is_json = "json" in (kind := answer.headers.get("content-type", "")) and "ndjson" not in kind
    try:
        body = answer.json() if is_json and answer.content else None
    except ValueError:
        return ["cut"]
    if answer.status_code not in allowed:
        return _refusal(body, answer.status_code)
    if isinstance(body, Mapping) and body.get("is_partial_response"):
        return sorted({str(gap["reason"]) for gap in body["missing"]})
    return []


def _refusal(body: Any, status: int) -> list[str]:
    if not isinstance(body, Mapping):
        return [f"status {status}"]
    if body.get("code") != "write_failed":
        return [str(body.get("code") or body.get("id"))]  # the raw doors hand on what the provider says
    errors = {str((state.get("error") or {}).get("code")) for state in body["failed"]}
    return sorted(errors) or ["write_failed"]
