"""Attachments: an add-on of one app as another app, or its own, uses it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from .access import READ, WRITE
from .addons import find_addon
from .answers import Answer, forbidden, invalid, not_found, record
from .apps import visible_apps
from .calls import Call
from .installed import free_attachment_name
from .records import App, Attachment
from .routes import Routes
from .shapes import app_reference, one_of

routes = Routes()

ATTACHMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


class NewAttachment(Struct):
    addon: str
    app: str
    name: str | None = None
    namespace: str | None = None
    confirm: str | None = None


class AttachmentQuery(Struct):
    addon_attachment: str
    app: str | None = None
    addon_service: str | None = None


def attachment_json(call: Call, app: App, attachment: Attachment) -> dict[str, Any]:
    owner = call.world.apps[attachment.owner_id]
    addon = owner.addons[attachment.addon_id]
    return {
        "addon": {"id": addon.id, "name": addon.name, "app": app_reference(owner)},
        "app": app_reference(app),
        "created_at": attachment.created_at,
        "id": attachment.id,
        "name": attachment.name,
        "namespace": attachment.namespace,
        "updated_at": attachment.updated_at,
        "web_url": None,
        "log_input_url": None,
    }


def _rows(call: Call, apps: Iterable[App]) -> list[dict[str, Any]]:
    return [attachment_json(call, app, one) for app in apps for one in app.attachments.values()]


@routes.get("/addon-attachments", READ)
def list_attachments(call: Call) -> Answer:
    return call.page("/addon-attachments", ("name", "id"), lambda: _rows(call, visible_apps(call)))


@routes.get("/apps/{app}/addon-attachments", READ)
def list_app_attachments(call: Call) -> Answer:
    app = call.app()
    return call.page(f"app-attachments {app.id}", ("name", "id"), lambda: _rows(call, [app]))


@routes.get("/addons/{addon}/addon-attachments", READ)
def list_addon_attachments(call: Call) -> Answer:
    _, addon = find_addon(call)

    def rows() -> list[dict[str, Any]]:
        return [attachment_json(call, app, one) for app, one in call.world.attachments_of(addon) if call.sees(app)]

    return call.page(f"addon-attachments {addon.id}", ("name", "id"), rows)


@routes.get("/addon-attachments/{attachment}", READ)
def show_attachment(call: Call) -> Answer:
    return one_of(_rows(call, visible_apps(call)), call.params["attachment"], ("id", "name"), "resource")


@routes.get("/apps/{app}/addon-attachments/{attachment}", READ)
def show_app_attachment(call: Call) -> Answer:
    return one_of(_rows(call, [call.app()]), call.params["attachment"], ("id", "name"), "resource")


@routes.post("/actions/addon-attachments/resolve", READ)
def resolve_attachments(call: Call) -> Answer:
    """All attachments that the caller sees under an id or name, of one app or service where that is named."""
    query, world = call.body(AttachmentQuery), call.world
    found = [
        attachment_json(call, app, one)
        for app in visible_apps(call)
        for one in app.attachments.values()
        if query.addon_attachment in (one.id, one.name) and query.app in (None, app.id, app.name)
        if query.addon_service in (None, world.apps[one.owner_id].addons[one.addon_id].service)
    ]
    if not found:
        raise not_found("resource")
    return call.page(None, ("id",), lambda: found)


@routes.post("/addon-attachments", WRITE)
def create_attachment(call: Call) -> Answer:
    """Attach to an app that the caller manages; a name in use is replaced only when `confirm` names the app."""
    new = call.body(NewAttachment)
    call.params |= {"addon": new.addon, "app": new.app}
    (owner, addon), app = find_addon(call), call.app_to_manage()
    if owner.team_id != app.team_id or owner.owner_id != app.owner_id:
        raise forbidden("An add-on can be attached to apps of the same owner only.")
    name = free_attachment_name(app, addon.service) if new.name is None else new.name
    if not ATTACHMENT_NAME.fullmatch(name):
        raise invalid("Name is invalid")
    if new.confirm != app.name and any(held.name == name for held in app.attachments.values()):
        raise invalid("Name is already in use on this app; confirm the app to replace its attachment")
    attachment = call.world.attach(owner, addon, app, name, new.namespace)
    return record(attachment_json(call, app, attachment), 201)


@routes.delete("/addon-attachments/{attachment}", WRITE)
def delete_attachment(call: Call) -> Answer:
    """By id only. An add-on keeps its last attachment as long as it lives."""
    for app in visible_apps(call):
        if attachment := app.attachments.get(call.params["attachment"]):
            call.params["app"] = app.id
            return _detach(call, call.app_to_manage(), attachment)
    raise not_found("resource")


def _detach(call: Call, app: App, attachment: Attachment) -> Answer:
    shown = attachment_json(call, app, attachment)
    addon = call.world.apps[attachment.owner_id].addons[attachment.addon_id]
    if len(call.world.attachments_of(addon)) == 1:
        raise invalid("The last attachment of an add-on can't be removed; remove the add-on")
    call.world.detach(app, attachment)
    return record(shown)
