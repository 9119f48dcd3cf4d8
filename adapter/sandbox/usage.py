"""What accounts, teams and enterprise accounts used and are billed for; an enterprise account's archived trails.

Made up, but of one piece: every app runs one dyno and pays for the add-ons that it has now, and every day costs its
share of a month of thirty days. Add-ons of Heroku's own count as `data`, all others as `partner`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from .access import GLOBAL, READ
from .answers import Answer, invalid, not_found, plain_list, record
from .calls import Call
from .catalog import PLANS, fixed_id
from .records import App, Enterprise, Team
from .routes import Routes
from .shapes import one_of

routes = Routes()

DAYS = 30
DYNO_CENTS = 700
HOURS_A_MONTH = 24 * DAYS

Usage = dict[str, Any]


# -- what was used -------------------------------------------------------------------------------------------------


def app_usage(app: App, days: int) -> Usage:
    data = partner = 0.0
    for addon in app.addons.values():
        cost = PLANS[addon.plan]["price"]["cents"] * days / DAYS
        if addon.service.startswith("heroku-"):
            data += cost
        else:
            partner += cost
    return {"addons": data + partner, "app_name": app.name, "data": data, "dynos": days / DAYS, "partner": partner}


def _summed(rows: Iterable[Usage], names: tuple[str, ...]) -> Usage:
    held = [*rows]
    return {name: round(sum(row[name] for row in held), 2) for name in names}


def team_usage(call: Call, team: Team, days: int) -> Usage:
    apps = [app_usage(call.world.apps[app_id], days) for app_id in sorted(team.apps)]
    summed = _summed(apps, ("addons", "data", "dynos", "partner"))
    return summed | {"apps": apps, "id": team.id, "name": team.name, "space": len(team.spaces) * days / DAYS}


def enterprise_usage(call: Call, enterprise: Enterprise, days: int) -> Usage:
    teams = [team_usage(call, call.world.teams[team_id], days) for team_id in sorted(enterprise.teams)]
    summed = _summed(teams, ("addons", "data", "dynos", "partner", "space"))
    return summed | {"id": enterprise.id, "name": enterprise.name, "teams": teams}


def _monthly(usage: Usage, month: date) -> Usage:
    """The usage of a month: `connect` is told of months only, of an enterprise account's teams as well."""
    shown = usage | {"connect": 0, "month": f"{month:%Y-%m}"}
    if "teams" in usage:
        shown["teams"] = [team | {"connect": 0} for team in usage["teams"]]
    return shown


def _bound(call: Call, name: str, ending: str, default: date | None) -> date:
    """The day of the query's `start` or `end`; of a month (`ending` completes it) the first one."""
    text = call.query.get(name)
    if text is None and default is not None:
        return default
    try:
        return date.fromisoformat(f"{text}{ending}")
    except ValueError:
        raise invalid(f"{name.capitalize()} must be {'YYYY-MM' if ending else 'YYYY-MM-DD'}") from None


def _span(call: Call, ending: str, since: str) -> tuple[date, date]:
    """From `start` to `end`, both included; nothing is known of before `since` and after today."""
    today = call.sandbox.clock.now().date()
    start, end = _bound(call, "start", ending, None), _bound(call, "end", ending, today)
    if end < start:
        raise invalid("End must not be before start")
    return max(start, date.fromisoformat(since[:10])), min(end, today)


def days_of(call: Call, since: str) -> list[date]:
    first, last = _span(call, "", since)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def months_between(first: date, last: date) -> list[date]:
    """The first days of all months from the one of `first` to the one of `last`."""
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def _months_of(call: Call, since: str) -> list[date]:
    return months_between(*_span(call, "-01", since))


@routes.get("/teams/{team}/usage/daily", READ)
def list_team_days(call: Call) -> Answer:
    team = call.team_as_admin()
    usage = team_usage(call, team, 1)
    return plain_list([usage | {"date": day.isoformat()} for day in days_of(call, team.created_at)])


@routes.get("/teams/{team}/usage/monthly", READ)
def list_team_months(call: Call) -> Answer:
    team = call.team_as_admin()
    usage = team_usage(call, team, DAYS)
    return plain_list([_monthly(usage, month) for month in _months_of(call, team.created_at)])


@routes.get("/enterprise-accounts/{enterprise}/usage/daily", READ)
def list_enterprise_days(call: Call) -> Answer:
    enterprise = call.enterprise("view")
    usage, days = enterprise_usage(call, enterprise, 1), days_of(call, enterprise.created_at)
    return plain_list([usage | {"date": day.isoformat()} for day in days], cacheable=False)


