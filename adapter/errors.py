"""Every error that a caller can meet, in one tree.

    AdapterError                      500 internal_error
    ├── BadRequest                    400 bad_request
    │   ├── InvalidParameter          400 invalid_parameter
    │   │   └── UnknownParameter      400 unknown_parameter
    │   ├── InvalidCursor             400 invalid_cursor
    │   ├── InvalidBody               400 invalid_body
    │   ├── InvalidTarget             400 invalid_target
    │   └── OAuthStateInvalid         400 oauth_state_invalid
    ├── Unauthorized                  401 unauthorized
    │   └── NeedsReauth               401 needs_reauth
    ├── Forbidden                     403 forbidden
    │   ├── InsufficientScope         403 insufficient_scope
    │   ├── OAuthDenied               403 oauth_denied
    │   └── WrongAccount              403 wrong_account
    ├── NotFound                      404 not_found
    │   ├── AccountNotFound           404 account_not_found
    │   └── OperationNotFound         404 operation_not_found
    ├── MethodNotAllowed              405 method_not_allowed
    ├── Conflict                      409 conflict
    │   ├── NotResumable              409 not_resumable
    │   └── RemovalUnderWay           409 removal_under_way
    ├── Gone                          410 gone
    │   ├── LinkInvalid               410 link_invalid
    │   └── SessionExpired            410 session_expired
    ├── PreconditionFailed            412 precondition_failed
    ├── PayloadTooLarge               413 payload_too_large
    ├── UriTooLong                    414 uri_too_long
    ├── Unprocessable                 422 unprocessable
    │   ├── GuardRefused              422 guard_refused
    │   ├── IdempotencyKeyReused      422 idempotency_key_reused
    │   └── InvalidCredential         422 invalid_credential
    ├── TooManyRequests               429 rate_limited
    │   └── BudgetReserved            429 budget_reserved
    ├── HeadersTooLarge               431 headers_too_large
    ├── RemoteError                   the provider's own status, remote_error
    │   ├── RemoteUnauthorized        401 remote_unauthorized
    │   ├── RemoteForbidden           403 remote_forbidden
    │   ├── RemoteNotFound            404 remote_not_found
    │   └── RemoteRateLimited         429 remote_rate_limited
    ├── OAuthFailed                   502 oauth_failed
    │   └── AccountSuspended          403 account_suspended
    ├── UpstreamFailure               502 upstream_failure
    │   ├── UpstreamUnreachable       502 upstream_unreachable
    │   ├── UpstreamNonsense          502 upstream_nonsense
    │   └── UpstreamTimeout           504 upstream_timeout
    ├── WriteFailed                   502 write_failed
    ├── Unavailable                   503 unavailable
    │   ├── AccountBlocked            503 account_blocked
    │   ├── DirectoryGathering        503 directory_gathering
    │   ├── KeyLost                   503 key_lost
    │   └── StorageUnavailable        503 storage_unavailable
    └── StartupError                  a refusal to start
        ├── ConfigError               a setting that cannot be used
        └── DeclarationError          a mapping file that cannot be used, with file and path

A class's docstring is its default message: what happened, and what to do about it.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self


class AdapterError(Exception):
    """Something went wrong inside the adapter; the request id leads to the log line that says what."""

    status: int = 500
    code: str = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`details` say where, what and what was expected; `headers` travel with the answer."""
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.details = list(details or ())
        self.headers = dict(headers or {})
        super().__init__(self.message)

    def extra(self) -> dict[str, Any]:
        """Fields that this kind of error adds to the body."""
        return {}

    def fresh(self) -> Self:
        """The same error, to be raised in its stead where it is kept: what is raised gathers the frames it passes."""
        made = type(self).__new__(type(self), *self.args)
        # Its lists and headers are its own, for whoever catches it may add to them.
        vars(made).update({name: copy.copy(value) for name, value in vars(self).items()})
        return made


class BadRequest(AdapterError):
    """The request can't be understood; correct it and send it again."""

    status = 400
    code = "bad_request"


class InvalidParameter(BadRequest):
    """A query parameter has a value that can't be used; `details` say what is expected."""

    code = "invalid_parameter"


class UnknownParameter(InvalidParameter):
    """A query parameter is not known here, and a mistyped one must not widen an answer; leave it out, or correct it."""

    code = "unknown_parameter"


class InvalidCursor(BadRequest):
    """The cursor is not one of this list's; begin again without `next_cursor`."""

    code = "invalid_cursor"


class InvalidBody(BadRequest):
    """The request body can't be read; send a JSON object as `application/json`."""

    code = "invalid_body"


class InvalidTarget(BadRequest):
    """The path could lead somewhere else than it says, so nothing was sent; use a plain, normalised path."""

    code = "invalid_target"


