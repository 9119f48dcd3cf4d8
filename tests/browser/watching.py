"""A browser that is watched: each address, page and console line is kept, to be searched for what must not be there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Frame, Page, Request, Response

PATIENCE_MS = 15_000


@dataclass
class Seen:
    """What went through one browser. Pages are read of `origin` alone: the product's own may hold links."""

    origin: str
    urls: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("page", lambda page: page.on("framenavigated", self._navigated))

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)
        self.urls.append(request.headers.get("referer", ""))

    def _response(self, response: Response) -> None:
        self.urls.append(response.headers.get("location", ""))

    def _console(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)

    def _navigated(self, frame: Frame) -> None:
        self.urls.append(frame.url)

    def read(self, page: Page) -> None:
        """Keeps what stands on the page now."""
        try:
            if not page.url.startswith(self.origin):
                return
            self.pages.append(page.content())
        except Error:  # it closed itself, or is on its way
            return

    @property
    def refused_by_policy(self) -> list[str]:
        return [line for line in self.console if "Content Security Policy" in line or "X-Frame-Options" in line]


@dataclass(kw_only=True)
class Visitor:
    """Somebody with a browser of their own: cookies and all."""

    context: BrowserContext
    page: Page
    seen: Seen

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.seen.read(self.page)

    def sign_in(self, decision: str = "Allow Access") -> None:
        """From the connect page to the provider, and back with a decision."""
        self.page.get_by_role("button", name="Continue with Heroku").click()
        self.page.get_by_role("button", name=decision).click()

    def hand_in(self, key: str) -> None:
        """Pastes an API token and sends it."""
        field = self.page.get_by_label("Paste it here")
        if not field.is_visible():
            self.page.get_by_text("Use an API token instead").click()
        field.fill(key)
        self.page.get_by_role("button", name=re.compile("^(Connect|Reconnect)$")).click()

    def heading(self) -> str:
        text = self.page.locator("h1").inner_text()
        self.seen.read(self.page)
        return text.replace("\n", " ")

    def expect(self, text: str) -> None:
        """Waits for a text to stand on the page."""
        self.page.get_by_text(text).first.wait_for()
        self.seen.read(self.page)

    def cookie(self) -> dict[str, Any]:
        (found,) = [cookie for cookie in self.context.cookies() if cookie["name"].endswith("uda_connect")]
        return dict(found)


@contextmanager
def visiting(browser: Browser, origin: str, **options: Any) -> Iterator[Visitor]:
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    seen = Seen(origin)
    seen.watch(context)
    try:
        yield Visitor(context=context, page=context.new_page(), seen=seen)
    finally:
        context.close()


def unallowed(urls: list[str], secrets: list[str]) -> list[str]:
    """Addresses that hold a secret where none may stand: a link's first arrival and a code on its way back may."""
    return [url for url in urls if any(secret in _without_allowed(url) for secret in secrets)]


def _without_allowed(url: str) -> str:
    parts = urlsplit(url)
    allowed = {"/connect-account": "link_token", "/connect-account/callback": "code"}.get(parts.path)
    return url if allowed is None else str([pair for pair in parse_qsl(parts.query) if pair[0] != allowed])
