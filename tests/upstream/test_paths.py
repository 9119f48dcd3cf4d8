import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapter.errors import InvalidTarget
from adapter.upstream.paths import checked_target

BASE = "https://api.heroku.com"


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (b"/", b"", "/"),
        (b"/apps", b"", "/apps"),
        (b"/apps/", b"", "/apps/"),
        (b"/users/~/apps", b"", "/users/~/apps"),
        (b"/teams/t/members/b%40example.com", b"", "/teams/t/members/b%40example.com"),
        (b"/teams/t/members/b+c@example.com", b"", "/teams/t/members/b+c@example.com"),
        (b"/teams/t/members/zo%C3%AB@example.com", b"", "/teams/t/members/zo%C3%AB@example.com"),
        (b"/apps/a/domains/www.example.com", b"", "/apps/a/domains/www.example.com"),
        (b"/apps/a.b..c", b"", "/apps/a.b..c"),
        (b"/apps", b"a=b&c=%20d&e=[]", "/apps?a=b&c=%20d&e=[]"),
        (b"/apps", b"url=https://x/../y", "/apps?url=https://x/../y"),
    ],
)
def test_a_plain_target_stays_as_it_is(path: bytes, query: bytes, expected: str) -> None:
    assert checked_target(path, query) == expected


@pytest.mark.parametrize(
    "path", [b"", b"apps", b"*", b"//x", b"/a//b", b"/..", b"/a/%2e%2e", b"/a%2fb", b"/a\\b", b"/\xff"]
)
def test_any_other_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidTarget):
        checked_target(path)


@pytest.mark.parametrize("query", [b"a b", b"a#b", b"\x00", b"a=%00", b"a=%0D%0Ab", b"\xc3\xa9", b"\x7f"])
def test_a_query_that_cannot_go_as_it_is_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidTarget):
        checked_target(b"/apps", query)


_PIECES = st.sampled_from(
    ["/", "..", ".", "%2e", "%2F", "%5c", "%25", "\\", ";", "a", "~", "@", "%40", "%C3%A9", "?", "#", ":"]
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=30))
@example("//evil.example")
@example("/@evil.example")
def test_what_passes_is_what_the_url_parser_sends(text: str) -> None:
    try:
        target = checked_target(text.encode("utf-8", "surrogatepass"))
    except InvalidTarget:
        return
    url = httpx.URL(BASE + target)

    assert (url.raw_path, url.host, url.userinfo) == (target.encode(), "api.heroku.com", b"")


@given(st.binary(max_size=30))
def test_any_bytes_are_judged(raw: bytes) -> None:
    try:
        target = checked_target(b"/" + raw, raw)
    except InvalidTarget:
        return
    assert target.isascii()
    assert not set(target) & set("\r\n\0 \\#")
