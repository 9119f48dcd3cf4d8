"""Whatever somebody holds and whatever is asked: the calls lead to what is wanted, in a model of the provider."""

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapter.directory.writing.cases import WriteCase, desk_for
from adapter.directory.writing.conditions import wishes
from adapter.directory.writing.model import Ask, Change, PersonRef, PlaceRef, Plan, Step
from adapter.directory.writing.planning import Planner
from tests.directory.fakes import SHIPPED

BOB = "bob@example.com"
APP_ROLES, TEAM_ROLES, ENTERPRISE_ROLES = (
    ("view", "deploy", "operate", "manage"), ("admin", "member", "viewer"), ("view", "create", "manage", "billing"),
)  # fmt: skip
KEEPER = {"id": "m0", "email": "olga@example.com", "user": {"id": "olga", "email": "olga@example.com"}}


class Place(msgspec.Struct):
    """A place of some kind, and what Bob holds in it: nothing, roles, or an invitation to one."""

    kind: str
    features: tuple[str, ...]
    roles: frozenset[str]
    invited: str | None = None

    def answers(self) -> dict[str, Any]:
        """What the provider would answer of it."""
        bob = {"id": "m1", "email": BOB, "user": {"id": "bob", "email": BOB}}
        role = next(iter(self.roles), None)
        named = [{"name": name} for name in sorted(self.roles)]
        features = [{"name": name, "enabled": True} for name in self.features]
        if self.kind == "enterprise":
            members = [
                {**KEEPER, "permissions": [{"name": "manage"}]},
                *([{**bob, "permissions": named}] if named else []),
            ]
            return {"/enterprise-accounts/p": {"id": "p", "name": "p"}, "/enterprise-accounts/p/members": members}
        if self.kind == "app":
            shown = [{**bob, "role": "member", "permissions": [] if "collaborator" in self.roles else named}]
            return {
                "/apps/p": {"id": "p", "name": "p", "team": {"id": "t", "name": "t"}},
                "/teams/t/features": features,
                "/apps/p/collaborators": shown if named else [],
            }
        invitations = [{"id": "i", "role": self.invited, "user": {"email": BOB}}] if self.invited else []
        return {
            "/teams/p": {"id": "p", "name": "p", "type": "enterprise" if "enterprise" in self.features else "team"},
            "/teams/p/features": features,
            "/teams/p/members": [{**KEEPER, "role": "admin"}, *([{**bob, "role": role}] if role else [])],
            "/teams/p/invitations": invitations,
        }

    def obey(self, step: Step) -> "Place":
        """The place after a call, as the provider would carry it out."""
        body = dict(step.body or {})
        if "/invitations" in step.path:
            return msgspec.structs.replace(self, invited=body["role"] if step.method == "PUT" else None)
        given = [body["role"]] if "role" in body else body.get("permissions", ["collaborator"])
        return msgspec.structs.replace(
            self, roles=frozenset() if step.method == "DELETE" else frozenset(given), invited=None
        )


def subsets(roles: tuple[str, ...], least: int = 0) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(roles), min_size=least)


ones = st.sampled_from(TEAM_ROLES[:2]).map(lambda role: frozenset({role}))
teams = st.one_of(
    st.builds(Place, kind=st.just("team"), features=st.just(()), roles=ones | st.just(frozenset())),
    st.builds(
        Place,
        kind=st.just("team"),
        features=st.just(("team-invite-acceptance",)),
        roles=st.just(frozenset()),
        invited=st.sampled_from(["admin", "member", None]),
    ),
    st.builds(
        Place,
        kind=st.just("team"),
        features=st.just(("enterprise",)),
        roles=st.one_of(st.sampled_from(TEAM_ROLES).map(lambda role: frozenset({role})), st.just(frozenset())),
    ),
)
apps = st.one_of(
    st.builds(Place, kind=st.just("app"), features=st.just(("org-access-controls",)), roles=subsets(APP_ROLES)),
    st.builds(Place, kind=st.just("app"), features=st.just(()), roles=subsets(("collaborator",))),
)
enterprises = st.builds(Place, kind=st.just("enterprise"), features=st.just(()), roles=subsets(ENTERPRISE_ROLES))
places = st.one_of(teams, apps, enterprises)
VERBS = st.sampled_from(["give", "set", "take"])


