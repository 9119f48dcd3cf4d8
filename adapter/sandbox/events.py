"""The audit trail of an enterprise account: what the API changed, and a made-up past that is the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .clock import stamp
from .records import App, Enterprise, Event, Team, repeatable
from .world import World

if TYPE_CHECKING:
    from .calls import Call

PAST_KINDS = (("app", "create"), ("app", "update"), ("collaborator", "create"), ("config_change", "set"))
MOST_A_DAY = 4


def note(call: Call, team: Team, kind: str, action: str, data: dict[str, object], app: App | None = None) -> None:
    """Write a change in a team down, where an enterprise account keeps an audit trail of it."""
    if team.enterprise_id is None:
        return
    call.world.events.append(
        Event(
            id=call.world.new_id(),
            enterprise_id=team.enterprise_id,
            created_at=call.world.now(),
            type=kind,
            action=action,
            actor_id=call.account.id,
            team_id=team.id,
            app_id=app.id if app else None,
            data=data,
        )
    )


def events_of(world: World, enterprise: Enterprise, day: date, now: datetime) -> list[Event]:
    """Everything of one day up to `now`, the oldest first."""
    written = [
        event
        for event in world.events
        if event.enterprise_id == enterprise.id and event.created_at.startswith(day.isoformat())
    ]
    past = [event for event in _made_up(world, enterprise, day) if event.created_at <= stamp(now)]
    return sorted(past + written, key=lambda event: (event.created_at, event.id))


def _made_up(world: World, enterprise: Enterprise, day: date) -> Iterator[Event]:
    """A few events a day, drawn from the world's seed, so that any day since the enterprise began has a past."""
    if day.isoformat() < enterprise.created_at[:10] or not enterprise.members:
        return
    rng = repeatable(f"{world.seed} {enterprise.id} {day}")
    actors = sorted(enterprise.members)
    apps = sorted(app_id for team_id in enterprise.teams for app_id in world.teams[team_id].apps)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for _ in range(rng.randint(0, MOST_A_DAY) if apps else 0):
        kind, action = rng.choice(PAST_KINDS)
        app = world.apps[rng.choice(apps)]
        yield Event(
            id=f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4000-8000-{rng.getrandbits(48):012x}",
            enterprise_id=enterprise.id,
            created_at=stamp(midnight + timedelta(seconds=rng.randrange(86400))),
            type=kind,
            action=action,
            actor_id=rng.choice(actors),
            team_id=app.team_id,
            app_id=app.id,
        )


def event_json(world: World, enterprise: Enterprise, event: Event) -> dict[str, Any]:
    """One event. What it was about may be gone by now; then the event names no such thing any more."""
    shown: dict[str, Any] = {
        "created_at": event.created_at,
        "id": event.id,
        "type": event.type,
        "action": event.action,
        "enterprise_account": {"id": enterprise.id, "name": enterprise.name},
        "request": {"ip_address": "192.0.2.1"},
        "data": event.data,
    }
    if actor := world.accounts.get(event.actor_id):
        shown["actor"] = {"id": actor.id, "email": actor.email}
    if team := world.teams.get(event.team_id or ""):
        shown["team"] = {"id": team.id, "name": team.name}
    if app := world.apps.get(event.app_id or ""):
        shown["app"] = {"id": app.id, "name": app.name}
    return shown
