"""How it ends: a popup tells its opener and nobody else, a window goes back to where the link says."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.places import Place
from tests.browser.test_readme_example import example
from tests.browser.watching import Visitor

Visit = Callable[..., Visitor]

# What the stock link client does: it opens this very address, and settles with the first message that has a result.
CLIENT = """<!doctype html><title>Product</title><button>Connect</button><script>
window.heard = [];
window.addEventListener("message", (event) => window.heard.push({origin: event.origin, data: event.data}));
document.querySelector("button").onclick = () => {
  window.popup = window.open("%s", "link", "width=620,height=760");
};
</script>"""
HEARD = "window.heard.find((one) => one.data && one.data.result)"


def popup_of(visitor: Visitor, page: str) -> Page:
    visitor.page.goto(page)
    with visitor.page.expect_popup() as opened:
        visitor.page.get_by_role("button", name="Connect").click()
    return opened.value


def in_popup(visitor: Visitor, popup: Page) -> Visitor:
    return Visitor(context=visitor.context, page=popup, seen=visitor.seen)


def heard(visitor: Visitor) -> dict[str, Any]:
    found = visitor.page.wait_for_function(HEARD).json_value()
    visitor.seen.pages.append(str(found))
    return dict(found)


def stock(shop: Place, **body: Any) -> str:
    return CLIENT % f"{shop.link(**body)}&integration=&no_back=&auth_format="


def test_the_stock_client_hears_of_success(shop: Place, visit: Visit) -> None:
    visitor = visit()
    popup = popup_of(visitor, shop.site.page("/stock", stock(shop)))

    with popup.expect_event("close"):
        in_popup(visitor, popup).sign_in()

    told = heard(visitor)
    assert told["origin"] == shop.url
    assert told["data"] == {
        "result": "success",
        "integration": "heroku",
        "integrated_account_id": shop.account()["id"],
        "is_truto": True,
    }


def test_a_popup_tells_of_a_no_too(shop: Place, visit: Visit) -> None:
    visitor = visit()
    popup = popup_of(visitor, shop.site.page("/stock", stock(shop)))

    with popup.expect_event("close"):
        in_popup(visitor, popup).sign_in("Deny Access")

    data = heard(visitor)["data"]
    assert (data["result"], data["error_type"]) == ("error", "oauth_denied")


def test_a_popup_that_is_cancelled_says_so(shop: Place, visit: Visit) -> None:
    visitor = visit()
    popup = popup_of(visitor, shop.site.page("/stock", stock(shop)))

    with popup.expect_event("close"):
        popup.get_by_role("button", name="Cancel").click()

    data = heard(visitor)["data"]
    assert (data["result"], data["error_type"]) == ("error", "cancelled")
    assert shop.accounts() == []


def test_a_popup_that_has_something_to_say_stays(shop: Place, visit: Visit) -> None:
    visitor = visit()
    popup = popup_of(visitor, shop.site.page("/stock", stock(shop)))

    in_popup(visitor, popup).hand_in(shop.key("read"))

    assert heard(visitor)["data"]["result"] == "success"
    in_popup(visitor, popup).expect("Some things will not work")


def test_a_tab_with_a_way_back_goes_it_and_tells_its_opener_too(shop: Place, visit: Visit) -> None:
    """It may well have been opened by somebody else's page, and is not ours to close."""
    visitor = visit()
    tab = stock(shop, redirect_uri=f"{shop.site.url}/connected").replace(', "link", "width=620,height=760"', "")
    popup = popup_of(visitor, shop.site.page("/tab", tab))

    in_popup(visitor, popup).sign_in()

    popup.wait_for_url(f"{shop.site.url}/connected?result=success**")
    assert heard(visitor)["data"]["result"] == "success"


def test_an_opener_of_another_origin_hears_nothing(shop: Place, visit: Visit) -> None:
    """The same machine under another name is another origin, and not the one that the link is bound to."""
    visitor = visit()
    page = shop.site.page("/stranger", stock(shop)).replace("localhost", "127.0.0.1")
    popup = popup_of(visitor, page)
    with popup.expect_event("close"):
        in_popup(visitor, popup).sign_in()

    # The message was refused when it was sent, before the popup closed; nothing is under way any more.
    assert visitor.page.evaluate("window.heard") == []
    assert len(shop.accounts()) == 1
    assert any("target origin" in line for line in visitor.seen.console)


@pytest.mark.parametrize("decision", ["Allow Access", "Deny Access"])
def test_a_severed_opener_is_led_back_to(shop: Place, visit: Visit, decision: str) -> None:
    visitor = visit()
    page = shop.site.page(
        "/severed",
        stock(shop, redirect_uri=f"{shop.site.url}/connected"),
        cross_origin_opener_policy="same-origin",
    )
    popup = popup_of(visitor, page)

    in_popup(visitor, popup).sign_in(decision)

    popup.wait_for_url(f"{shop.site.url}/connected?**")
    told = dict(parse_qsl(urlsplit(popup.url).query))
    if decision == "Allow Access":
        account_id = shop.account()["id"]
        assert told == {
            "result": "success",
            "integration": "heroku",
            "integrated_account_id": account_id,
            "is_truto": "true",
        }
    else:
        assert (told["result"], told["error_type"]) == ("error", "oauth_denied")
    assert visitor.page.evaluate("window.heard") == []


def test_a_severed_opener_without_a_way_back_is_told_to_close(shop: Place, visit: Visit) -> None:
    visitor = visit()
    page = shop.site.page("/severed", stock(shop), cross_origin_opener_policy="same-origin")
    popup = popup_of(visitor, page)

    in_popup(visitor, popup).sign_in()

    in_popup(visitor, popup).expect("You can close this window.")


def test_the_same_window_goes_back(shop: Place, visit: Visit) -> None:
    visitor = visit()
    visitor.page.goto(
        shop.site.page("/start", f'<a href="{shop.link(redirect_uri=f"{shop.site.url}/connected")}">Go</a>')
    )
    visitor.page.get_by_role("link", name="Go").click()

    visitor.sign_in()

    visitor.page.wait_for_url(f"{shop.site.url}/connected?result=success**")


def test_the_readmes_example_works_as_it_stands(shop: Place, visit: Visit) -> None:
    visitor = visit()
    shop.site.page("/connect-heroku", f'{{"url": "{shop.link()}"}}', content_type="application/json")
    page = shop.site.page("/example", example().replace("https://adapter.example.com", shop.url))

    popup = popup_of(visitor, page)
    in_popup(visitor, popup).sign_in()

    visitor.expect("Connected")
    assert visitor.page.locator("output").inner_text() == f"Connected: {shop.account()['id']}"
