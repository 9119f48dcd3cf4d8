"""The add-ons of a world's apps and their attachments, which may be to other apps as well."""

from __future__ import annotations

from .catalog import default_plan, fixed_id
from .people import People
from .records import AddOn, App, Attachment


class Installed(People):
    """The part of the world that knows add-ons. An add-on belongs to one app and is attached to one or more."""

    def add_addon(self, app: App, service: str, plan: str | None = None, *, name: str | None = None) -> AddOn:
        """Install `service` (its first plan unless one is named, without the service's name) and attach it."""
        now, attached_as = self.touch(), free_attachment_name(app, service)
        addon = AddOn(
            id=self.new_id(),
            name=name or f"{service.removeprefix('heroku-')}-{app.name}-{len(app.addons) + 1}",
            service=service,
            plan=f"{service}:{plan or default_plan(service)}",
            created_at=now,
            updated_at=now,
            config_vars=(f"{attached_as}_URL",),
        )
        app.addons[addon.id] = addon
        self._attach(fixed_id(addon.id, "attachment"), app, addon, app, attached_as, None)
        return addon

    def attach(self, owner: App, addon: AddOn, app: App, name: str, namespace: str | None = None) -> Attachment:
        """Attach an add-on of `owner` to `app`, also under a name that the app has already: that one is replaced."""
        self.touch()
        for held in [one for one in app.attachments.values() if one.name == name]:
            del app.attachments[held.id]
        return self._attach(self.new_id(), owner, addon, app, name, namespace)

    def _attach(
        self, attachment_id: str, owner: App, addon: AddOn, app: App, name: str, namespace: str | None
    ) -> Attachment:
        now = self.now()
        attachment = Attachment(
            id=attachment_id,
            name=name,
            addon_id=addon.id,
            owner_id=owner.id,
            namespace=namespace,
            created_at=now,
            updated_at=now,
        )
        app.attachments[attachment.id] = attachment
        return attachment

    def detach(self, app: App, attachment: Attachment) -> None:
        self.touch()
        del app.attachments[attachment.id]

    def remove_addon(self, app: App, addon: AddOn) -> None:
        """Remove an add-on from its app, and from every app that it is attached to."""
        self.touch()
        del app.addons[addon.id]
        for other, attachment in self.attachments_of(addon):
            del other.attachments[attachment.id]

    def attachments_of(self, addon: AddOn) -> list[tuple[App, Attachment]]:
        """Where an add-on is attached: the apps with the attachments."""
        return [
            (app, attachment)
            for app in self.apps.values()
            for attachment in app.attachments.values()
            if attachment.addon_id == addon.id
        ]


def free_attachment_name(app: App, service: str) -> str:
    """`DATABASE` for the first database of an app, `DATABASE_2` for the next."""
    base = "DATABASE" if service == "heroku-postgresql" else service.removeprefix("heroku-").upper().replace("-", "_")
    taken = {attachment.name for attachment in app.attachments.values()}
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name
