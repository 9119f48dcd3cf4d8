"""A world with a place of each kind, and what people hold in it, in the words of holdings."""

from collections.abc import Callable
from typing import Any

from adapter.sandbox import Options, RunningSandbox, World

ADA = "ada@example.com"
BOB = "bob@example.com"
OWNER = "owner@example.com"
AT_ONCE = Options(consistency_s=0)


def world() -> World:
    """Ada has an account and nothing else; Bob is in all of it; the owner runs it, with Rita as the other admin."""
    made = World()
    owner = made.add_account(OWNER, "Olga Owner")
    made.add_account(ADA, "Ada Lovelace")
    bob, rita = made.add_account(BOB, "Bob"), made.add_account("rita@example.com", "Rita")
    corp = made.add_enterprise("corp")
    made.add_enterprise_member(corp, owner, "view", "create", "manage")
    made.add_enterprise_member(corp, rita, "manage")
    made.add_enterprise_member(corp, bob, "view", "billing")
    inviting = made.add_team("inviting", admins=[owner, rita], features={"team-invite-acceptance"})
    plain = made.add_team("plain", admins=[owner, rita])
    big = made.add_team(
        "big", kind="enterprise", admins=[owner, rita], features={"org-access-controls"}, enterprise=corp
    )
    space = made.add_space("space-1", big)
    web, shop = made.add_app("web", team=big), made.add_app("shop", team=plain)
    mine = made.add_app("mine", owner=owner)
    for team in (inviting, plain, big):
        made.add_member(team, bob, "member")
    made.allow_in_space(space, bob, "create_apps")
    made.grant(web, bob, "view", "deploy")
    made.grant(shop, bob)
    made.grant(mine, bob)
    return made


def sandbox(make: Callable[[], World] = world, options: Options = AT_ONCE) -> RunningSandbox:
    return RunningSandbox(make, options=options)


def held(heroku: RunningSandbox, email: str) -> dict[str, set[str]]:
    """What the world itself says that somebody has: place name -> roles; an invitation's role ends in `?`."""
    truth = heroku.truth()
    ids = {account["id"] for account in truth["accounts"] if account["email"].lower() == email.lower()}
    names = {each["id"]: each["name"] for table in PLACES for each in truth[table]}
    found: dict[str, set[str]] = {}
    for table, place, roles in HELD:
        for row in truth[table]:
            if row["account_id"] in ids:
                found.setdefault(names[row[place]], set()).update(roles(row))
    for row in truth["invitations"]:
        if row["email"].lower() == email.lower():
            found.setdefault(names[row["team_id"]], set()).add(f"{row['role']}?")
    for app in truth["apps"]:
        if app["owner_id"] in ids and not app["team_id"]:
            found.setdefault(app["name"], set()).add("owner")
    return found


PLACES = ("teams", "apps", "spaces", "enterprise_accounts")
HELD: tuple[tuple[str, str, Callable[[dict[str, Any]], list[str]]], ...] = (
    ("memberships", "team_id", lambda row: [row["role"]]),
    ("collaborations", "app_id", lambda row: row["permissions"] or ["collaborator"]),
    ("space_access", "space_id", lambda row: row["permissions"]),
    ("enterprise_members", "enterprise_account_id", lambda row: row["permissions"]),
)
