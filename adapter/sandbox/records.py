"""What a Heroku holds, as plain records. Times are Heroku's ISO strings; ids are UUID strings."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct, field

TeamType = Literal["team", "enterprise"]
Role = Literal["admin", "member", "viewer", "collaborator"]
"""A membership's role. `owner` is never stored: it is the pseudo-user of a team app or the owner of a personal one."""

APP_PERMISSIONS = ("view", "deploy", "operate", "manage")
SPACE_PERMISSIONS = ("create_apps",)
ENTERPRISE_PERMISSIONS = ("view", "create", "manage", "billing")
INVITE_ACCEPTANCE = "team-invite-acceptance"
ACCESS_CONTROLS = "org-access-controls"
TEAM_FEATURES = (INVITE_ACCEPTANCE, ACCESS_CONTROLS, "spaces", "dynosaurs")


def repeatable(seed: object) -> random.Random:
    """Chance that is the same every time for one seed."""
    return random.Random(str(seed))  # noqa: S311 (a made-up world, no secrets)


class Account(Struct, kw_only=True):
    id: str
    email: str
    name: str | None
    created_at: str
    updated_at: str
    verified: bool = True
    federated: bool = False
    two_factor: bool = False
    suspended: bool = False
    beta: bool = False
    allow_tracking: bool = True
    last_login: str | None = None
    features: set[str] = field(default_factory=set)
    preferences: dict[str, object] = field(default_factory=dict)
    invoice_address: dict[str, object] = field(default_factory=dict)


class Member(Struct, kw_only=True):
    """A row of a team's members. `id` is the membership's own id, not the account's."""

    id: str
    account_id: str
    role: Role | None
    created_at: str
    updated_at: str
    federated: bool = False


class Invitation(Struct, kw_only=True):
    id: str
    token: str
    email: str
    role: Role
    invited_by: str
    created_at: str
    updated_at: str


class IdentityProvider(Struct, kw_only=True):
    id: str
    name: str
    certificate: str
    entity_id: str
    sso_target_url: str
    slo_target_url: str
    created_at: str
    updated_at: str


class AllowedService(Struct, kw_only=True):
    """An add-on service that members of a team may install where the team controls add-ons."""

    id: str
    service: str
    added_by: str
    added_at: str


class Team(Struct, kw_only=True):
    """`permissions_endpoint` plays what is not established about `/teams/:t/permissions`: there, 404, or leaving out.

    `two_factor_shown` says whether its member list tells `two_factor_authentication`; None leaves it to the option.
    """

    id: str
    name: str
    type: TeamType
    created_at: str
    updated_at: str
    enterprise_id: str | None = None
    membership_limit: int | None = None
    features: set[str] = field(default_factory=set)
    permissions_endpoint: Literal["on", "missing", "partial"] = "on"
    two_factor_shown: bool | None = None
    addons_controls: bool | None = None
    is_default: bool = False
    members: dict[str, Member] = field(default_factory=dict)
    invitations: dict[str, Invitation] = field(default_factory=dict)
    identity_providers: dict[str, IdentityProvider] = field(default_factory=dict)
    allowed_services: dict[str, AllowedService] = field(default_factory=dict)
    apps: set[str] = field(default_factory=set)
    spaces: set[str] = field(default_factory=set)


class Grant(Struct, kw_only=True):
    """One person's explicit access to an app or a space. `permissions` is empty where access is all or nothing."""

    id: str
    account_id: str
    permissions: tuple[str, ...]
    created_at: str
    updated_at: str


class Fading(Struct, kw_only=True):
    """Access that is gone and still readable until `until` (epoch seconds)."""

    grant: Grant
    until: float


class Webhook(Struct, kw_only=True):
    id: str
    include: list[str]
    level: Literal["notify", "sync"]
    url: str
    created_at: str
    updated_at: str


class AddOn(Struct, kw_only=True):
    id: str
    name: str
    service: str
    plan: str
    created_at: str
    updated_at: str
    config_vars: tuple[str, ...] = ()
    state: Literal["provisioned", "deprovisioned"] = "provisioned"
    config: dict[str, str | None] = field(default_factory=dict)
    """What its provider set; null takes a config var away."""
    webhooks: dict[str, Webhook] = field(default_factory=dict)


class Attachment(Struct, kw_only=True):
    """An add-on of `owner_id`'s app, as the app that holds this record uses it."""

    id: str
    name: str
    addon_id: str
    owner_id: str
    namespace: str | None
    created_at: str
    updated_at: str


class App(Struct, kw_only=True):
    """Exactly one of `team_id` and `owner_id` is set: a team's app, or somebody's own."""

    id: str
    name: str
    team_id: str | None
    owner_id: str | None
    created_at: str
    updated_at: str
    space_id: str | None = None
    locked: bool = False
    maintenance: bool = False
    released_at: str | None = None
    grants: dict[str, Grant] = field(default_factory=dict)
    fading: dict[str, Fading] = field(default_factory=dict)
    addons: dict[str, AddOn] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    config_vars: dict[str, str] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)


class Ruleset(Struct, kw_only=True):
    """Who may come into a space: pairs of `allow` or `deny` and a CIDR block."""

    id: str
    rules: tuple[tuple[str, str], ...]
    created_by: str
    created_at: str


class Space(Struct, kw_only=True):
    id: str
    name: str
    team_id: str
    created_at: str
    updated_at: str
    shield: bool = False
    region: str = "virginia"
    access: dict[str, Grant] = field(default_factory=dict)
    rulesets: list[Ruleset] = field(default_factory=list)


class EnterpriseMember(Struct, kw_only=True):
    id: str
    account_id: str
    permissions: tuple[str, ...]
    federated: bool = False


class Enterprise(Struct, kw_only=True):
    id: str
    name: str
    created_at: str
    updated_at: str
    identity_provider: IdentityProvider | None = None
    members: dict[str, EnterpriseMember] = field(default_factory=dict)
    teams: set[str] = field(default_factory=set)


class Transfer(Struct, kw_only=True):
    id: str
    app_id: str
    owner_id: str
    recipient_id: str
    state: Literal["pending", "accepted", "declined"]
    created_at: str
    updated_at: str


class Key(Struct, kw_only=True):
    id: str
    account_id: str
    comment: str
    fingerprint: str
    public_key: str
    created_at: str
    updated_at: str


class Event(Struct, kw_only=True):
    """A line of an enterprise account's audit trail."""

    id: str
    enterprise_id: str
    created_at: str
    type: str
    action: str
    actor_id: str
    team_id: str | None = None
    app_id: str | None = None
    data: dict[str, object] = field(default_factory=dict)
