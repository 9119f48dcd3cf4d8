import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog

from adapter.accounts.connecting import LINK_LIFE, SESSION_LIFE, STATE_LIFE, Session
from adapter.accounts.links import LinkRequest
from adapter.errors import (
    AccountNotFound,
    AdapterError,
    BadRequest,
    Conflict,
    Forbidden,
    InvalidBody,
    InvalidCredential,
    LinkInvalid,
    OAuthDenied,
    OAuthFailed,
    OAuthStateInvalid,
    SessionExpired,
    UpstreamUnreachable,
)
from adapter.models import IntegratedAccount, Secret
from adapter.storage.database import Database
from adapter.storage.tables import CONNECT_SESSIONS, LINK_TOKENS, METADATA
from tests.accounts.fakes import (
    ACME,
    API,
    ORIGIN,
    OTHER,
    REDIRECT,
    Clock,
    FakeConsent,
    FakeProvider,
    House,
    holder,
    state_of,
)

CODE = "fake-code-5a17"


class Product(House):
    """A house with an OAuth client, and what a product and its customer do in it."""

    def __init__(self, database: Database, provider: FakeProvider, keys: list[str] | None = None) -> None:
        self.consent, self.clock = FakeConsent(), Clock()
        super().__init__(database, provider, keys, consent=self.consent, now=self.clock)

    async def link(self, **request: Any) -> str:
        target = {} if "account_id" in request else {"tenant_id": "acme"}
        made = await self.connecting.create_link(LinkRequest(**(target | request)), API)
        return made.token.reveal()

    async def browser(self, link: str | None = None, **request: Any) -> str:
        """The cookie of a browser that opened the link."""
        cookie, _ = await self.connecting.arrive(link or await self.link(**request))
        return cookie.reveal()

    async def consented(self, cookie: str, key: str = "fake-ann") -> str:
        """The state with which the provider sends the browser back; the code is `CODE`."""
        state = state_of(await self.connecting.start_oauth(cookie))
        self.consent.codes[CODE] = key
        return state

    async def finish(
        self, cookie: str | None, state: str | None, code: str | None = CODE, error: str | None = None
    ) -> tuple[Session, IntegratedAccount]:
        return await self.connecting.finish_oauth(cookie, state=state, code=code, error=error)


@pytest.fixture
async def product(database: Database, provider: FakeProvider) -> AsyncIterator[Product]:
    product = Product(database, provider)
    yield product
    await product.close()


async def count(database: Database, table: sa.Table) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


# Making a link


