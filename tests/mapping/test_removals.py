"""What a write did to somebody's place in a list, told from its path and answer; and what it leaves of the lists."""

from typing import Any

import msgspec
import pytest

from adapter.mapping.removals import Change, Write, truthful, written
from tests.directory.fakes import SHIPPED, collaborator, entity, member

ANSWER = {"id": "c-bob", "user": {"id": "bob", "email": "Bob@example.com"}, "app": {"id": "a1", "name": "name-a1"}}
BODY = msgspec.json.encode(ANSWER)


def read(method: str, path: str, answer: bytes = BODY) -> Write | None:
    return written(SHIPPED.removals, method, path, answer)


@pytest.mark.parametrize(
    ("method", "path", "kind", "place", "gone"),
    [
        ("DELETE", "/apps/a1/collaborators/bob@example.com", "app_access", "a1", True),
        ("DELETE", "/teams/apps/name%2Da1/collaborators/BOB%40example.com?x=1", "app_access", "name-a1", True),
        ("POST", "/apps/a1/collaborators", "app_access", "a1", False),
        ("PATCH", "/teams/apps/a1/collaborators/bob", "app_access", "a1", False),
        ("DELETE", "/teams/t1/members/bob", "team_membership", "t1", True),
        ("PUT", "/teams/t1/members", "team_membership", "t1", False),
        ("DELETE", "/teams/t1/invitations/x", "team_invitation", "t1", True),
        ("DELETE", "/enterprise-accounts/e1/members/bob", "enterprise_membership", "e1", True),
    ],
)
def test_a_write_is_read_from_its_path(method: str, path: str, kind: str, place: str, gone: bool) -> None:
    write = read(method, path)

    assert write is not None
    assert (write.removal.name, write.place, write.gone) == (kind, place, gone)
    assert write.names >= {"bob", "bob@example.com", "c-bob"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/apps/a1"),
        ("DELETE", "/apps/a1/collaborators"),
        ("DELETE", "/teams/t1"),
        ("POST", "/apps"),
        ("DELETE", "/apps/a1/collaborators/bob/more"),
        ("DELETE", "/apps/a1/addons/x"),
        ("POST", "/"),
    ],
)
def test_other_writes_say_nothing_of_people(method: str, path: str) -> None:
    assert read(method, path) is None


@pytest.mark.parametrize("answer", [b"", b"[", b"[1]", b"null", b'{"user": 7}', b'{"id": ["x"]}', b'{"user": "\xff"}'])
def test_an_answer_that_says_nothing_leaves_what_the_path_says(answer: bytes) -> None:
    write = read("DELETE", "/apps/A1/collaborators/Bob@Example.com", answer)

    assert write is not None
    assert write.names == {"bob@example.com"}
    assert write.places == {"a1"}


def test_the_answer_tells_the_place_by_its_other_names() -> None:
    write = read("DELETE", "/apps/a1/collaborators/bob")

    assert write is not None
    assert write.places == {"a1", "name-a1"}


# --- what is left

ID = "01234567-89ab-4cde-8f01-23456789abcd"


@pytest.mark.parametrize(
    ("method", "name", "places"),
    [
        ("DELETE", "name-a1", {"a1", "name-a1"}),
        ("DELETE", ID.upper(), {"a1"}),
        ("POST", ID, {"a1", ID}),
    ],
)
def test_a_name_that_could_be_another_places_id_hides_nobody(method: str, name: str, places: set[str]) -> None:
    answer = msgspec.json.encode({**ANSWER, "app": {"id": "a1", "name": name}})
    write = read(method, "/apps/a1/collaborators/bob", answer)

    assert write is not None
    assert write.places == places


def change(kind: str, place: str, *names: str, gone: bool = True) -> Change:
    return Change(kind=kind, places=frozenset({place}), names=frozenset(names), gone=gone, at=1.0, until=9.0)


