"""What goes wrong with a write, as JSON that is kept: our own errors, the provider's words, and what a guard says."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.writing.model import Obstacle
from adapter.errors import AdapterError, GuardRefused, RemoteError


def words(error: AdapterError) -> Mapping[str, Any]:
    """An error as a step or an operation keeps it; the provider's own words where it refused."""
    said: dict[str, Any] = {"code": error.code, "message": error.message, "status": error.status}
    if error.details:
        said["details"] = error.details
    if isinstance(error, RemoteError):
        said |= {"remote_id": error.remote_id, "request_id": error.request_id, **error.extra()}
    return said


def refusal_words(obstacle: Obstacle) -> Mapping[str, Any]:
    """A guard's refusal of one step, found just before it would have been sent."""
    return {"code": obstacle.guard, "message": obstacle.message, "status": GuardRefused.status, **_more(obstacle)}


def refused(obstacles: Sequence[Obstacle]) -> GuardRefused:
    """The error for a plan in whose way guards stand: it has the first one's name, and lists them all."""
    first = obstacles[0]
    details = [{"guard": obstacle.guard, "message": obstacle.message, **_more(obstacle)} for obstacle in obstacles]
    return GuardRefused(first.message, guard=first.guard, details=details)


def _more(obstacle: Obstacle) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if obstacle.place is not None:
        more["place"] = msgspec.to_builtins(obstacle.place)
    if obstacle.details:
        more["details"] = msgspec.to_builtins(obstacle.details)
    return more
