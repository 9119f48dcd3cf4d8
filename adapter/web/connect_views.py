"""What stands on the connect pages: a session, an outcome or a problem, put into words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from adapter.accounts.connecting import Session
from adapter.accounts.trial import missing
from adapter.errors import AccountNotFound, AdapterError, Forbidden, InvalidBody, LinkInvalid, SessionExpired
from adapter.models import IntegratedAccount
from adapter.web.connect_words import Problem, Words, filled

CANCELLED = "cancelled"
DENIED = "oauth_denied"
NO_KEY = "no_key"
FAILED = "failed"
"""Whatever there are no words for."""
_BAD_KEY = "invalid_credential"
_OWN: Mapping[type[AdapterError], tuple[str, str]] = {
    LinkInvalid: ("This link no longer works", ""),
    SessionExpired: (
        "This visit has ended",
        "Open the link again. Should you then see this once more, let this browser keep cookies for this site.",
    ),
    Forbidden: ("This came from somewhere else", ""),
    AccountNotFound: ("This connection no longer exists", "Ask whoever sent the link for a new one."),
}
"""Title and text; without a text, the error's own message says it."""


class Asking(Protocol):
    @property
    def scope(self) -> Sequence[str]: ...


class Declared(Protocol):
    """What the pages need of the provider's declaration."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def oauth(self) -> Asking: ...


class Views:
    """Values for the templates. `unit_scopes` tells which of the provider's scopes each upstream list needs."""

    def __init__(
        self, *, provider: Declared, words: Words, unit_scopes: Mapping[str, Sequence[str]], auth_host: str
    ) -> None:
        self._provider = provider
        self._words = words
        self._unit_scopes = unit_scopes
        self._auth_host = auth_host

    def ask(
        self, session: Session, *, wanted: str | None, error: AdapterError | str | None, with_key: bool
    ) -> dict[str, Any]:
        """The page that asks. `wanted` is the way that the link names; `with_key`: the error came of a key."""
        key, scopes = self._words.api_key, self._scopes(session)
        closed = missing(self._unit_scopes, scopes)
        oauth, takes_key = ("oauth2" in session.methods), ("api_key" in session.methods)
        return {
            **self._frame(session),
            "reconnecting": session.account is not None,
            "account": _name_of(session.account),
            "purpose": self._filled(self._words.purpose, session),
            "reads": self._words.readable(closed),
            "closed": self._words.closed(closed),
            "writes": self._words.changeable(scopes),
            "remarks": [self._words.scopes[scope] for scope in scopes if scope in self._words.scopes],
            "oauth": oauth,
            "auth_host": self._auth_host,
            "key": takes_key and {**msgspec.structs.asdict(key), "command": self._filled(key.command, session)},
            "key_open": with_key or wanted == "api_key",
            "key_first": takes_key and wanted == "api_key",
            "problem": self.problem(error, session) if error is not None else None,
            "problem_with_key": with_key,
            "withdraw": self._words.withdraw.text,
            "csrf": session.csrf,
        }

    def leaving(self, url: str) -> dict[str, Any]:
        """The page that leads on to the provider's own."""
        return {"provider": self._provider.name, "auth_host": self._auth_host, "next": url}

    def success(self, session: Session, account: IntegratedAccount) -> dict[str, Any]:
        """The page after a success, which stays where there is something to be read on it."""
        closed = self._words.closed(account.missing_scopes)
        told = {
            "result": "success",
            "integration": self._provider.id,
            "integrated_account_id": account.id,
            "is_truto": True,
        }
        return {
            **self._outcome(session, told),
            "good": True,
            "title": f"{_name_of(account) or f'Your {self._provider.name} account'} is connected",
            "text": f"{session.tenant_name} can work with it from now on.",
            "closed": closed,
            "held": account.scopes,
            "needed": _shared(scopes for _, scopes in closed),
            "stays": bool(closed),
            "retry": False,
        }

    def failure(self, session: Session, code: str) -> dict[str, Any]:
        """The page after a deliberate no: declined at the provider (`oauth_denied`), or `cancelled` here."""
        problem = self.problem(code, session)
        told = {"result": "error", "error": f"{problem.title}. {problem.text}", "error_type": code}
        return {
            **self._outcome(session, told),
            "good": False,
            "title": problem.title,
            "text": problem.text,
            "closed": [],
            "held": (),
            "needed": (),
            "stays": False,
            "retry": code == DENIED,
        }

    def problem(self, error: AdapterError | str, session: Session | None = None) -> Problem:
        """An error, or the code of one, in words for whoever sits before the page."""
        if error == CANCELLED:
            return Problem(title="Nothing was connected", text="You can come back to it by the same link.")
        found = self._words.problems.get(error if isinstance(error, str) else self.code_of(error))
        if found is not None:
            wait = _wait(error.headers if isinstance(error, AdapterError) else {})
            return Problem(title=self._filled(found.title, session, wait), text=self._filled(found.text, session, wait))
        if isinstance(error, str):
            return Problem(title="That did not work", text="Nothing was connected. Try again.")
        title, text = next((own for kind, own in _OWN.items() if isinstance(error, kind)), ("That did not work", ""))
        return Problem(title=title, text=text or error.message)

    def knows(self, code: str | None) -> bool:
        """Whether there are words for this code: what else an address may say is not shown."""
        return code is not None and (code in self._words.problems or code == FAILED)

    def code_of(self, error: AdapterError) -> str:
        """The code under which there are words for this error."""
        if isinstance(error, InvalidBody):
            # A key of a shape that no header can carry: to whoever pasted it, it is a wrong one.
            return _BAD_KEY
        remote: str | None = getattr(error, "remote_id", None)
        return next((code for code in (remote, error.code) if code in self._words.problems), None) or FAILED

    def _scopes(self, session: Session) -> Sequence[str]:
        """The provider's scopes that are asked for: without OAuth too, a key should hold what OAuth would ask for."""
        return session.scopes or self._provider.oauth.scope

    def _frame(self, session: Session) -> dict[str, Any]:
        return {"who": session.tenant_name, "provider": self._provider.name}

    def _outcome(self, session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._frame(session),
            "message": msgspec.json.encode(told).decode(),
            "origin": session.origin or "",
            "next": _extended(session.redirect_uri, told) if session.redirect_uri else "",
        }

    def _filled(self, text: str, session: Session | None, wait: str = "") -> str:
        return filled(
            text,
            who=session.tenant_name if session else "whoever sent the link",
            provider=self._provider.name,
            scopes=",".join(self._scopes(session)) if session else "",
            account=_name_of(session.account if session else None) or "the account before",
            wait=wait,
        )


def _name_of(account: IntegratedAccount | None) -> str:
    identity = account.identity if account is not None else None
    return (identity.email or identity.name or "") if identity is not None else ""


def _shared(needed: Iterable[Sequence[str]]) -> list[str]:
    """The scopes that open everything in question; where no one does, the first for each."""
    groups = list(needed)
    common = [scope for scope in (groups[0] if groups else ()) if all(scope in group for group in groups)]
    return common or list(dict.fromkeys(group[0] for group in groups))


def _wait(headers: Mapping[str, str]) -> str:
    """`Retry-After` for people; a minute where nobody said how long."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    seconds = int(text) if text.isascii() and text.isdigit() else 60
    return f"{seconds} seconds" if seconds < 120 else f"{-(-seconds // 60)} minutes"


def _extended(url: str, told: Mapping[str, Any]) -> str:
    """The address with what a popup would have been told in its query."""
    parts = urlsplit(url)
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in told.items()}
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *texts.items()])
    return urlunsplit(parts._replace(query=query))
