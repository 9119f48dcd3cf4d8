"""The two open routes: made once, cached, and the page that stands by itself."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from adapter.app import declarations
from adapter.config import Settings
from adapter.web import docs
from adapter.web.fixed import fixed_route
from adapter.web.openapi import document, errors
from adapter.web.openapi.reading import kind_of, marked

PROVIDER, MODEL = declarations(Settings())
DOCUMENT = document.compose(document.parts(model=MODEL, provider=PROVIDER))
ROUTES = docs.routes(DOCUMENT)


class Page(HTMLParser):
    """What of a page may matter: its elements, their attributes, the ids, and that every element is closed."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "!doctype"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute)) is not None]


async def get(path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(Router(ROUTES))
    async with httpx.AsyncClient(transport=transport, base_url="http://adapter.example") as client:
        return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture(scope="module")
def page() -> str:
    return docs.render(DOCUMENT, "body{}")


@pytest.mark.parametrize(("path", "media_type"), [("/openapi.json", "application/json"), ("/docs", "text/html")])
async def test_it_is_open_and_cached(path: str, media_type: str) -> None:
    answer = await get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["etag"])


@pytest.mark.parametrize("given", ["{}", "W/{}", '"another", {}', "*"])
@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_who_has_it_already_is_told_so(path: str, given: str) -> None:
    etag = (await get(path)).headers["etag"]

    again = await get(path, if_none_match=given.format(etag))

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


async def test_who_has_another_gets_this_one() -> None:
    answer = await get("/openapi.json", if_none_match='"another"')

    assert answer.status_code == 200
    assert answer.json()["openapi"] == "3.1.0"


async def test_other_bytes_have_another_etag() -> None:
    routes = [fixed_route("/a", b"a", "text/plain"), fixed_route("/b", b"b", "text/plain")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Router(routes)), base_url="http://x") as client:
        first, second = await client.get("/a"), await client.get("/b")

    assert first.headers["etag"] != second.headers["etag"]


async def test_the_policy_lets_in_the_pages_own_style_and_nothing_else() -> None:
    answer = await get("/docs")
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()

    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))

    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text = (await get("/docs")).text
    found = Page(text)

    assert found.open == []
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    assert not [value for tag, attrs in found.tags for value in attrs if value == "style" or value.startswith("on")]
    assert all(target.startswith(("#", "/")) for target in found.values("href"))
    assert "url(" not in text
    assert "@import" not in text


def test_every_link_on_the_page_leads_somewhere(page: str) -> None:
    found = Page(page)
    ids = found.values("id")

    assert sorted(set(ids)) == sorted(ids)
    assert {target[1:] for target in found.values("href") if target.startswith("#")} <= set(ids)


def test_the_page_shows_every_resource_with_its_fields_and_filters(page: str) -> None:
    for resource in MODEL.resources.values():
        assert f'<article id="{resource.name}">' in page
        article = page.partition(f'<article id="{resource.name}">')[2].partition("</article>")[0]
        for name in (*resource.fields, *resource.filters):
            assert f">{name}</code>" in article, (resource.name, name)


def test_the_page_shows_every_code_and_what_to_do(page: str) -> None:
    for kinds in errors.kinds().values():
        for kind in kinds:
            assert f"<code>{kind.code}</code>" in page


def test_the_page_shows_every_operation(page: str) -> None:
    for path in DOCUMENT["paths"]:
        assert f'<code class="path">{path}</code>' in page


@pytest.mark.parametrize(
    "line",
    [
        '  "$ADAPTER/unified/user-directory/groups?integrated_account_id=$ACCOUNT"',
        'curl -X DELETE -H "Authorization: Bearer $TOKEN" \\\n  "$ADAPTER/integrated-account/$ACCOUNT"',
        '-d \'{"id":"…"}\'',
        'curl \\\n  "$ADAPTER/healthz"',
    ],
)
def test_the_page_shows_calls_as_one_would_type_them(page: str, line: str) -> None:
    text = page.replace("&#34;", '"').replace("&#39;", "'")

    assert line in text


def test_what_a_mapping_file_says_is_text_on_the_page() -> None:
    model = MODEL.resources["groups"]
    hostile = {**DOCUMENT, "info": {**DOCUMENT["info"], "summary": "<script>alert(1)</script>"}}

    page = docs.render(hostile, "")

    assert model.name in page
    assert "<script>" not in page
    assert marked("`<b>` & <i>\n\nsecond") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;</p>\n<p>second"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"], "format": "date-time"}, "date-time or null"),
        ({"type": "array"}, "array"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "array of a | b"),
        ({"type": "array", "items": {"type": "object", "properties": {"id": {}, "name": {}}}}, "array of {id, name}"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        (
            {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]},
            "date or date-time",
        ),
        ({"const": True}, "true"),
        ({"$ref": "#/components/schemas/Graph"}, "object"),
        ({}, "any"),
    ],
)
def test_a_schema_is_told_in_a_few_words(schema: dict[str, Any], words: str) -> None:
    assert kind_of(schema) == words
