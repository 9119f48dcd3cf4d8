"""An account's own expressions: what is refused before it is taken, and what those that are taken can and can't do."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidBody, Unprocessable
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.expressions import ShapeError
from adapter.mapping.metered import Metered, Tank
from adapter.mapping.override import MAX_BYTES, MAX_FIELDS, Overrides, checked_override
from adapter.mapping.schema import FieldDecl
from adapter.mapping.shaping import Fault, Instance, shape
from tests.directory.fakes import SHIPPED, entity, member

USERS = SHIPPED.resources["users"]
TEAM = {"id": "t1", "name": "acme"}


def own(**fields: str) -> dict[str, Any]:
    return {"users": {"fields": fields}}


# --- what is refused


@pytest.mark.parametrize(
    ("override", "where", "what", "expected"),
    [
        ([], "", "is no object", "resources"),
        ("users", "", "is no object", "resources"),
        ({"people": {"fields": {}}}, ".people", "unknown resource", "users"),
        ({"roles": {"fields": {}}}, ".roles", "unknown resource", "users"),
        ({"users": []}, ".users", "is no object", "fields"),
        ({"users": {"sources": []}}, ".users.sources", "unknown word", "fields"),
        ({"users": {"filters": {}}}, ".users.filters", "unknown word", "fields"),
        ({"users": {"key": "email"}}, ".users.key", "unknown word", "fields"),
        ({"users": {"fields": ["name"]}}, ".users.fields", "is no object", "expressions"),
        (own(shoe_size="x"), ".users.fields.shoe_size", "unknown field", "username"),
        (own(id="email"), ".users.fields.id", "unknown field", "username"),
        ({"users": {"fields": {"name": 7}}}, ".users.fields.name", "is no text", "JMESPath"),
        (own(name=""), ".users.fields.name", "an expression is expected", "JMESPath"),
        (own(name="a["), ".users.fields.name", "is not JMESPath", "JMESPath"),
        (own(name="shout(a)"), ".users.fields.name", "unknown function `shout`", "join"),
        (own(name="a" * 2001), ".users.fields.name", "longer than 2000", "2000"),
        (own(name="|".join("a" * 33)), ".users.fields.name", "levels deep", "at most 32"),
        (own(name=" " * MAX_BYTES), "", "bytes as JSON", str(MAX_BYTES)),
    ],
)
def test_what_can_not_be_used_is_refused_with_where_and_what_is_known(
    override: Any, where: str, what: str, expected: str
) -> None:
    with pytest.raises(InvalidBody) as refused:
        checked_override(SHIPPED, override)

    detail = refused.value.details[0]
    assert detail["where"] == f"unified_model_override{where}"
    assert what in detail["what"]
    assert expected in detail["expected"]


def test_too_many_fields_are_refused() -> None:
    names = [(name, field) for name, res in SHIPPED.resources.items() if not res.records for field in res.fields]
    override: dict[str, Any] = {}
    for name, field in [(n, f) for n, f in names if f != SHIPPED.resources[n].key][: MAX_FIELDS + 1]:
        override.setdefault(name, {"fields": {}})["fields"][field] = "x"

    with pytest.raises(InvalidBody, match=f"overrides {MAX_FIELDS + 1} fields"):
        checked_override(SHIPPED, override)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["users", "fields", "name", "x"]), inner),
    )
)
def test_anything_is_taken_or_refused_and_nothing_crashes(anything: Any) -> None:
    with suppress(InvalidBody):
        checked_override(SHIPPED, anything)


def test_one_that_fitted_another_versions_mapping_is_told_not_passed_over() -> None:
    with pytest.raises(Unprocessable, match="no longer fits"):
        Overrides(SHIPPED).of(USERS, own(gone="x"))


# --- what it does


def records(resource: Any, *instances: Instance) -> tuple[list[Record], list[Fault]]:
    return engine.assemble(SHIPPED, resource, [shape(resource, instance) for instance in instances])


def members(*records_: Any) -> Instance:
    return Instance(unit="team_members", path="/teams/t1/members", lineage={"team": TEAM}, records=records_)


PERMISSIONS = Instance(
    unit="team_permissions", path="/teams/t1/permissions", lineage={"team": TEAM}, records=[entity("a1", {"bob": []})]
)


def test_an_expression_replaces_its_field_in_every_source() -> None:
    resource = Overrides(SHIPPED).of(USERS, own(name="email && join(' at ', split(email, '@'))"))

    found, faults = records(resource, members(member("ada")), PERMISSIONS)

    assert faults == []
    assert {record.key: record.data["name"] for record in found} == {
        "ada": "ada at example.com",
        "bob": "bob at example.com",
    }
    assert found[0].data["username"] == "ada@example.com", "the other fields are read as ever"


def test_a_field_that_no_list_of_heroku_tells_can_be_given() -> None:
    resource = Overrides(SHIPPED).of(USERS, own(phones="[{number: id, type: 'desk'}]"))

    assert records(resource, members(member("ada")))[0][0].data["phones"] == [{"number": "m-ada", "type": "desk"}]


def test_the_plain_resource_stays_as_it_is() -> None:
    overrides = Overrides(SHIPPED)

    mine = overrides.of(USERS, own(name="email"))

    assert overrides.of(USERS, None) is USERS
    assert overrides.of(USERS, {"groups": {"fields": {"name": "id"}}}) is USERS
    assert overrides.of(USERS, own(name="email")) is mine, "compiled once"
    assert mine.overridden
    assert not USERS.overridden
    assert USERS.sources[0].fields["name"].text == "user.name"


def test_a_record_that_it_can_not_read_is_told_and_takes_no_other_along() -> None:
    resource = Overrides(SHIPPED).of(USERS, own(name="join(' ', user.names)"))
    good = member("ada") | {"user": {"id": "ada", "names": ["Ada", "L"]}}

    found, faults = records(resource, members(good, member("bob")))

    assert [record.key for record in found] == ["ada"]
    assert [fault.unit for fault in faults] == ["team_members"]


def test_derived_records_take_it_and_what_they_are_made_of_does_not() -> None:
    given_ = {
        "role_assignments": {"fields": {"role_id": "join('/', ['x', name])"}},
        "users": {"fields": {"roles": "`[]`"}},
    }
    resource = Overrides(SHIPPED).of(SHIPPED.resources["role_assignments"], given_)

    found, _ = engine.assemble(SHIPPED, resource, [shape(USERS, members(member("ada")))])

    assert [(record.key, record.data["role_id"]) for record in found] == [("team:t1:ada:member", "x/member")]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "user"),
        ("name", "`1`"),
        ("name", "&email"),
        ("name", '`"\\ud800"`'),
        ("is_2fa_enabled", "'yes'"),
        ("created_at", "'yesterday'"),
        ("emails", "email"),
        ("emails", "[email]"),
        ("emails", "[{email: `1`}]"),
        ("roles", "[{id: 'team:member', group: 'acme'}]"),
        ("groups", "{id: 'x'}"),
    ],
)
def test_a_value_of_another_type_makes_the_record_unreadable(field: str, text: str) -> None:
    resource = Overrides(SHIPPED).of(USERS, own(**{field: text}))

    found, faults = records(resource, members(member("ada")))

    assert found == []
    assert len(faults) == 1
    assert len(faults[0].reason) < 400


@pytest.mark.parametrize("text", ["user.name", "nothing.at.all", "`null`"])
def test_null_says_that_nothing_is_known(text: str) -> None:
    resource = Overrides(SHIPPED).of(USERS, own(name=text))

    assert records(resource, members(member("ada")))[0][0].data["name"] is None


# --- bounds

DOUBLE = "[@,@]"
BOMBS = {
    "lists that double": "|".join([f"{DOUBLE}[]"] * 14),
    "lists of lists that double": "|".join([DOUBLE] * 28),
    "texts that double": "join('x',[email,email])|" + "|".join(["join(@,[@,@])"] * 26),
    "written out": "|".join([DOUBLE] * 20) + "|to_string(@)",
    "compared": f"({'|'.join([DOUBLE] * 24)}) == ({'|'.join([DOUBLE] * 24)})",
    "searched": f"contains({'|'.join([DOUBLE] * 20)}, {'|'.join([DOUBLE] * 19)})",
    "sorted": "|".join([f"{'[' + ','.join('@' * 10) + ']'}[]"] * 4) + "|sort_by(@,&to_string(@))",
    "nested projections": "|".join(["[" + ",".join("@" * 15) + "][]"] * 2) + "|[*].[[@][*].[[@][*].[[@][*].x]]]",
    "filters in filters": "|".join(["[" + ",".join("@" * 30) + "][]"] * 2) + "[?[?[?[?a==b]]]]",
    "objects laid over objects": "with(" + "|".join(["[" + ",".join("@" * 20) + "][]"] * 3) + ", @)",
    "one of many keys": "with(" + "|".join(["[" + ",".join("@" * 20) + "][]"] * 2) + ", {"
    + ",".join(f"k{n}:@" for n in range(200)) + "})",
    "a text of texts": "join(to_string(" + "|".join([DOUBLE] * 8) + "), to_array(@)[*].to_string(@))",
    "parts of texts": "split(join('a',[" + ",".join(["to_string(@)"] * 40) + "]), 'a')|join(to_string(@), @)",
}  # fmt: skip
RECORD = {**member("ada"), "_team": TEAM, "tags": ["a" * 50] * 20}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_no_expression_takes_longer_or_makes_more_than_it_may(text: str) -> None:
    field = FieldDecl(type="integer")
    begun = time.process_time()
    with pytest.raises(ShapeError):
        Metered(text, field, Tank())(RECORD)

    # A hundred times what it takes; without bounds, most of these take longer than anybody would wait.
    assert time.process_time() - begun < 2.0


def test_fields_of_one_record_share_its_steps_and_the_next_record_has_its_own() -> None:
    tank, field = Tank(), FieldDecl(type="array")
    many = [Metered("|".join(["[" + ",".join(["a"] * 400) + "]"]), field, tank) for _ in range(10)]

    def read(record: dict[str, Any]) -> int:
        done = 0
        for expression in many:
            try:
                expression(record)
            except ShapeError:
                return done
            done += 1
        return done

    assert 0 < read({"a": "x"}) < len(many)
    assert read({"a": "x"}) == read({"a": "x"}) > 0


def test_what_a_record_gives_does_not_hang_on_who_else_is_being_read() -> None:
    expression = Metered("[" + ",".join(["a"] * 400) + "]", FieldDecl(type="array"), Tank())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: expression({"a": n}), range(200)))

    assert found == [[n] * 400 for n in range(200)]


def test_a_large_list_that_is_counted_as_a_whole_may_cost_more() -> None:
    counting = Metered("length(records[?role == 'admin'])", FieldDecl(type="integer"), Tank())

    assert counting({"records": [member(str(n), "admin") for n in range(3000)]}) == 3000
