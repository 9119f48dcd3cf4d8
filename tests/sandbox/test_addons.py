"""Add-ons and their attachments: what a write changes in what is read afterwards."""

from typing import Any

from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import BOB

DATABASE = "postgresql-acme-web-1"


async def names(asker: Asker, path: str) -> list[str]:
    return sorted(row["name"] for row in (await asker.get(path)).json())


async def attach(asker: Asker, **more: str) -> Any:
    body = {"addon": DATABASE, "app": "acme-web"} | more
    return (await asker.ask("POST", "/addon-attachments", body)).json()


async def test_an_add_on_is_attached_to_its_own_app_when_it_is_installed(asker: Asker) -> None:
    made = (await asker.ask("POST", "/apps/mine/addons", {"plan": "heroku-redis", "name": "cache"})).json()
    attachments = (await asker.get("/addons/cache/addon-attachments")).json()

    assert (made["name"], made["plan"]["name"], made["config_vars"]) == ("cache", "heroku-redis:mini", ["REDIS_URL"])
    assert [(one["app"]["name"], one["name"]) for one in attachments] == [("mine", "REDIS")]


async def test_a_second_add_on_of_a_service_is_attached_under_a_name_of_its_own(asker: Asker) -> None:
    await asker.ask("POST", "/apps/acme-web/addons", {"plan": "heroku-postgresql:basic"})

    assert await names(asker, "/apps/acme-web/addon-attachments") == ["DATABASE", "DATABASE_2"]


async def test_a_plan_decides_the_price_and_may_be_named_by_its_id(asker: Asker) -> None:
    plan = (await asker.get("/plans/heroku-postgresql:standard-0")).json()
    await asker.ask("PATCH", f"/apps/acme-web/addons/{DATABASE}", {"plan": plan["id"], "name": "main"})
    shown = (await asker.get("/addons/main")).json()

    assert (shown["plan"]["name"], shown["billed_price"]) == ("heroku-postgresql:standard-0", plan["price"])


async def test_every_plan_belongs_to_the_service_that_lists_it(asker: Asker) -> None:
    for service in await names(asker, "/addon-services"):
        plans = (await asker.get(f"/addon-services/{service}/plans")).json()

        assert [plan["default"] for plan in plans].count(True) == 1
        assert {plan["addon_service"]["name"] for plan in plans} == {service}


async def test_a_config_value_is_set_kept_and_taken_away(asker: Asker) -> None:
    path = f"/addons/{DATABASE}/config"
    await asker.ask("PATCH", path, {"config": [{"name": "DATABASE_URL", "value": "sandbox-new"}, {"name": "X"}]})
    await asker.ask("PATCH", path, {"config": [{"name": "REGION", "value": "eu"}]})
    held = (await asker.get(path)).json()
    await asker.ask("PATCH", path, {"config": [{"name": "DATABASE_URL", "value": None}]})

    assert held == [{"name": "DATABASE_URL", "value": "sandbox-new"}, {"name": "REGION", "value": "eu"}]
    assert await names(asker, path) == ["REGION"]


async def test_an_add_on_is_deprovisioned_and_provisioned(asker: Asker) -> None:
    states = []
    for action in ("deprovision", "provision"):
        await asker.ask("POST", f"/addons/{DATABASE}/actions/{action}")
        states.append((await asker.get(f"/addons/{DATABASE}")).json()["state"])

    assert states == ["deprovisioned", "provisioned"]


async def test_an_attachment_is_made_found_resolved_and_removed(asker: Asker) -> None:
    made = await attach(asker, name="READ_ONLY", namespace="role:analytics")
    path = f"/addon-attachments/{made['id']}"
    shown = (await asker.get(path)).json()
    resolved = await asker.ask("POST", "/actions/addon-attachments/resolve", {"addon_attachment": "READ_ONLY"})
    await asker.ask("DELETE", path)

    assert shown == made == resolved.json()[0]
    assert (shown["namespace"], shown["addon"]["name"]) == ("role:analytics", DATABASE)
    assert (await asker.get(path)).status_code == 404


async def test_a_name_in_use_is_replaced_when_that_is_confirmed(asker: Asker) -> None:
    before = (await asker.get("/apps/acme-web/addon-attachments/DATABASE")).json()
    made = await attach(asker, name="DATABASE", confirm="acme-web")
    after = (await asker.get("/apps/acme-web/addon-attachments")).json()

    assert [one["id"] for one in after] == [made["id"]] != [before["id"]]


async def test_the_last_attachment_stays_as_long_as_the_add_on(asker: Asker) -> None:
    shared = (await asker.get("/apps/acme-locked/addon-attachments/SHARED")).json()
    own = (await asker.get("/apps/acme-web/addon-attachments/DATABASE")).json()
    answers = [await asker.ask("DELETE", f"/addon-attachments/{one['id']}") for one in (shared, own)]

    assert [answer.status_code for answer in answers] == [200, 422]


async def test_an_add_on_takes_all_its_attachments_along(asker: Asker) -> None:
    before = await names(asker, "/addon-attachments")
    await asker.ask("DELETE", f"/apps/acme-web/addons/{DATABASE}")

    assert (before, await names(asker, "/addon-attachments")) == (["DATABASE", "SHARED"], [])


async def test_an_app_takes_its_add_ons_along(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/acme-web")

    assert await names(asker, "/apps/acme-locked/addon-attachments") == []


async def test_who_does_not_see_an_app_sees_none_of_its_attachments(asker: Asker) -> None:
    shown = (await asker.get(f"/addons/{DATABASE}/addon-attachments", who=BOB)).json()

    assert [one["name"] for one in shown] == ["DATABASE"]


async def test_a_service_is_allowed_and_no_longer(asker: Asker) -> None:
    path = "/teams/acme/allowed-addon-services"
    added = (await asker.ask("POST", path, {"addon_service": "papertrail"})).json()
    listed = [one["addon_service"]["name"] for one in (await asker.get(path, who=BOB)).json()]
    await asker.ask("DELETE", f"{path}/heroku-redis")
    left = (await asker.get(path)).json()

    assert sorted(listed) == ["heroku-redis", "papertrail"]
    assert left == added


async def test_every_service_can_be_had_in_every_region(asker: Asker) -> None:
    regions, services = await names(asker, "/regions"), await names(asker, "/addon-services")
    pairs = {
        (row["addon_service"]["name"], row["region"]["name"])
        for row in (await asker.get("/addon-region-capabilities")).json()
    }

    assert pairs == {(service, region) for service in services for region in regions}


async def test_a_webhook_is_made_changed_and_removed_and_never_shows_its_secret(asker: Asker) -> None:
    path = f"/addons/{DATABASE}/webhooks"
    body = {"include": ["dyno"], "level": "sync", "url": "https://example.com/x", "secret": "sandbox-only"}
    made = (await asker.ask("POST", path, body)).json()
    await asker.ask("PATCH", f"{path}/{made['id']}", {"level": "notify"})
    shown = await asker.get(f"{path}/{made['id']}")
    await asker.ask("DELETE", f"{path}/{made['id']}")

    assert (shown.json()["level"], shown.json()["url"]) == ("notify", "https://example.com/x")
    assert "sandbox-only" not in shown.text
    assert made["id"] not in {one["id"] for one in (await asker.get(path)).json()}
