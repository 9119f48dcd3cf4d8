"""What an off-boarding came to, place by place: only what was read as gone after the removal is called gone."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from adapter.directory.assembly import compact
from adapter.directory.lists import Missing
from adapter.directory.writing.model import Holding, Person, PlaceRef, Plan, Step
from adapter.models import Moment

Standing = Literal["gone", "unverified", "remains"]
"""`gone`: read so after the removal; `unverified`: nothing was read that says so; `remains`: the person keeps it, and
why is known."""

_BY_SIGN_IN = "sso_jit"

Doubt = Literal["still_listed", "not_read"]
"""Why a place is unverified, where no error's code says it: its lists went on showing the person for longer than they
may lag; or nothing of it was read after the removal."""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PlaceReport(_Told, frozen=True, kw_only=True):
    """How one place stands."""

    place: PlaceRef
    state: Standing
    before: Holding | None = None
    """What the person held when the removal was planned."""
    found: Holding | None = None
    """What they were last seen to hold, where that was not nothing."""
    went_with: PlaceRef | None = None
    """The place that they left with it: a team's apps go with the team."""
    verified_at: Moment | None = None
    """When it was read as gone."""
    unverified_since: Moment | None = None
    """When it was removed, as far as that was answered; nothing that was read since then says that it is gone."""
    why: str | None = None
    """For what is not gone: a guard's name (`last_admin`, `own_account`, `app_owner`, …), a Doubt, an error's code."""
    message: str | None = None


class Return(_Told, frozen=True, kw_only=True):
    """A way by which the person would be back at their next sign-in."""

    place: PlaceRef
    how: str
    """`sso_jit`: whoever the identity provider lets in is made a member."""
    through: str
    """The identity provider."""


class Secrets(_Told, frozen=True, kw_only=True):
    """A place whose secrets the person could read: they are to be replaced."""

    place: PlaceRef
    roles: tuple[str, ...]
    """The roles that let them, here or in what the place is in: `app:deploy`, `team:admin`."""


class Report(_Told, frozen=True, kw_only=True):
    """What became of somebody in every place that one account could take them out of.

    `is_complete` only where every place is gone, read as such, and nothing that could show the person was unreadable.
    """

    account_id: str = msgspec.field(name="integrated_account_id")
    person: Person | None
    is_complete: bool
    proof: Literal["places", "full"]
    proved_at: Moment
    requests: int
    """Upstream requests that the proof took."""
    places: tuple[PlaceReport, ...]
    missing: tuple[Missing, ...]
    """What this credential could not read, and so may hide something."""
    may_return: tuple[Return, ...] = ()
    rotate_secrets_of: tuple[Secrets, ...] = ()

    def in_state(self, state: Standing) -> tuple[PlaceReport, ...]:
        return tuple(place for place in self.places if place.state == state)


class Proved(_Told, frozen=True, kw_only=True):
    """A proof's outcome: the report, and steps for what was found to be there still (or again)."""

    report: Report
    follow_up: tuple[Step, ...] = ()


def returns(plan: Plan) -> tuple[Return, ...]:
    """The ways back, as the plan tells them."""
    return tuple(msgspec.convert({"how": _BY_SIGN_IN, **told}, Return) for told in plan.notes.get("may_return", ()))


def gaps(*found: Iterable[Missing]) -> tuple[Missing, ...]:
    """What could not be read, each once however often it was tried, and many of a kind as one."""
    apart: dict[str, Missing] = {}
    for gap in (gap for gaps in found for gap in gaps):
        apart.setdefault(repr((gap.unit, gap.place)), gap)
    return tuple(compact(apart.values()))