async def test_a_link_lives_for_a_week_and_is_a_secret(product: Product) -> None:
    made = await product.connecting.create_link(LinkRequest(tenant_id="acme"), API)

    assert timedelta(days=7) - timedelta(minutes=1) < made.expires_at - product.clock() <= timedelta(days=7)
    assert made.token.reveal().startswith("udl_")
    assert made.token.reveal() not in repr(made)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "neither id": ({"tenant_id": None}, "tenant_id", "integrated_account_id"),
    "both ids": ({"account_id": "x"}, "tenant_id", "not both"),
    "a bad tenant": ({"tenant_id": "a\0b"}, "tenant_id", "printable"),
    "a redirect off the list": ({"redirect_uri": REDIRECT + "&x"}, "redirect_uri", "ADAPTER_REDIRECT_URIS"),
    "a redirect without its query": ({"redirect_uri": REDIRECT.split("?")[0]}, "redirect_uri", "ADAPTER_REDIRECT_URIS"),
    "a redirect in capitals": ({"redirect_uri": REDIRECT.upper()}, "redirect_uri", "ADAPTER_REDIRECT_URIS"),
    "an empty redirect": ({"redirect_uri": ""}, "redirect_uri", "ADAPTER_REDIRECT_URIS"),
    "an origin off the list": ({"origin": "https://product.example"}, "origin", "ADAPTER_ORIGINS"),
    "an origin with a slash": ({"origin": ORIGIN + "/"}, "origin", "ADAPTER_ORIGINS"),
    "any origin": ({"origin": "*"}, "origin", "ADAPTER_ORIGINS"),
    "a credential in the context": ({"context": {"password": "hunter2"}}, "context.password", "none here"),
    "no scopes": ({"scopes": ()}, "scopes", "global"),
    "an unknown scope": ({"scopes": ("global", "everything")}, "scopes[1]", "global"),
    "no methods": ({"authentication_methods": ()}, "authentication_methods", "oauth2"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_link_is_refused_by_the_field_and_what_would_do(
    product: Product, case: str, database: Database
) -> None:
    change, where, expected = REFUSED[case]

    with pytest.raises(InvalidBody) as caught:
        await product.connecting.create_link(LinkRequest(**({"tenant_id": "acme"} | change)), API)

    assert caught.value.details[0]["where"] == where
    assert expected in caught.value.details[0]["expected"]
    assert "hunter2" not in caught.value.message
    assert await count(database, LINK_TOKENS) == 0


async def test_links_are_made_for_what_the_caller_may_see(product: Product) -> None:
    account = await product.accounts.connect_api_key(tenant_id="acme", api_key=Secret("fake-ann"))
    create = product.connecting.create_link

    await create(LinkRequest(tenant_id="acme"), ACME)
    await create(LinkRequest(account_id=account.id), ACME)
    for request, caller, error in (
        (LinkRequest(tenant_id="acme"), OTHER, Forbidden),
        (LinkRequest(account_id=account.id), OTHER, AccountNotFound),
        (LinkRequest(account_id="nobody"), API, AccountNotFound),
        (LinkRequest(tenant_id="acme"), holder(account.id), Forbidden),
    ):
        with pytest.raises(error):
            await create(request, caller)


async def test_oauth_alone_can_t_be_asked_for_where_no_client_is_configured(house: House) -> None:
    with pytest.raises(InvalidBody) as caught:
        await house.connecting.create_link(LinkRequest(tenant_id="acme", authentication_methods=("oauth2",)), API)

    assert caught.value.details[0]["where"] == "authentication_methods"


# What the page is told


ORIGINS: dict[str, tuple[dict[str, str], str | None]] = {
    "the redirect's": ({"redirect_uri": REDIRECT}, "https://product.example"),
    "the redirect's, with its port": ({"redirect_uri": "http://127.0.0.1:3000/back"}, "http://127.0.0.1:3000"),
    "the one named": ({"redirect_uri": REDIRECT, "origin": ORIGIN}, ORIGIN),
    "the only one listed": ({}, ORIGIN),
}


@pytest.mark.parametrize("case", ORIGINS)
async def test_the_origin_is(product: Product, case: str) -> None:
    request, origin = ORIGINS[case]

    session = await product.connecting.session(await product.browser(**request))

    assert (session.redirect_uri, session.origin) == (request.get("redirect_uri"), origin)


async def test_a_visit_knows_whom_it_is_for_and_what_is_offered(product: Product) -> None:
    request: dict[str, Any] = {"context": {"tenant_name": " Acme Inc "}, "scopes": ("read", "identity", "read")}
    session = await product.connecting.session(await product.browser(**request))

    assert (session.tenant_id, session.tenant_name, session.account) == ("acme", "Acme Inc", None)
    assert session.methods == ("oauth2", "api_key")
    assert session.scopes == ("read", "identity")
    assert (session.is_consumed, session.result) == (False, None)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", 7, None, "\u202eevil"])
async def test_a_name_that_can_t_be_shown_is_the_tenant_s_id(product: Product, name: object) -> None:
    session = await product.connecting.session(await product.browser(context={"tenant_name": name}))

    assert session.tenant_name == "acme"


async def test_a_link_offers_the_ways_it_was_made_with(product: Product, house: House) -> None:
    keys_only = await product.browser(authentication_methods=("api_key",))
    session = await product.connecting.session(keys_only)

    assert (session.methods, session.scopes) == (("api_key",), ("global",))
    with pytest.raises(BadRequest):
        await product.connecting.start_oauth(keys_only)
    with pytest.raises(BadRequest):
        await product.connecting.connect_api_key(
            await product.browser(authentication_methods=("oauth2",)), Secret("fake-ann")
        )
    link = await house.connecting.create_link(LinkRequest(tenant_id="acme"), API)
    _, without_client = await house.connecting.arrive(link.token.reveal())
    assert without_client.methods == ("api_key",)


async def test_a_visit_to_connect_again_shows_the_account(product: Product) -> None:
    account = await product.accounts.connect_api_key(
        tenant_id="acme", api_key=Secret("fake-ann"), context={"tenant_name": "Acme"}
    )

    session = await product.connecting.session(await product.browser(account_id=account.id))

    assert (session.account, session.tenant_id, session.tenant_name) == (account, "acme", "Acme")


async def test_a_form_counts_with_the_visit_s_own_token_only(product: Product) -> None:
    cookie, other = await product.browser(), await product.browser()
    session = await product.connecting.session(cookie)

    assert await product.connecting.posted(cookie, session.csrf) == session
    for csrf in ("", cookie, (await product.connecting.session(other)).csrf, session.csrf + "0", "\ud800"):
        with pytest.raises(Forbidden):
            await product.connecting.posted(cookie, csrf)


# Arriving


async def test_looking_at_a_link_burns_nothing(product: Product) -> None:
    link = await product.link()
    for _ in range(3):
        await product.connecting.arrive(link)

    account = await product.connecting.connect_api_key(await product.browser(link), Secret("fake-ann"))

    assert account.status == "active"


@pytest.mark.parametrize("link", ["", "udl_", "udl_" + "a" * 43, "\ud800", "x" * 10_000])
async def test_an_unknown_link_is_refused(product: Product, link: str) -> None:
    with pytest.raises(LinkInvalid):
        await product.connecting.arrive(link)


async def test_an_expired_link_says_so(product: Product) -> None:
    link = await product.link()
    product.clock.ahead = LINK_LIFE + timedelta(seconds=1)

    with pytest.raises(LinkInvalid, match="expired"):
        await product.connecting.arrive(link)


async def test_a_visit_ends_after_an_hour(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)
    product.clock.ahead = SESSION_LIFE + timedelta(seconds=1)

    for ask in (
        product.connecting.session(cookie),
        product.connecting.start_oauth(cookie),
        product.connecting.connect_api_key(cookie, Secret("fake-ann")),
    ):
        with pytest.raises(SessionExpired):
            await ask
    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, state)
    assert await product.accounts.list() == []


