"""Teams: the list, one, making, changing and deleting them; features, preferences, identity providers, permissions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from .access import GLOBAL, READ
from .answers import Answer, invalid, not_found, plain_list, record
from .calls import Call
from .collaborators import entitled_in_app
from .records import TEAM_FEATURES, App, Enterprise, IdentityProvider, Space, Team
from .routes import Routes
from .world import World

routes = Routes()

FEATURES_ABOUT = {
    "team-invite-acceptance": "People accept an invitation before they join the team",
    "org-access-controls": "Permissions are set for each app and person",
    "spaces": "Private Spaces",
    "dynosaurs": "Larger dynos",
}


def team_json(world: World, team: Team, role: str | None) -> dict[str, Any]:
    enterprise = world.enterprises.get(team.enterprise_id or "")
    provider = next(iter(team.identity_providers.values()), None)
    return {
        "id": team.id,
        "created_at": team.created_at,
        "credit_card_collections": team.type == "team",
        "default": team.is_default,
        "enterprise_account": {"id": enterprise.id, "name": enterprise.name} if enterprise else None,
        "identity_provider": provider and provider_reference(provider, team),
        "membership_limit": team.membership_limit,
        "name": team.name,
        "provisioned_licenses": team.type == "enterprise",
        "role": role,
        "type": team.type,
        "updated_at": team.updated_at,
    }


def provider_reference(provider: IdentityProvider, place: Team | Enterprise) -> dict[str, Any]:
    return {"id": provider.id, "name": provider.name, "owner": provider_owner(place)}


def provider_owner(place: Team | Enterprise) -> dict[str, str]:
    kind = "team" if isinstance(place, Team) else "enterprise-account"
    return {"id": place.id, "name": place.name, "type": kind}


def shown_role(call: Call, team: Team) -> str | None:
    """The caller's role as `GET /teams` tells it: `viewer` is not among the roles of that schema."""
    role = call.role_in(team)
    return "member" if role == "viewer" else role


class NewTeam(Struct):
    name: str


class TeamChange(Struct):
    name: str | UnsetType = UNSET
    default: bool | UnsetType = UNSET


@routes.get("/teams", READ)
def list_teams(call: Call) -> Answer:
    def rows() -> Iterator[dict[str, Any]]:
        for team in call.world.teams_of(call.account):
            yield team_json(call.world, team, shown_role(call, team))

    return call.page("/teams", ("name", "id", "updated_at"), rows)


@routes.post("/teams", GLOBAL)
def create_team(call: Call) -> Answer:
    name = free_name(call, call.body(NewTeam).name)
    team = call.world.add_team(name, "team", admins=[call.account], features={"team-invite-acceptance"})
    return record(team_json(call.world, team, "admin"), 201)


def free_name(call: Call, name: str) -> str:
    if not name.strip():
        raise invalid("Name can't be blank")
    if call.world.name_taken("team", name):
        raise invalid("Name is already taken")
    return name


@routes.get("/teams/{team}", READ)
def show_team(call: Call) -> Answer:
    team = call.team()
    return record(team_json(call.world, team, shown_role(call, team)))


@routes.patch("/teams/{team}", GLOBAL)
def update_team(call: Call) -> Answer:
    team, change = call.team_as_admin(), call.body(TeamChange)
    if change.name is not UNSET and change.name != team.name:
        call.world.rename("team", team, free_name(call, change.name))
    if change.default is not UNSET:
        team.is_default, team.updated_at = change.default, call.world.touch()
    return record(team_json(call.world, team, shown_role(call, team)))


@routes.delete("/teams/{team}", GLOBAL)
def delete_team(call: Call) -> Answer:
    team = call.team_as_admin()
    if team.apps or team.spaces:
        raise invalid("A team that still has apps or spaces can't be deleted")
    shown = team_json(call.world, team, shown_role(call, team))
    call.world.remove_team(team)
    return record(shown)


@routes.get("/teams/{team}/delinquency", READ)
def show_delinquency(call: Call) -> Answer:
    call.team()
    return record({"scheduled_suspension_time": None, "scheduled_deletion_time": None})


# -- features and preferences --------------------------------------------------------------------------------------


def feature_json(team: Team, name: str) -> dict[str, Any]:
    return {
        "created_at": team.created_at,
        "description": FEATURES_ABOUT[name],
        "doc_url": f"https://devcenter.heroku.com/articles/{name}",
        "enabled": name in team.features,
        "id": _feature_id(team, name),
        "name": name,
        "state": "general",
        "updated_at": team.updated_at,
        "display_name": name.replace("-", " ").capitalize(),
        "feedback_email": "feedback@example.com",
    }


def _feature_id(team: Team, name: str) -> str:
    """The same every time, and another for each team and feature."""
    return f"{team.id[:-2]}f{TEAM_FEATURES.index(name)}"


@routes.get("/teams/{team}/features", READ)
def list_features(call: Call) -> Answer:
    team = call.team()
    names = sorted(TEAM_FEATURES)
    return call.page(f"features {team.id}", ("name", "id"), lambda: [feature_json(team, name) for name in names])


@routes.get("/teams/{team}/features/{feature}", READ)
def show_feature(call: Call) -> Answer:
    team, wanted = call.team(), call.params["feature"]
    for name in TEAM_FEATURES:
        if wanted in (name, _feature_id(team, name)):
            return record(feature_json(team, name))
    raise not_found("feature")


