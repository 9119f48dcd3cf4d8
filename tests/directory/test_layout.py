"""Units of places that no list names any more."""

from typing import Any

import pytest

from adapter.directory.layout import Declared, Unrelated
from adapter.directory.state import State
from adapter.errors import RemoteForbidden
from tests.directory.fakes import SHIPPED

LAYOUT = Declared(SHIPPED)
FORBIDDEN = RemoteForbidden(403, "no")


def states(**lists: Any) -> dict[str, State]:
    """By path: the ids listed there, or the error that stands in their place. A double underscore is a slash."""
    made = {}
    for words, ids in lists.items():
        path = "/" + words.replace("__", "/").replace("_", "-")
        error = ids if isinstance(ids, RemoteForbidden) else None
        records = None if error else [{"id": one} for one in ids]
        made[path] = State(path, records, fetched_at=1.0, cost=1, error=error)
    return made


@pytest.mark.parametrize(
    ("path", "before", "now", "lost"),
    [
        ("teams", ["t1", "t2"], ["t1"], True),
        ("teams", ["t1"], ["t1", "t2"], False),
        ("teams", ["t1"], ["t2"], True),
        ("apps", ["a1"], [], True),
        ("enterprise_accounts__e1__teams", ["t1"], [], True),
        ("teams__t1__members", ["m1"], [], False),
        ("account", ["me"], [], False),
        ("teams", ["t1"], FORBIDDEN, False),
        ("teams", FORBIDDEN, ["t1"], True),
    ],
)
def test_places_are_lost_where_a_list_of_places_shows_fewer(path: str, before: Any, now: Any, lost: bool) -> None:
    (older,), (newer,) = (states(**{path: ids}).values() for ids in (before, now))

    assert LAYOUT.has_lost(older, newer) is lost


def test_a_list_that_reads_the_same_has_lost_nothing() -> None:
    (older,), (newer,) = (states(teams=["t1"]).values() for _ in range(2))
    newer.succeed(older)

    assert not LAYOUT.has_lost(older, newer)


def test_what_is_listed_anywhere_stays() -> None:
    there = states(
        teams=["t1"], apps=["a1"], enterprise_accounts=["e1"], enterprise_accounts__e1__teams=["t2"],
        teams__t1__members=["m1"], teams__t2__members=["m2"], teams__t2__apps=["a2"], apps__a1__collaborators=["c1"],
        apps__a2__collaborators=["c2"], account=["me"],
    )  # fmt: skip

    assert LAYOUT.orphans(there) == []


def test_what_is_gone_takes_along_whatever_only_it_lists() -> None:
    there = states(
        teams=["t1"], enterprise_accounts=[], enterprise_accounts__e1__teams=["t2"],
        enterprise_accounts__e1__members=[], teams__t2__apps=["a2"], apps__a2__collaborators=["c2"],
        teams__t1__members=["m1"],
    )  # fmt: skip

    assert LAYOUT.orphans(there) == [
        "/apps/a2/collaborators", "/enterprise-accounts/e1/members", "/enterprise-accounts/e1/teams", "/teams/t2/apps",
    ]  # fmt: skip


def test_a_place_s_own_record_does_not_keep_it() -> None:
    there = states(teams=["t1"], teams__t1=["t1"], teams__t2=["t2"], teams__t2__members=["m2"])

    assert LAYOUT.orphans(there) == ["/teams/t2", "/teams/t2/members"]


def test_while_a_list_at_the_root_can_not_be_read_nothing_is_gone() -> None:
    assert LAYOUT.orphans(states(teams=FORBIDDEN, teams__t1__members=["m1"])) == []
    assert LAYOUT.orphans(states(teams=[], apps=FORBIDDEN, teams__t1__members=["m1"])) == []


def test_a_closed_list_below_the_root_keeps_nothing_there() -> None:
    there = states(teams=[], enterprise_accounts=["e1"], enterprise_accounts__e1__teams=FORBIDDEN, teams__t2__apps=[])

    assert LAYOUT.orphans(there) == ["/teams/t2/apps"]


def test_where_nothing_is_declared_nothing_is_gone() -> None:
    assert Unrelated().orphans(states(teams=[], teams__t1__members=[])) == []
    (older,), (newer,) = (states(teams=ids).values() for ids in (["t1"], []))
    assert not Unrelated().has_lost(older, newer)