class OAuthStateInvalid(BadRequest):
    """This way back from the provider does not belong to what was begun here, or was taken already; begin again."""

    code = "oauth_state_invalid"


class Unauthorized(AdapterError):
    """No valid token came with the request; send `Authorization: Bearer <token>`."""

    status = 401
    code = "unauthorized"


class NeedsReauth(Unauthorized):
    """The stored credential is no longer accepted; reconnect the account."""

    code = "needs_reauth"


class Forbidden(AdapterError):
    """This token may not do that; use another one."""

    status = 403
    code = "forbidden"


class InsufficientScope(Forbidden):
    """The token's scopes don't cover this request; mint one with the scope that `details` names."""

    code = "insufficient_scope"


class OAuthDenied(Forbidden):
    """Access was not granted at the provider, so nothing was connected; begin again, or connect in another way."""

    code = "oauth_denied"


class WrongAccount(Forbidden):
    """This token is another integrated account's than the one named; use one of that account, or an API token."""

    code = "wrong_account"


class NotFound(AdapterError):
    """There is nothing at this address; `GET /openapi.json` lists those that exist."""

    status = 404
    code = "not_found"


class AccountNotFound(NotFound):
    """No integrated account has this id; `GET /integrated-account` lists those that exist."""

    code = "account_not_found"


class OperationNotFound(NotFound):
    """No operation has this id; `GET /operations` lists those that were ever asked for."""

    code = "operation_not_found"


class MethodNotAllowed(AdapterError):
    """This address does not take that method; the `Allow` header names those it takes."""

    status = 405
    code = "method_not_allowed"


class Conflict(AdapterError):
    """The request contradicts the present state; look at that, and decide anew."""

    status = 409
    code = "conflict"


class NotResumable(Conflict):
    """This operation goes on by itself, or has ended; nothing is left to resume or cancel."""

    code = "not_resumable"


class RemovalUnderWay(Conflict):
    """This person is being removed there, and a removal wins; wait for its operation to end, or cancel it."""

    code = "removal_under_way"


