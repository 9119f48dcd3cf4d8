"""The cases beside the shipped `writes.yaml`, each a test of its own; and what is said of a case that does not hold."""

import re

import msgspec
import pytest

from adapter.declarations import bundled_dir
from adapter.directory.writing.cases import Expected, WriteCase, load_write_cases, run_write_case
from adapter.mapping.cases import write_case_files
from adapter.mapping.units import HOLE
from adapter.mapping.writes import Call
from tests.directory.fakes import SHIPPED

CASES = [case for path in write_case_files([bundled_dir() / "heroku"]) for case in load_write_cases(path)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_shipped_writes_give_what_their_case_says(case: WriteCase) -> None:
    assert run_write_case(SHIPPED, case) == []


def test_no_two_cases_have_the_same_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def declared() -> list[tuple[str, Call]]:
    writes = SHIPPED.writes
    assert writes is not None
    assert writes.groups is not None
    placed = [(f"{kind.name}.{call.name}", call) for kind in writes.places.values() for call in kind.calls]
    return placed + [(f"groups.{name}", call) for name, call in writes.groups.calls.items()]


def makes(expected: Expected, call: Call) -> bool:
    path = HOLE.sub("[^/]+", call.path)
    return (expected.method, set(expected.body or ())) == (call.method, set(call.body)) and bool(
        re.fullmatch(path, expected.path)
    )


@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in declared()])
def test_every_declared_call_is_made_in_some_case(call: Call) -> None:
    assert any(makes(expected, call) for case in CASES for expected in case.gives)


def test_a_case_that_does_not_hold_is_told_word_by_word() -> None:
    case = next(case for case in CASES if case.name == "a personal app takes collaborators")
    other = msgspec.structs.replace(case, gives=[Expected(method="PUT", path="/x")], refused=["last_admin"])

    calls, refused = run_write_case(SHIPPED, other)

    assert calls.startswith("calls: expected [{'method': 'PUT', 'path': '/x'")
    assert refused == "refused: expected ['last_admin'], found []"
