"""The provider's OAuth as `provider.yaml` declares it, and the one place for how it departs from the RFCs.

Departures, from Heroku's published (since frozen) identity server and its documentation
(https://devcenter.heroku.com/articles/oauth): denial comes back without `state`, and the redirect always goes to the
registered address; the token answer has no `scope` (the scopes held stand in a header of every API answer) and a
`session_nonce` that nothing here needs; a failure is `{"id", "message"}` in place of RFC 6749's `error`, and a
suspended account is 403 in plain text. A wrong client secret is answered like a refresh token that is dead: 401,
`{"id": "unauthorized", "message": "OAuth authorization invalid."}` (https://github.com/heroku/omniauth-heroku/issues/14),
so either counts as a refusal, and what was refused is kept to be tried again.
There is no revocation endpoint (RFC 7009): an authorization is looked for in a list and deleted. PKCE is sent and, as
far as is known, ignored; whether a refresh token is replaced is not established, so whatever comes back is kept, and
the old one where none does.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from adapter.errors import (
    AccountSuspended,
    AdapterError,
    OAuthFailed,
    RemoteRateLimited,
    UpstreamFailure,
    UpstreamNonsense,
)
from adapter.models import Credential, Secret
from adapter.upstream.protocol import ErrorRule, Headers, value_at

_PASSING = frozenset({408, 425})
_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_LONGEST_LIFE = 10 * 365 * 24 * 3600
Path_ = Annotated[str, msgspec.Meta(pattern=r"^/")]


class _Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Revocation(_Declared, frozen=True, kw_only=True):
    """Where the authorizations stand that somebody has given; the fields are dotted paths into one of them."""

    listed: Path_
    item: Path_
    """With `{id}`."""
    client: str
    """The id of the client that it was given to."""
    tokens: tuple[str, ...] = ()
    """Tokens of it, any of which tells that it is ours."""

    def ended(self, items: Sequence[Any], client_id: str, credential: Credential) -> list[str]:
        """The paths to delete for a credential to end. Others given to the same client serve other connections.

        Where the provider shows no tokens, one that stands alone is meant; of several, none can be told to be.
        """
        ours = [item for item in items if value_at(item, self.client) == client_id]
        shown = [(item, {value_at(item, path) for path in self.tokens} - {None, ""}) for item in ours]
        held = {token.reveal() for token in (credential.access_token, credential.refresh_token) if token}
        mine = [item for item, tokens in shown if tokens & held]
        if not mine and len(ours) == 1 and not shown[0][1]:
            mine = ours
        return [self.item.format(id=quote(str(value_at(item, "id")), safe="")) for item in mine]


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str | None = None


class OAuthRule(_Declared, frozen=True, kw_only=True, tag_field="strategy", tag="heroku"):
    """How consent is asked for and turned into a credential."""

    authorize: Path_
    token: Path_
    """Both below the provider's `auth_url`."""
    scopes: tuple[str, ...]
    """Those that can be asked for."""
    scope: tuple[str, ...]
    """Those that are, where a deployment names none."""
    revoke: Revocation

    def read(self, status: int, headers: Headers, body: bytes, *, errors: ErrorRule, now: datetime) -> Credential:
        """The credential in a token answer.

        OAuthFailed or AccountSuspended where the provider has refused; UpstreamFailure or RemoteRateLimited where
        nothing is known of what was asked for.
        """
        if not 200 <= status < 300:
            raise _refusal(status, headers, body, errors)
        try:
            answer = msgspec.json.decode(body, type=_Answer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamNonsense("The provider's answer holds no credential, or breaks off.") from None
        if not _VISIBLE.fullmatch(answer.access_token):
            raise UpstreamNonsense("The provider's answer holds no credential that could be sent.")
        return Credential(
            method="oauth2",
            access_token=Secret(answer.access_token),
            refresh_token=Secret(answer.refresh_token) if answer.refresh_token else None,
            issued_at=now,
            expires_at=_ends(answer.expires_in, now),
        )


def _refusal(status: int, headers: Mapping[str, str], body: bytes, errors: ErrorRule) -> AdapterError:
    if status == 429:
        wait = errors.wait(headers)
        return RemoteRateLimited(
            429, headers={"retry-after": str(wait)}, insight={"rate_limit_error": {"retry_after": wait}}
        )
    if status in _PASSING or not 400 <= status < 500:
        return UpstreamFailure(
            f"The provider answered {status} where it gives credentials; nothing was concluded from it."
        )
    remote_id, _, raw = errors.read(body)
    if status == 403 and (remote_id == "suspended" or _is_plain(raw)):
        return AccountSuspended(remote_status=status, remote_id=remote_id or "suspended")
    known = remote_id if remote_id and _ID.fullmatch(remote_id) else None
    told = f"{status} {known}" if known else str(status)
    return OAuthFailed(
        f"The provider refused to give a credential ({told}); connect the account again.",
        remote_status=status,
        remote_id=known,
    )


def _is_plain(raw: Any) -> bool:
    """Text that is no page: what stands between us and the provider may refuse with 403 too, but in HTML."""
    return isinstance(raw, str) and not raw.lstrip().startswith("<")


def _ends(expires_in: float | None, now: datetime) -> datetime | None:
    """None where the answer doesn't tell, or tells what can't be."""
    if expires_in is None or not 0 < expires_in <= _LONGEST_LIFE:
        return None
    return now + timedelta(seconds=expires_in)
