"""Connecting by a link: made for a product, opened by its customer, used up by success and by nothing else.

A link token is exchanged for a session of the browser that opens it, and that session's cookie is all that the browser
holds. Link tokens, cookies and states are stored as hashes; the one secret that is needed again, the verifier of PKCE,
is sealed.
"""

import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

import msgspec
import structlog

from adapter.accounts.bounds import refuse_account_token, refuse_other_tenant
from adapter.accounts.checks import checked_context, checked_key, checked_tenant, merged_context
from adapter.accounts.chores import Chores
from adapter.accounts.links import AllowLists, LinkRequest, checked_methods, checked_scopes, checked_target
from adapter.accounts.rotation import KeyRotation, rotated
from adapter.accounts.service import Accounts
from adapter.errors import (
    BadRequest,
    Forbidden,
    KeyLost,
    LinkInvalid,
    OAuthDenied,
    OAuthFailed,
    OAuthStateInvalid,
    SessionExpired,
)
from adapter.models import AuthenticationMethod, Caller, Credential, IntegratedAccount, Moment, Secret
from adapter.storage.links import USED, ConnectSession, Link, LinkStore, Pending
from adapter.storage.vault import Vault

LINK_LIFE = timedelta(days=7)
SESSION_LIFE = timedelta(hours=1)
STATE_LIFE = timedelta(minutes=10)

_PREFIX = "udl_"
_PURGE_EVERY = timedelta(minutes=5)
# So that whoever comes late is told that the link has expired, and not that there never was one.
_DEAD_STAY_KNOWN = timedelta(days=7)
_MAX_NAME_CHARS = 100

_log = structlog.get_logger(__name__)


class Consent(Protocol):
    """The deployment's OAuth client at the provider."""

    @property
    def scopes(self) -> tuple[str, ...]: ...
    def authorize_url(self, *, state: str, verifier: str, scopes: Sequence[str] | None = None) -> str: ...
    async def exchange(self, code: str, verifier: str) -> Credential: ...


class LinkToken(msgspec.Struct, frozen=True, kw_only=True):
    """A new link; the token is shown once."""

    token: Secret
    id: str
    expires_at: Moment


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the connect page may know of a browser's visit. Nothing in it but `csrf` is a secret."""

    id: str
    link_id: str
    tenant_id: str
    tenant_name: str
    """As the link's context calls the tenant (`tenant_name`), else its id."""
    account: IntegratedAccount | None
    """The one to be connected again; None where a new one is to be."""
    redirect_uri: str | None
    origin: str | None
    methods: tuple[AuthenticationMethod, ...]
    """Those to offer, OAuth first."""
    scopes: tuple[str, ...]
    """The provider's scopes that are asked for: of OAuth, and of a key too; empty where nobody has named any."""
    csrf: str
    """To be sent along by every form: derived from the cookie, so that nothing has to be stored."""
    is_consumed: bool
    """Whether the link has been used, by this browser or another."""
    result: str | None
    """The account's id, where it was this browser that succeeded."""


