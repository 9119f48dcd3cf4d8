"""Which units a write makes stale, told from its path: too much rather than too little."""

import pytest

from adapter.directory.state import State
from adapter.directory.touch import touched_by
from tests.directory.fakes import SHIPPED, app, team

UNITS: dict[str, list[dict[str, object]]] = {
    "/account": [{"id": "me"}],
    "/teams": [team("t1", "enterprise", "e1"), team("t2")],
    "/enterprise-accounts": [{"id": "e1", "name": "name-e1"}],
    "/apps": [app("a1", "t1"), app("p1")],
    "/spaces": [{"id": "s1", "name": "name-s1", "team": {"id": "t1", "name": "name-t1"}}],
    "/enterprise-accounts/e1/teams": [team("t1", "enterprise", "e1"), team("t9", "enterprise", "e1")],
    "/enterprise-accounts/e1/members": [{"id": "x", "user": {"id": "u1"}}],
    "/teams/t1/members": [{"id": "m1", "user": {"id": "u1"}}],
    "/teams/t1/permissions": [{"id": "a1"}],
    "/teams/t1/apps": [app("a1", "t1"), app("a2", "t1")],
    "/teams/t2/members": [],
    "/teams/t2/invitations": [],
    "/teams/t9/members": [],
    "/apps/a1/collaborators": [],
    "/apps/a2/collaborators": [],
    "/apps/p1/collaborators": [],
    "/spaces/s1/members": [],
}
STATES = {path: State(path, records, fetched_at=0.0, cost=1) for path, records in UNITS.items()}
ROOTS = {"/account", "/teams", "/enterprise-accounts", "/apps", "/spaces"}
T1 = {"/teams/t1/members", "/teams/t1/permissions", "/teams/t1/apps"}
E1 = {"/enterprise-accounts/e1/teams", "/enterprise-accounts/e1/members"}
OF_T1 = {"/apps/a1/collaborators", "/apps/a2/collaborators", "/spaces/s1/members"}
EVERYTHING = set(UNITS)


def touched(path: str) -> set[str]:
    return set(filter(touched_by(SHIPPED, STATES, path), STATES))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/teams/t2/members", {"/teams/t2/members", "/teams/t2/invitations"}),
        ("/teams/name-t2/members", {"/teams/t2/members", "/teams/t2/invitations"}),
        ("/teams/t2/members/u1%40example.com", {"/teams/t2/members", "/teams/t2/invitations"}),
        ("/teams/name%2Dt2/invitations", {"/teams/t2/members", "/teams/t2/invitations"}),
        ("/teams/t1/members/m1", T1 | E1 | OF_T1),
        ("/apps/p1/collaborators/x@example.com", {"/apps/p1/collaborators"}),
        ("/apps/name-p1", {"/apps/p1/collaborators"}),
        ("/apps/a1/collaborators", T1 | {"/apps/a1/collaborators"}),
        ("/teams/apps/name-a1/collaborators/x@example.com", T1 | {"/apps/a1/collaborators"}),
        ("/teams/apps/a2", T1 | {"/apps/a2/collaborators"}),
        ("/spaces/name-s1/members/x@example.com", T1 | {"/spaces/s1/members"}),
        ("/enterprise-accounts/e1/members", T1 | E1 | OF_T1 | {"/teams/t9/members"}),
        ("/teams", EVERYTHING),
        ("/apps", EVERYTHING),
        ("/account", EVERYTHING),
        ("/", EVERYTHING),
        ("", EVERYTHING),
        ("/teams/somebody-else/members", EVERYTHING),
        ("/account/app-transfers/x", EVERYTHING),
    ],
)
def test_a_write_touches_its_place_what_that_hangs_on_and_what_hangs_on_it(path: str, expected: set[str]) -> None:
    assert touched(path) == expected | ROOTS


def test_a_team_that_is_named_like_anothers_id_touches_both() -> None:
    states = {
        "/teams": State("/teams", [team("t1"), {"id": "t2", "name": "t1"}], fetched_at=0.0, cost=1),
        "/teams/t1/members": State("/teams/t1/members", [], fetched_at=0.0, cost=1),
        "/teams/t2/members": State("/teams/t2/members", [], fetched_at=0.0, cost=1),
    }

    assert set(filter(touched_by(SHIPPED, states, "/teams/t1/members"), states)) == set(states)


def test_a_list_that_could_not_be_read_and_records_that_are_none_are_passed_over() -> None:
    states = {
        "/teams": State("/teams", None, fetched_at=0.0, cost=1),
        "/apps": State("/apps", ["nonsense", {"name": "x"}, app("p1")], fetched_at=0.0, cost=1),
        "/apps/p1/collaborators": State("/apps/p1/collaborators", [], fetched_at=0.0, cost=1),
    }

    assert set(filter(touched_by(SHIPPED, states, "/apps/p1"), states)) == set(states)
