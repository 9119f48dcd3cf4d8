"""The tree in the docstring is the tree in the code, and every error explains itself once."""

import inspect
import re

import pytest

from adapter import errors
from adapter.errors import AdapterError, DeclarationError, InvalidCredential, NotFound, RemoteError, StartupError

CLASSES = [
    found for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, AdapterError) and found.__module__ == errors.__name__
]  # fmt: skip
LINE = re.compile(r"^    (?P<bars>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<rest>.+)$")


def drawn() -> dict[str, tuple[str | None, str]]:
    """Class name -> its parent as drawn, and what stands beside it."""
    found: dict[str, tuple[str | None, str]] = {}
    path: list[str] = []
    for match in filter(None, map(LINE.match, (errors.__doc__ or "").splitlines())):
        depth = len(match["bars"]) // 4
        path = [*path[:depth], match["name"]]
        found[match["name"]] = (path[depth - 1] if depth else None, match["rest"])
    return found


def made(kind: type[AdapterError]) -> AdapterError:
    if issubclass(kind, DeclarationError):
        return kind("users.yaml", "key", "is missing")
    return kind(418) if issubclass(kind, RemoteError) else kind()


def test_every_error_is_drawn_below_the_one_that_it_is_a_kind_of() -> None:
    assert {name: parent for name, (parent, _) in drawn().items()} == {
        kind.__name__: None if kind is AdapterError else kind.__mro__[1].__name__ for kind in CLASSES
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_has_the_status_and_code_that_are_drawn(kind: type[AdapterError]) -> None:
    beside = drawn()[kind.__name__][1]
    if issubclass(kind, StartupError):
        assert not beside[0].isdigit(), "a refusal to start has no status"
    elif kind is RemoteError:
        assert beside == f"the provider's own status, {kind.code}"
    elif issubclass(kind, RemoteError):
        assert re.fullmatch(rf"\d{{3}} {kind.code}", beside)
    else:
        assert beside == f"{kind.status} {kind.code}"


def test_no_two_errors_have_one_code() -> None:
    codes = [kind.code for kind in CLASSES]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z][a-z_]+", code) for code in codes)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_errors_docstring_is_its_message(kind: type[AdapterError]) -> None:
    doc = " ".join((kind.__doc__ or "").split())

    assert re.fullmatch(r"[A-Z].*\.", doc)
    if kind is not DeclarationError:
        assert made(kind).message == str(made(kind)) == doc


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_without_more_to_say_says_no_more(kind: type[AdapterError]) -> None:
    error = made(kind)

    assert (error.details, error.headers) == ([], {})
    if issubclass(kind, RemoteError | InvalidCredential):
        assert error.extra() == {"truto_is_remote_error": True, "raw_response": None}
    else:
        assert error.extra() == {}


def test_a_message_details_and_headers_of_ones_own_stand_instead() -> None:
    error = NotFound("No such thing.", details=[{"where": "path"}], headers={"X-A": "b"})

    assert (error.message, error.details, error.headers) == ("No such thing.", [{"where": "path"}], {"X-A": "b"})


def test_an_error_of_the_provider_keeps_its_status_words_and_advice() -> None:
    error = RemoteError(
        409, remote_id="conflict", raw={"id": "conflict"}, insight={"rate_limit_error": {}}, headers={"a": "b"}
    )

    assert (error.status, error.remote_id, error.headers) == (409, "conflict", {"a": "b"})
    assert error.extra() == {
        "truto_is_remote_error": True, "raw_response": {"id": "conflict"},
        "truto_error_insight": {"rate_limit_error": {}},
    }  # fmt: skip


def test_a_refused_file_names_file_path_fault_and_the_known_words() -> None:
    error = DeclarationError("users.yaml", "sources[0]", "unknown word `x`", ["a", "b"])

    assert str(error) == "users.yaml: sources[0]: unknown word `x`; known here: a, b"
    assert str(DeclarationError("users.yaml", "", "is empty")) == "users.yaml: the file: is empty"
    assert error.known == ("a", "b")


def caught(error: AdapterError) -> AdapterError:
    """The error after a raise: with the frames that it came through."""
    try:
        raise error
    except AdapterError as raised:
        return raised


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_fresh_error_says_the_same_and_nothing_of_where_the_kept_one_was_raised(kind: type[AdapterError]) -> None:
    kept = caught(made(kind))

    fresh = kept.fresh()

    assert type(fresh) is kind
    assert (str(fresh), fresh.args, vars(fresh)) == (str(kept), kept.args, vars(kept))
    assert kept.__traceback__ is not None
    assert fresh.__traceback__ is None


def test_what_is_added_to_a_fresh_error_is_not_added_to_the_kept_one() -> None:
    kept = RemoteError(403, "No.", raw={"id": "forbidden"}, insight={"forbidden_error": {}}, headers={"a": "b"})
    fresh = kept.fresh()
    fresh.headers["c"] = "d"
    fresh.details.append({"where": "path"})

    assert (kept.headers, kept.details) == ({"a": "b"}, [])
    assert (fresh.status, fresh.message, fresh.extra()) == (403, "No.", kept.extra())
