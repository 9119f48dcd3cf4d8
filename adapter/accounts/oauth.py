"""The OAuth client: consent asked for, a code or a refresh token turned into a credential, an authorization ended.

The provider's departures from the RFCs stand in `adapter/upstream/oauth.py`. Whatever goes wrong is told in our words:
the provider's may repeat what was sent, so they travel no further.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from authlib.oauth2.client import OAuth2Client

from adapter.config import Settings
from adapter.errors import ConfigError
from adapter.models import Credential, Secret
from adapter.upstream.client import BoundClient, UpstreamClient
from adapter.upstream.protocol import words
from adapter.upstream.provider import Provider
from adapter.upstream.transport import FOREIGN, translated

CALLBACK = "/connect-account/callback"
"""Below `PUBLIC_URL`: what is registered at the provider as the client's redirect address."""


class _Protocol(OAuth2Client):  # type: ignore[misc]  # authlib publishes no types
    """authlib's client over an HTTP client of ours; the answer is handed back as it came.

    Its own `AsyncOAuth2Client` is built the same way, but (as of 1.9) over httpx2 wherever that is installed, whose
    requests our pool's transport doesn't know, and it warns at each start where it falls back on httpx. It would read
    the answer by RFC 6749 as well, which the provider's failures don't follow.
    """

    async def _fetch_token(
        self, url: str, *, body: str, headers: Mapping[str, str], auth: Any, **_: Any
    ) -> httpx.Response:
        url, sent, body = auth.prepare("POST", url, dict(headers), body)
        response: httpx.Response = await self.session.post(url, content=body, headers=sent)
        return response

    async def _refresh_token(self, url: str, **request: Any) -> httpx.Response:
        return await self._fetch_token(url, **request)


class OAuthClient:
    """This deployment's client at the provider. No part of it holds anybody's tokens."""

    def __init__(
        self,
        provider: Provider,
        http: httpx.AsyncClient,
        *,
        client_id: str,
        client_secret: Secret,
        redirect_uri: str,
        auth_url: str = "",
        scopes: Sequence[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`http` is the upstream's, with its pool and manners. `auth_url` and `scopes` override the provider's."""
        self._provider = provider
        self._base = (auth_url or provider.auth_url).rstrip("/")
        self._now = now
        self.client_id = client_id
        self.scopes: tuple[str, ...] = tuple(scopes) or provider.oauth.scope
        self._protocol = _Protocol(
            session=http,
            client_id=client_id,
            client_secret=client_secret.reveal(),
            # The secret goes into the form, which is where the provider's documentation has it.
            token_endpoint_auth_method="client_secret_post",  # noqa: S106  # a method's name
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def authorize_url(self, *, state: str, verifier: str, scopes: Sequence[str] | None = None) -> str:
        """Where to send the browser. `verifier` is PKCE's; `scopes` are asked for in place of the deployment's."""
        url, _ = self._protocol.create_authorization_url(
            self._base + self._provider.oauth.authorize,
            state=state,
            code_verifier=verifier,
            scope=" ".join(scopes or self.scopes),
        )
        return str(url)

    async def exchange(self, code: str, verifier: str) -> Credential:
        """The credential for a code. OAuthFailed, AccountSuspended, RemoteRateLimited or UpstreamFailure."""
        return await self._asked(
            lambda url: self._protocol.fetch_token(
                url, grant_type="authorization_code", code=code, code_verifier=verifier
            )
        )

    async def refresh(self, credential: Credential) -> Credential:
        """The credential that follows. OAuthFailed where the provider refused, which ends the grant.

        UpstreamFailure or RemoteRateLimited where nothing is known: the credential at hand may be as good as before.
        """
        kept = credential.refresh_token
        if kept is None:
            raise ValueError("a credential without a refresh token can't be refreshed")
        given = await self._asked(lambda url: self._protocol.refresh_token(url, refresh_token=kept.reveal()))
        return given if given.refresh_token else msgspec.structs.replace(given, refresh_token=kept)

    async def revoke(self, client: BoundClient, credential: Credential) -> bool:
        """End the authorization behind a credential at the provider; False where it was not found.

        Others that the same person has given to this client serve other connections, and stay.
        """
        rule = self._provider.oauth.revoke
        given = await client.iterate(rule.listed, order=self._provider.paging.order)
        paths = rule.ended(given.records, self.client_id, credential)
        for path in paths:
            await client.send("DELETE", path)
        return bool(paths)

    async def _asked(self, ask: Callable[[str], Awaitable[httpx.Response]]) -> Credential:
        try:
            async with asyncio.timeout(self._provider.timeouts.token):
                response = await ask(self._base + self._provider.oauth.token)
        except FOREIGN as error:
            raise translated(error) from None
        return self._provider.oauth.read(
            response.status_code, response.headers, response.content, errors=self._provider.errors, now=self._now()
        )


def oauth_client(settings: Settings, upstream: UpstreamClient) -> OAuthClient | None:
    """The deployment's client; None where it has none. ConfigError for scopes that can't be asked for."""
    if not settings.heroku_oauth_id:
        return None
    provider = upstream.provider
    scopes = words(settings.heroku_oauth_scope)
    if unknown := sorted(set(scopes) - set(provider.oauth.scopes)):
        raise ConfigError(
            f"HEROKU_OAUTH_SCOPE names {', '.join(unknown)}; known are {', '.join(provider.oauth.scopes)}."
        )
    return OAuthClient(
        provider,
        upstream.http,
        client_id=settings.heroku_oauth_id,
        client_secret=Secret(settings.heroku_oauth_secret),
        redirect_uri=settings.public_url.rstrip("/") + CALLBACK,
        auth_url=settings.heroku_auth_url,
        scopes=scopes,
    )
