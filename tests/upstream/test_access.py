import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import DeclarationError, InvalidTarget
from adapter.models import Scope
from adapter.upstream.access import AccessLists, AccessTable
from adapter.upstream.paths import checked_target
from adapter.upstream.provider import load_provider
from tests.sandbox import heroku_schema
from tests.upstream.endpoints import ENDPOINTS, Endpoint

LISTS = load_provider().access
TABLE = AccessTable(LISTS)
SECRETS = [
    endpoint for endpoint in ENDPOINTS if TABLE.needed_scope(endpoint.method, endpoint.at()) is Scope.RAW_SECRETS
]
# What a contract with callers names in so many words.
NAMED_SECRET = re.compile(
    r"^/oauth/|/config-vars$|/addons/\{\}/config$|/keys|invoice|app-transfers|identity-providers"
    r"|^/account/(?!features$|rate-limits$)|^/users/(?!~/apps$)|/transfer$"
)


def _normal(line: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", line)


def test_each_endpoint_of_the_schema_stands_in_exactly_one_list() -> None:
    listed = [_normal(line) for line in (*LISTS.read, *LISTS.write, *LISTS.secrets)]

    assert len(listed) == len(set(listed))
    assert set(listed) - {"GET /users/~/apps"} == {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS}


@heroku_schema.needed
def test_the_endpoints_here_are_those_of_the_schema() -> None:
    schema = json.loads(heroku_schema.PATH.read_text())
    links = [link for part in schema["definitions"].values() for link in part.get("links", [])]

    assert {f"{link['method']} {_normal(link['href'])}" for link in links} == {
        f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_what_gives_secrets_away_or_is_named_secret_needs_raw_secrets(endpoint: Endpoint) -> None:
    needed = TABLE.needed_scope(endpoint.method, endpoint.at())
    # A new pipeline's owner gets an empty pipeline, and no app.
    telling = endpoint.words - ({"+owner"} if endpoint.path == "/pipelines" else set())

    if telling or NAMED_SECRET.search(endpoint.path):
        assert needed is Scope.RAW_SECRETS
    elif endpoint.method != "GET":
        assert needed is not Scope.RAW_READ


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/account", Scope.RAW_READ),
        ("HEAD", "/account", Scope.RAW_READ),
        ("PATCH", "/account", Scope.RAW_SECRETS),
        ("GET", "/account/features", Scope.RAW_READ),
        ("GET", "/account/features/x", Scope.RAW_SECRETS),
        ("GET", "/account/rate-limits", Scope.RAW_READ),
        ("GET", "/users/~/apps", Scope.RAW_READ),
        ("GET", "/users/someone@example.com/apps", Scope.RAW_SECRETS),
        ("GET", "/users/~", Scope.RAW_SECRETS),
        ("GET", "/apps/~", Scope.RAW_SECRETS),
        ("DELETE", "/apps/x", Scope.RAW_SECRETS),
        ("DELETE", "/teams/x", Scope.RAW_SECRETS),
        ("PATCH", "/teams/apps/x", Scope.RAW_SECRETS),
        ("PUT", "/teams/x/members", Scope.RAW_WRITE),
        ("DELETE", "/teams/x/members/b%40example.com", Scope.RAW_WRITE),
        ("DELETE", "/teams/x/members/b+c@example.com", Scope.RAW_WRITE),
        ("GET", "/teams/invitations/invitations", Scope.RAW_SECRETS),
        ("GET", "/nothing/known", Scope.RAW_SECRETS),
        ("PROPFIND", "/apps", Scope.RAW_SECRETS),
        ("get", "/apps", Scope.RAW_SECRETS),
        ("GET", "", Scope.RAW_SECRETS),
        ("GET", "apps", Scope.RAW_SECRETS),
    ],
)
def test_the_scope_of(method: str, path: str, scope: Scope) -> None:
    assert TABLE.needed_scope(method, path) is scope


