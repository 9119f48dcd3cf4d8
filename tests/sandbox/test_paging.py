"""Heroku's Range grammar, on a list of 25 and over the API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sandbox import Options, Sandbox, World
from adapter.sandbox.answers import Refusal
from adapter.sandbox.calls import listing_of
from adapter.sandbox.paging import LARGEST_MAX, Listing, Range, read_range
from tests.sandbox.conftest import Asker

FIELDS = ("email", "id")
LETTERS = "abcdefghijklmnopqrstuvwxy"


def listing(size: int = 25) -> Listing:
    return listing_of(FIELDS, ({"id": f"{n:04d}", "email": f"{9999 - n}@x"} for n in range(size)))


GOOD = {
    None: Range("email"),
    "  ": Range("email"),
    "id ..": Range("id"),
    "id ..;": Range("id"),
    "id ..; ;": Range("id"),
    "id ..; max=5": Range("id", max=5),
    "id ..;max=5;": Range("id", max=5),
    "id ..; max=5, order=desc": Range("id", max=5, order="desc"),
    "id ..; order=desc,max=5": Range("id", max=5, order="desc"),
    "id ..; order=asc; max=5": Range("id", max=5),
    "id a..": Range("id", "a"),
    "id ]a..": Range("id", "a", after=True),
    "id ]a..; max=10": Range("id", "a", after=True, max=10),
    "id a..b": Range("id", "a", "b"),
    "id a..]b": Range("id", "a", "b", before=True),
    "id ]a..]b; max=3": Range("id", "a", "b", after=True, before=True, max=3),
    "email ]a+b@x.org..": Range("email", "a+b@x.org", after=True),
    "email ]zo%C3%AB@x.org..": Range("email", "zoë@x.org", after=True),
    "id ..; max=1001": Range("id", max=LARGEST_MAX),
    "id ..; max=99999999999": Range("id", max=LARGEST_MAX),
}

BAD = [
    "id",
    "..",
    "id ..x",
    "id ..]x",
    "name ..",
    "ID ..",
    "id a",
    "id ..; max=0",
    "id ..; max=-1",
    "id ..; max=ten",
    "id ..; max=1.5",
    "id ..; max",
    "id ..; order=up",
    "id ..; limit=3",
    "bytes=0-99",
]


@pytest.mark.parametrize("header", GOOD, ids=repr)
def test_a_range_is_read(header: str | None) -> None:
    assert read_range(header, FIELDS) == GOOD[header]


@pytest.mark.parametrize("header", BAD)
def test_a_bad_range_is_416(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_range(header, FIELDS)

    assert (refused.value.status, refused.value.body["id"]) == (416, "requested_range_not_satisfiable")


PAGES = [
    ("id ..; max=3", 206, "id 0000..0002", "id ]0002..; max=3"),
    ("id ]0002..; max=3", 206, "id 0003..0005", "id ]0005..; max=3"),
    ("id ]0021..; max=3", 200, "id 0022..0024", None),
    ("id 0021..; max=3", 206, "id 0021..0023", "id ]0023..; max=3"),
    ("id ..; max=25", 200, "id 0000..0024", None),
    ("id ..; max=3, order=desc", 206, "id 0024..0022", "id ]0022..; max=3, order=desc"),
    ("id ]0003..; max=3, order=desc", 200, "id 0002..0000", None),
    ("id 0003..0005; max=9", 200, "id 0003..0005", None),
    ("id 0003..]0005; max=9", 200, "id 0003..0004", None),
    ("id 0003..0009; max=2", 206, "id 0003..0004", "id ]0004..0009; max=2"),
    ("id 0009..0003; max=2, order=desc", 206, "id 0009..0008", "id ]0008..0003; max=2, order=desc"),
    (None, 200, "email 9975@x..9999@x", None),
]


@pytest.mark.parametrize(("header", "status", "content_range", "next_range"), PAGES)
def test_a_list_is_cut(header: str | None, status: int, content_range: str, next_range: str | None) -> None:
    answer = listing().page(header)

    assert answer.status == status
    assert answer.headers["accept-ranges"] == "email, id"
    assert answer.headers["content-range"] == content_range
    assert answer.headers.get("next-range") == next_range


@pytest.mark.parametrize("header", ["id ]0024..", "id 0500..", None])
def test_an_empty_page_has_accept_ranges_and_nothing_else(header: str | None) -> None:
    answer = listing(25 if header else 0).page(header)

    assert (answer.status, answer.body, answer.headers) == (200, b"[]", {"accept-ranges": "email, id"})


@given(size=st.integers(0, 60), limit=st.integers(1, 70), order=st.sampled_from(["asc", "desc"]))
def test_following_next_range_gives_every_record_once(size: int, limit: int, order: str) -> None:
    whole, header, seen = listing(size), f"id ..; max={limit}, order={order}", []
    while header:
        answer = whole.page(header)
        seen.append(answer.body)
        header = answer.headers.get("next-range", "")

    joined = b",".join(body[1:-1] for body in seen)
    rows = whole.in_order_of("id")[1]
    assert joined == b",".join(rows if order == "asc" else rows[::-1])


async def test_without_a_range_a_page_has_200_records_and_with_one_1000_at_most() -> None:
    world = World()
    team = world.add_team("big", admins=["ada@example.com"])
    for number in range(1200):
        world.add_member(team, f"m{number}@example.com")
    asker = Asker(Sandbox(world, Options()))

    plain = await asker.get("/teams/big/members")
    widest = await asker.get("/teams/big/members", Range="id ..; max=5000")
    rest = await asker.get("/teams/big/members", Range=widest.headers["next-range"])

    assert (plain.status_code, len(plain.json())) == (206, 200)
    assert plain.headers["next-range"].startswith("email ]")
    assert (widest.status_code, len(widest.json())) == (206, 1000)
    assert (rest.status_code, len(rest.json())) == (200, 201)


ACCEPT_RANGES = {
    "/apps": "id, name, updated_at",
    "/teams/acme/apps": "id, name, updated_at",
    "/enterprise-accounts": "id, name, updated_at",
    "/teams/acme/members": "email, id",
    "/addons": "id, name",
}


@pytest.mark.parametrize("path", ACCEPT_RANGES)
async def test_a_list_says_what_it_may_be_ordered_by(asker: Asker, path: str) -> None:
    response = await asker.get(path)

    assert response.headers["accept-ranges"] == ACCEPT_RANGES[path]


async def test_apps_come_by_name_without_a_range(asker: Asker) -> None:
    names = [app["name"] for app in (await asker.get("/apps")).json()]

    assert names == sorted(names)


async def test_lists_below_an_enterprise_account_are_paged_only_where_the_options_say(asker: Asker) -> None:
    path = "/enterprise-accounts/corp/members"
    plain = await asker.get(path, Range="id ..; max=1")
    asker.sandbox.change_options({"enterprise_ranges": True})
    paged = await asker.get(path, Range="id ..; max=1")

    assert (plain.status_code, len(plain.json()), "accept-ranges" in plain.headers) == (200, 2, False)
    assert (paged.status_code, len(paged.json()), "next-range" in paged.headers) == (206, 1, True)


async def test_a_name_beyond_ascii_can_be_paged_past() -> None:
    world = World()
    team = world.add_team("t", admins=["ada@example.com"])
    for email in ("zoë@example.com", "ł@example.com", "z%41@example.com"):
        world.add_member(team, email)
    asker, header, seen = Asker(Sandbox(world)), "email ..; max=1", []
    while header:
        response = await asker.get("/teams/t/members", Range=header)
        seen += [member["email"] for member in response.json()]
        header = response.headers.get("next-range", "")

    assert seen == sorted(["ada@example.com", "zoë@example.com", "ł@example.com", "z%41@example.com"])
