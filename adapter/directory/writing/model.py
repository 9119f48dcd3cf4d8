"""The words of write-back: what is asked, what was planned, and what became of each step. Plain data, kept as JSON."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from adapter.directory.lists import Missing
from adapter.models import Moment

OperationKind = Literal[
    "users.create",
    "users.update",
    "users.delete",
    "users.offboard",
    "role_assignments.create",
    "role_assignments.update",
    "role_assignments.delete",
    "groups.create",
    "groups.update",
    "groups.delete",
    "groups.add-user",
    "groups.remove-user",
]
PlaceKind = str
"""As the mapping files name kinds of places: `team`, `app`, `space`, `enterprise`."""

OperationStatus = Literal["pending", "running", "waiting", "lapsed", "succeeded", "failed", "partial", "cancelled"]
"""`waiting`: for the request budget, goes on by itself; `lapsed`: left behind too long ago, waits for `resume`;
`partial`: some steps done, some not."""
UNFINISHED: frozenset[OperationStatus] = frozenset({"pending", "running", "waiting", "lapsed"})

StepStatus = Literal["planned", "sending", "done", "already", "failed", "unknown", "skipped"]
"""`sending`: stored before the request left, so that a crash leaves it to be looked up; `already`: was so before us;
`unknown`: sent, and neither the answer nor a look told what became of it; `skipped`: not sent, see its note."""


class _Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class PersonRef(_Said, frozen=True, kw_only=True):
    """Somebody as a caller names them: by the provider's id (or an invitation's), by address, or both."""

    user_id: str | None = None
    email: str | None = None


class PlaceRef(_Said, frozen=True, kw_only=True):
    kind: PlaceKind
    id: str
    name: str | None = None


class Change(_Said, frozen=True, kw_only=True):
    """One wish about one person in one place. `roles` are role names of that kind of place (`admin`, `deploy`).

    `give` adds the roles, `set` leaves no others there, `take` removes them; `take` without roles removes everything.
    """

    verb: Literal["give", "set", "take"]
    place: PlaceRef
    roles: tuple[str, ...] = ()


class GroupAsk(_Said, frozen=True, kw_only=True):
    """A group to create in an organization, rename or delete."""

    id: str | None = None
    name: str | None = None
    organization_id: str | None = None


class Ask(_Said, frozen=True, kw_only=True):
    """A write as a door hands it in, checked for form but not against any directory."""

    kind: OperationKind
    person: PersonRef | None = None
    changes: tuple[Change, ...] = ()
    everywhere: bool = False
    """Take everything that this account can take from the person, wherever it is."""
    group: GroupAsk | None = None
    remote_data: Mapping[str, Any] = {}
    """Goes to the provider with the call's body."""
    proof: Literal["places", "full"] = "places"
    """How a removal from everywhere is proved: by the lists of the places that it was about, or by every list that
    could show the person.
    """


class Holding(_Said, frozen=True, kw_only=True):
    """What one person has in one place: nothing, roles, or an invitation to them."""

    state: Literal["none", "active", "pending"] = "none"
    roles: tuple[str, ...] = ()
    member_id: str | None = None
    """The provider's id of the membership or invitation, where it has one of its own."""


class Held(_Said, frozen=True, kw_only=True):
    """What the person held somewhere when a removal from everywhere was planned."""

    place: PlaceRef
    holding: Holding
    by: PlaceRef | None = None
    """The place that it goes with, where no step of its own takes it."""


class Step(_Said, frozen=True, kw_only=True):
    """One upstream call of a plan."""

    n: int
    """Counts from 1 in the order of the plan."""
    call: str
    """The declared call: `team.remove`."""
    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    place: PlaceRef | None = None
    summary: str
    """One sentence: what it changes."""
    before: Holding | None = None
    after: Holding | None = None
    """What the person has there once it is done; what a look-up compares with."""
    scopes: tuple[str, ...] = ()
    """The provider's scopes any one of which it needs."""
    waits_for: tuple[PlaceRef, ...] = ()
    """The places whose steps have to be done before: whoever is to be in a space is first put into its team."""
    cost: int = 1

    @property
    def takes(self) -> bool:
        """Whether the person has nothing at the place once it is done."""
        return self.after is not None and self.after.state == "none"


