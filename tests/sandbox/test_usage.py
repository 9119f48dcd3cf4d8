"""What was used, invoices, and archives: which days and months there are, and that the sums are right."""

from datetime import UTC, datetime

import pytest

from adapter.sandbox import Options, Sandbox
from adapter.sandbox.clock import Clock
from tests.sandbox import heroku_schema
from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import small_world


@pytest.fixture
def asker() -> Asker:
    """The small world, which began with 2025, on the tenth of March."""
    clock = Clock(datetime(2025, 3, 10, 12, tzinfo=UTC))
    return Asker(Sandbox(small_world(), Options(consistency_s=0), clock))


DAYS = [
    ("start=2025-01-30&end=2025-02-01", ["2025-01-30", "2025-01-31", "2025-02-01"]),
    ("start=2025-03-09", ["2025-03-09", "2025-03-10"]),
    ("start=2024-12-01&end=2025-01-02", ["2025-01-01", "2025-01-02"]),
    ("start=2025-03-10&end=2030-01-01", ["2025-03-10"]),
    ("start=2026-01-01&end=2026-01-02", []),
]
MONTHS = [
    ("start=2025-02", ["2025-02", "2025-03"]),
    ("start=2024-11&end=2025-01", ["2025-01"]),
    ("start=2025-01&end=2025-12", ["2025-01", "2025-02", "2025-03"]),
]


@pytest.mark.parametrize("place", ["/teams/acme", "/enterprise-accounts/corp"])
@pytest.mark.parametrize(("query", "days"), DAYS)
async def test_days_are_within_what_was_asked_and_what_there_was(
    asker: Asker, place: str, query: str, days: list[str]
) -> None:
    assert [row["date"] for row in (await asker.get(f"{place}/usage/daily?{query}")).json()] == days


@pytest.mark.parametrize("place", ["/teams/acme", "/enterprise-accounts/corp"])
@pytest.mark.parametrize(("query", "months"), MONTHS)
async def test_months_are_within_what_was_asked_and_what_there_was(
    asker: Asker, place: str, query: str, months: list[str]
) -> None:
    assert [row["month"] for row in (await asker.get(f"{place}/usage/monthly?{query}")).json()] == months


async def test_an_add_on_shows_in_its_apps_and_its_teams_usage(asker: Asker) -> None:
    path = "/teams/acme/usage/monthly?start=2025-03"
    (before,) = (await asker.get(path)).json()
    await asker.ask("POST", "/apps/acme-web/addons", {"plan": "papertrail:fixa"})
    (after,) = (await asker.get(path)).json()

    assert (before["addons"], before["data"], before["partner"], before["dynos"]) == (500, 500, 0, 2)
    assert (after["addons"], after["data"], after["partner"], after["dynos"]) == (1200, 500, 700, 2)
    assert [app["addons"] for app in after["apps"] if app["app_name"] == "acme-web"] == [1200]


async def test_an_enterprise_account_sums_up_its_teams(asker: Asker) -> None:
    (month,) = (await asker.get("/enterprise-accounts/corp/usage/monthly?start=2025-03")).json()

    assert [(team["name"], team["dynos"], team["space"]) for team in month["teams"]] == [("corp-it", 1, 1)]
    assert (month["dynos"], month["space"]) == (1, 1)


@pytest.mark.parametrize("path", ["/account/invoices", "/teams/acme/invoices"])
async def test_an_invoice_is_written_when_a_month_is_over(asker: Asker, path: str) -> None:
    before = [(one["number"], one["period_end"]) for one in (await asker.get(path)).json()]
    asker.sandbox.clock.advance(30 * 86400)

    assert before == [(202501, "01/31/2025"), (202502, "02/28/2025")]
    assert len((await asker.get(path)).json()) == 3


async def test_an_invoice_adds_up(asker: Asker) -> None:
    invoice = (await asker.get("/teams/acme/invoices/202501")).json()
    parts = ("addons_total", "database_total", "platform_total")

    assert [invoice[name] for name in parts] == [0, 500, 1400]
    assert invoice["total"] == invoice["charges_total"] == 1900


async def test_who_has_no_app_of_their_own_is_billed_nothing(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/mine")

    assert (await asker.get("/account/invoices")).json() == []


@heroku_schema.needed
async def test_an_archive_is_as_the_schema_says(asker: Asker) -> None:
    listed = (await asker.get("/enterprise-accounts/corp/archives")).json()
    one = (await asker.get("/enterprise-accounts/corp/archives/2025/02")).json()

    assert [(archive["year"], archive["month"]) for archive in listed] == [(2025, "01"), (2025, "02")]
    assert one == listed[1]
    assert heroku_schema.faults({"targetSchema": {"$ref": "#/definitions/archive"}}, one) == []
