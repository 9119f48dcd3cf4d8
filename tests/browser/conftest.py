"""Real Chromium, from the system's packages. Where there is none, these tests are skipped and say so."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.places import Place, place
from tests.browser.watching import Visitor, unallowed, visiting

Visit = Callable[..., Visitor]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            # One browser at a time is enough for one machine.
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Of one module's tests: as long as it is open, no event loop can run beside Playwright's in this thread."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "no Chromium on this machine (Debian: apt-get install chromium)"
        # CI installs one, and must not be green without having looked.
        (pytest.fail if os.environ.get("BROWSER_TESTS") == "required" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An adapter that takes OAuth and API tokens."""
    with place(tmp_path_factory.mktemp("adapter")) as opened:
        yield opened


@pytest.fixture
def visit(chromium: Browser, shop: Place) -> Iterator[Visit]:
    """Makes visitors. Whatever they did: no secret showed, and the page asked for nothing that its policy refuses."""
    shop.sandbox.clear_faults()
    for account in shop.accounts():
        shop.api("DELETE", f"/integrated-account/{account['id']}")
    visitors: list[Visitor] = []
    with ExitStack() as stack:

        def made(**options: Any) -> Visitor:
            visitors.append(stack.enter_context(visiting(chromium, shop.url, **options)))
            return visitors[-1]

        yield made
        for visitor in visitors:
            visitor.seen.read(visitor.page)
    secrets = [*shop.secrets, *shop.provider_secrets()]
    for visitor in visitors:
        assert unallowed(visitor.seen.urls, secrets) == []
        assert not [text for text in visitor.seen.pages if any(secret in text for secret in secrets)]
        assert not [text for text in visitor.seen.console if any(secret in text for secret in secrets)]
        assert visitor.seen.refused_by_policy == []