def spellings(path: str) -> Iterator[str]:
    """Other ways of writing a path that some server might take for it."""
    head, _, last = path.rpartition("/")
    initial = ord(last[0])
    yield from (path + end for end in _ENDINGS)
    yield from (head + between + last for between in _SEPARATORS)
    yield from (before + path for before in _BEGINNINGS)
    yield from (f"{head}/{code}{last[1:]}" for code in (f"%{initial:02x}", f"%{initial:02X}", f"%25{initial:02x}"))
    yield from (f"{head}/{code}{last[1:]}" for code in (f"%u00{initial:02x}", chr(0xFF00 + initial - 0x20)))
    yield from (path.upper(), path.title(), path[:-1] + path[-1].upper(), f"{head}/{last.upper()}")
    yield from (path.replace("/", "//"), "/".join("".join(f"%{ord(c):02x}" for c in part) for part in path.split("/")))


_ENDINGS = (
    *("/", "//", ";a=b", ";", ".json", ".JSON", ".", "..", "?", "#", " ", "\t", ",", "!", "~", ":", "=", "&a=b"),
    *("%20", "%00", "%09", "%0a", "%0d%0a", "%3f", "%23", "%2e", "%2ejson", "%3bx", "%2f", "%5c", "%e2%80%8b", "%ff"),
)
_SEPARATORS = (
    *("//", "/./", "/x/../", "/%2e/", "/x/%2e%2e/", "/x/..;/", "%2f", "%2F", "%252f", "\\", "%5c", ";x/", "/ "),
    *("\N{FULLWIDTH SOLIDUS}", "%ef%bc%8f", "%c0%af", "%e0%80%af", "%e2%80%8b/", "/;x/", "/x/%ef%bc%8e%ef%bc%8e/"),
)
_BEGINNINGS = (
    *("/", "/teams/..", "/apps/../..", "/apps/..;", "/apps/%2e%2e", "/.", "/%2e", "/;", "\\", "/\\api.heroku.com"),
    *("http://api.heroku.com", "//api.heroku.com", "/http://api.heroku.com", "/api.heroku.com", "@", "/@", "%2f", " "),
)


@pytest.mark.parametrize("endpoint", SECRETS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
@pytest.mark.parametrize("identity", ["x1", "~", "b%40example.com", "apps", "01234567-89ab-cdef-0123-456789abcdef"])
def test_no_spelling_of_a_secret_path_is_open_below_raw_secrets(endpoint: Endpoint, identity: str) -> None:
    path = endpoint.at(identity)
    # `/users/~/apps` is named as harmless; the rest of what `~` could stand for is not.
    if endpoint.method == "GET" and path in {"/users/~/apps", "/users/~/pipeline-couplings"}:
        return
    for spelling in (path, *spellings(path)):
        try:
            target = checked_target(spelling.encode())
        except InvalidTarget:
            continue
        for method in {endpoint.method, "HEAD"} if endpoint.method == "GET" else {endpoint.method}:
            assert TABLE.needed_scope(method, target) is Scope.RAW_SECRETS, spelling


@given(st.text(max_size=40), st.sampled_from(SECRETS), st.data())
def test_no_insertion_into_a_secret_path_opens_it(junk: str, endpoint: Endpoint, data: st.DataObject) -> None:
    path = endpoint.at()
    # Identities may be anything: what is inserted there makes another app's path, equally secret. Elsewhere it makes a
    # path that the table doesn't know, unless it makes a whole other known path, which is judged by its own line.
    at = data.draw(st.integers(0, len(path)))
    try:
        target = checked_target((path[:at] + junk + path[at:]).encode())
    except InvalidTarget:
        return
    if TABLE.needed_scope(endpoint.method, target) is not Scope.RAW_SECRETS:
        assert TABLE.template(endpoint.method, target) != "/{unknown}"
        assert not re.search(r"config|oauth|keys|token", target.removesuffix(junk).rpartition("/")[2].lower())


@pytest.mark.parametrize(
    "line", ["GET apps", "/apps", "get /apps", "GET /apps?x", "GET  /apps", "GET /apps/{app} ", "GET /Apps", ""]
)
def test_a_line_that_cannot_be_read_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(DeclarationError, match=r"provider.yaml: access.write\[0\]"):
        AccessTable(AccessLists(write=(line,)))


def test_a_line_that_stands_twice_is_refused() -> None:
    with pytest.raises(DeclarationError, match="stands twice"):
        AccessTable(AccessLists(read=("GET /apps/{a}",), secrets=("GET /apps/{b}",)))


def test_templates_name_the_line_and_not_the_path() -> None:
    assert TABLE.template("GET", "/teams/acme/members") == "/teams/{team}/members"
    assert TABLE.template("GET", "/nobody/knows") == "/{unknown}"
