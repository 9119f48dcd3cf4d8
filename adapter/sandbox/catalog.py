"""What is the same for everybody: regions, stacks, generations, dyno sizes, and the add-on services one can buy."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

SINCE = "2020-01-01T00:00:00Z"


def fixed_id(kind: str, name: str) -> str:
    """An id that is the same in every sandbox."""
    return str(uuid5(NAMESPACE_URL, f"sandbox:{kind}:{name}"))


def reference(kind: str, name: str) -> dict[str, str]:
    return {"id": fixed_id(kind, name), "name": name}


def _region(name: str, country: str, locale: str, provider_region: str, private: bool) -> dict[str, Any]:
    return {
        "country": country,
        "created_at": SINCE,
        "description": f"{locale}, {country}",
        "id": fixed_id("region", name),
        "locale": locale,
        "name": name,
        "private_capable": private,
        "provider": {"name": "amazon-web-services", "region": provider_region},
        "updated_at": SINCE,
    }


REGIONS = [
    _region("us", "United States", "Virginia", "us-east-1", False),
    _region("eu", "Ireland", "Dublin", "eu-west-1", False),
    _region("virginia", "United States", "Virginia", "us-east-1", True),
    _region("frankfurt", "Germany", "Frankfurt", "eu-central-1", True),
    _region("tokyo", "Japan", "Tokyo", "ap-northeast-1", True),
]

STACKS = [
    {
        "created_at": SINCE,
        "default": name == "heroku-24",
        "id": fixed_id("stack", name),
        "name": name,
        "state": "public",
        "updated_at": SINCE,
    }
    for name in ("container", "heroku-22", "heroku-24")
]

GENERATIONS = [
    {"created_at": SINCE, "id": fixed_id("generation", name), "name": name, "updated_at": SINCE}
    for name in ("cedar", "fir")
]

DYNO_SIZES = [
    {
        "architecture": "x86_64",
        "compute": units,
        "cost": {"cents": cents, "unit": "month"},
        "dedicated": dedicated,
        "precise_dyno_units": units,
        "generation": reference("generation", "cedar"),
        "id": fixed_id("dyno-size", name),
        "memory": memory,
        "name": name,
        "private_space_only": False,
    }
    for name, units, cents, dedicated, memory in (
        ("Basic", 1, 700, False, 0.5),
        ("Standard-1X", 1, 2500, False, 0.5),
        ("Standard-2X", 2, 5000, False, 1.0),
        ("Performance-M", 11, 25000, True, 2.5),
    )
]

ADDON_SERVICES = [
    {
        "cli_plugin_name": None,
        "created_at": SINCE,
        "human_name": human,
        "id": fixed_id("addon-service", name),
        "name": name,
        "state": "ga",
        "supports_multiple_installations": True,
        "supports_sharing": True,
        "updated_at": SINCE,
        "supported_generations": [reference("generation", "cedar")],
    }
    for name, human in (
        ("heroku-postgresql", "Heroku Postgres"),
        ("heroku-redis", "Heroku Key-Value Store"),
        ("papertrail", "Papertrail"),
    )
]

PLAN_PRICES = {
    "heroku-postgresql": {"mini": 500, "basic": 900, "essential-0": 500, "standard-0": 5000},
    "heroku-redis": {"mini": 300, "premium-0": 1500},
    "papertrail": {"choklad": 0, "fixa": 700},
}
"""Cents a month of each service's plans; the first one is what a service named alone stands for."""


def default_plan(service: str) -> str:
    return next(iter(PLAN_PRICES[service]))


def _plan(service: str, plan: str, cents: int) -> dict[str, Any]:
    name, default = f"{service}:{plan}", plan == default_plan(service)
    return {
        "addon_service": reference("addon-service", service),
        "created_at": SINCE,
        "compliance": None,
        "default": default,
        "description": f"{service} {plan}",
        "human_name": plan.replace("-", " ").title(),
        "id": fixed_id("plan", name),
        "installable_inside_private_network": not default,
        "installable_outside_private_network": True,
        "name": name,
        "price": {"cents": cents, "contract": False, "unit": "month"},
        "space_default": False,
        "state": "public",
        "updated_at": SINCE,
        "visible": True,
    }


PLANS = {
    f"{service}:{plan}": _plan(service, plan, cents)
    for service, prices in PLAN_PRICES.items()
    for plan, cents in prices.items()
}

REGION_CAPABILITIES = [
    {
        "id": fixed_id("addon-region-capability", f"{service['name']} {region['name']}"),
        "supports_private_networking": region["private_capable"],
        "addon_service": service,
        "region": region,
    }
    for service in ADDON_SERVICES
    for region in REGIONS
]

APP_FEATURES = ("http-session-affinity", "preboot", "runtime-dyno-metadata")
ACCOUNT_FEATURES = ("app-overview", "metrics-request-volume", "pipelines")


def feature_json(kind: str, holder_id: str, name: str, enabled: bool, since: str) -> dict[str, Any]:
    """A feature of an account or an app, as both are shown alike."""
    return {
        "created_at": since,
        "description": f"{name.replace('-', ' ').capitalize()}",
        "doc_url": f"https://devcenter.heroku.com/articles/{name}",
        "enabled": enabled,
        "id": fixed_id(f"{kind} {holder_id}", name),
        "name": name,
        "state": "general",
        "updated_at": since,
        "display_name": name.replace("-", " ").capitalize(),
        "feedback_email": "feedback@example.com",
    }