class Obstacle(_Said, frozen=True, kw_only=True):
    """What a guard says: a refusal, or a warning that refuses nothing."""

    guard: str
    """`last_admin`, `sso_only_admins`, `own_account`, `app_owner`, `role_not_assignable`, `admin_grants_off`,
    `missing_scope`, `budget`, …"""
    message: str
    """Names the way out."""
    place: PlaceRef | None = None
    is_warning: bool = False
    details: Mapping[str, Any] = {}


class RestsOn(_Said, frozen=True, kw_only=True):
    """A unit that the plan was drawn from."""

    unit: str
    path: str
    age: float
    """Seconds, when the plan was made."""
    fingerprint: str
    """Of what it said about this plan's matter: compared when `If-Match` comes."""


class Cost(_Said, frozen=True, kw_only=True):
    """Upstream requests: to carry the plan out, to read back the places it is about, to read all that could hold the
    person; and when the budget allows it.
    """

    steps: int
    read_back: int = 0
    full_proof: int = 0
    affordable_in: int = 0
    """Seconds; 0: now."""


class Person(_Said, frozen=True, kw_only=True):
    """Who it is about, as far as the directory knows them."""

    id: str | None = None
    emails: tuple[str, ...] = ()
    """Lower-cased, the one that paths are made of first."""
    name: str | None = None


class Plan(_Said, frozen=True, kw_only=True):
    """What would be done. `etag` changes with everything that matters to it."""

    kind: OperationKind
    person: Person | None = None
    steps: tuple[Step, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    already: tuple[PlaceRef, ...] = ()
    """Places where what is asked is so already: no call is made there."""
    remains: tuple[Obstacle, ...] = ()
    """What the person keeps, and why this account can't take it."""
    held: tuple[Held, ...] = ()
    """Of a removal from everywhere: all that the person has, in every place."""
    unknown: tuple[Missing, ...] = ()
    """What could not be read, and so may hide something."""
    rests_on: tuple[RestsOn, ...] = ()
    cost: Cost
    etag: str
    notes: Mapping[str, Any] = {}
    """`may_return`, `rotate_secrets_of`, …"""

    @property
    def refusals(self) -> tuple[Obstacle, ...]:
        return tuple(obstacle for obstacle in self.obstacles if not obstacle.is_warning)


class StepState(_Said, frozen=True, kw_only=True):
    """A step of an operation as it stands."""

    step: Step
    status: StepStatus = "planned"
    http_status: int | None = None
    request_id: str | None = None
    """The provider's own id of the request that did it, or failed to."""
    error: Mapping[str, Any] | None = None
    note: str | None = None
    sent_at: Moment | None = None
    finished_at: Moment | None = None
    answer: Any = None
    """What of the provider's answer is needed later, like the id of what was created."""


class Event(_Said, frozen=True, kw_only=True):
    """A line of an operation's history, which is only ever added to."""

    seq: int
    at: Moment
    what: str
    data: Mapping[str, Any] = {}


class Operation(_Said, frozen=True, kw_only=True):
    """A write that was asked for: who, when, the plan, each step, and what came of it."""

    id: str
    account_id: str
    tenant_id: str
    kind: OperationKind
    status: OperationStatus
    caller: Mapping[str, Any]
    """`{kind, token_id}`."""
    ask: Ask
    plan: Plan
    steps: tuple[StepState, ...] = ()
    result: Any = None
    error: Mapping[str, Any] | None = None
    retry_at: Moment | None = None
    created_at: Moment
    updated_at: Moment
    finished_at: Moment | None = None
    events: tuple[Event, ...] = ()
