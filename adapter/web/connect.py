"""`/connect-account…`: the page on which a customer connects their account of the provider's.

Everything works by forms and redirects; a script only tells the page that opened a popup. Whatever goes wrong is a page
too, never JSON. Behind it stands `Connecting`, which decides.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.accounts.connecting import Connecting, Session
from adapter.accounts.oauth import CALLBACK
from adapter.errors import AdapterError, Forbidden, Gone, LinkInvalid, OAuthDenied
from adapter.models import IntegratedAccount, Secret
from adapter.web.accounts import Watcher
from adapter.web.connect_pages import PATH, Pages
from adapter.web.connect_views import CANCELLED, DENIED, NO_KEY, Declared, Views
from adapter.web.connect_wire import Wire, form_of
from adapter.web.connect_words import Words

Handler = Callable[[Request], Awaitable[Response]]
_MAX_LINK_TOKEN = 512

_log = structlog.get_logger("adapter.web")


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def get(self, account_id: str) -> IntegratedAccount: ...


def routes(
    *,
    connecting: Connecting,
    accounts: Accounts,
    provider: Declared,
    words: Words,
    unit_scopes: Mapping[str, Sequence[str]],
    public_url: str,
    auth_url: str,
    behind_proxy: bool = False,
    watcher: Watcher | None = None,
) -> list[BaseRoute]:
    """The page, its ways out and back, and its files. `auth_url` is where the provider lets people sign in.

    `behind_proxy`: whether a proxy is believed in how people came, over TLS or not.
    """
    pages = Pages(urlsplit(public_url).path.rstrip("/"))
    wire = Wire(public_url=public_url, path=pages.at.base)
    views = Views(provider=provider, words=words, unit_scopes=unit_scopes, auth_host=urlsplit(auth_url).netloc)
    leads_to_tls = wire.is_secure and behind_proxy
    door = _Door(connecting, accounts, views, pages, wire, public_url.rstrip("/"), leads_to_tls, watcher)
    return [
        Route(PATH, door.shown(door.ask), methods=["GET"]),
        Route(CALLBACK, door.shown(door.callback), methods=["GET"]),
        # The page's own ways: nobody else is to build on them.
        _inner("api-key", door.shown(door.api_key), "POST"),
        _inner("oauth", door.shown(door.oauth), "POST"),
        _inner("cancel", door.shown(door.cancel), "POST"),
        _inner("done", door.shown(door.done), "GET"),
        _inner("{astray:path}", door.shown(door.astray), "GET"),
        *pages.routes,
    ]


def _inner(name: str, handler: Handler, method: str) -> Route:
    return Route(f"{PATH}/{name}", handler, methods=[method], include_in_schema=False)


class _Door:
    def __init__(
        self,
        connecting: Connecting,
        accounts: Accounts,
        views: Views,
        pages: Pages,
        wire: Wire,
        public_url: str,
        leads_to_tls: bool,
        watcher: Watcher | None,
    ) -> None:
        self._connecting = connecting
        self._accounts = accounts
        self._views = views
        self._pages = pages
        self._wire = wire
        self._public_url = public_url
        # By what a proxy says that is not believed, whoever came over TLS would be led to it forever.
        self._leads_to_tls = leads_to_tls
        self._watcher = watcher

    def shown(self, handler: Handler) -> Handler:
        """The handler, with whatever goes wrong as a page; and over TLS, where that is what PUBLIC_URL promises."""

        async def answered(request: Request) -> Response:
            if self._leads_to_tls and request.url.scheme == "http" and "x-forwarded-proto" in request.headers:
                return self._over_tls(request)
            try:
                return await handler(request)
            except LinkInvalid as error:
                # A form that was sent twice: the page itself knows whether it was this very visit that succeeded.
                return self._onward("") if request.method == "POST" else self._problem(request, error)
            except AdapterError as error:
                return self._problem(request, error)
            except Exception:  # noqa: BLE001  # as at the edge, which would answer in JSON
                _log.error("crash", request_id=request.scope["state"]["request_id"], exc_info=True)
                return self._problem(request, AdapterError())

        return answered

    def _over_tls(self, request: Request) -> Response:
        """To PUBLIC_URL, where the cookie will be taken. A link that arrives so has not been used yet."""
        token = request.query_params.get("link_token")
        return self._wire.go(self._public_url + PATH + (f"?{urlencode({'link_token': token})}" if token else ""))

    async def ask(self, request: Request) -> Response:
        """The page itself. A link's token is exchanged for a cookie first, so that no address keeps it."""
        token = request.query_params.get("link_token")
        if token is not None:
            return await self._arrive(request, token)
        code = request.query_params.get("problem")
        cookie = self._wire.cookie(request)
        if cookie is None and code is not None and self._views.knows(code):
            return self._trouble(request, code, 400)
        session = await self._connecting.session(self._wire.required_cookie(request))
        if session.result is not None:
            return self._onward("/done")
        _refuse_consumed(session)
        wanted = request.query_params.get("auth_format")
        return self._ask(session, wanted=wanted, error=code if self._views.knows(code) else None)

    async def api_key(self, request: Request) -> Response:
        """The form with a key. A key that is no good leaves everything as it was, the page included."""
        cookie, session, form = await self._submitted(request)
        key = form.get("api_key", "").strip()
        if not key:
            return self._ask(session, error=NO_KEY, with_key=True, status=422)
        try:
            account = await self._connecting.connect_api_key(cookie, Secret(key))
        except Gone:
            raise
        except AdapterError as error:
            return self._ask(session, error=error, with_key=True, status=error.status)
        await self._connected(account)
        return self._onward("/done")

    async def oauth(self, request: Request) -> Response:
        """The form that leads to the provider: by a page of its own, for the provider may lead on to anywhere.

        Who signs in by SSO is redirected to their company's identity provider. Were this a redirect too, all of them
        would count as the form's, and the page's policy would have to name hosts that nobody knows beforehand.
        """
        cookie, _, _ = await self._submitted(request)
        url = await self._connecting.start_oauth(cookie)
        return self._wire.page(self._pages.render("leave", **self._views.leaving(url)))

    async def astray(self, _: Request) -> Response:
        """An address below the page's that nobody is to open, like that of a form which is loaded again."""
        return self._onward("")

    async def callback(self, request: Request) -> Response:
        """The provider's way back. Whatever comes of it, the next address holds nothing of this one's query."""
        query = request.query_params
        try:
            _, account = await self._connecting.finish_oauth(
                self._wire.cookie(request), state=query.get("state"), code=query.get("code"), error=query.get("error")
            )
        except OAuthDenied:
            return self._onward("/done", problem=DENIED)
        except AdapterError as error:
            return self._onward("", problem=self._views.code_of(error))
        await self._connected(account)
        return self._onward("/done")

    async def done(self, request: Request) -> Response:
        """How it ended: told to the page that opened this one, or to where the link leads back to."""
        session = await self._connecting.session(self._wire.required_cookie(request))
        code = request.query_params.get("problem")
        if session.result is not None:
            values = self._views.success(session, await self._accounts.get(session.result))
        elif code == DENIED:
            values = self._views.failure(session, DENIED)
        else:
            return self._onward("")
        return self._wire.page(self._pages.render("done", **values))

    async def cancel(self, request: Request) -> Response:
        """The end of a visit; the link can be opened again."""
        cookie, session, _ = await self._submitted(request)
        await self._connecting.leave(cookie)
        values = self._views.failure(session, CANCELLED)
        return self._wire.without_cookie(self._wire.page(self._pages.render("done", **values)))

    async def _arrive(self, request: Request, token: str) -> Response:
        if len(token) > _MAX_LINK_TOKEN:
            raise LinkInvalid
        cookie, _ = await self._connecting.arrive(token)
        wanted = request.query_params.get("auth_format")
        onward = self._onward("", **({"auth_format": wanted} if wanted in {"api_key", "oauth2"} else {}))
        return self._wire.with_cookie(onward, cookie)

    async def _submitted(self, request: Request) -> tuple[str, Session, dict[str, str]]:
        """The cookie, the visit and the form, once it is certain that this visit's own page sent it."""
        form = await form_of(request)
        cookie = self._wire.required_cookie(request)
        return cookie, await self._connecting.posted(cookie, form.get("csrf", "")), form

    async def _connected(self, account: IntegratedAccount) -> None:
        if self._watcher is not None and account.status == "active" and not account.is_blocked:
            await self._watcher.connected(account.id)

    def _ask(
        self,
        session: Session,
        *,
        wanted: str | None = None,
        error: AdapterError | str | None = None,
        with_key: bool = False,
        status: int = 200,
    ) -> Response:
        values = self._views.ask(session, wanted=wanted, error=error, with_key=with_key)
        return self._wire.page(self._pages.render("ask", **values), status)

    def _problem(self, request: Request, error: AdapterError) -> Response:
        return self._trouble(request, error, error.status)

    def _trouble(self, request: Request, error: AdapterError | str, status: int) -> Response:
        words = self._views.problem(error)
        request_id = request.scope["state"]["request_id"]
        retry = "Go back" if isinstance(error, Forbidden) else ""
        page = self._pages.render("problem", title=words.title, text=words.text, request_id=request_id, retry=retry)
        return self._wire.page(page, status)

    def _onward(self, below: str, **query: Any) -> Response:
        return self._wire.go(self._pages.at.base + below + (f"?{urlencode(query)}" if query else ""))


def _refuse_consumed(session: Session) -> None:
    if session.is_consumed:
        raise LinkInvalid("This link was used already; go back to where you got it and ask for a new one.")