async def test_leaving_ends_the_visit_and_not_the_link(product: Product) -> None:
    link = await product.link()
    cookie = await product.browser(link)
    state = await product.consented(cookie)

    await product.connecting.leave(cookie)
    await product.connecting.leave("a-stranger-s")

    with pytest.raises(SessionExpired):
        await product.connecting.session(cookie)
    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, state)
    await product.browser(link)


async def test_what_expired_is_forgotten_in_passing(product: Product, database: Database) -> None:
    await product.browser()
    product.clock.ahead = 2 * SESSION_LIFE + timedelta(minutes=1)
    await product.link()
    await product.chores.finish()
    assert (await count(database, LINK_TOKENS), await count(database, CONNECT_SESSIONS)) == (2, 0)

    product.clock.ahead = 2 * LINK_LIFE + timedelta(hours=3)
    await product.link()
    await product.chores.finish()
    assert await count(database, LINK_TOKENS) == 1


# By an API token


async def test_success_uses_up_the_link_and_nothing_else_does(product: Product, provider: FakeProvider) -> None:
    link = await product.link()
    cookie = await product.browser(link)
    provider.keys["fake-limited"] = provider.keys["fake-suspended"]
    for key in ("fake-nobody", "fake-suspended", "  "):
        with pytest.raises(AdapterError):
            await product.connecting.connect_api_key(cookie, Secret(key))
    assert not (await product.connecting.session(cookie)).is_consumed

    account = await product.connecting.connect_api_key(cookie, Secret("fake-ann"))

    session = await product.connecting.session(cookie)
    assert (session.is_consumed, session.result) == (True, account.id)
    with pytest.raises(LinkInvalid, match="used"):
        await product.connecting.arrive(link)
    with pytest.raises(LinkInvalid, match="used"):
        await product.connecting.posted(cookie, session.csrf)
    with pytest.raises(LinkInvalid, match="used"):
        await product.connecting.start_oauth(cookie)


