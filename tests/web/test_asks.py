"""Every spelling of every write as the Ask that it means, and every contradiction refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.directory.writing.model import Ask, Change, GroupAsk, PersonRef, PlaceRef
from adapter.errors import InvalidBody
from adapter.web import write_bodies as bodies
from adapter.web.asks import Asks, Subject
from tests.web.writing import MODEL, Door, a_door

ADA = PersonRef(email="ada@example.com")
U1 = PersonRef(user_id="u-1")
TEAM, GROUP, APP, SPACE, CORP = (
    PlaceRef(kind=kind, id=id_)
    for kind, id_ in (("team", "t-1"), ("group", "t-1"), ("app", "a-1"), ("space", "s-1"), ("enterprise", "e-1"))
)


def give(place: PlaceRef, *roles: str) -> Change:
    return Change(verb="give", place=place, roles=roles)


def take(place: PlaceRef, *roles: str) -> Change:
    return Change(verb="take", place=place, roles=roles)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as opened:
        yield opened


EMAILS = [
    {"email": "ada@example.com"},
    {"emails": "ada@example.com"},
    {"emails": ["ada@example.com"]},
    {"emails": [{"email": "ada@example.com"}]},
    {"emails": [{"email": "ada@example.com", "type": "work", "is_primary": True}, {"email": "ada@home.example"}]},
    {"email": "ada@example.com", "emails": ["ADA@example.com"]},
    {"email": None, "emails": ["ada@example.com"]},
]


@pytest.mark.parametrize("spelled", EMAILS, ids=str)
async def test_an_address_has_several_spellings(door: Door, spelled: Any) -> None:
    await door.directory("POST", "/users", {**spelled, "groups": [{"id": "t-1"}]})

    assert door.last["ask"] == Ask(kind="users.create", person=ADA, changes=(give(GROUP),))


SAME_TEAM = [{"group": {"id": "t-1"}}, {"group": {"id": "t-1", "name": "acme"}}, {"group": "t-1"}, {"group_id": "t-1"},
             {"group": {"id": "t-1"}, "group_id": "t-1", "workspace": None, "organization": None}]  # fmt: skip


@pytest.mark.parametrize("spelled", SAME_TEAM, ids=str)
async def test_a_place_has_several_spellings(door: Door, spelled: Any) -> None:
    await door.directory("PATCH", "/users/u-1", {"roles": [{"id": "team:admin", "name": "admin", **spelled}]})

    change = Change(verb="set", place=TEAM, roles=("admin",))
    assert door.last["ask"] == Ask(kind="users.update", person=U1, changes=(change,))


CREATED = [
    ({"roles": [{"id": "app:view", "workspace_id": "a-1"}, {"id": "app:deploy", "workspace": "a-1"}]},
     (give(APP, "view", "deploy"),)),
    ({"roles": [{"id": "space:create_apps", "workspace_id": "s-1"}]}, (give(SPACE, "create_apps"),)),
    ({"roles": [{"id": "enterprise:billing", "organization": {"id": "e-1"}}]}, (give(CORP, "billing"),)),
    # A team where a role is named has that one; any other the plain one.
    ({"roles": [{"id": "team:admin", "group_id": "t-1"}], "groups": [{"id": "t-1"}, "t-2", "t-2"]},
     (give(TEAM, "admin"), give(PlaceRef(kind="group", id="t-2")))),
    ({"roles": [{"id": "team:admin", "group_id": "t-1"}] * 2}, (give(TEAM, "admin"),)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "changes"), CREATED, ids=range(len(CREATED)))
async def test_a_new_user_is_given_roles_place_by_place(door: Door, body: Any, changes: Any) -> None:
    answer = await door.directory("POST", "/users", {"email": "ada@example.com", **body})

    assert answer.status_code == 200, answer.text
    assert door.last["ask"] == Ask(kind="users.create", person=ADA, changes=changes)


ASKED: list[tuple[str, str, Any, Ask]] = [
    ("DELETE", "/users/u-1", None, Ask(kind="users.delete", person=U1, everywhere=True)),
    ("DELETE", "/users", {"id": "u-1"}, Ask(kind="users.delete", person=U1, everywhere=True)),
    ("DELETE", "/users/invitation:0a", None,
     Ask(kind="users.delete", person=PersonRef(user_id="invitation:0a"), everywhere=True)),
    ("DELETE", "/users/u-1?group_id=t-1", None, Ask(kind="users.delete", person=U1, changes=(take(GROUP),))),
    ("DELETE", "/users/u-1?group=t-1", None, Ask(kind="users.delete", person=U1, changes=(take(GROUP),))),
    ("DELETE", "/users/u-1?workspace_id=a-1", None,
     Ask(kind="users.delete", person=U1, changes=(take(PlaceRef(kind="workspace", id="a-1")),))),
    ("DELETE", "/users", {"id": "u-1", "organization": {"id": "e-1"}},
     Ask(kind="users.delete", person=U1, changes=(take(PlaceRef(kind="organization", id="e-1")),))),
    ("PATCH", "/users", {"id": "u-1", "roles": [{"id": "team:viewer", "group_id": "t-1"}]},
     Ask(kind="users.update", person=U1, changes=(Change(verb="set", place=TEAM, roles=("viewer",)),))),
    ("POST", "/users/offboard", {"user_id": "u-1"}, Ask(kind="users.offboard", person=U1, everywhere=True)),
    ("POST", "/users/offboard", {"user_id": "u-1", "proof": "full"},
     Ask(kind="users.offboard", person=U1, everywhere=True, proof="full")),
    ("DELETE", "/users", {"id": "u-1", "proof": "full"},
     Ask(kind="users.delete", person=U1, everywhere=True, proof="full")),
    ("POST", "/users/offboard", {"user": {"id": "u-1"}, "email": "ada@example.com"},
     Ask(kind="users.offboard", person=PersonRef(user_id="u-1", email="ada@example.com"), everywhere=True)),
    ("POST", "/role_assignments", {"user_id": "u-1", "role_id": "app:deploy", "workspace_id": "a-1"},
     Ask(kind="role_assignments.create", person=U1, changes=(give(APP, "deploy"),))),
    ("POST", "/role_assignments", {"email": "ada@example.com", "role": {"id": "team:member"}, "group": {"id": "t-1"}},
     Ask(kind="role_assignments.create", person=ADA, changes=(give(TEAM, "member"),))),
    ("PATCH", "/role_assignments/app:a-1:u-1:view", {"role_id": "app:deploy"},
     Ask(kind="role_assignments.update", person=U1, changes=(take(APP, "view"), give(APP, "deploy")))),
    ("PATCH", "/role_assignments", {"id": "team:t-1:u-1:member", "role": "team:admin"},
     Ask(kind="role_assignments.update", person=U1, changes=(take(TEAM, "member"), give(TEAM, "admin")))),
    ("DELETE", "/role_assignments/team:t-1:invitation:0a:member", None,
     Ask(kind="role_assignments.delete", person=PersonRef(user_id="invitation:0a"), changes=(take(TEAM, "member"),))),
    ("DELETE", "/role_assignments", {"id": "space:s-1:u-1:create_apps"},
     Ask(kind="role_assignments.delete", person=U1, changes=(take(SPACE, "create_apps"),))),
    ("POST", "/groups", {"name": "new team", "organization": {"id": "e-1", "name": "corp"}},
     Ask(kind="groups.create", group=GroupAsk(name="new team", organization_id="e-1"))),
    ("PATCH", "/groups/t-1", {"name": "other"}, Ask(kind="groups.update", group=GroupAsk(id="t-1", name="other"))),
    ("DELETE", "/groups/t-1", None, Ask(kind="groups.delete", group=GroupAsk(id="t-1"))),
    ("DELETE", "/groups", {"id": "t-1"}, Ask(kind="groups.delete", group=GroupAsk(id="t-1"))),
    ("POST", "/groups/add-user", {"group_id": "t-1", "email": "ada@example.com"},
     Ask(kind="groups.add-user", person=ADA, changes=(give(GROUP),))),
    ("POST", "/groups/add-user", {"group": {"id": "t-1"}, "user_id": "u-1", "role_id": "team:admin"},
     Ask(kind="groups.add-user", person=U1, changes=(give(TEAM, "admin"),))),
    ("POST", "/groups/remove-user", {"group": "t-1", "user": "u-1"},
     Ask(kind="groups.remove-user", person=U1, changes=(take(GROUP),))),
    ("POST", "/groups/remove-user", {"group": "t-1", "user": "u-1", "role_id": "team:member", "remote_data": {"k": 1}},
     Ask(kind="groups.remove-user", person=U1, changes=(take(TEAM, "member"),), remote_data={"k": 1})),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "ask"), ASKED, ids=range(len(ASKED)))
async def test_a_write_is_understood(door: Door, method: str, path: str, body: Any, ask: Ask) -> None:
    answer = await door.directory(method, path, body)

    assert answer.status_code == 200, answer.text
    assert door.last["ask"] == ask


A_ROLE = {"id": "team:member", "group_id": "t-1"}
REFUSED: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/users", {"groups": ["t-1"]}, "emails", "address"),
    ("POST", "/users", {"email": "ada", "groups": ["t-1"]}, "email", "name@domain"),
    ("POST", "/users", {"email": "a@b@c", "groups": ["t-1"]}, "email", "name@domain"),
    ("POST", "/users", {"email": "ada@example.com/../..", "groups": ["t-1"]}, "email", "name@domain"),
    ("POST", "/users", {"email": f"{'a' * 250}@b.cd", "groups": ["t-1"]}, "email", "254"),
    ("POST", "/users", {"emails": ["a@b.c", "d@e.f"], "groups": ["t-1"]}, "emails", "is_primary"),
    ("POST", "/users", {"emails": [{"mail": "a@b.c"}], "groups": ["t-1"]}, "emails[0].mail", "is_primary"),
    ("POST", "/users", {"email": "a@b.c"}, "roles", "no place"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{"id": "team:admin"}]}, "roles[0]", "group, workspace"),
    ("POST", "/users", {"email": "a@b.c", "role": [A_ROLE]}, "role", "roles, groups"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{**A_ROLE, "grop": 1}]}, "roles[0].grop", "group_id"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{**A_ROLE, "id": "team:boss"}]}, "roles[0].id", "team:admin"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{**A_ROLE, "workspace_id": "a-1"}]}, "roles[0]", "2 places"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{**A_ROLE, "group": "t-2"}]}, "roles[0].group_id", "twice"),
    ("POST", "/users", {"email": "a@b.c", "roles": [{"id": "team:admin", "workspace_id": "a-1"}]}, "roles[0].id",
     "`group`"),
    ("POST", "/users", {"email": "a@b.c", "groups": [""]}, "groups[0]", "empty"),
    ("POST", "/users", {"email": "a@b.c", "groups": ["t/1"]}, "groups[0]", "no id"),
    ("POST", "/users", {"email": "a@b.c", "groups": [".."]}, "groups[0]", "no id"),
    ("POST", "/users", {"email": "a@b.c", "groups": ["t-1"] * 1001}, "groups", "1000"),
    ("PATCH", "/users/u-1", {"roles": []}, "roles", "empty"),
    ("PATCH", "/users/u-1", {}, "roles", "missing"),
    ("PATCH", "/users/u-1", {"roles": [A_ROLE], "first_name": "Ada"}, "first_name", "id, roles"),
    ("PATCH", "/users/u-1", {"id": "u-2", "roles": [A_ROLE]}, "id", "the path's"),
    ("PATCH", "/users", {"roles": [A_ROLE]}, "id", "in the path"),
    ("DELETE", "/users", None, "id", "in the path"),
    ("DELETE", "/users/u%2F1", None, "id", "no id"),
    ("DELETE", "/users", {"id": "u-1", "group_id": ""}, "group_id", "empty"),
    ("DELETE", "/users", {"id": "u-1", "group_id": None}, "group_id", "empty"),
    ("DELETE", "/users", {"id": "u-1", "workspace": {"id": ""}}, "workspace_id", "empty"),
    ("DELETE", "/users", {"id": "u-1", "group_id": "t-1", "workspace_id": "a-1"}, "group_id", "2 places"),
    ("DELETE", "/users", {"id": "u-1", "proof": "all"}, "proof", "expected"),
    ("DELETE", "/users", {"id": "u-1", "proof": "full", "group_id": "t-1"}, "proof", "everywhere"),
    ("DELETE", "/users?group_id=t-1", {"id": "u-1", "group_id": "t-1"}, "group_id", "query"),
    ("POST", "/users/offboard", {}, "user_id", "email"),
    ("POST", "/users/offboard", {"user_id": "u-1", "user": "u-2"}, "user_id", "twice"),
    ("POST", "/users/offboard", {"user_id": "u-1", "group_id": "t-1"}, "group_id", "dry_run"),
    ("POST", "/role_assignments", {"user_id": "u-1", "role_id": "team:member"}, "group_id", "no place"),
    ("POST", "/role_assignments", {"user_id": "u-1", "group_id": "t-1"}, "role_id", "missing"),
    ("POST", "/role_assignments", {"role_id": "team:member", "group_id": "t-1"}, "user_id", "missing"),
    ("POST", "/role_assignments", {"user_id": "u-1", "role_id": "app:view", "group_id": "t-1"}, "role_id",
     "`workspace`"),
    ("PATCH", "/role_assignments/nonsense", {"role_id": "team:admin"}, "id", "<user>"),
    ("PATCH", "/role_assignments/team:t-1:u-1:boss", {"role_id": "team:admin"}, "id", "<user>"),
    ("PATCH", "/role_assignments/team:t-1:u-1:member", {"role_id": "app:view"}, "role_id", "`team`"),
    ("PATCH", "/role_assignments/team:t-1:u-1:member", {}, "role_id", "missing"),
    ("DELETE", "/role_assignments/team:..:u-1:member", None, "id", "no id"),
    ("POST", "/groups", {"name": "x"}, "organization_id", "organization"),
    ("POST", "/groups", {"name": "", "organization_id": "e-1"}, "name", "256"),
    ("POST", "/groups", {"name": "a\u202eb", "organization_id": "e-1"}, "name", "printable"),
    ("PATCH", "/groups/t-1", {}, "name", "missing"),
    ("POST", "/groups/add-user", {"user_id": "u-1"}, "group_id", "missing"),
    ("POST", "/groups/add-user", {"user_id": "u-1", "group_id": "t-1", "role_id": "app:view"}, "role_id", "`group`"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "where", "told"), REFUSED, ids=range(len(REFUSED)))
async def test_what_says_too_little_or_contradicts_itself_is_refused(
    door: Door, method: str, path: str, body: Any, where: str, told: str
) -> None:
    answer = await door.directory(method, path, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body"), answer.text
    assert answer.json()["details"][0]["where"] == where
    assert told in answer.json()["message"]
    assert door.writes.asked == []


@given(st.text(max_size=20))
def test_whatever_becomes_an_id_means_nothing_in_a_path(text: str) -> None:
    try:
        ask = Asks(MODEL).delete_group(bodies.Gone(), Subject(id=text))
    except InvalidBody:
        return

    assert ask.group is not None
    assert ask.group.id == text
    assert not set(text) & set("/?#%\\ \n")
    assert set(text) - {"."}
