"""What a write is answered with: the plan, the operation, the result, and how far it came where it did not end well."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from adapter.directory.lists import Missing
from adapter.directory.writing.model import Obstacle, Operation, Plan, StepState, StepStatus
from adapter.errors import WriteFailed
from adapter.web.answers import json_answer

OPERATIONS = "/operations"
SUMMED_UP = (
    "id", "account_id", "tenant_id", "kind", "status", "caller", "error", "retry_at", "created_at", "updated_at",
    "finished_at",
)  # fmt: skip
"""The fields of an operation that a list of them shows."""

_NAMES = {"account_id": "integrated_account_id"}
_COMPLETED: frozenset[StepStatus] = frozenset({"done", "already"})
_REMAINING: frozenset[StepStatus] = frozenset({"planned", "sending", "skipped"})
_KEPT_STATUS = frozenset({403, 429})
"""A refusal of the provider's that keeps its status; whatever else failed is a bad gateway to our caller."""
_A_WHILE = "60"
"""Seconds, where a request budget is used up and it is not known for how long."""


def shown(value: Any) -> Any:
    """A struct as JSON with every field there, defaults too, and accounts by the name that callers know."""
    if isinstance(value, Missing):
        # As every other answer names a gap.
        return msgspec.to_builtins(value)
    if isinstance(value, msgspec.Struct):
        return {_NAMES.get(name, name): shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    return value


def summary(operation: Operation) -> dict[str, Any]:
    """An operation as a list shows it: all but its plan, steps and history."""
    counts = Counter(state.status for state in operation.steps)
    fields = {name: shown(getattr(operation, name)) for name in SUMMED_UP}
    renamed = {_NAMES.get(name, name): value for name, value in fields.items()}
    return {**renamed, "person": shown(operation.plan.person), "steps": dict(counts)}


def planned(plan: Plan, headers: Mapping[str, str], *, wrapped: bool) -> Response:
    body = shown(plan)
    etag = {"ETag": f'"{plan.etag}"', "Cache-Control": "no-store"}
    return json_answer({"result": body} if wrapped else body, headers={**headers, **etag})


def accepted(operation: Operation, headers: Mapping[str, str]) -> Response:
    """202: it goes on without the caller, who finds it at `Location`."""
    return json_answer(shown(operation), 202, {**headers, **_found_at(operation)})


def _found_at(operation: Operation) -> dict[str, str]:
    """Where an operation is found, and where it waits for the request budget, for how long."""
    location = {"Location": f"{OPERATIONS}/{operation.id}"}
    if operation.retry_at is None:
        return location
    seconds = math.ceil((operation.retry_at - datetime.now(UTC)).total_seconds())
    return {**location, "Retry-After": str(max(1, seconds))}


def warned(obstacles: Iterable[Obstacle], ignored: Iterable[str]) -> dict[str, str]:
    """The `Warning` header: what guards say without refusing, and what was given to no effect."""
    texts = [f"{one.guard}: {one.message}" for one in obstacles if one.is_warning]
    names = ", ".join(ignored)
    texts += [f"no effect here: {names}"] if names else []
    return {"Warning": ", ".join(f'299 - "{_quotable(text)}"' for text in texts)} if texts else {}


def failure(operation: Operation) -> WriteFailed:
    """The error for an operation that has ended, and not with everything done."""
    failed = [state for state in operation.steps if state.status == "failed"]
    first = failed[0] if failed else None
    status = first.http_status if first is not None and first.http_status in _KEPT_STATUS else 502
    report = {
        "operation_id": operation.id,
        "completed": _steps(operation, _COMPLETED),
        "failed": [shown(state) for state in failed],
        "remaining": _steps(operation, _REMAINING),
        "unknown": _steps(operation, frozenset({"unknown"})),
    }
    headers = ({"Retry-After": _A_WHILE} if status == 429 else {}) | _found_at(operation)
    return WriteFailed(_told(operation, first), status=status or 502, report=report, headers=headers)


def _told(operation: Operation, first: StepState | None) -> str:
    done = sum(state.status in _COMPLETED for state in operation.steps)
    counted = f"{done} of {len(operation.steps)} steps are done"
    where = f"`GET {OPERATIONS}/{operation.id}` shows each"
    if operation.status == "cancelled":
        return f"The write was cancelled; {counted}, and {where}."
    reason = f" The first that failed: {first.step.summary}" if first is not None else ""
    return f"The write did not end well: {counted}, and {where}.{reason}"


def _steps(operation: Operation, statuses: frozenset[StepStatus]) -> list[Any]:
    return [shown(state) for state in operation.steps if state.status in statuses]


def _quotable(text: str) -> str:
    """Text as a header may hold it between quotes."""
    plain = "".join(c if c.isprintable() else " " for c in text).encode("ascii", "replace").decode()
    return plain.replace("\\", "/").replace('"', "'")
