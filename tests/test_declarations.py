"""YAML into typed data, or a refusal that leads to the fault."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter import declarations
from adapter.declarations import bundled_dir, decode, parse_yaml, read_yaml
from adapter.errors import DeclarationError

Word = Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]
Colour = Literal["red", "green"]


class Leaf(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    as_: int | None = msgspec.field(name="as", default=None)
    colour: Colour = "red"


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    leaf: Leaf | None = None
    leaves: list[Leaf] = []
    by_name: dict[Word, Leaf] = {}
    lists: dict[str, list[Leaf]] = {}
    by_colour: dict[Colour, str] = {}
    colours: Annotated[list[Colour], msgspec.Meta(max_length=2)] = []


LEAF = ("name", "as", "colour")


@pytest.mark.parametrize(
    ("data", "path", "found", "known"),
    [
        ({"leav": 1}, "", "unknown word `leav`", ("leaf", "leaves", "by_name", "lists", "by_colour", "colours")),
        ({"leaf": {"nam": 1}}, "leaf", "unknown word `nam`", LEAF),
        ({"leaf": {"as_": 1}}, "leaf", "unknown word `as_`", LEAF),
        ({"leaf": {}}, "leaf", "Object missing required field `name`", ()),
        ({"leaf": {"name": 1}}, "leaf.name", "Expected `str`, got `int`", ()),
        ({"leaf": {"name": "a", "as": "x"}}, "leaf.as", "Expected `int | null`, got `str`", ()),
        ({"leaf": {"name": "a", "colour": "blue"}}, "leaf.colour", "unknown word `blue`", ("red", "green")),
        ({"leaves": [{"name": "a"}, {"nam": 1}]}, "leaves[1]", "unknown word `nam`", LEAF),
        ({"leaves": [{"name": "a"}, {"name": 2}]}, "leaves[1].name", "Expected `str`, got `int`", ()),
        ({"leaves": {}}, "leaves", "Expected `array`, got `object`", ()),
        ({"by_name": {"a": {"name": "x"}, "b": {"nam": 1}}}, "by_name.b", "unknown word `nam`", LEAF),
        ({"by_name": {"a": {"name": "x"}, "B": {"name": "y"}}}, "by_name.B",
         "Expected `str` matching regex '^[a-z]+$'", ()),
        ({"lists": {"a": [], "b": [{"name": "x"}, {"name": None}]}}, "lists.b[1].name",
         "Expected `str`, got `null`", ()),
        ({"by_colour": {"red": "a", "blue": "b"}}, "by_colour.blue", "unknown word `blue`", ("red", "green")),
        ({"by_colour": {"red": 1}}, "by_colour.red", "Expected `str`, got `int`", ()),
        ({"colours": ["red", "blue"]}, "colours[1]", "unknown word `blue`", ("red", "green")),
        ({"colours": ["red", "red", "red"]}, "colours", "Expected `array` of length <= 2", ()),
        ([], "", "Expected `object`, got `array`", ()),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_path_and_the_known_words(
    data: Any, path: str, found: str, known: tuple[str, ...]
) -> None:
    with pytest.raises(DeclarationError) as refused:
        decode(data, Tree, "tree.yaml")

    error = refused.value
    assert (error.file, error.path, error.found, error.known) == ("tree.yaml", path, found, known)


def test_a_part_of_a_file_is_told_with_where_it_stands() -> None:
    with pytest.raises(DeclarationError) as refused:
        decode({"leaves": [{}]}, Tree, "tree.yaml", "garden.tree")

    assert refused.value.path == "garden.tree.leaves[0]"


def test_good_data_is_decoded() -> None:
    tree = decode({"leaf": {"name": "a", "as": 1}, "by_name": {"b": {"name": "c", "colour": "green"}}}, Tree, "x")

    assert tree == Tree(leaf=Leaf(name="a", as_=1), by_name={"b": Leaf(name="c", colour="green")})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Tree.__struct_fields__, "name", "as", "colour", "red", "B", ""]), v, max_size=4
        )
    ),
    max_leaves=8,
)


@given(json)
def test_whatever_a_file_says_is_decoded_or_refused(data: Any) -> None:
    try:
        tree = decode(data, Tree, "tree.yaml")
    except DeclarationError as error:
        assert error.file == "tree.yaml"  # noqa: PT017  # either outcome is right; a refusal names its file
    else:
        assert isinstance(tree, Tree)


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_whatever_bytes_a_file_holds_it_is_a_mapping_or_refused(raw: bytes | str) -> None:
    try:
        data = parse_yaml(raw, "tree.yaml")
    except DeclarationError as error:
        assert error.file == "tree.yaml"  # noqa: PT017  # likewise
    else:
        assert all(isinstance(key, str) for key in data)


@pytest.mark.parametrize(
    ("raw", "path", "found"),
    [
        ("a: 1\nb: [", "line 2", "is not YAML"),
        ("a: 1\na: 2", "line 2", "`a` stands twice"),
        ("x:\n  a: 1\n  a: 2", "line 3", "`a` stands twice"),
        ("yes: 1", "line 1", "the key True is not text"),
        ("1: 1", "line 1", "the key 1 is not text"),
        ("? [a]\n: 1", "line 1", "is not text"),
        ("base: &b {a: 1}\nother:\n  <<: *b", "line 3", "is not YAML"),
        ("a: !!python/name:os.system", "line 1", "could not determine a constructor"),
        ("a: *nobody", "line 1", "found undefined alias"),
        ("", "", "holds nothing"),
        ("[]", "", "holds a list"),
        ("text", "", "holds text"),
        ("7", "", "holds a int"),
        ("a: 2024-99-99", "", "is not YAML"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_refused_with_its_line(raw: str, path: str, found: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        parse_yaml(raw, "tree.yaml")

    assert refused.value.path == path
    assert found in refused.value.found
    assert "\n" not in str(refused.value)


def test_a_file_is_read_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: é\n", encoding="utf-8")

    assert read_yaml(tmp_path / "a.yaml") == {"a": "é"}
    with pytest.raises(DeclarationError, match=r"b.yaml: the file: can't be read \(No such file or directory\)"):
        read_yaml(tmp_path / "b.yaml")


def test_the_shipped_files_are_found_in_a_checkout_and_inside_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (bundled_dir() / "heroku" / "units.yaml").is_file()
    (tmp_path / "adapter" / "mappings").mkdir(parents=True)
    monkeypatch.setattr(declarations, "__file__", str(tmp_path / "adapter" / "declarations.py"))
    assert bundled_dir() == tmp_path / "adapter" / "mappings"