async def test_a_dead_provider_leaves_the_link_as_it_was(product: Product, provider: FakeProvider) -> None:
    cookie = await product.browser()
    provider.broken = httpx.ConnectError("refused")
    with pytest.raises(UpstreamUnreachable):
        await product.connecting.connect_api_key(cookie, Secret("fake-ann"))
    provider.broken = None

    await product.connecting.connect_api_key(cookie, Secret("fake-ann"))


async def test_of_two_browsers_at_once_one_wins_and_the_other_is_told(
    product: Product, database: Database, provider: FakeProvider
) -> None:
    rival = Product(database, provider)  # another process
    link = await product.link()
    mine, theirs = await product.browser(link), await product.browser(link)
    provider.gate.clear()
    racing = [
        asyncio.create_task(house.connecting.connect_api_key(cookie, Secret(key)))
        for house, cookie, key in ((product, mine, "fake-ann"), (rival, theirs, "fake-bob"))
    ]
    for _ in racing:
        await provider.arrivals.acquire()
    provider.gate.set()

    ended = await asyncio.gather(*racing, return_exceptions=True)

    won = [account for account in ended if isinstance(account, IntegratedAccount)]
    lost = [error for error in ended if isinstance(error, LinkInvalid)]
    assert (len(won), len(lost)) == (1, 1)
    assert [account.id for account in await product.accounts.list()] == [won[0].id]
    sessions = [await product.connecting.session(cookie) for cookie in (mine, theirs)]
    assert {session.result for session in sessions} == {won[0].id, None}
    assert all(session.is_consumed for session in sessions)
    await rival.close()


async def test_the_link_s_context_is_laid_over_the_account_s(product: Product) -> None:
    account = await product.accounts.connect_api_key(
        tenant_id="acme", api_key=Secret("fake-ann"), context={"plan": "gold", "seat": 1, "old": True}
    )

    cookie = await product.browser(context={"seat": 2, "old": None, "new": []})
    again = await product.connecting.connect_api_key(cookie, Secret("fake-ann-2"))

    assert (again.id, again.context) == (account.id, {"plan": "gold", "seat": 2, "new": []})


# Connecting again


async def test_connecting_again_keeps_id_and_history(product: Product, provider: FakeProvider) -> None:
    account = await product.accounts.connect_api_key(tenant_id="acme", api_key=Secret("fake-ann"))
    await product.tokens.create_account(account.id)
    del provider.keys["fake-ann"]
    with pytest.raises(AdapterError):
        await product.accounts.refresh_credentials(account.id)
    cookie = await product.browser(account_id=account.id, context={"again": 1})

    again = await product.connecting.connect_api_key(cookie, Secret("fake-ann-2"))

    assert (again.id, again.created_at) == (account.id, account.created_at)
    assert (again.status, again.last_error, again.context) == ("active", None, {"again": 1})
    assert len(await product.tokens.list_account(account.id)) == 1