class PreferencesChange(Struct, rename={"addons_controls": "addons-controls"}):
    addons_controls: bool | UnsetType | None = UNSET


def preferences_json(team: Team) -> dict[str, Any]:
    return {"default-permission": None, "addons-controls": team.addons_controls}


@routes.get("/teams/{team}/preferences", READ)
def show_preferences(call: Call) -> Answer:
    return record(preferences_json(call.team_as_member()))


@routes.patch("/teams/{team}/preferences", GLOBAL)
def update_preferences(call: Call) -> Answer:
    team, change = call.team_as_admin(), call.body(PreferencesChange)
    if change.addons_controls is not UNSET:
        team.addons_controls, team.updated_at = change.addons_controls, call.world.touch()
    return record(preferences_json(team))


# -- identity providers --------------------------------------------------------------------------------------------


class NewIdentityProvider(Struct):
    certificate: str
    entity_id: str
    sso_target_url: str
    slo_target_url: str = ""


class IdentityProviderChange(Struct, omit_defaults=True):
    certificate: str | UnsetType = UNSET
    entity_id: str | UnsetType = UNSET
    sso_target_url: str | UnsetType = UNSET
    slo_target_url: str | UnsetType = UNSET


def identity_provider_json(provider: IdentityProvider, team: Team) -> dict[str, Any]:
    return {
        "certificate": provider.certificate,
        "created_at": provider.created_at,
        "entity_id": provider.entity_id,
        "id": provider.id,
        "slo_target_url": provider.slo_target_url,
        "sso_target_url": provider.sso_target_url,
        "organization": {"name": team.name},
        "updated_at": provider.updated_at,
        "owner": provider_owner(team),
    }


@routes.get("/teams/{team}/identity-providers", GLOBAL)
def list_identity_providers(call: Call) -> Answer:
    team = call.team_as_member()
    return call.page(
        f"identity-providers {team.id}",
        ("id",),
        lambda: [identity_provider_json(provider, team) for provider in team.identity_providers.values()],
    )


@routes.post("/teams/{team}/identity-providers", GLOBAL)
def create_identity_provider(call: Call) -> Answer:
    team, new = call.team_as_admin(), call.body(NewIdentityProvider)
    if team.identity_providers:
        raise invalid("The team already has an identity provider")
    urls = {name: getattr(new, name) for name in ("certificate", "entity_id", "sso_target_url", "slo_target_url")}
    return record(identity_provider_json(call.world.add_identity_provider(team, **urls), team), 201)


def _identity_provider(call: Call, team: Team) -> IdentityProvider:
    provider = team.identity_providers.get(call.params["provider"])
    if provider is None:
        raise not_found("identity_provider")
    return provider


@routes.patch("/teams/{team}/identity-providers/{provider}", GLOBAL)
def update_identity_provider(call: Call) -> Answer:
    team = call.team_as_admin()
    provider, change = _identity_provider(call, team), call.body(IdentityProviderChange)
    for name in ("certificate", "entity_id", "sso_target_url", "slo_target_url"):
        if (value := getattr(change, name)) is not UNSET:
            setattr(provider, name, value)
    provider.updated_at = call.world.touch()
    return record(identity_provider_json(provider, team))


@routes.delete("/teams/{team}/identity-providers/{provider}", GLOBAL)
def delete_identity_provider(call: Call) -> Answer:
    team = call.team_as_admin()
    provider = _identity_provider(call, team)
    call.world.touch()
    del team.identity_providers[provider.id]
    return record(identity_provider_json(provider, team))


# -- permissions ---------------------------------------------------------------------------------------------------


@routes.get("/teams/permissions", READ)
def list_app_permissions(_call: Call) -> Answer:
    return plain_list(
        [{"name": name, "description": f"Can {name} the app"} for name in ("view", "deploy", "operate", "manage")]
    )


@routes.get("/teams/{team}/permissions", GLOBAL)
def list_permissions(call: Call) -> Answer:
    """Every app and space of the team with its people. `partial` plays an answer that leaves somebody out."""
    team = call.team_as_admin()
    if "missing" in (team.permissions_endpoint, call.options.permissions_endpoint):
        raise not_found("team")
    fading = any(call.world.apps[app_id].fading for app_id in team.apps)
    key = None if fading else f"permissions {team.id}"
    return call.page(key, ("id", "name"), lambda: _permission_entities(call, team))


def _permission_entities(call: Call, team: Team) -> Iterator[dict[str, Any]]:
    skip = 1 if team.permissions_endpoint == "partial" else 0
    for app_id in team.apps:
        app = call.world.apps[app_id]
        users = [
            (call.world.accounts[account_id], permissions) for account_id, permissions in entitled_in_app(call, app)
        ]
        yield _entity(team, "app", app, users[skip:])
    for space_id in team.spaces:
        space = call.world.spaces[space_id]
        users = [(call.world.accounts[grant.account_id], grant.permissions) for grant in space.access.values()]
        yield _entity(team, "space", space, users)


def _entity(team: Team, kind: str, place: App | Space, users: list[Any]) -> dict[str, Any]:
    return {
        "id": place.id,
        "name": place.name,
        "team_id": team.id,
        "type": kind,
        "users": [
            {"id": account.id, "email": account.email, "permissions": list(permissions)}
            for account, permissions in users
        ],
    }
