"""Teams, apps, spaces and enterprise accounts: who sees them, and how they begin, change and end."""

import pytest

from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, CARL, MALLORY, VERA

TEAMS = {
    ADA: {"acme": "admin", "corp-it": "admin", "plain": "admin"},
    BOB: {"acme": "member", "corp-it": "member"},
    CARL: {"acme": "collaborator", "corp-it": "collaborator"},
    VERA: {"corp-it": "member"},
    MALLORY: {},
}


@pytest.mark.parametrize("who", TEAMS)
async def test_teams_are_the_callers_own(asker: Asker, who: str) -> None:
    assert {team["name"]: team["role"] for team in (await asker.get("/teams", who=who)).json()} == TEAMS[who]


@pytest.mark.parametrize(("hidden", "error"), [(404, "not_found"), (403, "forbidden")])
async def test_how_a_stranger_is_refused_is_an_option(asker: Asker, hidden: int, error: str) -> None:
    asker.sandbox.change_options({"hidden_status": hidden})
    response = await asker.get("/teams/acme", who=MALLORY)

    assert (response.status_code, response.json()["id"]) == (hidden, error)


async def test_a_team_is_found_by_id_or_name_and_the_id_wins(asker: Asker) -> None:
    acme, plain = asker.world.team("acme"), asker.world.team("plain")
    assert acme
    assert plain
    asker.world.rename("team", plain, acme.id)

    assert (await asker.get(f"/teams/{acme.id}")).json()["name"] == "acme"
    assert (await asker.get(f"/teams/{plain.id}")).json()["name"] == acme.id


