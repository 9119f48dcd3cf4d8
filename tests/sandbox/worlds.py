"""A small world with one of everything, made by hand, and people to ask with."""

from adapter.sandbox import World
from adapter.sandbox.people import EPOCH
from adapter.sandbox.records import ACCESS_CONTROLS, INVITE_ACCEPTANCE, AllowedService, Webhook

ADA = "ada@example.com"
BOB = "bob@example.com"
CARL = "carl@example.com"
VERA = "vera@example.com"
MALLORY = "mallory@example.com"
GUEST = "guest@example.com"
STRANGER = "stranger@example.org"


def small_world() -> World:
    """Ada administers `acme` (invitations), `corp-it` (enterprise, access controls) and `plain` (neither).

    Bob is a plain member of acme and corp-it, Vera a viewer of corp-it, Carl collaborates on apps only, Mallory has
    nothing to do with any of it, Guest has an account and is invited to acme, and a stranger is invited without one.
    """
    world = World(seed=7)
    ada = world.add_account(ADA, "Ada Lovelace", two_factor=True)
    for email, name in ((BOB, None), (CARL, "Carl"), (VERA, "Vera"), (MALLORY, "Mallory"), (GUEST, "Guest")):
        world.add_account(email, name)
    _acme(world)
    _corp(world)
    world.add_app("plain-app", team=world.add_team("plain", admins=[ada]))
    mine = world.add_app("mine", owner=ada)
    world.grant(mine, CARL)
    world.add_app("bobs", owner=BOB)
    world.add_key(ada)
    return world


def _acme(world: World) -> None:
    team = world.add_team("acme", admins=[ADA], features={INVITE_ACCEPTANCE}, membership_limit=25)
    world.add_member(team, BOB)
    world.invite(team, GUEST, "member", by=ADA)
    world.invite(team, STRANGER, "admin", by=ADA)
    web = world.add_app("acme-web", team=team)
    web.config_vars["SECRET"] = "sandbox-only"
    world.grant(web, CARL)
    database = world.add_addon(web, "heroku-postgresql")
    webhook = Webhook(
        id=world.new_id(),
        include=["api:addon"],
        level="notify",
        url="https://example.com/hook",
        created_at=EPOCH,
        updated_at=EPOCH,
    )
    database.webhooks[webhook.id] = webhook
    world.attach(web, database, world.add_app("acme-locked", team=team, locked=True), "SHARED")
    allowed = AllowedService(id=world.new_id(), service="heroku-redis", added_by=world.owner.id, added_at=EPOCH)
    team.allowed_services[allowed.id] = allowed


def _corp(world: World) -> None:
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, ADA, "view", "create", "manage", "billing")
    world.add_enterprise_member(corp, BOB, "view")
    world.add_identity_provider(corp)
    team = world.add_team("corp-it", "enterprise", admins=[ADA], features={ACCESS_CONTROLS}, enterprise=corp)
    world.add_identity_provider(team)
    world.add_member(team, BOB)
    world.add_member(team, VERA, "viewer", federated=True)
    space = world.add_space("corp-space", team)
    world.allow_in_space(space, BOB, "create_apps")
    api = world.add_app("corp-api", team=team, space=space)
    world.grant(api, CARL, "view", "deploy")
    world.grant(api, BOB, "view")
