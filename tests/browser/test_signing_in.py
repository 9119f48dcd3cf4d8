"""OAuth in a real browser: granted, declined, and everything that somebody else might try with it."""

from collections.abc import Callable

import httpx
import pytest

from tests.browser.places import TENANT_NAME, Place
from tests.browser.watching import Visitor

Visit = Callable[..., Visitor]


def way_back(visitor: Visitor) -> str:
    """The provider's way back for a visitor who stands before its page, without the browser taking it."""
    answer = httpx.get(f"{visitor.page.url}&auto=grant", trust_env=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def begin(visitor: Visitor, url: str) -> None:
    visitor.open(url)
    visitor.page.get_by_role("button", name="Continue with Heroku").click()
    visitor.expect("This is a sandbox")


def test_who_grants_is_connected(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    assert visitor.heading() == f"{TENANT_NAME} asks to connect your Heroku account"
    assert visitor.page.url == f"{shop.url}/connect-account"

    visitor.sign_in()

    visitor.expect("owner@example.com is connected")
    assert visitor.page.url == f"{shop.url}/connect-account/done"
    account = shop.account()
    assert (account["authentication_method"], account["status"]) == ("oauth2", "active")
    assert account["heroku_account"]["email"] == "owner@example.com"
    assert account["context"] == {"tenant_name": TENANT_NAME}


@pytest.mark.parametrize("scripts", [True, False])
def test_whom_the_provider_sends_on_to_sso_gets_there(shop: Place, visit: Visit, scripts: bool) -> None:
    """A company's own identity provider: a redirect to a host that the page can't know, and must not forbid."""
    visitor = visit(java_script_enabled=scripts)
    company = shop.site.page("/saml", "<!doctype html><h1>Sign in to the company</h1>")
    visitor.page.route("**/oauth/authorize?*", lambda route: route.fulfill(status=302, headers={"location": company}))
    visitor.open(shop.link())

    visitor.page.get_by_role("button", name="Continue with Heroku").click()

    visitor.expect("Sign in to the company")


def test_the_cookie_is_the_pages_own(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())

    cookie = visitor.cookie()

    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/connect-account")
    assert visitor.page.evaluate("document.cookie") == ""


def test_who_declines_is_not_connected_and_may_think_again(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())

    visitor.sign_in("Deny Access")

    visitor.expect("Nothing was connected")
    assert visitor.heading() == "You declined"
    assert shop.accounts() == []
    visitor.page.get_by_role("link", name="Begin again").click()
    visitor.sign_in()
    visitor.expect("is connected")
    assert len(shop.accounts()) == 1


def test_a_no_without_state_ends_nobody_elses_way(shop: Place, visit: Visit) -> None:
    """The provider declines without saying to whom; the browser's cookie alone tells."""
    ada, bob = visit(), visit()
    begin(ada, shop.link())
    begin(bob, shop.link())
    shop.secrets.append(ada.cookie()["value"])

    bob.page.get_by_role("button", name="Deny Access").click()
    bob.expect("You declined")
    ada.page.get_by_role("button", name="Allow Access").click()

    ada.expect("is connected")


def test_a_no_from_nowhere_ends_nothing(shop: Place, visit: Visit) -> None:
    ada, stranger = visit(), visit()
    begin(ada, shop.link())

    stranger.open(f"{shop.url}/connect-account/callback?error=access_denied")
    stranger.expect("That took too long, or began in another window")
    ada.page.get_by_role("button", name="Allow Access").click()

    ada.expect("is connected")


def test_a_way_back_leads_back_once(shop: Place, visit: Visit) -> None:
    visitor = visit()
    begin(visitor, shop.link())
    back = way_back(visitor)
    shop.sandbox.reset_requests()
    visitor.open(back)
    visitor.expect("is connected")
    before = shop.account()

    visitor.open(back)

    # It was not taken again; what stands there is how it ended the first time.
    assert visitor.page.url == f"{shop.url}/connect-account/done"
    assert shop.account() == before
    assert shop.sandbox.request_count(path="/oauth/token") == 1


def test_a_replayed_state_connects_nobody(shop: Place, visit: Visit) -> None:
    """The first time round the provider failed, so the link still holds, and the state must not."""
    visitor = visit()
    begin(visitor, shop.link())
    back = way_back(visitor)
    shop.sandbox.faults([{"kind": "status", "status": 500, "match": {"path": "/account"}}])
    visitor.open(back)
    visitor.expect("Nothing was connected")
    shop.sandbox.clear_faults()

    visitor.open(back)

    visitor.expect("That took too long, or began in another window")
    assert visitor.page.url.partition("?")[0] == f"{shop.url}/connect-account"
    assert shop.accounts() == []


@pytest.mark.parametrize("with_link", [True, False], ids=["a thief with a link", "a thief without"])
def test_a_stolen_way_back_is_worth_nothing_elsewhere(shop: Place, visit: Visit, with_link: bool) -> None:
    owner, thief = visit(), visit()
    begin(owner, shop.link())
    back = way_back(owner)
    if with_link:
        begin(thief, shop.link())

    thief.open(back)

    thief.expect("That took too long, or began in another window")
    assert shop.accounts() == []
    owner.open(back)
    owner.expect("is connected")


def test_who_takes_longer_than_ten_minutes_begins_again(shop: Place, visit: Visit) -> None:
    visitor = visit()
    begin(visitor, shop.link())
    assert shop.change("UPDATE connect_sessions SET state_expires_at = '2001-01-01 00:00:00'") > 0

    visitor.page.get_by_role("button", name="Allow Access").click()

    visitor.expect("That took too long")
    assert shop.accounts() == []
    visitor.sign_in()
    visitor.expect("is connected")


def test_a_visit_ends_after_an_hour(shop: Place, visit: Visit) -> None:
    visitor = visit()
    link = shop.link()
    visitor.open(link)
    assert shop.change("UPDATE connect_sessions SET expires_at = '2001-01-01 00:00:00'") > 0

    visitor.page.get_by_role("button", name="Continue with Heroku").click()

    visitor.expect("This visit has ended")
    visitor.open(link)
    assert visitor.heading().startswith(TENANT_NAME)


def test_a_link_is_used_up_by_success_alone(shop: Place, visit: Visit) -> None:
    link = shop.link()
    scanner = httpx.get(link, trust_env=False, follow_redirects=True)
    assert scanner.status_code in {200, 410}
    visitor = visit()
    visitor.open(link)
    visitor.sign_in("Deny Access")
    visitor.expect("You declined")
    visitor.open(link)
    visitor.sign_in()
    visitor.expect("is connected")

    late = visit()
    late.open(link)

    late.expect("This link no longer works")
    assert len(shop.accounts()) == 1


def test_two_browsers_with_one_link_make_one_account(shop: Place, visit: Visit) -> None:
    link = shop.link()
    first, second = visit(), visit()
    first.open(link)
    second.open(link)
    first.sign_in()
    first.expect("is connected")

    second.page.get_by_role("button", name="Continue with Heroku").click()

    second.expect("This link no longer works")
    assert len(shop.accounts()) == 1


def test_another_site_can_not_begin_it(shop: Place, visit: Visit) -> None:
    """It has the visitor's browser send the form: the cookie stays behind, and the form has no token of the page's."""
    visitor = visit()
    visitor.open(shop.link())
    shop.change("UPDATE connect_sessions SET state_hash = NULL")
    trap = shop.site.page(
        "/trap", f'<form method="post" action="{shop.url}/connect-account/oauth"><button>Win a prize</button></form>'
    )

    visitor.open(trap)
    visitor.page.get_by_role("button").click()

    visitor.expect("This came from somewhere else")
    assert shop.change("UPDATE connect_sessions SET state_hash = NULL WHERE state_hash IS NOT NULL") == 0


def test_the_page_can_not_be_framed(shop: Place, visit: Visit) -> None:
    visitor = visit()
    link = shop.link()
    frame = shop.site.page("/frame", f'<h1>Outside</h1><iframe src="{link}&iframe=true"></iframe>')

    with visitor.page.expect_event("framenavigated", lambda inside: inside.url.startswith("chrome-error:")):
        visitor.page.goto(frame)

    # The one thing that a page's policy had to refuse, and it did.
    assert len(visitor.seen.refused_by_policy) == 1
    visitor.seen.console.clear()