def left(unit: str, records: list[Any], *changes: Change, **parents: Any) -> list[Any]:
    return truthful(
        SHIPPED.units[unit].without, changes, records, {f"_{name}": value for name, value in parents.items()}
    )


TEAM = {"id": "t1", "name": "acme"}


def test_an_item_that_was_taken_out_is_left_out_under_any_of_its_names() -> None:
    records = [collaborator("bob", "view"), collaborator("cyd")]

    for name in ("c-bob", "bob", "bob@example.com"):
        assert left("app_collaborators", records, change("app_access", "a1", name), app={"id": "a1"}) == [records[1]]


def test_somebody_is_taken_out_of_the_list_inside_the_records_of_that_place_only() -> None:
    records = [entity("a1", {"bob": ["view"], "cyd": ["view"]}), entity("a2", {"bob": ["view"]})]

    found = left("team_permissions", records, change("app_access", "name-a1", "bob"), team=TEAM)

    assert [[user["id"] for user in record["users"]] for record in found] == [["cyd"], ["bob"]]
    assert len(records[0]["users"]) == 2, "what was read stays as it was read"


def test_nobody_is_hidden_in_a_space_that_is_called_like_the_app_they_left() -> None:
    records = [entity("a1", {"bob": ["view"]}), entity("s1", {"bob": ["create_apps"]}, "space")]
    for record in records:
        record["name"] = "web"

    found = left("team_permissions", records, change("app_access", "web", "bob"), team=TEAM)

    assert [len(record["users"]) for record in found] == [0, 1]


def test_whoever_leaves_a_team_leaves_its_apps() -> None:
    gone = change("team_membership", "t1", "bob")
    apps = [entity("a1", {"bob": ["view"]}), entity("s1", {"bob": ["create_apps"], "cyd": []}, "space")]

    assert left("team_members", [member("bob"), member("cyd")], gone, team=TEAM) == [member("cyd")]
    assert [len(record["users"]) for record in left("team_permissions", apps, gone, team=TEAM)] == [0, 1]
    assert left("team_app_collaborators", [collaborator("bob")], gone, app={"id": "a1"}, team=TEAM) == []
    assert left("team_members", [member("bob")], gone, team={"id": "t2"}) == [member("bob")]


def test_whoever_is_put_in_again_is_there() -> None:
    records = [entity("a1", {"bob": ["view"]}), entity("a2", {"bob": ["view"]})]
    left_team = change("team_membership", "t1", "bob")
    back = change("app_access", "a1", "bob", gone=False)

    assert [len(r["users"]) for r in left("team_permissions", records, left_team, back, team=TEAM)] == [1, 0]
    assert [len(r["users"]) for r in left("team_permissions", records, back, left_team, team=TEAM)] == [0, 0]


@pytest.mark.parametrize(
    "records", [["nonsense"], [{"id": "a1"}], [{"id": "a1", "users": None}], [{"id": "a1", "users": ["x", 7, {}]}]]
)
def test_what_can_not_be_read_is_left_as_it_is(records: list[Any]) -> None:
    assert left("team_permissions", records, change("app_access", "a1", "bob"), team=TEAM) == records


@pytest.mark.parametrize(("team", "hidden"), [({"id": ID, "name": "corp"}, True), ({"id": "t2", "name": ID}, False)])
def test_nobody_is_hidden_in_a_team_that_is_named_like_the_one_they_left(team: dict[str, str], hidden: bool) -> None:
    ann = member("ann")

    assert left("team_members", [ann], change("team_membership", ID, "ann"), team=team) == ([] if hidden else [ann])


def test_whoever_is_put_back_by_such_a_name_is_there() -> None:
    ann, team = member("ann"), {"id": "t2", "name": ID}
    there = left(
        "team_members",
        [ann],
        change("team_membership", "t2", "ann"),
        change("team_membership", ID, "ann", gone=False),
        team=team,
    )

    assert there == [ann]
