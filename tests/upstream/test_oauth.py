from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapter.errors import (
    AccountSuspended,
    AdapterError,
    OAuthFailed,
    RemoteRateLimited,
    UpstreamFailure,
    UpstreamNonsense,
)
from adapter.models import Credential, Secret
from adapter.upstream.provider import load_provider

PROVIDER = load_provider()
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
# As the provider's documentation has it: no scope, and a nonce.
WHOLE = {
    "access_token": "fake-access",
    "expires_in": 28799,
    "refresh_token": "fake-refresh",
    "token_type": "Bearer",
    "user_id": "01234567-89ab-cdef-0123-456789abcdef",
    "session_nonce": "fake-nonce",
}


def read(status: int, body: bytes | str | dict[str, Any], headers: dict[str, str] | None = None) -> Credential:
    if isinstance(body, dict):
        body = msgspec.json.encode(body)
    sent = body.encode() if isinstance(body, str) else body
    return PROVIDER.oauth.read(status, headers or {}, sent, errors=PROVIDER.errors, now=NOW)


def test_a_token_answer_is_a_credential_with_its_end() -> None:
    assert read(200, WHOLE) == Credential(
        method="oauth2",
        access_token=Secret("fake-access"),
        refresh_token=Secret("fake-refresh"),
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=28799),
    )


@pytest.mark.parametrize("refresh_token", [None, ""])
def test_a_refresh_token_may_not_come_again(refresh_token: str | None) -> None:
    assert read(200, WHOLE | {"refresh_token": refresh_token}).refresh_token is None
    assert read(200, {"access_token": "fake"}).refresh_token is None


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [("28799", 28799), (1.5, 1.5), (None, None), (0, None), (-1, None), (1e300, None)],
)
def test_an_end_that_can_t_be_is_none(expires_in: Any, seconds: float | None) -> None:
    found = read(200, WHOLE | {"expires_in": expires_in}).expires_at

    assert found == (None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>Application error</html>",
        '{"access_token": "fake-acc',
        "[]",
        {},
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "fake\r\nx-evil: 1"},
        {"access_token": 5},
        {"access_token": "fake", "expires_in": "soon"},
        b"\xff\xfe",
    ],
)
def test_an_answer_that_holds_no_credential_is_nonsense_and_no_refusal(body: Any) -> None:
    with pytest.raises(UpstreamNonsense) as caught:
        read(200, body)

    assert "fake" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


ERROR = {"id": "unauthorized", "message": "fake-words"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, ERROR, OAuthFailed, "(401 unauthorized)"),
        (404, {"id": "not_found", "message": "m"}, OAuthFailed, "(404 not_found)"),
        (422, {"id": "invalid_params"}, OAuthFailed, "(422 invalid_params)"),
        (400, {"error": "invalid_grant"}, OAuthFailed, "(400)"),
        (403, {"id": "forbidden", "message": "m"}, OAuthFailed, "(403 forbidden)"),
        (401, "no JSON", OAuthFailed, "(401)"),
        (401, {"id": "<script>fake-words", "message": "m"}, OAuthFailed, "(401)"),
        (403, "<html>Blocked by a gateway</html>", OAuthFailed, "(403)"),
        (403, "Account suspended.", AccountSuspended, "suspended"),
        (403, {"id": "suspended", "message": "m"}, AccountSuspended, "suspended"),
        (500, ERROR, UpstreamFailure, "500"),
        (503, "<html>", UpstreamFailure, "503"),
        (408, ERROR, UpstreamFailure, "408"),
        (302, "", UpstreamFailure, "302"),
    ],
)
def test_a_refusal_ends_a_grant_and_trouble_does_not(
    status: int, body: Any, kind: type[AdapterError], said: str
) -> None:
    with pytest.raises(AdapterError) as caught:
        read(status, body)

    assert type(caught.value) is kind
    assert said in caught.value.message
    assert "fake-words" not in str(vars(caught.value))


@pytest.mark.parametrize(("headers", "wait"), [({}, "30"), ({"retry-after": "7"}, "7")])
def test_too_many_requests_is_no_refusal_and_names_the_wait(headers: dict[str, str], wait: str) -> None:
    with pytest.raises(RemoteRateLimited) as caught:
        read(429, ERROR, headers)

    assert caught.value.headers == {"retry-after": wait}


def given(id_: str, client: str | None = "c", access: str | None = None, refresh: str | None = None) -> dict[str, Any]:
    return {
        "id": id_,
        "client": client and {"id": client},
        "access_token": access and {"token": access},
        "refresh_token": refresh and {"token": refresh},
    }


@pytest.mark.parametrize(
    ("items", "ended"),
    [
        ([given("1", access="fake-access"), given("2", access="another")], ["1"]),
        ([given("1", refresh="fake-refresh", access="older")], ["1"]),
        ([given("1", client="another", access="fake-access"), given("2", client=None, access="fake-access")], []),
        ([given("1", access="another")], []),
        ([given("1"), given("2", client="another")], ["1"]),
        ([given("1"), given("2")], []),
        ([{}, None, 5], []),
        ([], []),
        ([given("../x", access="fake-access")], ["..%2Fx"]),
    ],
)
def test_only_the_authorization_behind_a_credential_is_ended(items: list[Any], ended: list[str]) -> None:
    credential = Credential(method="oauth2", access_token=Secret("fake-access"), refresh_token=Secret("fake-refresh"))

    assert PROVIDER.oauth.revoke.ended(items, "c", credential) == [f"/oauth/authorizations/{id_}" for id_ in ended]
