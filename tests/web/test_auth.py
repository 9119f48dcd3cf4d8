import base64

import pytest

from adapter.errors import Forbidden, InsufficientScope, InvalidParameter, WrongAccount
from adapter.models import Caller, Scope
from adapter.web.auth import chosen_account, require_api, require_scope
from tests.upstream.recording import Recorder
from tests.web.house import House
from tests.web.wire import request, say

ACCOUNT = Caller(kind="account", token_id="t", account_id="acc-1", scopes=frozenset({Scope.RAW_READ}))
EVERYTHING = Caller(kind="api", token_id="t")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("target", "credential", "status"),
    [
        ("/custom/apps", "Bearer udt_all", 200),
        ("/custom/apps", "bearer udt_all", 200),
        ("/custom/apps", "Bearer   udt_all", 200),
        ("/custom/apps", "Bearer udt_nobody", 401),
        ("/custom/apps", "Bearer ", 401),
        ("/custom/apps", "Bearer", 401),
        ("/custom/apps", "Bearer caf\xe9", 401),
        ("/custom/apps", "Bearer " + "x" * 600, 401),
        ("/custom/apps", "Digest udt_all", 401),
        ("/custom/apps", "udt_all", 401),
        ("/custom/apps", basic(":udt_all"), 200),
        ("/proxy/apps", basic(":udt_all"), 200),
        ("/apps", basic(":udt_all"), 200),
        ("/apps", basic("someone@example.com:udt_all"), 200),
        ("/apps", basic("udt_all:"), 401),
        ("/apps", basic("udt_all"), 401),
        ("/apps", "Basic !!!", 401),
        ("/healthz", basic(":udt_all"), 200),
        ("/healthz", "Bearer udt_nobody", 200),
    ],
)
async def test_a_credential_opens_or_does_not(house: House, target: str, credential: str, status: int) -> None:
    heard = await say(house.port, request(target, ("Authorization", credential)))

    assert heard is not None
    assert heard.status == status
    challenge = heard.header("www-authenticate")
    assert challenge == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize(
    ("origin", "credential", "status"),
    [
        ("http://evil.example", basic(":udt_all"), 401),
        ("null", basic(":udt_all"), 401),
        ("http://adapter.example.evil.example", basic(":udt_all"), 401),
        ("http://adapter.example", basic(":udt_all"), 200),
        ("http://evil.example", "Bearer udt_all", 200),
    ],
)
async def test_basic_is_not_taken_from_another_origin(
    house: House, provider: Recorder, origin: str, credential: str, status: int
) -> None:
    heard = await say(house.port, request("/apps", ("Authorization", credential), ("Origin", origin)))

    assert heard is not None
    assert heard.status == status
    assert len(provider.requests) == (status == 200)


async def test_two_credentials_are_refused(house: House, provider: Recorder) -> None:
    heard = await say(house.port, request("/apps", ("Authorization", basic(":udt_reader")), token="udt_all"))

    assert heard is not None
    assert heard.status == 400
    assert provider.requests == []


def test_an_account_token_is_no_api_token() -> None:
    with pytest.raises(Forbidden):
        require_api(ACCOUNT)
    require_api(EVERYTHING)


def test_a_missing_scope_is_named() -> None:
    require_scope(ACCOUNT, Scope.RAW_READ)
    with pytest.raises(InsufficientScope) as caught:
        require_scope(ACCOUNT, Scope.RAW_WRITE)

    assert caught.value.details == [{"missing_scope": "raw:write", "scopes": ["raw:read"]}]


@pytest.mark.parametrize(
    ("named", "caller", "expected"),
    [
        ([], ACCOUNT, "acc-1"),
        ([""], ACCOUNT, "acc-1"),
        (["acc-1"], ACCOUNT, "acc-1"),
        (["acc-1", "acc-1"], ACCOUNT, "acc-1"),
        (["acc-2"], ACCOUNT, WrongAccount),
        (["acc-1", "acc-2"], ACCOUNT, InvalidParameter),
        (["acc-2"], EVERYTHING, "acc-2"),
        ([], EVERYTHING, InvalidParameter),
        ([""], EVERYTHING, InvalidParameter),
    ],
)
def test_the_account_of_a_call(named: list[str], caller: Caller, expected: str | type[Exception]) -> None:
    if isinstance(expected, str):
        assert chosen_account(named, caller) == expected
    else:
        with pytest.raises(expected):
            chosen_account(named, caller)
