"""The cases beside the shipped mapping files, each a test of its own; and what the runner says of a case that fails."""

from pathlib import Path

import pytest

from adapter.declarations import bundled_dir
from adapter.errors import DeclarationError
from adapter.mapping.cases import SUFFIX, Case, CaseUnit, case_files, load_cases, run_case
from adapter.mapping.loading import load_model
from adapter.mapping.model import GRAPH, Model

DIRECTORY = bundled_dir() / "heroku"
CASES = [
    pytest.param(resource, case, path, id=f"{resource}: {case.name}")
    for resource, path in case_files([DIRECTORY])
    for case in load_cases(path)
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model([DIRECTORY])


@pytest.mark.parametrize(("resource", "case", "path"), CASES)
def test_the_mapping_gives_what_its_case_says(model: Model, resource: str, case: Case, path: Path) -> None:
    assert run_case(model, resource, case, str(path)) == []


def test_every_resource_has_cases_and_every_cases_file_a_resource(model: Model) -> None:
    assert {resource for resource, _ in case_files([DIRECTORY])} == {*model.resources, GRAPH}


def test_no_two_cases_of_a_file_have_the_same_name() -> None:
    for _, path in case_files([DIRECTORY]):
        names = [case.name for case in load_cases(path)]

        assert len(names) == len(set(names))


TEAM = CaseUnit(
    unit="teams", records=[{"id": "t1", "name": "acme", "type": "team"}, {"id": "t2", "name": "bolt", "type": "team"}]
)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param(
            Case(name="a", units=[TEAM], gives=[{"id": "t1"}]),
            ["records: expected ['t1'], found ['t1', 't2']"],
            id="a record too many",
        ),
        pytest.param(
            Case(name="a", units=[TEAM], gives=[{"id": "t1", "name": "other"}, {"id": "t2", "status": "active"}]),
            ["t1.name: expected 'other', found 'acme'"],
            id="another value",
        ),
        pytest.param(
            Case(name="a", units=[TEAM], gives=[{"id": "t1", "remote_data": {}}, {"id": "t2"}]),
            ["t1.remote_data: expected {}, found {'teams': [{'id': 't1', 'name': 'acme', 'type': 'team'}]}"],
            id="other origins",
        ),
        pytest.param(
            Case(name="a", units=[CaseUnit(unit="teams", records=["x"])], gives=[]),
            ["faults: expected 0, found ['a record is str, not an object']"],
            id="a fault that was not expected",
        ),
    ],
)
def test_a_case_that_does_not_hold_says_what_differs(model: Model, case: Case, expected: list[str]) -> None:
    assert run_case(model, "groups", case, "groups.cases.yaml") == expected


def test_a_case_of_an_unknown_resource_is_refused_with_the_known_ones(model: Model) -> None:
    with pytest.raises(DeclarationError) as refused:
        run_case(model, "grops", Case(name="a", gives=[]), "grops.cases.yaml")

    assert refused.value.known == tuple(sorted(model.resources))


def test_a_case_with_a_unit_that_the_resource_does_not_read_is_refused(model: Model) -> None:
    case = Case(name="a", units=[CaseUnit(unit="spaces", records=[])], gives=[])

    with pytest.raises(DeclarationError) as refused:
        run_case(model, "groups", case, "groups.cases.yaml")

    assert refused.value.path == "a: units[0].unit"
    assert refused.value.known == ("enterprise_teams", "team_members", "teams")


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        pytest.param("cases: []", "cases", "Expected `array` of length >= 1", id="no case"),
        pytest.param("cases: [{name: a}]", "cases[0]", "Object missing required field `gives`", id="nothing expected"),
        pytest.param("cases: [{name: a, given: []}]", "cases[0]", "unknown word `given`", id="unknown word"),
    ],
)
def test_a_cases_file_that_can_not_be_read_is_refused(tmp_path: Path, text: str, path: str, found: str) -> None:
    file = tmp_path / f"users{SUFFIX}"
    file.write_text(text)

    with pytest.raises(DeclarationError) as refused:
        load_cases(file)

    assert (refused.value.file, refused.value.path, refused.value.found) == (str(file), path, found)
