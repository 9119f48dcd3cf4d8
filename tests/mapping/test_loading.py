"""What is refused at start, and where the refusal points; and how overrides are laid over the shipped files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.declarations import bundled_dir, overlay
from adapter.errors import DeclarationError
from adapter.mapping.loading import load_model
from tests.mapping.bad_files import BAD, Files, P, U, good, written

SHIPPED = bundled_dir() / "heroku"


def test_the_files_that_are_spoilt_below_are_good(tmp_path: Path) -> None:
    model = load_model([written(good(), tmp_path / "m")])

    assert set(model.resources) == {"people"}


@pytest.mark.parametrize(
    ("spoil", "file", "path", "found", "known"), [pytest.param(*row[1:], id=row[0]) for row in BAD]
)
def test_a_bad_file_is_refused_with_what_is_wrong_and_where(
    tmp_path: Path, spoil: Callable[[Files], None], file: str, path: str, found: str, known: list[str] | None
) -> None:
    files = good()
    spoil(files)

    with pytest.raises(DeclarationError) as refused:
        load_model([written(files, tmp_path / "m")])

    error = refused.value
    assert error.file == str(tmp_path / "m" / file)
    assert error.path == path
    assert found in error.found
    if known is not None:
        assert list(error.known) == known
    assert str(error).startswith(f"{error.file}: {path or 'the file'}: ")


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len({row[0] for row in BAD}) == len(BAD) >= 40


def test_an_unknown_word_is_told_with_all_known_ones(tmp_path: Path) -> None:
    files = good()
    files[P]["colour"] = "red"

    with pytest.raises(DeclarationError) as refused:
        load_model([written(files, tmp_path / "m")])

    known = "resource description key methods id_pattern id_form get_place time anonymous fields records sources from"
    assert " ".join(refused.value.known) == f"{known} inherited filters search sort"
    assert str(refused.value).endswith("known here: " + ", ".join(refused.value.known))


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="is not a directory of mapping files"):
        load_model([SHIPPED, tmp_path / "nowhere"])


def test_a_file_that_can_not_be_opened_is_refused(tmp_path: Path) -> None:
    directory = written(good(), tmp_path / "m")
    (directory / "groups.yaml").mkdir()

    with pytest.raises(DeclarationError, match=r"groups.yaml: the file: can't be read \(Is a directory\)"):
        load_model([directory])


# --- overrides


def test_an_override_replaces_the_fields_that_it_names_and_leaves_the_others(tmp_path: Path) -> None:
    over = {"fields": {"name": {"description": "What they are called"}}, "sort": ["name", "id"]}

    model = load_model([SHIPPED, written({"groups.yaml": over}, tmp_path / "over")])

    shipped = load_model([SHIPPED])
    groups, before = model.resources["groups"], shipped.resources["groups"]
    assert groups.fields["name"].description == "What they are called"
    assert groups.fields["name"].type == before.fields["name"].type
    assert list(groups.fields) == list(before.fields)
    assert groups.sort == ("name", "id")
    assert groups.search == before.search


def test_an_override_may_add_a_field_a_unit_and_a_resource(tmp_path: Path) -> None:
    over: Files = {
        "units.yaml": {"units": {"keys": {"get": "/account/keys"}}},
        "keys.yaml": {
            "resource": "keys", "key": "id", "fields": {"id": {"type": "string"}},
            "sources": [{"unit": ["keys"], "fields": {"id": "id"}}],
        },
    }  # fmt: skip

    model = load_model([SHIPPED, written(over, tmp_path / "over")])

    assert model.units_of(model.resources["keys"]) == ("keys",)
    assert "users" in model.resources


def test_a_fault_that_an_override_brings_names_the_override(tmp_path: Path) -> None:
    over = written({"users.yaml": {"sort": ["shoe_size"]}}, tmp_path / "over")

    with pytest.raises(DeclarationError) as refused:
        load_model([SHIPPED, over])

    assert refused.value.file == str(over / "users.yaml")
    assert (refused.value.path, refused.value.found) == ("sort[0]", "unknown field `shoe_size`")


def test_an_override_of_the_units_alone_can_break_a_resource_of_the_base(tmp_path: Path) -> None:
    base = written(good(), tmp_path / "base")
    over = written({U: {"units": {"permissions": {"get": "/x/{space.id}"}}}}, tmp_path / "over")

    with pytest.raises(DeclarationError) as refused:
        load_model([base, over])

    assert refused.value.file == str(over / U)


def test_an_override_without_the_shipped_files_beneath_it_lacks_its_units(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "users.yaml", tmp_path)

    with pytest.raises(DeclarationError, match=r"units.yaml: the file: is missing"):
        load_model([tmp_path])


def test_the_provider_and_the_cases_are_no_resources(tmp_path: Path) -> None:
    files = good() | {"provider.yaml": {"anything": 1}, "people.cases.yaml": {"anything": 1}}

    assert set(load_model([written(files, tmp_path / "m")]).resources) == {"people"}


leaf = st.none() | st.integers(0, 3)
below = st.recursive(leaf, lambda w: st.dictionaries(st.sampled_from("abc"), w) | st.lists(w, max_size=2), max_leaves=6)
words = st.dictionaries(st.sampled_from("abc"), below, max_size=3)


@given(words)
def test_laying_nothing_over_changes_nothing_and_laying_over_nothing_gives_the_override(some: dict[str, Any]) -> None:
    assert overlay(some, {}) == some
    assert overlay({}, some) == some
    assert overlay(some, some) == some


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Everything that is no mapping with something in it, by path."""
    if isinstance(value, dict) and value:
        return {at: leaf for key, below in value.items() for at, leaf in leaves(below, (*path, key)).items()}
    return {path: value}


@given(words, words)
def test_every_word_of_the_override_stands_and_every_other_is_kept(base: dict[str, Any], over: dict[str, Any]) -> None:
    laid = leaves(overlay(base, over))
    said = {at: leaf for at, leaf in leaves(over).items() if leaf != {}}

    assert {at: laid[at] for at in said} == said
    for at, leaf in leaves(base).items():
        if not any(at[: len(other)] == other[: len(at)] for other in leaves(over)):
            assert laid[at] == leaf


def test_a_path_keeps_whatever_the_provider_calls_an_id_in_one_segment() -> None:
    unit = load_model([SHIPPED]).units["team_members"]

    assert unit.path({"team": {"id": "t1"}}) == "/teams/t1/members"
    assert unit.path({"team": {"id": "../a b?c"}}) == "/teams/..%2Fa%20b%3Fc/members"
