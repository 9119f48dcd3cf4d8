"""Webhooks of an add-on. Nothing is ever delivered from here, so events and deliveries are empty lists."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .access import READ, WRITE
from .addons import find_addon, found_addon_to_manage
from .answers import Answer, not_found, record
from .calls import Call
from .records import AddOn, Webhook
from .routes import Routes
from .shapes import one_of

routes = Routes()

Level = Literal["notify", "sync"]


class NewWebhook(Struct):
    include: list[str]
    level: Level
    url: str


class WebhookChange(Struct):
    include: list[str] | UnsetType = UNSET
    level: Level | UnsetType = UNSET
    url: str | UnsetType = UNSET


def webhook_json(addon: AddOn, webhook: Webhook) -> dict[str, Any]:
    """A webhook; what it signs and authorizes itself with is never shown."""
    return {
        "addon": {"id": addon.id, "name": addon.name},
        "created_at": webhook.created_at,
        "id": webhook.id,
        "include": webhook.include,
        "level": webhook.level,
        "updated_at": webhook.updated_at,
        "url": webhook.url,
    }


def _rows(addon: AddOn) -> list[dict[str, Any]]:
    return [webhook_json(addon, webhook) for webhook in addon.webhooks.values()]


@routes.get("/addons/{addon}/webhooks", READ)
def list_webhooks(call: Call) -> Answer:
    _, addon = find_addon(call)
    return call.page(None, ("id",), lambda: _rows(addon))


@routes.get("/addons/{addon}/webhooks/{webhook}", READ)
def show_webhook(call: Call) -> Answer:
    return one_of(_rows(find_addon(call)[1]), call.params["webhook"], ("id", "id"), "webhook")


@routes.post("/addons/{addon}/webhooks", WRITE)
def create_webhook(call: Call) -> Answer:
    (_, addon), new, now = found_addon_to_manage(call), call.body(NewWebhook), call.world.touch()
    webhook = Webhook(
        id=call.world.new_id(), include=new.include, level=new.level, url=new.url, created_at=now, updated_at=now
    )
    addon.webhooks[webhook.id] = webhook
    return record(webhook_json(addon, webhook), 201)


def _webhook_to_manage(call: Call) -> tuple[AddOn, Webhook]:
    _, addon = found_addon_to_manage(call)
    webhook = addon.webhooks.get(call.params["webhook"])
    if webhook is None:
        raise not_found("webhook")
    return addon, webhook


@routes.patch("/addons/{addon}/webhooks/{webhook}", WRITE)
def update_webhook(call: Call) -> Answer:
    (addon, webhook), change = _webhook_to_manage(call), call.body(WebhookChange)
    for name in ("include", "level", "url"):
        if (value := getattr(change, name)) is not UNSET:
            setattr(webhook, name, value)
    webhook.updated_at = call.world.touch()
    return record(webhook_json(addon, webhook))


@routes.delete("/addons/{addon}/webhooks/{webhook}", WRITE)
def delete_webhook(call: Call) -> Answer:
    addon, webhook = _webhook_to_manage(call)
    call.world.touch()
    del addon.webhooks[webhook.id]
    return record(webhook_json(addon, webhook))


@routes.get("/addons/{addon}/webhook-events", READ)
@routes.get("/addons/{addon}/webhook-deliveries", READ)
def list_nothing(call: Call) -> Answer:
    find_addon(call)
    return call.page(None, ("id",), list)


@routes.get("/addons/{addon}/webhook-events/{event}", READ)
@routes.get("/addons/{addon}/webhook-deliveries/{delivery}", READ)
def show_nothing(call: Call) -> Answer:
    find_addon(call)
    raise not_found("webhook_event" if "event" in call.params else "webhook_delivery")