def assignable(place: Place) -> tuple[str, ...]:
    if place.kind == "team":
        return TEAM_ROLES if "enterprise" in place.features else TEAM_ROLES[:2]
    if place.kind == "enterprise":
        return ENTERPRISE_ROLES
    return APP_ROLES if place.features else ("collaborator",)


def planned(place: Place, ask: Ask) -> Plan:
    case = WriteCase(name="made up", answers=place.answers(), ask=ask, allow_admin_grants=True)
    return asyncio.run(Planner().plan(desk_for(SHIPPED, case), ask))


def asked(place: Place, verb: Any, roles: tuple[str, ...]) -> Ask:
    change = Change(verb=verb, place=PlaceRef(kind=place.kind, id="p"), roles=roles)
    return Ask(kind="users.update", person=PersonRef(email=BOB), changes=(change,))


def wanted(place: Place, verb: str, roles: tuple[str, ...]) -> set[str]:
    """The same, said plainly."""
    now = set(place.roles) or ({place.invited} if place.invited else set())
    if verb == "take":
        return now - set(roles) if roles else set()
    return set(roles) if verb == "set" or place.kind == "team" else now | set(roles)


@given(place=places, verb=VERBS, data=st.data())
def test_the_calls_of_a_plan_lead_to_what_is_wanted(place: Place, verb: str, data: st.DataObject) -> None:
    most = 1 if place.kind == "team" else 4
    least = 0 if verb == "take" else 1
    roles = tuple(sorted(data.draw(st.frozensets(st.sampled_from(assignable(place)), min_size=least, max_size=most))))
    ask = asked(place, verb, roles)

    plan = planned(place, ask)
    after = place
    for step in plan.steps:
        after = after.obey(step)

    assert plan.refusals == ()
    assert (set(after.roles) or ({after.invited} if after.invited else set())) == wanted(place, verb, roles)
    assert len(plan.steps) <= 1
    assert bool(plan.steps) != bool(plan.already)
    assert planned(after, ask).steps == ()


@given(place=places, verb=VERBS)
def test_the_same_plan_has_the_same_etag_and_another_holding_another(place: Place, verb: str) -> None:
    role = assignable(place)[0]
    first, again = planned(place, asked(place, verb, (role,))), planned(place, asked(place, verb, (role,)))

    assert first.etag == again.etag
    if first.steps:
        after = place.obey(first.steps[0])
        assert planned(after, asked(place, verb, (role,))).etag != first.etag


@given(verbs=st.lists(VERBS, min_size=1, max_size=6), data=st.data())
def test_all_that_is_asked_of_a_place_is_one_wish(verbs: list[Any], data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.sampled_from("abc"), min_size=len(verbs), max_size=len(verbs)))
    kinds = {"a": "space", "b": "group", "c": "enterprise"}
    changes = [
        Change(verb=verb, place=PlaceRef(kind=kinds[id_], id=id_), roles=(f"r{n}",))
        for n, (verb, id_) in enumerate(zip(verbs, ids, strict=True))
    ]
    assert SHIPPED.writes is not None

    made = wishes(changes, SHIPPED.writes.places)

    assert [wish.place.id for wish in made] == [id_ for id_ in "cba" if id_ in ids]
    for wish in made:
        mine = [change for change in changes if change.place == wish.place]
        assert set(wish.roles) == {role for change in mine if change.verb == wish.verb for role in change.roles}
        assert set(wish.taken) == {role for change in mine if change.verb == "take" for role in change.roles}
