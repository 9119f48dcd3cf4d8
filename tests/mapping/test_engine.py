"""Provider records into unified ones: nobody twice, nobody lost, and the same bytes whatever came first."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.shaping import Instance, shape
from tests.mapping.shipped import ASSIGNMENTS, MODEL, PEOPLE, TEAMS, USERS, assembled, encoded, instance, member

people = st.sampled_from(PEOPLE)
members = st.builds(member, people, st.sampled_from(["admin", "member", None]), st.sampled_from([None, "Al", "Bo"]))
invitations = st.builds(
    lambda who, role: {"id": who[0], "role": role, "user": {"email": who[1].upper(), "name": None}},
    people,
    st.sampled_from(["member", "admin"]),
)
entries = st.builds(
    lambda who, permissions: {"id": who[0], "email": who[1], "permissions": permissions},
    people,
    st.lists(st.sampled_from(["view", "deploy"]), unique=True),
)
entities = st.builds(
    lambda n, users: {"id": f"a{n}", "name": f"app-{n}", "type": "app", "users": users},
    st.integers(0, 2),
    st.lists(entries, max_size=4, unique_by=lambda e: e["id"]),
)


def unique(records: Any) -> Any:
    return st.lists(records, max_size=4, unique_by=lambda record: record["id"])


@st.composite
def gathered(draw: st.DrawFn) -> list[Instance]:
    instances = []
    for team in draw(st.lists(st.sampled_from(TEAMS), unique_by=lambda t: t["id"])):
        for unit, records in (("members", members), ("invitations", invitations), ("permissions", entities)):
            path = f"/teams/{team['id']}/{unit}"
            instances.append(instance(f"team_{unit}", path, draw(unique(records)), team=team))
    return instances


@given(gathered(), st.randoms())
def test_the_same_units_give_the_same_bytes_in_whatever_order_they_came(instances: list[Instance], random: Any) -> None:
    shuffled = list(instances)
    random.shuffle(shuffled)

    assert encoded(shuffled) == encoded(instances)
    assert encoded(shuffled, "role_assignments") == encoded(instances, "role_assignments")


@given(gathered())
def test_everybody_who_stands_in_a_unit_is_there_exactly_once(instances: list[Instance]) -> None:
    records, faults = assembled(instances)

    named = {user["id"] for i in instances for r in i.records for user in ([r["user"]] if "user" in r else r["users"])
             if "id" in user}  # fmt: skip
    mails = {r["user"]["email"].lower() for i in instances if i.unit == "team_invitations" for r in i.records}
    known = {mail for key, mail in PEOPLE if key in named}
    assert faults == []
    assert [record.key for record in records] == sorted(
        named | {engine.anonymous_id(USERS, mail) for mail in mails - known}
    )


@given(gathered())
def test_every_role_of_a_person_is_an_assignment_and_every_assignment_a_role(instances: list[Instance]) -> None:
    users, _ = assembled(instances)
    grants, _ = assembled(instances, "role_assignments")
    keys = {user.key for user in users}

    held = {(user.key, role["id"], (role["group"] or role["workspace"])["id"])
            for user in users for role in user.data["roles"]}  # fmt: skip
    given_ = {(g.data["user_id"], g.data["role_id"], g.data["group_id"] or g.data["workspace_id"]) for g in grants}
    # Whoever is known by an address alone is resolved in both alike.
    assert given_ == held
    assert {who for who, _, _ in given_} <= keys
    for grant in grants:
        assert ASSIGNMENTS.id_pattern
        assert ASSIGNMENTS.id_pattern.fullmatch(grant.key)


@given(gathered())
def test_reading_a_unit_twice_adds_nobody_and_no_role(instances: list[Instance]) -> None:
    once, _ = assembled(instances)
    twice, _ = assembled([*instances, *instances])

    assert [(r.key, r.data) for r in twice] == [(r.key, r.data) for r in once]


# --- faults


def test_a_record_without_a_key_is_told() -> None:
    records, faults = assembled([instance("teams", "/teams", [{"name": "acme"}, {"id": "t2", "name": "b"}])], "groups")

    assert [record.key for record in records] == ["t2"]
    assert faults == ["a record has no `id`"]


def test_somebody_without_an_account_and_without_an_address_is_told() -> None:
    invited = {"id": "i1", "role": "member", "user": {"email": "  "}}

    records, faults = assembled([instance("team_invitations", "/i", [invited], team=TEAMS[0])])

    assert records == []
    assert faults == ["a record has no `id`"]


def test_an_assignment_whose_place_is_unknown_is_told() -> None:
    records, faults = assembled(
        [instance("team_members", "/m", [member(PEOPLE[0], "admin")], team={"name": "x"})], "role_assignments"
    )

    assert records == []
    assert len(faults) == 1


# --- people known by an address alone


@given(st.emails())
def test_an_anonymous_id_does_not_depend_on_case_or_blanks_and_shows_no_address(address: str) -> None:
    key = engine.anonymous_id(USERS, address.lower())

    assert key == engine.anonymous_id(USERS, f" {address.lower()} ")
    assert key.startswith("invitation:")
    assert len(key) == len("invitation:") + 32
    assert address.lower() not in key


def test_an_anonymous_id_never_changes() -> None:
    """Callers keep it: another recipe would lose everybody who is invited."""
    assert engine.anonymous_id(USERS, "New@Example.com") == "invitation:f0030501023327437b06e5c6f87df787"


def invited(address: str, team: dict[str, str] = TEAMS[0]) -> Instance:
    record = {"id": "i1", "role": "member", "user": {"email": address}}
    return instance("team_invitations", f"/teams/{team['id']}/invitations", [record], team=team)


def test_two_invitations_of_one_address_are_one_person() -> None:
    records, _ = assembled([invited("New@example.com"), invited("new@EXAMPLE.com", TEAMS[1])])

    assert len(records) == 1
    assert [group["id"] for group in records[0].data["groups"]] == ["t0", "t1"]
    assert len(records[0].data["emails"]) == 1


def test_somebody_invited_joins_the_account_that_has_the_address() -> None:
    records, _ = assembled([invited("P0@example.com"), instance("team_members", "/m", [member(PEOPLE[0], "member")],
                                                                team=TEAMS[1])])  # fmt: skip

    assert [record.key for record in records] == ["u0"]
    assert records[0].data["status"] == "active"
    assert set(records[0].remote) == {"team_members", "team_invitations"}


def test_an_anonymous_id_goes_on_leading_to_whoever_has_the_address_now() -> None:
    records, _ = assembled([instance("team_members", "/m", [member(PEOPLE[0], None), member(PEOPLE[1], None)],
                                     team=TEAMS[0])])  # fmt: skip
    key = engine.anonymous_id(USERS, "P1@example.com")

    found = engine.find_anonymous(USERS, key, records)

    assert found is not None
    assert found.key == "u1"
    assert engine.find_anonymous(USERS, engine.anonymous_id(USERS, "other@example.com"), records) is None
    assert engine.find_anonymous(USERS, "u1", records) is None
    assert engine.find_anonymous(MODEL.resources["groups"], key, records) is None


# --- what an answer shows


def test_remote_data_holds_the_objects_that_a_record_was_built_from_by_unit() -> None:
    entity = {"id": "a1", "name": "shop", "type": "app",
              "users": [{"id": "u0", "email": "p0@example.com"}, {"id": "u1", "email": "p1@example.com"}]}  # fmt: skip
    records, _ = assembled([
        instance("team_members", "/m", [member(PEOPLE[0], "member")], team=TEAMS[0]),
        instance("team_permissions", "/p", [entity], team=TEAMS[0]),
    ])  # fmt: skip

    assert records[0].remote == {
        "team_members": [member(PEOPLE[0], "member")],
        "team_permissions": [{**entity, "users": [entity["users"][0]]}],
    }
    assert list(msgspec.json.decode(records[0].encoded))[-1] == "remote_data"


def test_what_was_counted_is_no_remote_data_of_its_own() -> None:
    records, _ = assembled([
        instance("teams", "/teams", [{"id": "t0", "name": "acme"}]),
        instance("team_members", "/m", [{"id": "m1"}], team={"id": "t0", "name": "acme"}),
    ], "groups")  # fmt: skip

    assert set(records[0].remote) == {"teams"}
    assert records[0].data["member_count"] == 1


def test_every_field_of_a_resource_stands_in_every_record() -> None:
    records, _ = assembled([invited("a@example.com")])

    assert list(records[0].data) == list(USERS.fields)
    assert all(records[0].data[name] is not None for name, field in USERS.fields.items() if field.always)


# --- what is kept


def test_json_is_kept_beside_records_as_far_as_there_is_room_and_is_the_same_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records, _ = assembled([instance("team_members", "/m", [member(p, "member") for p in PEOPLE], team=TEAMS[0])])
    size = max(len(record.encoded) for record in records)
    monkeypatch.setattr(engine.Room.__init__, "__defaults__", (2 * size,))
    again, _ = assembled([instance("team_members", "/m", [member(p, "member") for p in PEOPLE], team=TEAMS[0])])
    first = [record.encoded for record in again]
    kept = [record.encoded is encoded for record, encoded in zip(again, first, strict=True)]

    assert kept == [True, True, False, False, False]
    assert [record.encoded for record in again] == first == [record.encoded for record in records]


# --- what is implied


def implied(records: Sequence[Record], apps: Sequence[Any], team: dict[str, str] = TEAMS[0]) -> list[Record]:
    above = instance("team_apps", f"/teams/{team['id']}/apps", apps, team=team)
    made, faults = engine.inherit(ASSIGNMENTS, records, [above])
    assert faults == []
    return made


def grants_of(*who: dict[str, Any], team: dict[str, str] = TEAMS[0]) -> list[Record]:
    return assembled([instance("team_members", "/m", who, team=team)], "role_assignments")[0]


def test_only_members_of_the_very_team_inherit_on_its_apps() -> None:
    records = grants_of(member(PEOPLE[0], "admin"), team=TEAMS[1])

    assert implied(records, [{"id": "a1"}]) == records


def test_a_pending_role_implies_nothing() -> None:
    records, _ = assembled([invited("a@example.com")], "role_assignments")

    assert implied(records, [{"id": "a1", "locked": False}]) == records


def test_a_locked_app_shows_itself_to_admins_only() -> None:
    records = grants_of(member(PEOPLE[0], "admin"), member(PEOPLE[1], "member"))

    keys = [record.key for record in implied(records, [{"id": "a1", "locked": True}])]

    assert [key for key in keys if key.startswith("app:")] == [
        f"app:a1:u0:{permission}" for permission in ("deploy", "manage", "operate", "view")
    ]


def test_a_resource_that_implies_nothing_is_left_as_it_is() -> None:
    records, _ = assembled([invited("a@example.com")])

    assert engine.inherit(USERS, records, []) == (records, [])


@pytest.mark.parametrize("app", ["nonsense", None, {"name": "no id"}, {"id": None}, {"id": ["a"]}])
def test_an_app_that_can_not_be_read_is_told_once_and_the_others_are_inherited_on(app: Any) -> None:
    records = grants_of(*(member(who, "admin") for who in PEOPLE))
    above = instance("team_apps", "/teams/t0/apps", [app, {"id": "a1"}], team=TEAMS[0])

    made, faults = engine.inherit(ASSIGNMENTS, records, [above])

    assert len(made) == len(records) + 4 * len(PEOPLE)
    assert {fault.unit for fault in faults} == {"team_apps"}
    assert len(faults) == 1


def test_fixed_records_need_no_unit() -> None:
    records, faults = assembled([], "roles")

    assert len(records) == 16
    assert faults == []
    assert records[0].remote == {}


def test_an_address_that_two_people_have_leads_to_the_same_one_whatever_came_first() -> None:
    """One of them took it over from the other, and some list still shows the old one."""
    both = [member(("u1", "same@example.com"), "member"), member(("u2", "Same@example.com"), "member")]
    invited = instance(
        "team_invitations",
        "/teams/t1/invitations",
        [{"id": "i1", "role": "member", "user": {"email": "same@example.com", "name": None}}],
        team=TEAMS[1],
    )

    found = {
        encoded([instance("team_members", "/teams/t0/members", order, team=TEAMS[0]), invited])
        for order in (both, both[::-1])
    }

    records, _ = assembled([instance("team_members", "/teams/t0/members", both, team=TEAMS[0]), invited])
    assert len(found) == 1
    assert [record.key for record in records] == ["u1", "u2"]
    assert [len(record.remote.get("team_invitations", ())) for record in records] == [0, 1]


def test_a_large_account_is_put_together_in_steps_throughout() -> None:
    """No step takes longer than a few hundred records do: others are served in between."""
    everybody = [member((f"u{n:05}", f"p{n}@example.com"), "member") for n in range(2_000)]
    stranger = {"id": "i1", "role": "member", "user": {"email": "new@example.com", "name": None}}
    shaped = [
        shape(USERS, instance("team_members", "/teams/t0/members", everybody, team=TEAMS[0])),
        shape(USERS, instance("team_invitations", "/teams/t0/invitations", [stranger], team=TEAMS[0])),
    ]

    steps = sum(1 for _ in engine.assembling(MODEL, USERS, shaped))

    # One round finds out whose each address is, one merges.
    assert steps >= 2 * len(everybody) // 100
