"""Everything that connecting leaves behind, searched for everything that must not be in it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from tests.browser.places import Place, place
from tests.browser.watching import Visitor, unallowed, visiting

WRONG = "HRKU-0f1e2d3c-of-nobody-4b5a-6978"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "adapter.log"


@pytest.fixture
def quiet(tmp_path: Path, log: Path) -> Iterator[Place]:
    """An adapter of its own, as a process that logs whatever it can."""
    with place(tmp_path, log=log, log_level="debug") as opened:
        yield opened


def test_no_secret_is_left_anywhere(quiet: Place, log: Path, chromium: Browser) -> None:
    with visiting(chromium, quiet.url) as visitor:
        connect_in_every_way(quiet, visitor)
        quiet.secrets.append(visitor.cookie()["value"])
        seen = visitor.seen
        refused = quiet.api("POST", "/integrated-account", json=wrong_body(), params={"integration": "heroku"})
    metrics = httpx.get(f"{quiet.url}/metrics", trust_env=False).text
    secrets = {*quiet.secrets, *quiet.provider_secrets(), WRONG}

    places = {
        "pages": "\n".join(seen.pages),
        "console": "\n".join(seen.console),
        "log": log.read_text(),
        "metrics": metrics,
        "refusal": refused.text,
        "rows": stored(quiet),
        "site": "\n".join(quiet.site.asked),
    }
    assert unallowed(seen.urls, [*secrets]) == []
    assert {name for name, text in places.items() if any(secret in text for secret in secrets)} == set()
    # It was looked for where there was something to be found.
    assert "/connect-account/api-key" in places["log"]
    assert "/connect-account/callback" in places["metrics"]
    assert all(len(text) > 100 for name, text in places.items() if name not in {"console", "site"})
    assert len(quiet.provider_secrets()) >= 3


def connect_in_every_way(shop: Place, visitor: Visitor) -> None:
    visitor.open(shop.link(redirect_uri=f"{shop.site.url}/connected"))
    visitor.hand_in(WRONG)
    visitor.expect("Heroku does not accept this token")
    visitor.sign_in()
    visitor.page.wait_for_url("**/connected?**")
    account = shop.account()
    visitor.open(shop.link(integrated_account_id=account["id"]))
    visitor.hand_in(shop.key("global", who="member@example.com"))
    visitor.expect("This is another Heroku account")
    visitor.sign_in("Deny Access")
    visitor.expect("You declined")
    visitor.open(shop.link())
    visitor.hand_in(shop.key("read"))
    visitor.expect("Some things will not work")
    shop.sandbox.faults([{"kind": "status", "status": 403, "body": "no", "match": {"path": "/oauth/token"}}])
    visitor.open(shop.link())
    visitor.sign_in()
    visitor.expect("Nothing was connected")


def wrong_body() -> dict[str, object]:
    return {"tenant_id": "acme", "authentication_method": "api_key", "context": {"api_key": WRONG}}


def stored(shop: Place) -> str:
    """The database as it lies on the disk, with whatever it has not written back yet."""
    files = [shop.database, shop.database.with_name("adapter.db-wal")]
    found = []
    for file in files:
        if file.exists():
            with closing(file.open("rb")) as stream:
                found.append(stream.read().decode("latin-1"))
    return "".join(found)
