"""The connect page on the wire: its cookie, its headers, its forms. What a browser may do with the page stands here."""

from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from adapter.errors import Forbidden, InvalidBody, PayloadTooLarge, SessionExpired
from adapter.models import Secret

SESSION_SECONDS = 3600
_MAX_FORM = 16 * 1024
_MAX_FIELDS = 8
_MAX_COOKIE = 512
_FORM = "application/x-www-form-urlencoded"
# Nothing but our own style, script and mark. Browsers hold `form-action` against every redirect that a form runs into,
# so no form may lead away from here: https://www.w3.org/TR/CSP3/#directive-form-action
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Wire:
    """Cookie and headers for one PUBLIC_URL."""

    def __init__(self, *, public_url: str, path: str) -> None:
        public = urlsplit(public_url)
        self.is_secure = public.scheme == "https"
        self._path = path
        # The prefix makes browsers refuse the cookie from anything but TLS. `__Host-` would want the path `/`.
        self._name = "__Secure-uda_connect" if self.is_secure else "uda_connect"
        self._headers = {
            "Content-Security-Policy": _POLICY,
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            # The page that opened a popup is to hear how it ended, so the tie to it is kept on purpose.
            "Cross-Origin-Opener-Policy": "unsafe-none",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            "Cache-Control": "no-store",
        }

    def page(self, html: str, status: int = 200) -> Response:
        return Response(html, status, self._headers, media_type="text/html")

    def go(self, url: str) -> Response:
        """On to `url`, by GET whatever the method was."""
        return Response(status_code=303, headers={**self._headers, "Location": url})

    def with_cookie(self, answer: Response, value: Secret) -> Response:
        answer.set_cookie(
            self._name,
            value.reveal(),
            max_age=SESSION_SECONDS,
            path=self._path,
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    def without_cookie(self, answer: Response) -> Response:
        answer.delete_cookie(self._name, path=self._path, secure=self.is_secure, httponly=True, samesite="lax")
        return answer

    def cookie(self, request: Request) -> str | None:
        """The session's cookie value. A name that came twice is no session: one of the two was planted."""
        found = [
            morsel.value
            for header in request.headers.getlist("cookie")
            for part in header.split(";")
            for morsel in SimpleCookie(part.strip()).values()
            if morsel.key == self._name
        ]
        return found[0] if len(found) == 1 and 0 < len(found[0]) <= _MAX_COOKIE else None

    def required_cookie(self, request: Request) -> str:
        """SessionExpired where there is none."""
        found = self.cookie(request)
        if found is None:
            raise SessionExpired
        return found


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form that our own page sent; Forbidden where a browser says that another's did."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise _forged()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise InvalidBody("This takes a form (application/x-www-form-urlencoded).")
    body = await request.body()
    if len(body) > _MAX_FORM:
        raise PayloadTooLarge
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise InvalidBody("The form can't be read.") from None
    return dict(pairs)


def _forged() -> Forbidden:
    return Forbidden("The page that sent this is not this visit's, so nothing was done; begin again from the link.")
