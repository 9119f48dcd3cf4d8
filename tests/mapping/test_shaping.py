"""What each provider record says: one that can't be read is told, and takes nobody else along."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.mapping.shaping import shape
from tests.mapping.shipped import MODEL, PEOPLE, TEAMS, USERS, assembled, instance, member


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["id", "user", "users", "email", "name",
        "type", "role", "permissions", "team"]), v, max_size=5), max_leaves=12,
    ),
    st.sampled_from(MODEL.units_of(USERS)),
)  # fmt: skip
def test_whatever_the_provider_sends_is_shaped_or_told_as_a_fault(record: Any, unit: str) -> None:
    good = member(PEOPLE[0], "member")
    records, _ = assembled([
        instance(unit, "/odd", [record], team=TEAMS[0], app={"id": "a1"}, space={"id": "s1"}, enterprise={"id": "e1"}),
        instance("team_members", "/teams/t1/members", [good], team=TEAMS[1]),
    ])  # fmt: skip

    assert "u0" in {record.key for record in records}
    assert all(msgspec.json.decode(record.encoded)["id"] == record.key for record in records)


def test_a_person_that_can_not_be_read_takes_nobody_of_the_same_app_along() -> None:
    entity = {
        "id": "a1", "name": "shop", "type": "app",
        "users": [{"id": "u1", "email": None, "permissions": []}, "nonsense", {"id": "u2", "email": "b@example.com"}],
    }  # fmt: skip

    records, faults = assembled([instance("team_permissions", "/teams/t1/permissions", [entity], team=TEAMS[1])])

    assert [record.key for record in records] == ["u2"]
    assert len(faults) == 2


@pytest.mark.parametrize("users", [7, "abc", {"id": "u1"}, True])
def test_a_list_of_people_that_is_none_is_a_fault(users: Any) -> None:
    entity = {"id": "a1", "type": "app", "users": users}

    records, faults = assembled([instance("team_permissions", "/p", [entity], team=TEAMS[1])])

    assert records == []
    assert faults == [f"`users` is {type(users).__name__}, not a list"]


def test_a_key_that_is_a_number_becomes_text() -> None:
    records, _ = assembled([instance("teams", "/teams", [{"id": 7, "name": "acme"}])], "groups")

    assert (records[0].key, records[0].data["id"]) == ("7", "7")


def test_members_of_a_team_share_what_is_said_of_the_team() -> None:
    found = [member(person, "member") for person in PEOPLE]
    shaped = shape(USERS, instance("team_members", "/m", found, team=TEAMS[0]))
    roles = [fragment.data["roles"] for fragment in shaped.fragments]

    assert all(role is roles[0] for role in roles)
    assert len({id(fragment.names) for fragment in shaped.fragments}) == 1