async def test_another_provider_account_is_refused_and_the_link_still_holds(product: Product) -> None:
    account = await product.accounts.connect_api_key(tenant_id="acme", api_key=Secret("fake-ann"))
    cookie = await product.browser(account_id=account.id)
    for key in ("fake-bob", "fake-read"):
        with pytest.raises(Conflict):
            await product.connecting.connect_api_key(cookie, Secret(key))
    state = await product.consented(cookie, "fake-bob")
    with pytest.raises(Conflict):
        await product.finish(cookie, state)

    assert await product.accounts.get(account.id) == account
    await product.connecting.connect_api_key(cookie, Secret("fake-ann-2"))


async def test_a_link_goes_with_its_account(product: Product) -> None:
    account = await product.accounts.connect_api_key(tenant_id="acme", api_key=Secret("fake-ann"))
    link = await product.link(account_id=account.id)
    cookie = await product.browser(link)
    used = await product.browser()
    await product.connecting.connect_api_key(used, Secret("fake-ann-2"))
    kept = await product.browser()

    removed = await product.accounts.remove(account.id)

    assert (removed.deleted["link_tokens"], removed.deleted["connect_sessions"]) == (2, 2)
    with pytest.raises(LinkInvalid):
        await product.connecting.arrive(link)
    for gone in (cookie, used):
        with pytest.raises(SessionExpired):
            await product.connecting.session(gone)
    await product.connecting.session(kept)


# By consent


async def test_consent_connects_and_uses_up_the_link(product: Product) -> None:
    cookie = await product.browser(scopes=("identity",))
    url = await product.connecting.start_oauth(cookie)
    product.consent.codes[CODE] = "fake-ann"

    session, account = await product.finish(cookie, state_of(url))

    assert "scope=identity" in url
    assert (account.authentication_method, account.status) == ("oauth2", "active")
    assert (session.is_consumed, session.result) == (True, account.id)
    reply = await (await product.accounts.open(account.id)).send("GET", "/teams")
    assert reply.status == 200


async def test_a_state_is_taken_once(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)
    product.consent.codes[CODE] = OAuthFailed()
    with pytest.raises(OAuthFailed):
        await product.finish(cookie, state)
    product.consent.codes[CODE] = "fake-ann"

    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, state)

    assert product.consent.codes == {CODE: "fake-ann"}
    await product.finish(cookie, await product.consented(cookie))


async def test_of_two_who_take_a_state_at_once_one_gets_it(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)

    ended = await asyncio.gather(*(product.finish(cookie, state) for _ in range(5)), return_exceptions=True)

    assert sum(isinstance(end, OAuthStateInvalid) for end in ended) == 4
    assert len(await product.accounts.list()) == 1


async def test_a_state_in_another_browser_ends_nothing(product: Product) -> None:
    link = await product.link()
    victim, thief = await product.browser(link), await product.browser(link)
    state = await product.consented(victim)
    await product.connecting.start_oauth(thief)

    for cookie, error in ((thief, None), (None, None), ("no-cookie-of-ours", None), (thief, "access_denied")):
        with pytest.raises(OAuthStateInvalid):
            await product.finish(cookie, state, error=error)

    await product.finish(victim, state)


async def test_a_state_lives_for_ten_minutes(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)
    product.clock.ahead = STATE_LIFE + timedelta(seconds=1)

    with pytest.raises(OAuthStateInvalid, match="ten minutes"):
        await product.finish(cookie, state)

    product.clock.ahead = timedelta()
    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, state)


async def test_to_begin_again_ends_what_was_begun(product: Product) -> None:
    cookie = await product.browser()
    first = await product.consented(cookie)
    second = await product.consented(cookie)

    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, first)
    await product.finish(cookie, second)


@pytest.mark.parametrize("named", [False, True])
async def test_denial_ends_the_way_of_this_browser_only(product: Product, named: bool) -> None:
    link = await product.link()
    cookie, other = await product.browser(link), await product.browser(link)
    state, others = await product.consented(cookie), await product.consented(other)

    with pytest.raises(OAuthDenied):
        await product.finish(cookie, state if named else None, code=None, error="access_denied")

    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, state)
    await product.finish(other, others)