class PreconditionFailed(AdapterError):
    """The directory has moved since this plan was made; look at the difference, and send the new plan's ETag."""

    status = 412
    code = "precondition_failed"

    def __init__(
        self,
        message: str | None = None,
        *,
        plan: Mapping[str, Any] | None = None,
        details: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`plan` is the one that would be carried out now, `details` how it differs."""
        super().__init__(message, details=details, headers=headers)
        self.plan = plan

    def extra(self) -> dict[str, Any]:
        return {"plan": self.plan} if self.plan is not None else {}


class Gone(AdapterError):
    """What was here has ended."""

    status = 410
    code = "gone"


class LinkInvalid(Gone):
    """This link is unknown, has expired, or was used already; ask whoever sent it for a new one."""

    code = "link_invalid"


class SessionExpired(Gone):
    """This visit has ended; open the link again."""

    code = "session_expired"


class PayloadTooLarge(AdapterError):
    """The request body is larger than this deployment takes; send less at a time."""

    status = 413
    code = "payload_too_large"


class UriTooLong(AdapterError):
    """The path or query is longer than this deployment takes; ask for less at a time."""

    status = 414
    code = "uri_too_long"


class Unprocessable(AdapterError):
    """The request is well formed but can't be carried out; `details` say why."""

    status = 422
    code = "unprocessable"


class GuardRefused(Unprocessable):
    """A guard stands in the way of this write, so nothing was sent; `details` say which, and the way out."""

    code = "guard_refused"

    def __init__(
        self,
        message: str | None = None,
        *,
        guard: str | None = None,
        details: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """`guard` is the first one's name, which becomes the code; `details` list all of them."""
        super().__init__(message, details=details)
        self.code = guard or type(self).code


class IdempotencyKeyReused(Unprocessable):
    """This `Idempotency-Key` came with another body before; take a new key for a new write."""

    code = "idempotency_key_reused"


class InvalidCredential(Unprocessable):
    """The provider does not accept this credential, so nothing was kept; check it, or make a new one."""

    code = "invalid_credential"

    def __init__(self, message: str | None = None, *, raw: Any = None) -> None:
        """`raw` is the provider's decoded body."""
        super().__init__(message)
        self.raw = raw

    def extra(self) -> dict[str, Any]:
        return {"truto_is_remote_error": True, "raw_response": self.raw}


class TooManyRequests(AdapterError):
    """The request budget is used up; wait as long as `Retry-After` says."""

    status = 429
    code = "rate_limited"


class BudgetReserved(TooManyRequests):
    """Reading this now would leave less of the request budget than is kept for others; it follows by itself."""

    code = "budget_reserved"


class HeadersTooLarge(AdapterError):
    """The request headers are larger than this deployment takes; leave out those that are not needed."""

    status = 431
    code = "headers_too_large"


class RemoteError(AdapterError):
    """The provider refused the request; `raw_response` holds its own words."""

    code = "remote_error"

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        remote_id: str | None = None,
        raw: Any = None,
        insight: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
    ) -> None:
        """`remote_id` is the provider's error id, `raw` its decoded body, `insight` what to do about it.

        `request_id` is the provider's own id of the request.
        """
        super().__init__(message, headers=headers)
        self.request_id = request_id
        self.status = status
        self.remote_id = remote_id
        self.raw = raw
        self.insight = dict(insight or {})

    def extra(self) -> dict[str, Any]:
        return {
            "truto_is_remote_error": True,
            "raw_response": self.raw,
            **({"truto_error_insight": self.insight} if self.insight else {}),
        }


class RemoteUnauthorized(RemoteError):
    """The provider does not accept the stored credential; reconnect the account."""

    status = 401
    code = "remote_unauthorized"


class RemoteForbidden(RemoteError):
    """The stored credential may not do that at the provider; `truto_error_insight` names a missing scope if known."""

    status = 403
    code = "remote_forbidden"


class RemoteNotFound(RemoteError):
    """The provider has nothing at that address, or hides it from this credential; check the id, and what it may see."""

    status = 404
    code = "remote_not_found"


class RemoteRateLimited(RemoteError):
    """The provider's request budget for this account is used up; wait as long as `Retry-After` says."""

    status = 429
    code = "remote_rate_limited"


class OAuthFailed(AdapterError):
    """The provider refused to give a credential; connect the account again."""

    status = 502
    code = "oauth_failed"

    def __init__(
        self, message: str | None = None, *, remote_status: int | None = None, remote_id: str | None = None
    ) -> None:
        """`remote_status` and `remote_id` are the provider's answer; its words stay behind, they may repeat ours."""
        super().__init__(message)
        self.remote_status = remote_status
        self.remote_id = remote_id


class AccountSuspended(OAuthFailed):
    """The provider has suspended this account; have it reinstated there, then connect it again."""

    status = 403
    code = "account_suspended"


class UpstreamFailure(AdapterError):
    """The provider did not give an answer that can be used; ask again, but look first what became of a write."""

    status = 502
    code = "upstream_failure"
    was_sent: bool | None = None
    """Whether the request reached the provider; None where that can't be told."""


class UpstreamUnreachable(UpstreamFailure):
    """The provider can't be reached; try again later."""

    code = "upstream_unreachable"


class UpstreamNonsense(UpstreamFailure):
    """The provider's answer can't be read, so it says nothing; ask again, but look first what became of a write."""

    code = "upstream_nonsense"


class UpstreamTimeout(UpstreamFailure):
    """The provider did not answer in time; ask again, but look first what became of a write."""

    status = 504
    code = "upstream_timeout"


class WriteFailed(AdapterError):
    """Not every step of this write was done; `completed`, `failed`, `remaining` and `unknown` tell which was."""

    status = 502
    code = "write_failed"

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int = 502,
        report: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`report` holds `operation_id`, `completed`, `failed`, `remaining` and `unknown`."""
        super().__init__(message, headers=headers)
        self.status = status
        self.report = dict(report or {})

    def extra(self) -> dict[str, Any]:
        return self.report


class Unavailable(AdapterError):
    """This can't be answered at the moment; try again later."""

    status = 503
    code = "unavailable"


class AccountBlocked(Unavailable):
    """The integrated account is blocked; `PATCH /integrated-account/{id}` with `is_blocked: false` unblocks it."""

    code = "account_blocked"


class DirectoryGathering(Unavailable):
    """The directory is still being gathered; ask again after `Retry-After`, or with `allow_partial=true`."""

    code = "directory_gathering"


class KeyLost(Unavailable):
    """The key that sealed this credential is not in ADAPTER_SECRET_KEYS; put it back, or reconnect the account."""

    code = "key_lost"


class StorageUnavailable(Unavailable):
    """The database can't be reached, so nothing was changed; try again later."""

    code = "storage_unavailable"


class StartupError(AdapterError):
    """The adapter can't start."""

    code = "startup_error"


class ConfigError(StartupError):
    """A setting can't be used."""

    code = "config_error"


class DeclarationError(StartupError):
    """A mapping file can't be used."""

    code = "declaration_error"

    def __init__(self, file: str, path: str, found: str, known: Sequence[str] = ()) -> None:
        """`path` leads to the fault inside the file (`sources[0].fields.id`), `known` lists what could stand there."""
        hint = f"; known here: {', '.join(known)}" if known else ""
        super().__init__(f"{file}: {path or 'the file'}: {found}{hint}")
        self.file = file
        self.path = path
        self.found = found
        self.known = tuple(known)
