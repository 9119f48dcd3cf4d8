"""One account at work: everything that planning and carrying out a write needs of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapter.directory.gather import Gather, Read, Scope
from adapter.directory.lists import Client
from adapter.directory.settling import AGE
from adapter.directory.status import AtHand
from adapter.directory.units import AccountUnits
from adapter.errors import Unprocessable, UpstreamFailure
from adapter.mapping.model import Model, Resource
from adapter.mapping.units import Unit
from adapter.mapping.writes import Writes
from adapter.models import ProviderIdentity


class WriteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an account's settings say of writes."""

    allow_admin_grants: bool = False


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One account, bound and open. `held_scopes` are the provider's, empty where they are not known; `max_age` is how
    old the directory may be that a removal from everywhere is planned from, `refill` the time in which one request
    flows back into the budget, both in seconds.
    """

    account_id: str
    client: Client
    units: AccountUnits
    model: Model
    identity: ProviderIdentity | None = None
    settings: WriteSettings = field(default_factory=WriteSettings)
    held_scopes: tuple[str, ...] = ()
    max_age: float = 60.0
    refill: float = 0.8

    @property
    def writes(self) -> Writes:
        """What can be written; Unprocessable where the provider is only read."""
        if self.model.writes is None:
            raise Unprocessable("Nothing can be written here: no writes are declared for this provider.")
        return self.model.writes

    @property
    def people(self) -> Resource | None:
        """The resource whose records are people: the one that knows those without an account too."""
        return next((resource for resource in self.model.resources.values() if resource.anonymous), None)

    async def fresh(self, unit: Unit, lineage: Mapping[str, Any], *, since: float | None = None) -> Read:
        """The unit as it is now, or as it was no longer ago than `since`; what a recent write took out is left out."""
        path = unit.path(lineage)
        state = await self.units.reread(unit, path, self.client, self.units.now() if since is None else since)
        settling = self.units.settling
        return Read(
            unit=unit,
            lineage=lineage,
            state=state,
            changes=settling.about(unit, state.fetched_at),
            settles=state.fetched_at < settling.until(path),
        )

    async def at_hand(self, names: Iterable[str]) -> list[Read]:
        """What is known of the named units; nothing is asked of the provider for it."""
        await self.units.open()
        gather = Gather(self.model, AtHand(self.units), self.client, tuple(names))
        await gather.run()
        return [read for read in gather.reads() if read.state.error is None]

    async def gathered(self, names: Iterable[str], *, scope: Scope | None = None) -> Gather:
        """The named units, those read again that are too old to rest a write on. Some may be missing for the moment,
        which `pending` of the answer then tells; what the client raises where nothing could be read at all.
        """
        await self.units.open()
        gather = Gather(self.model, self.units, self.client, tuple(names), scope=scope, max_age=max(AGE, self.max_age))
        try:
            await gather.run()
        except UpstreamFailure:
            if not gather.has_read:
                raise
        return gather
