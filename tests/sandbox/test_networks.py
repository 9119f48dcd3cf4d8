"""A private space's network and its transfer."""

from tests.sandbox import heroku_schema
from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, VERA

RULES = [{"action": "allow", "source": "192.0.2.0/24"}, {"action": "deny", "source": "198.51.100.7/32"}]


async def test_a_ruleset_becomes_the_current_one_and_the_one_before_stays_readable(asker: Asker) -> None:
    path = "/spaces/corp-space/inbound-ruleset"
    first = (await asker.get(path)).json()
    put = (await asker.ask("PUT", path, {"rules": RULES})).json()

    assert (await asker.get(path)).json() == put
    assert (put["rules"], put["created_by"]) == (RULES, ADA)
    assert (await asker.get(f"{path}s/{first['id']}")).json() == first
    assert {one["id"] for one in (await asker.get(f"{path}s")).json()} == {first["id"], put["id"]}


async def test_the_topology_shows_the_apps_of_the_space(asker: Asker) -> None:
    api = asker.world.app("corp-api")
    assert api

    assert [app["id"] for app in (await asker.get("/spaces/corp-space/topology")).json()["apps"]] == [api.id]


async def test_a_space_is_made_in_the_region_that_is_asked_for(asker: Asker) -> None:
    await asker.ask("POST", "/spaces", {"name": "far-space", "team": "corp-it", "region": "tokyo"})

    assert (await asker.get("/spaces/far-space")).json()["region"]["name"] == "tokyo"
    assert (await asker.get("/spaces/far-space/peering-info")).json()["aws_region"] == "ap-northeast-1"


@heroku_schema.needed
async def test_an_empty_space_goes_to_another_team_with_those_who_are_in_it(asker: Asker) -> None:
    await asker.ask("POST", "/spaces", {"name": "empty-space", "team": "corp-it"})
    await asker.ask("POST", "/enterprise-accounts/corp/teams", {"name": "corp-hr"})
    await asker.ask("PUT", "/teams/corp-hr/members", {"email": VERA, "role": "member"})
    for person in (BOB, VERA):
        await asker.ask("PATCH", f"/spaces/empty-space/members/{person}", {"permissions": [{"name": "create_apps"}]})
    moved = await asker.ask("POST", "/spaces/empty-space/transfer", {"new_owner": "corp-hr"})
    members = (await asker.get("/spaces/empty-space/members")).json()
    (link,) = heroku_schema.links_of("POST", "/spaces/{space}/transfer")

    assert (moved.status_code, moved.json()["team"]["name"]) == (200, "corp-hr")
    assert heroku_schema.faults(link, moved.json()) == []
    assert [space["name"] for space in (await asker.get("/teams/corp-hr/spaces")).json()] == ["empty-space"]
    assert [member["user"]["email"] for member in members] == [VERA]


async def test_a_space_with_apps_or_for_a_plain_team_is_not_transferred(asker: Asker) -> None:
    await asker.ask("POST", "/enterprise-accounts/corp/teams", {"name": "corp-hr"})
    answers = [
        await asker.ask("POST", "/spaces/corp-space/transfer", {"new_owner": owner}, who=who)
        for owner, who in (("corp-hr", ADA), ("acme", ADA), ("nope", ADA), ("corp-hr", BOB))
    ]

    assert [answer.status_code for answer in answers] == [422, 403, 404, 403]
    assert (await asker.get("/spaces/corp-space")).json()["team"]["name"] == "corp-it"
