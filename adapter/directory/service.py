"""The directory: every door asks its questions here and is answered from the units of an integrated account."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from cachetools import LRUCache

from adapter.directory.activities import Activities
from adapter.directory.assembly import assemble, passed_through
from adapter.directory.cursors import Cursors
from adapter.directory.gather import Gather, Scope, scope_of
from adapter.directory.gathering import Gatherings, ViewKey
from adapter.directory.keeping import Forgetful, KeeperMaker
from adapter.directory.layout import Declared
from adapter.directory.lists import Client, Missing
from adapter.directory.pages import Pages
from adapter.directory.purse import Purse
from adapter.directory.query import Query
from adapter.directory.settling import AGE, Settling, settling_after
from adapter.directory.status import Status, status_of
from adapter.directory.touch import touched_by
from adapter.directory.units import SKEW, AccountUnits
from adapter.directory.views import View
from adapter.errors import (
    AdapterError,
    BudgetReserved,
    DirectoryGathering,
    InvalidParameter,
    NotFound,
)
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.model import Model, Resource
from adapter.mapping.override import Overrides
from adapter.mapping.removals import written

MAX_ACCOUNTS = 512
"""Accounts whose units are kept in memory; the one not asked for longest goes first."""

_SOON = 2.0
_ASSEMBLIES = 3
"""Times that a view is put together for one question at most: while people go on being taken out, there would be no
end to it."""

Said = Callable[[], Awaitable[bytes]]
"""Reads what the provider said to a write."""

OverrideOf = Callable[[str], Awaitable[Mapping[str, Any] | None]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of records, with everything that its envelope and headers have to say."""

    records: Sequence[Record]
    next_cursor: str | None
    age: float
    last_modified: float
    missing: tuple[Missing, ...]
    paths: tuple[tuple[str, int, float], ...]
    version: int = 0
    """That of the view that it was made from; 0 where it was made of none that could be asked again."""