@routes.get("/enterprise-accounts/{enterprise}/usage/monthly", READ)
def list_enterprise_months(call: Call) -> Answer:
    enterprise = call.enterprise("view")
    usage, months = enterprise_usage(call, enterprise, DAYS), _months_of(call, enterprise.created_at)
    return plain_list([_monthly(usage, month) for month in months], cacheable=False)


# -- invoices ------------------------------------------------------------------------------------------------------


def past_months(call: Call, since: str) -> list[date]:
    """The months that are over, since a place began."""
    return months_between(date.fromisoformat(since[:10]), call.sandbox.clock.now().date())[:-1]


def _period(holder_id: str, month: date) -> dict[str, Any]:
    """What every invoice has; its number is unique among those of one holder, and Heroku's dates are American."""
    following = month.replace(day=28) + timedelta(days=4)
    end = following.replace(day=1) - timedelta(days=1)
    issued = f"{end:%Y-%m-%d}T23:59:59Z"
    return {
        "created_at": issued,
        "id": fixed_id(holder_id, f"invoice {month}"),
        "number": int(f"{month:%Y%m}"),
        "period_end": f"{end:%m/%d/%Y}",
        "period_start": f"{month:%m/%d/%Y}",
        "state": 1,
        "updated_at": issued,
    }


def invoice_json(holder_id: str, apps: list[App], month: date) -> dict[str, Any]:
    used = _summed([app_usage(app, DAYS) for app in apps], ("addons",))
    total = int(used["addons"]) + DYNO_CENTS * len(apps)
    return _period(holder_id, month) | {"charges_total": total, "credits_total": 0, "total": total}


def team_invoice_json(call: Call, team: Team, month: date) -> dict[str, Any]:
    apps = [call.world.apps[app_id] for app_id in team.apps]
    used = _summed([app_usage(app, DAYS) for app in apps], ("addons", "data", "partner"))
    return invoice_json(team.id, apps, month) | {
        "addons_total": int(used["partner"]),
        "database_total": int(used["data"]),
        "dyno_units": len(apps),
        "payment_status": "Paid",
        "platform_total": DYNO_CENTS * len(apps),
        "weighted_dyno_hours": HOURS_A_MONTH * len(apps),
    }


def _team_invoices(call: Call) -> list[dict[str, Any]]:
    team = call.team_as_admin()
    return [team_invoice_json(call, team, month) for month in past_months(call, team.created_at)]


@routes.get("/teams/{team}/invoices", READ)
def list_team_invoices(call: Call) -> Answer:
    invoices = _team_invoices(call)
    return call.page(None, ("number", "id"), lambda: invoices)


@routes.get("/teams/{team}/invoices/{invoice}", READ)
def show_team_invoice(call: Call) -> Answer:
    return one_of(_team_invoices(call), call.params["invoice"], ("number", "id"), "invoice")


def _own_invoices(call: Call) -> list[dict[str, Any]]:
    """Of the caller's personal apps; without any, nothing is billed."""
    account = call.account
    apps = [app for app in call.world.apps_of(account) if app.owner_id == account.id]
    months = past_months(call, account.created_at) if apps else []
    return [invoice_json(account.id, apps, month) for month in months]


@routes.get("/account/invoices", GLOBAL)
def list_invoices(call: Call) -> Answer:
    invoices = _own_invoices(call)
    return call.page(None, ("number", "id"), lambda: invoices)


@routes.get("/account/invoices/{invoice}", GLOBAL)
def show_invoice(call: Call) -> Answer:
    return one_of(_own_invoices(call), call.params["invoice"], ("number", "id"), "invoice")


# -- archives of the audit trail -----------------------------------------------------------------------------------


def archive_json(enterprise: Enterprise, month: date) -> dict[str, Any]:
    """One month's file. Its address leads nowhere: a sandbox keeps no files."""
    checksum = fixed_id(enterprise.id, f"archive {month}").replace("-", "")
    return {
        "created_at": _period(enterprise.id, month)["created_at"],
        "month": f"{month:%m}",
        "year": month.year,
        "url": f"https://archives.example.com/{enterprise.id}/{month:%Y/%m}.json.gz",
        "checksum": checksum,
        "size": 1024,
    }


def _archives(call: Call) -> list[dict[str, Any]]:
    enterprise = call.enterprise("manage")
    return [archive_json(enterprise, month) for month in past_months(call, enterprise.created_at)]


@routes.get("/enterprise-accounts/{enterprise}/archives", READ)
def list_archives(call: Call) -> Answer:
    return plain_list(_archives(call), cacheable=False)


@routes.get("/enterprise-accounts/{enterprise}/archives/{year}/{month}", READ)
def show_archive(call: Call) -> Answer:
    for archive in _archives(call):
        if (str(archive["year"]), archive["month"]) == (call.params["year"], call.params["month"]):
            return record(archive, cacheable=False)
    raise not_found("archive")
