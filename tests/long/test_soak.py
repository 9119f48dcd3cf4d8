"""The short form of `python -m tests.long soak`, and whether its judges judge."""

from pathlib import Path
from typing import Any

import pytest

from tests.long.soak import MB, Rest, growth, soak, table
from tests.long.soaking.watched import Inside, Outside
from tests.long.soaking.weather import OAUTH, Failure, Window


def test_an_adapter_under_everything_at_once_loses_nothing_and_holds_no_more(
    empty_database_url: str, tmp_path: Path
) -> None:
    found = soak(6.0, 7, empty_database_url, tmp_path, lambda _: None, rounds=2, calm=(0.2, 0.6), still=2.5)

    assert not found.broken, "\n".join([*found.broken, *table(found)])
    assert found.calm_share > 0.2, "hardly an error would have been unexplained"
    assert found.answered.total() > 100
    assert {"page", "proxy", "custom"} <= set(found.answered)


def a_rest(
    *, memory: int = 100, tasks: int = 5, heroku: int = 30, backends: int = 6, locks: int = 0, tokens: int = 1
) -> Rest:
    return Rest(
        inside=Inside(
            resident=200 * MB, resident_trimmed=memory * MB, kept_pages=0, objects=1, tasks={"work": tasks}, threads=3
        ),
        outside=Outside(heroku=heroku, callers=0, unix=6, files=4, others=12),
        rows={"place_locks": locks, "units": 100, "tokens": tokens},
        backends=backends,
    )


@pytest.mark.parametrize(
    ("after", "grown"),
    [
        ({}, []),
        ({"memory": 110, "tokens": 50}, []),
        ({"memory": 130}, ["bytes resident"]),
        ({"tasks": 12}, ["tasks"]),
        ({"heroku": 60, "backends": 20}, ["open files", "connections of the database"]),
        ({"locks": 1}, ["rows of place_locks"]),
    ],
)
def test_what_is_held_at_the_end_is_compared_with_what_was_held_at_first(
    after: dict[str, int], grown: list[str]
) -> None:
    assert [told.partition(" grew")[0] for told in growth(a_rest(), a_rest(**after))] == grown


A_WINDOW: dict[str, Any] = {"kind": "status", "fault": {"match": {"method": "DELETE"}}, "began": 10.0, "ended": 12.0}
A_FAILURE: dict[str, Any] = {
    "what": "a write", "code": "remote_error", "began": 11.0, "ended": 11.5, "methods": frozenset({"GET", "DELETE"}),
    "refreshes": False, "told": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("window", "failure", "explained"),
    [
        ({}, {}, True),
        ({}, {"began": 15.0, "ended": 15.5}, True),
        ({}, {"began": 17.0, "ended": 17.5}, False),
        ({}, {"began": 8.0, "ended": 9.5}, False),
        ({}, {"code": "upstream_timeout"}, False),
        ({}, {"code": "internal_error"}, False),
        ({}, {"methods": frozenset({"GET"})}, False),
        ({"fault": {"match": {"path": OAUTH}}}, {}, False),
        ({"fault": {"match": {"path": OAUTH}}, "struck_refresh": True}, {"refreshes": True, "began": 25.0}, True),
        ({"fault": {"match": {"path": OAUTH}}}, {"refreshes": True}, False),
    ],
)
def test_a_failure_is_explained_only_by_a_fault_that_was_live_and_can_have_done_it(
    window: dict[str, Any], failure: dict[str, Any], explained: bool
) -> None:
    one = Failure(**{**A_FAILURE, **failure, "ended": max(failure.get("began", 0), failure.get("ended", 11.5))})
    assert Window(**A_WINDOW | window).explains(one) is explained


@pytest.mark.parametrize(("logged", "struck"), [(8.0, False), (9.5, True), (11.0, True), (14.9, True), (16.5, False)])
def test_a_slow_request_belongs_to_the_fault_that_was_live_as_it_began(logged: float, struck: bool) -> None:
    assert Window(**A_WINDOW).may_have_struck(logged) is struck
