"""Who a write is about: somebody named by id, by an invitation's id or by address, found among what units show."""

import asyncio
from collections.abc import Iterable, Sequence

from adapter.directory.gather import Read
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import Holding, Person, PersonRef
from adapter.mapping.engine import anonymous_id
from adapter.mapping.expressions import ShapeError
from adapter.mapping.model import Resource
from adapter.mapping.writes import Entry, Mentions, People, PlaceKind

Found = tuple[PlaceKind, Read, Entry]
"""A person in a place, and the reading that shows it."""


class Whom:
    """The person as far as is known; learns from every entry that it recognises."""

    def __init__(self, ref: PersonRef, resource: Resource | None) -> None:
        """`resource` is the one whose records are people: it says how those without an account are known."""
        self._resource = resource
        self._invited = self._prefixed(ref.user_id)
        self.id = None if self._invited else ref.user_id
        self.emails: list[str] = [_plain(ref.email)] if ref.email else []
        self.name: str | None = None
        self.other_id: str | None = None
        """Another account's id, found under the address that was named together with an id."""

    def _prefixed(self, user_id: str | None) -> str | None:
        anonymous = self._resource.anonymous if self._resource else None
        return user_id if user_id and anonymous and user_id.startswith(anonymous.prefix) else None

    @property
    def email(self) -> str | None:
        return self.emails[0] if self.emails else None

    @property
    def unresolved(self) -> bool:
        """Whether an invitation's id has not led to an address yet."""
        return self._invited is not None and not self.emails

    def is_(self, entry: Entry) -> bool:
        """Whether an entry is about them; addresses are compared without regard to case."""
        if self.id is not None and entry.person_id == self.id:
            return True
        address = _plain(entry.email) if entry.email else None
        if address is None:
            return False
        return address in self.emails or (self.unresolved and self._hashed(address) == self._invited)

    def _hashed(self, address: str) -> str:
        assert self._resource is not None
        return anonymous_id(self._resource, address)

    def learn(self, entry: Entry) -> bool:
        """Take over what an entry about them tells; whether anything was new."""
        before = (self.id, len(self.emails))
        self.id = self.id or entry.person_id
        if entry.person_id is not None and entry.person_id != self.id:
            self.other_id = entry.person_id
        if entry.email and _plain(entry.email) not in self.emails:
            self.emails.append(_plain(entry.email))
        self.name = self.name or entry.name
        return before != (self.id, len(self.emails))

    def person(self) -> Person:
        return Person(id=self.id or self._invited, emails=tuple(self.emails), name=self.name)

    def mentions(self) -> Mentions | None:
        """What to look for in records; None while every address has to be tried."""
        words = [word for word in (self.id, *self.emails) if word]
        return None if self.unresolved or not words else Mentions(words)


async def look_for(desk: Desk, whom: Whom, reads: Iterable[Read]) -> tuple[list[Found], list[tuple[Read, str]]]:
    """Where the readings show the person, and those in which something can't be read, with what is wrong.

    Whom one reading shows by another address or id is looked for by these too.
    """
    reads = list(reads)
    while True:
        found, faults, learnt = [], [], False
        mentions = whom.mentions()
        for read in reads:
            for kind, people in _showing(desk, read.unit.name):
                try:
                    entries = [
                        entry
                        for entry in people.entries(read.instance().records, read.lineage, mentions)
                        if whom.is_(entry)
                    ]
                except ShapeError as error:
                    faults.append((read, str(error)))
                    continue
                found += [(kind, read, entry) for entry in entries]
                news = [whom.learn(entry) for entry in entries]
                learnt = learnt or any(news)
            await asyncio.sleep(0)
        if not learnt:
            return found, faults


async def known(desk: Desk, whom: Whom) -> None:
    """Learn of the person what is at hand, and where that does not tell their address, what the directory tells."""
    await look_for(desk, whom, await desk.at_hand(desk.writes.units()))
    if not whom.emails:
        gather = await desk.gathered(desk.writes.units())
        await look_for(desk, whom, gather.reads())


def _showing(desk: Desk, unit: str) -> list[tuple[PlaceKind, People]]:
    return [(kind, people) for kind in desk.writes.places.values() for people in kind.people if unit in people.units]


def holding_of(kind: PlaceKind, entries: Sequence[Entry]) -> Holding:
    """What the entries about one person in one place come to; a membership outdoes an invitation."""
    for pending in (False, True):
        mine = [entry for entry in entries if entry.pending is pending]
        if mine:
            roles = kind.ordered(frozenset(role for entry in mine for role in entry.roles))
            member = next((entry.member_id for entry in mine if entry.member_id), None)
            return Holding(state="pending" if pending else "active", roles=roles, member_id=member)
    return Holding()


def _plain(address: str) -> str:
    return address.strip().lower()