class Connecting:
    """Links and the visits that they lead to."""

    def __init__(
        self,
        *,
        store: LinkStore,
        accounts: Accounts,
        vault: Vault,
        chores: Chores,
        oauth: Consent | None = None,
        known_scopes: Sequence[str] = (),
        allowed: AllowLists | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`oauth` is None where no client is configured; `known_scopes` are the provider's that a link may ask for."""
        self._store = store
        self._accounts = accounts
        self._vault = vault
        self._chores = chores
        self._oauth = oauth
        self._known_scopes = tuple(known_scopes)
        self._allowed = allowed or AllowLists()
        self._now = now
        self._purged_at: datetime | None = None

    @property
    def methods(self) -> tuple[AuthenticationMethod, ...]:
        """The ways in which accounts can be connected here, OAuth first."""
        return ("oauth2", "api_key") if self._oauth is not None else ("api_key",)

    async def create_link(self, request: LinkRequest, caller: Caller | None = None) -> LinkToken:
        """A link for 7 days. `caller` must hold an API token (None: the deployment itself) and may name its own alone.

        InvalidBody says which field can't be used and which setting would allow it; AccountNotFound, Forbidden.
        """
        refuse_account_token(caller)
        checked_target(request)
        await self._check_bound(request, caller)
        self._purge()
        now, plain = self._now(), _PREFIX + secrets.token_urlsafe(32)
        link = self._link(request, caller, now)
        await self._store.add(link, _digest(plain))
        return LinkToken(token=Secret(plain), id=link.id, expires_at=link.expires_at)

    async def arrive(self, link_token: str) -> tuple[Secret, Session]:
        """The value of a new cookie, and its session. LinkInvalid for a link that is unknown, expired or used.

        The link stays as it was: whoever only looks at it, like a mail scanner, burns nothing.
        """
        link = await self._store.by_hash(_digest(link_token))
        now = self._now()
        if link is None:
            raise LinkInvalid
        if link.consumed_at is not None:
            raise LinkInvalid(USED)
        if link.expires_at <= now:
            raise LinkInvalid("This link has expired; go back to where you got it and ask for a new one.")
        self._purge()
        cookie, session_id, until = secrets.token_urlsafe(32), str(uuid4()), now + SESSION_LIFE
        await self._store.add_session(session_id, _digest(cookie), link_id=link.id, at=now, expires_at=until)
        return Secret(cookie), await self._shown(ConnectSession(id=session_id, link=link, expires_at=until), cookie)

    async def session(self, cookie: str) -> Session:
        """The visit of the browser with this cookie, over or not; SessionExpired for none, or an hour after it came."""
        return await self._shown(await self._found(cookie), cookie)

    async def posted(self, cookie: str, csrf: str) -> Session:
        """The visit behind a form: Forbidden where the form was not this page's, LinkInvalid where the link is used."""
        session = await self.session(cookie)
        if not hmac.compare_digest(session.csrf.encode(), csrf.encode(errors="surrogatepass")):
            raise Forbidden("This form belongs to another visit; load the page again, and send it from there.")
        if session.is_consumed:
            raise LinkInvalid(USED)
        return session

    async def leave(self, cookie: str) -> None:
        """End the visit of the browser with this cookie, and whatever it had begun; the link can be opened again."""
        found = await self._store.session(_digest(cookie))
        if found is not None:
            await self._store.remove_session(found.id)

    async def connect_api_key(self, cookie: str, api_key: Secret) -> IntegratedAccount:
        """Connect by an API token and use up the link; nothing of either where the token doesn't prove good.

        InvalidCredential, Conflict for another account than the one to be connected again, LinkInvalid where somebody
        was faster, and whatever the provider refuses.
        """
        credential = Credential(method="api_key", access_token=checked_key(api_key))
        return await self._connect(await self._usable(cookie, "api_key"), credential)

    async def start_oauth(self, cookie: str) -> str:
        """Where to send the browser for consent. It may take 10 minutes; to begin again ends what was begun before."""
        session = await self._usable(cookie, "oauth2")
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        begun = await self._store.begin(
            session.id,
            state=_digest(state),
            expires_at=self._now() + STATE_LIFE,
            sealed_verifier=self._vault.seal(verifier, about=_about(session.id)),
        )
        if not begun:
            raise SessionExpired
        return self._consent().authorize_url(state=state, verifier=verifier, scopes=self._scopes(session.link))

    async def finish_oauth(
        self, cookie: str | None, *, state: str | None, code: str | None, error: str | None
    ) -> tuple[Session, IntegratedAccount]:
        """Take the way back from the provider, once, and use up the link.

        OAuthStateInvalid for a way that this browser has not begun, has taken already, or took too long for; another
        browser's goes on. After OAuthDenied, OAuthFailed or an UpstreamFailure the link still holds: begin again.
        """
        if cookie is None or (state is None and error is None):
            raise OAuthStateInvalid
        pending = await self._store.take(_digest(cookie), _digest(state) if state is not None else None)
        if pending is None:
            raise OAuthStateInvalid
        if error is not None:
            raise _refused(error)
        verifier = self._verifier(pending)
        if not code:
            raise OAuthStateInvalid("The provider sent no code; begin again.")
        session = await self._usable(cookie, "oauth2")
        account = await self._connect(session, await self._consent().exchange(code, verifier))
        return await self.session(cookie), account

    async def rotate_keys(self) -> KeyRotation:
        """Reseal what visits under way have sealed, as `Accounts.rotate_keys` does; a lost one is begun again."""
        return await rotated(self._vault, self._store, about=_about, reread=self._store.verifier)

    async def _check_bound(self, request: LinkRequest, caller: Caller | None) -> None:
        """Whose it shall be is the caller's to say."""
        if request.account_id is not None:
            account = await self._accounts.get(request.account_id, caller)
            merged_context(account.context, request.context)
        elif request.tenant_id is not None:
            refuse_other_tenant(checked_tenant(request.tenant_id), caller)

    def _link(self, request: LinkRequest, caller: Caller | None, now: datetime) -> Link:
        redirect_uri = self._allowed.redirect_uri(request.redirect_uri)
        return Link(
            id=str(uuid4()),
            tenant_id=request.tenant_id,
            account_id=request.account_id,
            redirect_uri=redirect_uri,
            origin=self._allowed.origin(request.origin, redirect_uri),
            context=checked_context(request.context),
            scopes=checked_scopes(request.scopes, self._known_scopes),
            authentication_methods=checked_methods(request.authentication_methods, self.methods),
            created_by=caller.token_id if caller is not None else None,
            created_at=now,
            expires_at=now + LINK_LIFE,
        )

    async def _connect(self, session: ConnectSession, credential: Credential) -> IntegratedAccount:
        link, also = session.link, self._store.consuming(session, self._now())
        if link.account_id is not None:
            account = await self._accounts.reconnect(link.account_id, credential, context=link.context, also=also)
        else:
            account = await self._accounts.connect(link.tenant_id or "", credential, context=link.context, also=also)
        _log.info("link_used", link_id=link.id, integrated_account_id=account.id, method=credential.method)
        return account

    async def _found(self, cookie: str) -> ConnectSession:
        found = await self._store.session(_digest(cookie))
        if found is None or found.expires_at <= self._now():
            raise SessionExpired
        return found

    async def _usable(self, cookie: str, method: AuthenticationMethod) -> ConnectSession:
        """The session, while its link can still be used, and in this way."""
        session = await self._found(cookie)
        if session.link.consumed_at is not None:
            raise LinkInvalid(USED)
        if method not in self._offered(session.link):
            raise BadRequest("This link does not offer that way to connect.")
        return session

    async def _shown(self, session: ConnectSession, cookie: str) -> Session:
        link = session.link
        account = await self._accounts.get(link.account_id) if link.account_id is not None else None
        tenant_id = account.tenant_id if account is not None else link.tenant_id or ""
        offered = self._offered(link)
        return Session(
            id=session.id,
            link_id=link.id,
            tenant_id=tenant_id,
            tenant_name=_name({**(account.context if account else {}), **link.context}) or tenant_id,
            account=account,
            redirect_uri=link.redirect_uri,
            origin=link.origin,
            methods=offered,
            scopes=link.scopes or (self._oauth.scopes if self._oauth is not None else ()),
            csrf=hmac.digest(cookie.encode(), b"connect/csrf", "sha256").hex(),
            is_consumed=link.consumed_at is not None,
            result=session.account_result,
        )

    def _offered(self, link: Link) -> tuple[AuthenticationMethod, ...]:
        asked = link.authentication_methods
        return tuple(method for method in self.methods if asked is None or method in asked)

    def _scopes(self, link: Link) -> tuple[str, ...]:
        return link.scopes or self._consent().scopes

    def _consent(self) -> Consent:
        if self._oauth is None:
            raise BadRequest("No OAuth client is configured here.")
        return self._oauth

    def _verifier(self, pending: Pending) -> str:
        if pending.expires_at <= self._now():
            raise OAuthStateInvalid("The provider's consent took longer than ten minutes; begin again.")
        try:
            return self._vault.open(pending.sealed_verifier, about=_about(pending.session_id)).decode()
        except KeyLost:
            raise OAuthStateInvalid("The adapter's secret keys were exchanged meanwhile; begin again.") from None

    def _purge(self) -> None:
        """Forget what expired, now and then, without keeping anybody waiting."""
        now = self._now()
        if self._purged_at is None or self._purged_at + _PURGE_EVERY <= now:
            self._purged_at = now
            # A session's last request may be under way still.
            store, dead_links, dead_sessions = self._store, now - _DEAD_STAY_KNOWN, now - SESSION_LIFE
            self._chores.add("purge_links", store.purge(links_before=dead_links, sessions_before=dead_sessions))


def _digest(plain: str) -> bytes:
    """SHA-256 is enough: all that is hashed here is 256 random bits, so there is nothing to guess."""
    return sha256(plain.encode(errors="surrogatepass")).digest()


def _about(session_id: str) -> str:
    """What a sealed verifier is bound to: its session's row."""
    return f"connect:{session_id}"


def _name(context: dict[str, object]) -> str | None:
    """The tenant's name as the context has it, fit to be shown."""
    name = context.get("tenant_name")
    fits = isinstance(name, str) and name.isprintable() and 1 <= len(name.strip()) <= _MAX_NAME_CHARS
    return name.strip() if isinstance(name, str) and fits else None


def _refused(error: str) -> OAuthDenied | OAuthFailed:
    """RFC 6749, section 4.1.2.1. The provider's own words stay out of it: anybody can write them into the address."""
    if error == "access_denied":
        return OAuthDenied()
    return OAuthFailed("The provider could not ask for consent; begin again, or connect in another way.")
