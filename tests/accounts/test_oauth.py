"""The OAuth client, before a provider of a few lines and before the sandbox."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from adapter.accounts.oauth import OAuthClient, oauth_client
from adapter.config import Settings, load
from adapter.errors import (
    AccountSuspended,
    AdapterError,
    ConfigError,
    OAuthFailed,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.models import Credential, Secret
from adapter.sandbox import RunningSandbox
from adapter.upstream.client import FixedCredential, UpstreamClient
from adapter.upstream.provider import load_provider

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PROVIDER = load_provider()
KEPT = Credential(method="oauth2", access_token=Secret("fake-old"), refresh_token=Secret("fake-refresh"))
ANSWER = {"access_token": "fake-new", "expires_in": 28799, "refresh_token": "fake-later", "token_type": "Bearer"}


class TokenEndpoint(httpx.AsyncBaseTransport):
    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.seen[-1].content.decode(), keep_blank_values=True)


def client(endpoint: TokenEndpoint) -> OAuthClient:
    return OAuthClient(
        PROVIDER,
        httpx.AsyncClient(transport=endpoint),
        client_id="fake-client",
        client_secret=Secret("fake-secret"),
        redirect_uri="https://directory.example.com/connect-account/callback",
        now=lambda: NOW,
    )


def test_consent_is_asked_for_with_state_and_a_proof_key() -> None:
    url = urlsplit(client(TokenEndpoint()).authorize_url(state="fake-state", verifier="v" * 43))

    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://id.heroku.com/oauth/authorize"
    assert parse_qs(url.query) == {
        "response_type": ["code"],
        "client_id": ["fake-client"],
        "redirect_uri": ["https://directory.example.com/connect-account/callback"],
        "scope": ["global"],
        "state": ["fake-state"],
        # RFC 7636: BASE64URL(SHA256(verifier))
        "code_challenge": ["7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"],
        "code_challenge_method": ["S256"],
    }


def test_a_link_may_ask_for_other_scopes() -> None:
    url = client(TokenEndpoint()).authorize_url(state="s", verifier="v", scopes=["read", "identity"])

    assert parse_qs(urlsplit(url).query)["scope"] == ["read identity"]


async def test_a_code_is_exchanged_by_a_form() -> None:
    endpoint = TokenEndpoint(httpx.Response(200, json=ANSWER))

    found = await client(endpoint).exchange("fake-code", "fake-verifier")

    assert found.access_token == Secret("fake-new")
    assert found.expires_at == NOW + timedelta(seconds=28799)
    assert str(endpoint.seen[0].url) == "https://id.heroku.com/oauth/token"
    assert endpoint.seen[0].headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert "authorization" not in endpoint.seen[0].headers
    assert endpoint.form == {
        "grant_type": ["authorization_code"],
        "code": ["fake-code"],
        "code_verifier": ["fake-verifier"],
        "client_id": ["fake-client"],
        "client_secret": ["fake-secret"],
        "redirect_uri": ["https://directory.example.com/connect-account/callback"],
    }


async def test_a_refresh_keeps_the_refresh_token_unless_another_comes() -> None:
    bare = {name: value for name, value in ANSWER.items() if name != "refresh_token"}
    endpoint = TokenEndpoint(httpx.Response(200, json=ANSWER), httpx.Response(200, json=bare))

    first = await client(endpoint).refresh(KEPT)
    assert endpoint.form["refresh_token"] == ["fake-refresh"]
    assert endpoint.form["client_secret"] == ["fake-secret"]
    second = await client(endpoint).refresh(first)
    assert endpoint.form["refresh_token"] == ["fake-later"]

    assert first.refresh_token == second.refresh_token == Secret("fake-later")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(500, json={"id": "internal_server_error", "message": "fake-refresh"}), UpstreamFailure),
        (httpx.Response(403, text="Account suspended."), AccountSuspended),
        (httpx.Response(404, json={"id": "not_found", "message": "fake-refresh"}), OAuthFailed),
        (httpx.Response(200, text='{"access_token": "fake-ne'), UpstreamNonsense),
        (httpx.ConnectError("fake-secret"), UpstreamUnreachable),
        (httpx.ReadTimeout("fake-secret"), UpstreamTimeout),
        (ValueError("fake-secret"), UpstreamNonsense),
    ],
)
async def test_a_failure_is_told_in_our_words_and_repeats_nothing_that_was_sent(
    answer: httpx.Response | Exception, kind: type[AdapterError]
) -> None:
    with pytest.raises(AdapterError) as caught:
        await client(TokenEndpoint(answer)).refresh(KEPT)

    assert type(caught.value) is kind
    assert "fake" not in f"{caught.value!r} {vars(caught.value)}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_client_shows_no_secret() -> None:
    assert "fake-secret" not in repr(client(TokenEndpoint()))


# --- settings

SET = {"HEROKU_OAUTH_ID": "fake-client", "HEROKU_OAUTH_SECRET": "fake-secret"}


@pytest.fixture
async def upstream() -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient(PROVIDER)
    yield made
    await made.close()


async def test_without_an_id_there_is_no_client(upstream: UpstreamClient) -> None:
    assert oauth_client(load({}), upstream) is None


async def test_the_settings_make_the_client(upstream: UpstreamClient) -> None:
    more = {
        "HEROKU_AUTH_URL": "http://127.0.0.1:5100/",
        "PUBLIC_URL": "https://d.example.com/",
        "HEROKU_OAUTH_SCOPE": "identity,read",
    }
    made = oauth_client(load(SET | more), upstream)

    assert made is not None
    assert made.scopes == ("identity", "read")
    url = made.authorize_url(state="s", verifier="v")
    assert url.startswith("http://127.0.0.1:5100/oauth/authorize?")
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == ["https://d.example.com/connect-account/callback"]


async def test_a_scope_that_nobody_knows_is_refused_at_the_start(upstream: UpstreamClient) -> None:
    with pytest.raises(ConfigError, match=r"HEROKU_OAUTH_SCOPE names evil; known are global, identity"):
        oauth_client(load(SET | {"HEROKU_OAUTH_SCOPE": "read evil"}), upstream)


# --- before the sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        yield running


@pytest.fixture
async def real(sandbox: RunningSandbox) -> AsyncIterator[tuple[OAuthClient, UpstreamClient]]:
    sandbox.reset()
    registered = sandbox.control(
        "POST", "oauth-clients", {"redirect_uri": "http://127.0.0.1:1/connect-account/callback"}
    )
    upstream = UpstreamClient(PROVIDER, api_url=sandbox.url)
    settings = Settings(
        heroku_auth_url=sandbox.url,
        heroku_oauth_id=registered["id"],
        heroku_oauth_secret=registered["secret"],
        public_url="http://127.0.0.1:1",
    )
    made = oauth_client(settings, upstream)
    assert made is not None
    yield made, upstream
    await upstream.close()


async def granted(oauth: OAuthClient) -> Credential:
    url = oauth.authorize_url(state="fake-state", verifier="v" * 43) + "&auto=grant"
    async with httpx.AsyncClient(trust_env=False) as browser:
        back = parse_qs(urlsplit((await browser.get(url)).headers["location"]).query)
    assert back["state"] == ["fake-state"]
    return await oauth.exchange(back["code"][0], "v" * 43)


async def test_a_grant_opens_the_api_is_refreshed_and_revoked(real: tuple[OAuthClient, UpstreamClient]) -> None:
    oauth, upstream = real
    first, another = await granted(oauth), await granted(oauth)
    second = await oauth.refresh(first)
    assert second.access_token != first.access_token
    bound = upstream.bind(FixedCredential(second.access_token), account_key="a")
    reply = await bound.send("GET", "/account")
    assert reply.headers["oauth-scope"] == "global"

    assert await oauth.revoke(bound, second)

    with pytest.raises(OAuthFailed, match="401 unauthorized"):
        await oauth.refresh(second)
    assert (await oauth.refresh(another)).access_token != another.access_token


async def test_a_code_that_is_not_known_is_refused_and_a_broken_answer_is_no_refusal(
    real: tuple[OAuthClient, UpstreamClient], sandbox: RunningSandbox
) -> None:
    oauth, _ = real
    with pytest.raises(OAuthFailed, match="404 not_found"):
        await oauth.exchange("fake-code", "v" * 43)
    sandbox.faults([{"kind": "cut_json", "match": {"path": "/oauth/token"}, "times": 1}])
    with pytest.raises(UpstreamNonsense):
        await granted(oauth)
