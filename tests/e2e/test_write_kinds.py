"""Every write of the contract in every kind of place, and its refusals, on real sockets, held against the world."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.e2e.writing import OWNER, Door, every_kind, new_database, opened


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Shared: each test has people of its own."""
    directory = tmp_path_factory.mktemp("adapter")
    with opened(every_kind, directory, new_database(request, directory)) as made:
        made.allow_admins()
        yield made


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of place: by which word callers name it, one role in it and, where there is one, another.

    `shown` is how the world shows the first role, where that is not its name.
    """

    place: str
    word: str
    role: str
    other: str | None = None
    pending: bool = False
    first: str | None = None
    """The place that one has to be in before."""

    @property
    def name(self) -> str:
        return self.role.partition(":")[0]

    def shown(self, *roles: str | None) -> set[str]:
        return {role.partition(":")[2] + ("?" if self.pending else "") for role in roles if role}


MINE = Kind(place="mine", word="workspace", role="app:collaborator")
KINDS = (
    Kind(place="inviting", word="group", role="team:member", other="team:admin", pending=True),
    Kind(place="plain", word="group", role="team:member", other="team:admin"),
    Kind(place="bare", word="group", role="team:viewer", other="team:member"),
    Kind(place="big", word="group", role="team:admin", other="team:viewer"),
    Kind(place="big-app", word="workspace", role="app:view", other="app:deploy"),
    Kind(place="bare-app", word="workspace", role="app:collaborator"),
    Kind(place="plain-app", word="workspace", role="app:collaborator"),
    MINE,
    Kind(place="vault", word="workspace", role="space:create_apps", first="big"),
    Kind(place="corp", word="organization", role="enterprise:view", other="enterprise:create"),
)
kinds = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.place) for kind in KINDS])
TEAMS = [kind for kind in KINDS if kind.word == "group"]


def prepared(door: Door, kind: Kind) -> tuple[Any, dict[str, set[str]]]:
    """Somebody, and what they have that is not asked about."""
    who = door.somebody()
    if kind.first is not None:
        door.world.add_member(door.place(kind.first), who, "member")
    return who, door.held(who.email)


@kinds
def test_one_grant_is_given_exchanged_and_taken(door: Door, kind: Kind) -> None:
    who, before = prepared(door, kind)
    place = door.place(kind.place)
    body = {"email": who.email, "role_id": kind.role, f"{kind.word}_id": place.id}

    given = door.done("POST", "/role_assignments", body)
    assert door.held(who.email) == {**before, kind.place: kind.shown(kind.role)}
    assert given["id"].startswith(f"{kind.name}:{place.id}:")
    assert given["id"].endswith(kind.role.partition(":")[2])
    assert door.write("GET", f"/role_assignments/{given['id']}").status_code == 200

    held = given
    if kind.other is not None:
        held = door.done("PATCH", f"/role_assignments/{given['id']}", {"role_id": kind.other})
        assert door.held(who.email) == {**before, kind.place: kind.shown(kind.other)}
        assert door.write("GET", f"/role_assignments/{given['id']}").status_code == 404

    for _ in range(2):
        assert door.done("DELETE", f"/role_assignments/{held['id']}") == {"id": held["id"]}
        assert door.held(who.email) == before
    assert door.write("GET", f"/role_assignments/{held['id']}").status_code == 404


@kinds
def test_somebody_is_added_changed_and_taken_out_of_one_place(door: Door, kind: Kind) -> None:
    who, before = prepared(door, kind)
    elsewhere = MINE if kind is not MINE else KINDS[0]
    before[elsewhere.place] = elsewhere.shown(elsewhere.role)
    named = {"id": kind.role, kind.word: {"id": door.place(kind.place).id}}
    also = {"id": elsewhere.role, elsewhere.word: {"id": door.place(elsewhere.place).id}}

    user = door.done("POST", "/users", {"emails": [{"email": who.email}], "roles": [named, also]})
    assert door.held(who.email) == {**before, kind.place: kind.shown(kind.role)}
    assert {kind.role, elsewhere.role} <= {role["id"] for role in user["roles"]}

    if kind.other is not None:
        user = door.done("PATCH", f"/users/{user['id']}", {"roles": [{**named, "id": kind.other}]})
        assert door.held(who.email) == {**before, kind.place: kind.shown(kind.other)}
        assert kind.other in {role["id"] for role in user["roles"]}

    scope = {f"{kind.word}_id": door.place(kind.place).id}
    for _ in range(2):
        assert door.done("DELETE", f"/users/{user['id']}", params=scope) == {"id": user["id"]}
        assert door.held(who.email) == before


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.place) for kind in TEAMS])
def test_a_team_takes_somebody_in_and_lets_them_go(door: Door, kind: Kind) -> None:
    who = door.somebody()
    member = {"group_id": door.place(kind.place).id, "email": who.email}

    door.done("POST", "/groups/add-user", member)
    assert door.held(who.email) == {kind.place: kind.shown("team:member")}
    door.done("POST", "/groups/add-user", {**member, "role_id": "team:admin"})
    assert door.held(who.email) == {kind.place: kind.shown("team:admin")}
    door.done("POST", "/groups/add-user", member)
    assert door.held(who.email) == {kind.place: kind.shown("team:admin")}, "nobody is demoted by being added"

    for _ in range(2):
        door.done("POST", "/groups/remove-user", member)
        assert door.held(who.email) == {}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.place) for kind in TEAMS])
def test_what_somebody_without_an_account_gets_is_an_invitation_or_an_account(door: Door, kind: Kind) -> None:
    email = f"new-in-{kind.place}@example.com"

    user = door.done("POST", "/users", {"email": email, "groups": [door.place(kind.place).id]})

    assert door.held(email) == {kind.place: kind.shown("team:member")}
    assert (user["status"] == "invited") is kind.pending
    assert door.done("DELETE", f"/users/{user['id']}") == {"id": user["id"]}
    assert door.held(email) == {}


def test_an_invitation_that_is_accepted_is_seen_and_then_changed_as_a_membership(door: Door) -> None:
    who, team = door.somebody(), door.place("inviting")
    invited = door.done("POST", "/users", {"email": who.email, "groups": [team.id]})
    assert invited["status"] == "invited"
    door.world.withdraw(team, who.email)
    door.world.add_member(team, who, "member")

    user = door.done("PATCH", f"/users/{who.id}", {"roles": [{"id": "team:admin", "group": {"id": team.id}}]})

    assert (user["id"], user["status"]) == (who.id, "active")
    assert door.held(who.email) == {"inviting": {"admin"}}


def test_several_permissions_on_one_app_are_one_call(door: Door) -> None:
    who, app = door.somebody(), door.place("big-app")
    roles = [{"id": f"app:{role}", "workspace": {"id": app.id}} for role in ("view", "deploy", "operate")]
    door.connected.sandbox.reset_requests()

    door.done("POST", "/users", {"email": who.email, "roles": roles})

    assert door.held(who.email) == {"big-app": {"view", "deploy", "operate"}}
    assert len(door.writes()) == 1


# --- refusals


def grant_to(word: str, place: str, role: str) -> Any:
    return lambda door, who: ("POST", "/role_assignments",
                              {"email": who.email, "role_id": role, f"{word}_id": door.place(place).id})  # fmt: skip


def gone(kind: str, place: str, email: str, role: str) -> Any:
    return lambda door, _: (
        "DELETE", f"/role_assignments/{kind}:{door.place(place).id}:{door.world.account(email).id}:{role}")  # fmt: skip


REFUSED: dict[str, tuple[Any, int, str]] = {
    "the last admin": (gone("team", "solo", "zoe@example.com", "admin"), 422, "last_admin"),
    "the last admin of a team, removed as a user": (
        lambda door, _: ("DELETE", f"/users/{door.world.account('zoe@example.com').id}", None,
                         {"params": {"group_id": door.place("solo").id}}),
        422, "last_admin"),
    "the connection's own account": (gone("team", "plain", OWNER, "admin"), 422, "own_account"),
    "the connection's own account, off-boarded": (
        lambda _, __: ("POST", "/users/offboard", {"email": OWNER}), 422, "own_account"),
    "the owner of an app": (gone("app", "theirs", "zoe@example.com", "owner"), 422, "app_owner"),
    "an app to be owned": (grant_to("workspace", "mine", "app:owner"), 422, "role_not_assignable"),
    "a viewer of a plain team": (grant_to("group", "plain", "team:viewer"), 422, "role_not_assignable"),
    "a team's collaborator": (grant_to("group", "big", "team:collaborator"), 422, "role_not_assignable"),
    "a billing role in a team": (grant_to("group", "big", "team:billing"), 400, "invalid_body"),
    "a permission without access controls": (grant_to("workspace", "bare-app", "app:view"), 422, "role_not_assignable"),
    "all or nothing with access controls": (
        grant_to("workspace", "big-app", "app:collaborator"), 422, "role_not_assignable"),
    "a space before its team": (grant_to("workspace", "vault", "space:create_apps"), 422, "not_in_place"),
    "a team that others run": (grant_to("group", "foreign", "team:member"), 422, "not_permitted"),
    "a place that is not there": (
        lambda _, who: ("POST", "/role_assignments", {"email": who.email, "role_id": "team:member",
                                                      "group_id": "00000000-0000-4000-8000-000000000000"}),
        422, "not_found"),
    "an empty scope": (
        lambda _, who: ("DELETE", f"/users/{who.id}", None, {"params": {"group_id": ""}}), 400, "invalid_parameter"),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in REFUSED.items()])
def test_a_refusal_names_its_reason_and_leaves_the_world_alone(door: Door, case: tuple[Any, int, str]) -> None:
    ask, status, code = case
    method, path, *rest = ask(door, door.somebody())
    body, more = (*rest, None, {})[:2] if len(rest) < 2 else rest
    before, journal = door.connected.sandbox.truth(), door.ask("GET", "/operations").json()["result"]
    door.connected.sandbox.reset_requests()

    answer = door.write(method, path, body, **(more or {}))

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert len(answer.json()["message"]) > 20
    assert door.writes() == []
    assert door.connected.sandbox.truth() == before
    assert door.ask("GET", "/operations").json()["result"] == journal, "nothing is begun that is refused"