async def test_a_denial_of_nothing_begun_is_none(product: Product) -> None:
    for cookie in (await product.browser(), None, "no-cookie-of-ours"):
        with pytest.raises(OAuthStateInvalid):
            await product.finish(cookie, None, code=None, error="access_denied")


async def test_a_way_back_without_a_state_is_refused(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)

    with pytest.raises(OAuthStateInvalid):
        await product.finish(cookie, None)
    with pytest.raises(OAuthStateInvalid, match="code"):
        await product.finish(cookie, state, code=None)


async def test_another_error_s_words_are_not_repeated(product: Product) -> None:
    cookie = await product.browser()
    state = await product.consented(cookie)

    with pytest.raises(OAuthFailed) as caught:
        await product.finish(cookie, state, code=None, error="<script>")

    assert "<script>" not in caught.value.message


async def test_a_link_used_while_consent_was_asked_for_is_told(product: Product) -> None:
    link = await product.link()
    slow, fast = await product.browser(link), await product.browser(link)
    state = await product.consented(slow)
    await product.connecting.connect_api_key(fast, Secret("fake-bob"))

    with pytest.raises(LinkInvalid, match="used"):
        await product.finish(slow, state)

    assert CODE in product.consent.codes  # nobody's consent was turned into a credential in vain


# Keys and secrets


OLD, NEW = "fake-old-key-" + "o" * 32, "fake-new-key-" + "n" * 32


async def test_a_rotation_takes_what_is_under_way_along(database: Database, provider: FakeProvider) -> None:
    old, both, new = (Product(database, provider, keys) for keys in ([OLD], [NEW, OLD], [NEW]))
    first, second = await old.browser(), await old.browser()
    kept = await old.consented(first)
    both.consent = new.consent = old.consent

    lost = await new.connecting.rotate_keys()
    rotation = await both.connecting.rotate_keys()

    assert (lost.resealed, len(lost.lost)) == (0, 1)
    assert (rotation.resealed, rotation.current, rotation.lost) == (1, 0, ())
    assert (await new.connecting.rotate_keys()).current == 1
    new.connecting._oauth = old.consent
    await new.finish(first, kept)
    late = await old.consented(second)
    with pytest.raises(OAuthStateInvalid, match="begin again"):
        await new.finish(second, late)
    for house in (old, both, new):
        await house.close()


async def _every_value(database: Database) -> str:
    async with database.read() as connection:
        rows = [await connection.execute(sa.select(table)) for table in METADATA.sorted_tables]
        return "\n".join(repr(tuple(row)) for result in rows for row in result)


async def test_no_row_or_log_holds_a_secret(product: Product, provider: FakeProvider, database: Database) -> None:
    provider.keys |= {"HRKU-fake-plain": provider.keys["fake-ann"], "HRKU-fake-other": provider.keys["fake-bob"]}
    with structlog.testing.capture_logs() as logs:
        link, second = await product.link(), await product.link()
        cookie, waiting = await product.browser(link), await product.browser(second)
        state = await product.consented(cookie, "HRKU-fake-plain")
        pending = await product.consented(waiting)
        while_under_way = await _every_value(database)
        product.consent.codes[CODE] = "HRKU-fake-plain"
        await product.finish(cookie, state)
        await product.connecting.connect_api_key(waiting, Secret("HRKU-fake-other"))
        with pytest.raises(InvalidCredential):
            await product.connecting.connect_api_key(await product.browser(), Secret("HRKU-fake-wrong"))

    shown = while_under_way + await _every_value(database) + repr(logs)
    csrf = (await product.connecting.session(cookie)).csrf
    secrets = [link, second, cookie, waiting, state, pending, csrf, *product.consent.verifiers, CODE, "HRKU-fake"]
    assert [secret for secret in secrets if secret in shown] == []
    assert "link_used" in shown