async def test_an_empty_team_can_be_deleted(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/plain-app")
    deleted = await asker.ask("DELETE", "/teams/plain")

    assert (deleted.status_code, deleted.json()["name"]) == (200, "plain")
    assert (await asker.get("/teams/plain")).status_code == 404


async def test_a_team_of_ones_own_takes_invitations(asker: Asker) -> None:
    made = (await asker.ask("POST", "/teams", {"name": "fresh"}, who=MALLORY)).json()
    feature = await asker.get("/teams/fresh/features/team-invite-acceptance", who=MALLORY)

    assert (made["type"], made["role"], feature.json()["enabled"]) == ("team", "admin", True)


async def test_a_team_made_in_an_enterprise_account_belongs_to_it(asker: Asker) -> None:
    made = (await asker.ask("POST", "/enterprise-accounts/corp/teams", {"name": "corp-new"})).json()
    listed = [team["name"] for team in (await asker.get("/enterprise-accounts/corp/teams")).json()]

    assert (made["type"], made["enterprise_account"]["name"]) == ("enterprise", "corp")
    assert listed == ["corp-it", "corp-new"]


async def test_who_manages_an_enterprise_account_reaches_its_teams_without_being_in_them(asker: Asker) -> None:
    await asker.ask("POST", "/enterprise-accounts/corp/members", {"user": MALLORY, "permissions": ["manage"]})
    members = await asker.get("/teams/corp-it/members", who=MALLORY)

    assert members.status_code == 200
    assert (await asker.get("/teams", who=MALLORY)).json() == []


async def test_the_permissions_on_an_enterprise_account_are_the_callers(asker: Asker) -> None:
    by_ada = (await asker.get("/enterprise-accounts/corp")).json()
    by_bob = (await asker.get("/enterprise-accounts/corp", who=BOB)).json()

    assert (by_ada["permissions"], by_bob["permissions"]) == (["view", "create", "manage", "billing"], ["view"])


async def test_the_audit_trail_is_that_of_a_day_and_holds_what_was_done(asker: Asker) -> None:
    await asker.ask("DELETE", f"/teams/corp-it/members/{BOB}")
    path = "/enterprise-accounts/corp/events"
    today = (await asker.get(path + "?type=team-member&action=destroy")).json()
    past = (await asker.get(path + "?day=2025-03-01")).json()
    again = (await asker.get(path + "?day=2025-03-01&order=desc")).json()

    assert [(event["actor"]["email"], event["data"]["email"]) for event in today] == [(ADA, BOB)]
    assert {event["created_at"][:10] for event in past} <= {"2025-03-01"}
    assert again == past[::-1]
    assert (await asker.get(path + f"?type=team-member&actor={BOB}")).json() == []
    assert (await asker.get(path + "?day=2019-01-01")).json() == []


async def test_an_empty_list_of_permissions_takes_somebody_out_of_a_space(asker: Asker) -> None:
    path = f"/spaces/corp-space/members/{BOB}"
    changed = await asker.ask("PATCH", path, {"permissions": []})

    assert (changed.status_code, changed.json()["permissions"]) == (200, [])
    assert (await asker.get(path)).status_code == 404


async def test_an_empty_space_can_be_deleted(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/corp-api")
    deleted = await asker.ask("DELETE", "/spaces/corp-space")

    assert (deleted.status_code, deleted.json()["state"]) == (200, "deleting")
    assert (await asker.get("/spaces")).json() == []


async def test_spaces_are_shown_to_the_members_of_their_team(asker: Asker) -> None:
    seen = {who: len((await asker.get("/spaces", who=who)).json()) for who in (ADA, VERA, CARL, MALLORY)}

    assert seen == {ADA: 1, VERA: 1, CARL: 0, MALLORY: 0}


async def test_a_domain_of_an_app_is_found_by_its_hostname(asker: Asker) -> None:
    listed = (await asker.get("/apps/mine/domains")).json()

    assert (await asker.get(f"/apps/mine/domains/{listed[0]['hostname']}")).json() == listed[0]


async def test_a_transfer_is_accepted_by_its_recipient_only(asker: Asker) -> None:
    made = (await asker.ask("POST", "/account/app-transfers", {"app": "mine", "recipient": BOB})).json()
    path = f"/account/app-transfers/{made['id']}"
    by_owner = await asker.ask("PATCH", path, {"state": "accepted"})
    by_stranger = await asker.get(path, who=MALLORY)
    accepted = await asker.ask("PATCH", path, {"state": "accepted"}, who=BOB)

    assert (by_owner.status_code, by_stranger.status_code, accepted.json()["state"]) == (403, 404, "accepted")
    assert (await asker.get("/apps/mine", who=BOB)).json()["owner"]["email"] == BOB
    assert (await asker.get("/apps/mine")).status_code == 404


async def test_a_transfer_can_be_withdrawn_once(asker: Asker) -> None:
    await asker.ask("POST", "/account/app-transfers", {"app": "mine", "recipient": BOB})
    path = "/account/app-transfers/mine"
    shown = await asker.get(path)
    deleted = [(await asker.ask("DELETE", path)).status_code for _ in range(2)]

    assert (shown.json()["recipient"]["email"], deleted) == (BOB, [200, 404])


async def test_config_vars_are_set_and_removed(asker: Asker) -> None:
    await asker.ask("PATCH", "/apps/acme-web/config-vars", {"SECRET": None, "NEW": "sandbox-only"})

    assert (await asker.get("/apps/acme-web/config-vars")).json() == {"NEW": "sandbox-only"}


async def test_a_name_that_is_free_again_can_be_taken(asker: Asker) -> None:
    await asker.ask("PATCH", "/apps/mine", {"name": "renamed"})

    assert (await asker.get("/apps/mine")).status_code == 404
    assert (await asker.ask("POST", "/apps", {"name": "mine"})).status_code == 201


async def test_a_written_record_is_read_at_once(asker: Asker) -> None:
    before = (await asker.get("/account")).json()
    await asker.ask("PATCH", "/account", {"name": "Augusta"})
    after = (await asker.get("/account")).json()

    assert (before["name"], after["name"]) == ("Ada Lovelace", "Augusta")
    assert after["updated_at"] > before["updated_at"]
