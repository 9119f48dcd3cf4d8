"""A unit's state goes on from the one before where nothing changed."""

from typing import Any

import pytest

from adapter.directory.state import State
from tests.directory.fakes import forbidden


def state(records: list[Any] | None, at: float, **fields: Any) -> State:
    return State("/teams", records, fetched_at=at, cost=1, **fields)


def test_the_first_state_stands_for_itself() -> None:
    first = state([{"id": 1}], 1.0)
    version = first.version
    first.succeed(None)

    assert (first.version, first.changed_at, first.shaped) == (version, 1.0, {})


def test_equal_records_go_on_as_the_older_ones() -> None:
    older, newer = state([{"id": 1}], 1.0), state([{"id": 1}], 2.0, etag='"b"')
    newer.succeed(older)

    assert newer.records is older.records
    assert newer.shaped is older.shaped
    assert (newer.version, newer.changed_at, newer.fetched_at, newer.etag) == (older.version, 1.0, 2.0, '"b"')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (state([{"id": 1}], 1.0), state([{"id": 2}], 2.0)),
        (state([{"id": 1}, {"id": 2}], 1.0), state([{"id": 2}, {"id": 1}], 2.0)),
        (state([], 1.0), state(None, 2.0, error=forbidden())),
        (state(None, 1.0, error=forbidden()), state([], 2.0)),
        (state(None, 1.0, error=forbidden()), state(None, 2.0, error=forbidden())),
    ],
    ids=["others", "order", "refused", "granted", "refused again"],
)
def test_anything_else_is_a_change(before: State, after: State) -> None:
    version = after.version
    after.succeed(before)

    assert (after.version, after.changed_at) == (version, 2.0)
    assert after.version != before.version
    assert after.shaped is not before.shaped


def test_a_proof_goes_on_until_there_is_another() -> None:
    older, newer, proved = state([], 1.0), state([{"id": 1}], 2.0), state([], 3.0)
    older.proof, proved.proof = (7, True), (8, False)
    newer.succeed(older)
    proved.succeed(newer)

    assert newer.proof == (7, True)
    assert proved.proof == (8, False)


def test_staleness_is_not_handed_on() -> None:
    older, newer = state([], 1.0), state([], 2.0)
    older.stale = True
    newer.succeed(older)

    assert newer.stale is False