class Directory:
    """Who has what, for any connected account; see `list_records` and `get_record`."""

    def __init__(
        self,
        model: Model,
        cursors: Cursors,
        *,
        max_age: float = 60.0,
        wait: float = 20.0,
        reserve: int = 500,
        refill: float = 0.8,
        sharers: int = 1,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        keeper: KeeperMaker | None = None,
        override: OverrideOf | None = None,
    ) -> None:
        """`max_age`, `wait` and `refill` (the time in which one upstream request flows back) are in seconds; `sharers`
        processes may spend an account's requests at a time.

        `override` tells an account's own expressions, where it has any.
        """
        self.model = model
        self._layout = Declared(model)
        self._cursors = cursors
        self._max_age = max_age
        self._wait = wait
        self._reserve = reserve
        self._refill = refill
        self._sharers = sharers
        self._clock = clock
        self._timer = timer
        self._keeper: KeeperMaker = keeper or (lambda _: Forgetful())
        self._override = override
        self._overrides = Overrides(model)
        self._purses: LRUCache[str, Purse] = LRUCache(MAX_ACCOUNTS)
        self._accounts: LRUCache[str, AccountUnits] = LRUCache(MAX_ACCOUNTS)
        self._views: LRUCache[tuple[str, ViewKey], tuple[int, float, View]] = LRUCache(MAX_ACCOUNTS * 4)
        self._gatherings = Gatherings(model, self._units, self._purse)
        self.pages = Pages()
        """Answers as they were sent, for whoever asks the same again."""
        self.activities = Activities(model, max_age=max_age, wait=wait, clock=clock)

    # --- questions

    def resource(self, name: str) -> Resource:
        """The declaration of a resource; NotFound names those that exist."""
        if name not in self.model.resources:
            raise NotFound(f"There is no resource `{name}`; known are: {', '.join(sorted(self.model.resources))}.")
        return self.model.resources[name]

    async def list_records(self, account_id: str, client: Client, resource: Resource, query: Query) -> Answer:
        """One page of a list. InvalidCursor, DirectoryGathering, or what the upstream client raises."""
        bound_to = f"{account_id}|{resource.name}|{query.fingerprint()}"
        after = self._cursors.open(bound_to, query.cursor) if query.cursor else None
        resource = await self._own(account_id, resource)
        if resource.time and not query.remote_query:
            return await self._trail(account_id, client, resource, query, bound_to, after)
        if query.remote_query:
            view = await passed_through(self.model, client, resource, query, now=self._clock)
        else:
            view = await self._view(account_id, client, resource, query, scope_of(resource, query))
        records, place = view.collection.page(query, after)
        return self._answer(view, records, self._cursors.seal(bound_to, place) if place is not None else None)

    async def standing(self, account_id: str, client: Client, resource: Resource, query: Query) -> View | None:
        """The view that a list is answered from as it stands; None where something would have to be read first."""
        if resource.time or query.remote_query:
            return None
        resource = await self._own(account_id, resource)
        key: ViewKey = (resource.name, scope_of(resource, query), query.include_inherited)
        units = await self.opened(account_id, client)
        return self._at_hand(account_id, key, units, resource, self._max_age_for(units, client, query))

    def age_of(self, view: View) -> float:
        """Seconds since the oldest of what a view rests on was read."""
        return max(0.0, self._clock() - view.oldest)

    async def get_record(self, account_id: str, client: Client, resource: Resource, key: str, query: Query) -> Answer:
        """One record by its id. NotFound says so where it may only be out of sight; BudgetReserved where it is so for
        want of budget.
        """
        if resource.id_pattern and not resource.id_pattern.fullmatch(key):
            raise InvalidParameter(
                f"`{key}` is no id of {resource.name}; they look like {resource.id_form}.",
                details=[{"where": "path", "name": "id", "found": key, "expected": resource.id_form}],
            )
        resource = await self._own(account_id, resource)
        scope = Scope(place=resource.get_place, ids=frozenset({key})) if resource.get_place else None
        view = await self._view(account_id, client, resource, query, scope)
        record = view.collection.find(key) or engine.find_anonymous(resource, key, view.collection.records)
        if record is None:
            raise _absent(resource, key, view.missing)
        return self._answer(view, [record], None)

    async def begin(self, account_id: str, client: Client) -> None:
        """Begin the gather of an account that has been connected, or has another credential, which may see other
        things; whoever asks next joins it.
        """
        units = await self.opened(account_id, client)
        await units.make_stale(lambda _: True)
        for name in ("users", "role_assignments"):
            if name in self.model.resources:
                self._gatherings.join(
                    account_id, client, self.model.resources[name], (name, None, False), self._max_age
                )

    async def touched(
        self, account_id: str, client: Client, path: str, *, method: str = "", answer: Said | None = None
    ) -> int:
        """Have whatever a write to the provider's `path` may have changed read again, by every process; how many.

        By method and the provider's `answer` it is known who was taken out of what, whatever lists go on showing.
        """
        units = await self.opened(account_id, client)
        self.activities.days.touched(account_id)
        news = await self._settling(units, method, path, answer)
        return await units.make_stale(touched_by(self.model, units.states, path.partition("?")[0]), news)

    async def _settling(self, units: AccountUnits, method: str, path: str, answer: Said | None) -> Settling | None:
        """What a write to somebody's place in a list leaves to settle; None for any other write."""
        removals = self.model.removals
        if written(removals, method, path, b"") is None:
            return None
        try:
            said = await answer() if answer is not None else b""
        except AdapterError:
            said = b""
        write = written(removals, method, path, said)
        return settling_after(self.model, units.states, write, units.now()) if write else None

    async def status(self, account_id: str, client: Client) -> Status:
        """How every unit of the account stands; nothing is asked of the provider for it."""
        units = await self.opened(account_id, client)
        return await status_of(
            self.model, units, client, self._purse(client), reserve=self._reserve, max_age=self._usual_age(units)
        )

    def gathering(self, account_id: str) -> Gather | None:
        """The gather that an account's callers wait for at the moment, for showing its progress."""
        return self._gatherings.of(account_id)

    def forget(self, account_id: str) -> None:
        """Drop everything that is known of an account."""
        self._accounts.pop(account_id, None)
        self.activities.days.forget(account_id)
        self.pages.forget(account_id)
        for key in [key for key in self._views if key[0] == account_id]:
            self._views.pop(key, None)

    async def close(self) -> None:
        await self._gatherings.close()
        await self.activities.days.close()
        for units in list(self._accounts.values()):
            await units.close()

    # --- trails

    async def _trail(
        self, account_id: str, client: Client, resource: Resource, query: Query, bound_to: str, after: Any
    ) -> Answer:
        """A page of what is told day by day: no snapshot of it is made."""
        units = await self.opened(account_id, client)
        max_age = self._max_age if query.max_age is None else query.max_age
        names = self.activities.unit(resource).parents
        gather = Gather(self.model, units, client, names, max_age=max_age)
        await gather.run()
        trail = await self.activities.page(
            account_id, client, resource, query, after=after, parents=gather.reads(), purse=units.purse
        )
        return Answer(
            records=trail.records,
            next_cursor=self._cursors.seal(bound_to, trail.after) if trail.after is not None else None,
            age=max(0.0, self._clock() - trail.oldest),
            last_modified=trail.newest,
            missing=trail.missing,
            paths=trail.paths,
        )

    # --- views

    async def _view(
        self, account_id: str, client: Client, resource: Resource, query: Query, scope: Scope | None
    ) -> View:
        key: ViewKey = (resource.name, scope, query.include_inherited)
        units = await self.opened(account_id, client)
        max_age = self._max_age_for(units, client, query)
        standing = self._at_hand(account_id, key, units, resource, max_age)
        if standing is not None:
            return standing
        gather, task = self._gatherings.join(account_id, client, resource, key, max_age)
        done, _ = await asyncio.wait({task}, timeout=self._wait)
        if not done and not query.allow_partial:
            raise DirectoryGathering(headers={"Retry-After": str(self._retry_after(gather))})
        if done and not (query.allow_partial and gather.has_read):
            task.result()
        complete = bool(done) and task.exception() is None
        known = self._whose(account_id, resource) if scope else {}
        view = await self._assembled(units, resource, gather, query, known, complete=complete)
        if complete:
            made_at = units.now() if view.held or view.settles else view.oldest
            # A write that went by meanwhile may not be in it: the next to ask gathers again.
            self._views[account_id, key] = (gather.begun_generation, made_at, view)
        return view

    async def _assembled(
        self,
        units: AccountUnits,
        resource: Resource,
        gather: Gather,
        query: Query,
        known: Mapping[str, str],
        *,
        complete: bool,
    ) -> View:
        """The view of what was read, with every write in it that any process has answered by now; and whom a write has
        taken out meanwhile out of it too, unless somebody is taken out every time.
        """
        await units.open()
        for _ in range(_ASSEMBLIES):
            changes = units.settling.changes
            view = await assemble(self.model, resource, gather, query, complete=complete, known=known)
            if units.settling.changes == changes:
                break
        return view

    def _whose(self, account_id: str, resource: Resource) -> Mapping[str, str]:
        """Whose each address is, as the whole directory last told: somebody invited to one team by address may be known
        by another, and has the same id in the list of either.
        """
        base = self.model.resources[resource.derived.resource] if resource.derived else resource
        whole = self._views.get((account_id, (base.name, None, False)))
        return whole[2].collection.addresses() if whole else {}

    # --- small things

    async def _own(self, account_id: str, resource: Resource) -> Resource:
        """The resource as the account has it for itself."""
        given = await self._override(account_id) if self._override is not None else None
        return self._overrides.of(resource, given)

    def _units(self, account_id: str, client: Client) -> AccountUnits:
        units = self._accounts.get(account_id)
        if units is None:
            units = AccountUnits(
                self._clock, keeper=self._keeper(account_id), purse=self._purse(client), layout=self._layout
            )
            self._accounts[account_id] = units
        return units

    async def opened(self, account_id: str, client: Client) -> AccountUnits:
        """The account's units, with what is kept of them at hand."""
        units = self._units(account_id, client)
        await units.open()
        return units

    def _purse(self, client: Client) -> Purse:
        purse = self._purses.get(client.account_key)
        if purse is None:
            purse = Purse(
                lambda: client.budget.remaining,
                reserve=self._reserve,
                refill=self._refill,
                sharers=self._sharers,
                clock=self._timer,
            )
            self._purses[client.account_key] = purse
        return purse

    def _at_hand(
        self, account_id: str, key: ViewKey, units: AccountUnits, resource: Resource, max_age: float
    ) -> View | None:
        """The view that was made last, if no write, override or time has gone over it."""
        kept = self._views.get((account_id, key))
        if kept is None:
            return None
        generation, made_at, view = kept
        current = generation == units.generation and view.collection.resource is resource
        # What is older than no time at all was made before the clock was set back.
        return view if current and -SKEW <= units.now() - made_at < self._good_for(view, max_age) else None

    def _good_for(self, view: View, max_age: float) -> float:
        """How long a view may be answered from; one that lacks something for want of budget is looked at again soon."""
        if view.settles:
            return min(max_age, AGE)
        return min(max_age, _SOON) if view.held else max_age

    def _max_age_for(self, units: AccountUnits, client: Client, query: Query) -> float:
        """How old units may be: a gather of C requests is not repeated before C requests have flowed back, unless the
        caller insists and the account's budget stays above the reserve.
        """
        usual = self._usual_age(units)
        if query.max_age is None:
            return usual
        remaining = client.budget.remaining
        affordable = remaining is None or remaining - units.gather_cost >= self._reserve
        return query.max_age if affordable else usual

    def _usual_age(self, units: AccountUnits) -> float:
        return max(self._max_age, units.gather_cost * self._refill)

    def _retry_after(self, gather: Gather) -> int:
        return max(2, min(60, round(len(gather.pending()) * 0.05)))

    def _answer(self, view: View, records: Sequence[Record], cursor: str | None) -> Answer:
        return Answer(
            records=records,
            next_cursor=cursor,
            age=self.age_of(view),
            last_modified=view.changed,
            missing=view.missing,
            paths=view.paths,
            version=view.version,
        )


def _absent(resource: Resource, key: str, missing: Sequence[Missing]) -> AdapterError:
    """What a record that is not seen comes to: no 404 where the moment alone stands in the way of seeing it."""
    if not missing:
        return NotFound(f"There is no `{key}` among the {resource.name}.")
    message = f"`{key}` is not among the {resource.name} that could be read; it may stand in what is missing."
    details = [{"where": "directory", "missing": msgspec.to_builtins(gap)} for gap in missing]
    waits = [gap.retry_after for gap in missing if gap.retry_after is not None]
    if waits:
        return BudgetReserved(message, details=details, headers={"retry-after": str(max(waits))})
    return NotFound(message, details=details)
