import msgspec
import pytest

from adapter import errors
from adapter.errors import AdapterError, NeedsReauth, RemoteRateLimited, Unauthorized
from adapter.web.answers import error_answer, json_answer, phrase, wants_problem


def _kinds(kind: type[AdapterError]) -> list[type[AdapterError]]:
    return [kind, *(below for each in kind.__subclasses__() for below in _kinds(each))]


WITHOUT_ARGUMENTS = [
    kind for kind in _kinds(AdapterError) if not issubclass(kind, errors.RemoteError | errors.StartupError)
]


@pytest.mark.parametrize("kind", WITHOUT_ARGUMENTS)
@pytest.mark.parametrize("problem", [False, True])
def test_every_error_has_a_body_in_the_shape_asked_for(kind: type[AdapterError], problem: bool) -> None:
    answered = error_answer(kind(), "r-1", problem=problem)
    body = msgspec.json.decode(bytes(answered.body))

    assert answered.status_code == kind.status
    assert body["code"] == kind.code
    assert body["detail" if problem else "message"]
    assert answered.headers["cache-control"] == "no-store"


def test_only_a_missing_token_is_asked_for_and_never_by_basic() -> None:
    assert error_answer(Unauthorized(), "r").headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in error_answer(NeedsReauth(), "r").headers


def test_a_remote_error_keeps_status_words_and_headers() -> None:
    error = RemoteRateLimited(429, "Slow down", raw={"id": "rate_limit"}, headers={"Retry-After": "30"})

    answered = error_answer(error, "r", problem=True)

    assert (answered.status_code, answered.headers["retry-after"]) == (429, "30")
    assert msgspec.json.decode(bytes(answered.body))["raw_response"] == {"id": "rate_limit"}


def test_json_goes_out_as_msgspec_encodes_it() -> None:
    answered = json_answer({"a": [1, None, "é"]}, 201, {"age": "3"})

    assert (answered.status_code, bytes(answered.body)) == (201, '{"a":[1,null,"é"]}'.encode())
    assert (answered.headers["age"], answered.headers["content-type"]) == ("3", "application/json")


@pytest.mark.parametrize(("status", "expected"), [(404, "Not Found"), (499, "Bad Request"), (599, "Server Error")])
def test_every_status_has_a_phrase(status: int, expected: str) -> None:
    assert phrase(status) == expected


@pytest.mark.parametrize(("accept", "expected"), [(b"application/problem+JSON", True), (b"*/*", False)])
def test_problem_documents_are_for_whoever_names_them(accept: bytes, expected: bool) -> None:
    assert wants_problem([(b"accept", accept)]) is expected
