import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.accounts.links import AllowLists, allow_lists, origin_of
from adapter.errors import ConfigError, InvalidBody

ORIGINS = {
    "https://app.example": "https://app.example",
    "https://app.example/": "https://app.example",
    "https://app.example/back?x=1&y=%2F": "https://app.example",
    "https://app.example:443/back": "https://app.example",
    "https://app.example:8443/back": "https://app.example:8443",
    "http://app.example:80": "http://app.example",
    "http://app.example:443": "http://app.example:443",
    "HTTPS://App.Example/Back": "https://app.example",
    "http://127.0.0.1:3000/back": "http://127.0.0.1:3000",
    "http://[::1]:3000/back": "http://[::1]:3000",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example",
    # What two readers could take for different hosts, or what no browser has as an origin.
    "https://app.example@evil.example/": None,
    "https://user:pass@app.example/": None,
    "https://evil.example\\@app.example/": None,
    "https://app.example\\.evil.example/": None,
    "https:\\\\app.example/": None,
    "https://app.example:/": None,
    "https://app.example:0443/": None,
    "https://app.example:99999/": None,
    "https://app.example:x/": None,
    "https://app%2eexample/": None,
    "https://bücher.example/": None,
    "https://app .example/": None,
    " https://app.example/": None,
    "https://app.example/\n": None,
    "https://app\t.example/": None,
    "https:///back": None,
    "https:/app.example": None,
    "https:app.example": None,
    "//app.example/back": None,
    "/back": None,
    "": None,
    "null": None,
    "*": None,
    "javascript:alert(1)": None,
    "data:text/html,x": None,
    "ftp://app.example/": None,
    "https://[::1/": None,
}


@pytest.mark.parametrize("uri", ORIGINS)
def test_the_origin_is_what_a_browser_would_write_or_nothing(uri: str) -> None:
    assert origin_of(uri) == ORIGINS[uri]


@pytest.mark.parametrize("uri", [uri for uri in ORIGINS if ORIGINS[uri] is None])
def test_an_address_without_an_origin_can_t_be_listed(uri: str) -> None:
    with pytest.raises(ConfigError, match="ADAPTER_REDIRECT_URIS"):
        allow_lists([uri], [])


@pytest.mark.parametrize(
    "origin", ["https://app.example/", "https://App.example", "https://app.example:443", "*", "null", "app.example"]
)
def test_an_origin_that_no_browser_sends_can_t_be_listed(origin: str) -> None:
    with pytest.raises(ConfigError, match="ADAPTER_ORIGINS"):
        allow_lists([], [origin])


def test_a_fragment_would_swallow_the_outcome() -> None:
    with pytest.raises(ConfigError, match="fragment"):
        allow_lists(["https://app.example/#back"], [])


HOSTS = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True, alphabet=st.characters(codec="ascii")
)
PATHS = st.text(string.ascii_letters + string.digits + "/-._~%?=&", max_size=12).map(lambda text: f"/{text}")


@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=st.none() | st.integers(1, 65535), path=PATHS)
def test_an_address_s_origin_is_its_scheme_host_and_port(scheme: str, host: str, port: int | None, path: str) -> None:
    default = {"http": 80, "https": 443}[scheme]
    written = f"{scheme}://{host}" + (f":{port}" if port is not None else "")
    expected = f"{scheme}://{host}" + (f":{port}" if port not in {None, default} else "")

    assert origin_of(written + path) == expected
    assert origin_of(expected) == expected


NEARLY_URIS = st.text(string.ascii_lowercase + ":/@\\.?#[]%-0123456789 \t\n\0é", max_size=30)


@given(uri=st.text() | NEARLY_URIS.map(lambda rest: f"https://{rest}"))
def test_whatever_comes_has_an_origin_of_its_own_or_none(uri: str) -> None:
    origin = origin_of(uri)

    assert origin is None or (origin_of(origin) == origin and uri.lower().startswith(origin.partition(":")[0]))


ORIGIN = "https://app.example"
LISTED = f"{ORIGIN}/back?from=connect"


CHANGED = st.builds(
    lambda place, extra: LISTED[:place] + extra + LISTED[place:], st.integers(0, 40), st.text(min_size=1)
)


@given(asked=st.text() | CHANGED | st.sampled_from([LISTED, ORIGIN]))
def test_only_what_is_listed_to_the_letter_passes(asked: str) -> None:
    lists = AllowLists(redirect_uris=frozenset({LISTED}), origins=frozenset({ORIGIN}))

    for check, listed in ((lists.redirect_uri, LISTED), (lambda origin: lists.origin(origin, None), ORIGIN)):
        if asked == listed:
            assert check(asked) == asked
        else:
            with pytest.raises(InvalidBody):
                check(asked)


def test_of_several_origins_none_is_guessed() -> None:
    lists = AllowLists(origins=frozenset({"https://a.example", "https://b.example"}))

    assert lists.origin(None, None) is None
    assert AllowLists().origin(None, None) is None
