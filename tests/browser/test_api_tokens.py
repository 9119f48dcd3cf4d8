"""API tokens on the page: a good one, and every way in which one is not; reconnecting; without scripts or a mouse."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.places import TENANT_NAME, Place
from tests.browser.watching import Visitor

Visit = Callable[..., Visitor]

ACCOUNT = {"method": "GET", "path": "/account"}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "suspended": (
        {"kind": "status", "status": 403, "body": '{"id": "suspended", "message": "Account suspended."}'},
        "This Heroku account is suspended",
    ),
    "delinquent": (
        {"kind": "status", "status": 402, "body": '{"id": "delinquent", "message": "Please pay."}'},
        "This Heroku account has unpaid bills",
    ),
    "refused": (
        {"kind": "status", "status": 403, "body": '{"id": "x", "message": "No."}'},
        "does not let this account",
    ),
    "rate-limited": ({"kind": "rate_limit", "retry_after": "90"}, "try again in 90 seconds"),
    "down": ({"kind": "status", "status": 503}, "Heroku is not well"),
    "unreachable": ({"kind": "reset"}, "Heroku can't be reached"),
    "talking nonsense": ({"kind": "nonsense"}, "Heroku is not well"),
}


def test_a_good_token_connects(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())

    visitor.hand_in(f"  {shop.key()}\n")

    visitor.expect("owner@example.com is connected")
    account = shop.account()
    assert (account["authentication_method"], account["status"]) == ("api_key", "active")


def test_the_page_says_how_to_make_a_token(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(f"{shop.link()}&integration=&no_back=&auth_format=api_key")

    visitor.expect('heroku authorizations:create --scope global --description "User directory"')
    visitor.expect("Do you sign in with single sign-on (SSO)?")
    assert visitor.page.evaluate("document.activeElement.id") == "api-key"
    assert visitor.page.url == f"{shop.url}/connect-account?auth_format=api_key"


def test_a_wrong_token_is_told_beside_the_field_and_can_be_mended(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    visitor.hand_in("HRKU-of-nobody-0123456789")

    visitor.expect("Heroku does not accept this token")
    field = visitor.page.get_by_label("Paste it here")
    assert visitor.page.evaluate("document.activeElement.id") == "api-key"
    assert (field.get_attribute("aria-invalid"), field.input_value()) == ("true", "")
    assert shop.accounts() == []
    visitor.hand_in(shop.key())

    visitor.expect("is connected")


def test_what_is_no_token_is_never_sent(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    shop.sandbox.reset_requests()

    for pasted, told in (
        ("   ", "Paste a token first"),
        ("two words", "not accept this"),
        ("HRKU-ü", "not accept this"),
    ):
        visitor.hand_in(pasted)
        visitor.page.get_by_role("alert").filter(has_text=told).wait_for()

    assert shop.sandbox.request_count() == 0


def test_what_heroku_says_is_told_clearly(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())

    for fault, text in REFUSALS.values():
        shop.sandbox.clear_faults()
        shop.sandbox.faults([{**fault, "match": ACCOUNT}])
        with visitor.page.expect_navigation():
            visitor.hand_in(shop.key())
        visitor.expect(text)

    assert shop.accounts() == []
    shop.sandbox.clear_faults()
    visitor.hand_in(shop.key())
    visitor.expect("is connected")


def test_a_read_only_token_connects_and_says_what_will_not_work(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link(redirect_uri=f"{shop.site.url}/connected"))

    visitor.hand_in(shop.key("read"))

    visitor.expect("Some things will not work")
    visitor.expect("Who is in your teams, who is invited, and with which role")
    # It waits to be read: whoever has read it goes on.
    assert visitor.page.url == f"{shop.url}/connect-account/done"
    visitor.page.get_by_role("link", name=f"Continue to {TENANT_NAME}").click()
    visitor.page.wait_for_url(f"{shop.site.url}/connected?**")
    assert "team_members" in shop.account()["missing_scopes"]


def test_a_link_for_less_asks_for_less(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(f"{shop.link(scopes=['read'])}&auth_format=api_key")

    visitor.expect("Nothing: it is asked for reading alone.")
    visitor.expect("It will not see")
    visitor.expect("heroku authorizations:create --scope read ")


def test_reconnecting_keeps_the_account(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    visitor.hand_in(shop.key())
    visitor.expect("is connected")
    before = shop.account()

    visitor.open(shop.link(integrated_account_id=before["id"]))
    assert visitor.heading() == f"{TENANT_NAME} asks to reconnect your Heroku account"
    visitor.expect("owner@example.com")
    visitor.sign_in()

    visitor.expect("is connected")
    after = shop.account()
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert after["authentication_method"] == "oauth2"


def test_reconnecting_as_somebody_else_is_refused(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    visitor.hand_in(shop.key())
    visitor.expect("is connected")
    before = shop.account()
    link = shop.link(integrated_account_id=before["id"])

    visitor.open(link)
    visitor.hand_in(shop.key("global", who="member@example.com"))
    visitor.expect("This is another Heroku account")
    visitor.expect("Sign in to Heroku as owner@example.com")
    visitor.page.get_by_role("button", name="Continue with Heroku").click()
    visitor.expect("This is a sandbox")
    visitor.open(f"{visitor.page.url}&as=member@example.com")
    visitor.page.get_by_role("button", name="Allow Access").click()

    visitor.expect("This is another Heroku account")
    assert shop.account() == before


def test_it_all_works_without_scripts(shop: Place, visit: Visit) -> None:
    visitor = visit(java_script_enabled=False)
    back = f"{shop.site.url}/connected"
    visitor.open(shop.link(redirect_uri=back))
    visitor.hand_in("HRKU-of-nobody-0123456789")
    visitor.expect("Heroku does not accept this token")
    visitor.hand_in(shop.key())
    visitor.page.wait_for_url(f"{back}?result=success**")

    visitor.open(shop.link(redirect_uri=back))
    visitor.sign_in("Deny Access")
    visitor.page.wait_for_url(f"{back}?result=error**")

    visitor.open(shop.link())
    visitor.sign_in()
    visitor.expect("You can close this window.")


def test_it_all_works_with_the_keyboard_alone(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.open(shop.link())
    press = visitor.page.keyboard.press

    def reach(text: str) -> None:
        for _ in range(12):
            press("Tab")
            focused = visitor.page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")
            if focused == text:
                # Whoever uses no mouse has to see where they are.
                assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none" or (
                    visitor.page.evaluate("getComputedStyle(document.activeElement.parentElement).outlineStyle")
                    != "none"
                )
                return
        raise AssertionError(f"Tab never comes to {text}")

    reach("Continue with Heroku")
    reach("Use an API token instead")
    press("Enter")
    reach("api-key")
    visitor.page.keyboard.type(shop.key())
    press("Enter")

    visitor.expect("is connected")


def test_the_scripts_extras_do_what_they_say(shop: Place, visit: Visit) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.open(f"{shop.link()}&auth_format=api_key")
    field = visitor.page.get_by_label("Paste it here")

    visitor.page.get_by_role("button", name="Copy").click()
    visitor.expect("Copied")
    visitor.page.get_by_role("button", name="Show").click()

    copied = 'heroku authorizations:create --scope global --description "User directory"'
    assert visitor.page.evaluate("navigator.clipboard.readText()") == copied
    assert field.get_attribute("type") == "text"
    visitor.page.get_by_role("button", name="Hide").click()
    assert field.get_attribute("type") == "password"


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_wider_than_the_screen(shop: Place, visit: Visit, width: int) -> None:
    visitor = visit(viewport={"width": width, "height": 700}, is_mobile=width < 700, has_touch=True)
    link = f"{shop.link(context={'tenant_name': 'Donaudampfschifffahrtsgesellschaft' * 2})}&auth_format=api_key"

    for _ in range(2):
        visitor.open(link)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
        small = visitor.page.evaluate(
            "[...document.querySelectorAll('button, .button, summary, input:not([type=hidden])')]"
            ".filter(one => one.offsetParent && one.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
        visitor.hand_in("HRKU-of-nobody-0123456789")
        visitor.expect("Heroku does not accept this token")
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
