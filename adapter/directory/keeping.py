"""Units that last: kept in the database behind the reading, read back after a restart, shared among processes.

The reading never waits for the keeping; a claim is given back only once what it was for can be read by others.
"""

import asyncio
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any, Protocol

import msgspec
import structlog

from adapter.directory.batches import Batch
from adapter.directory.sharing import Alike
from adapter.directory.state import State
from adapter.errors import AdapterError, RemoteError, RemoteForbidden, RemoteNotFound, StorageUnavailable
from adapter.storage.claims import Claims
from adapter.storage.units import StoredDirectory, StoredUnit, UnitStore

_LEVEL = 1
"""Of zlib: lists of people shrink to a tenth at the lowest, and each step up costs more time than it saves room."""

_LARGE = 32 * 1024
"""Bytes, packed, of a list that is unpacked beside the loop: some thousand people."""

_log = structlog.get_logger("adapter.directory")


Kept = Callable[[Any], Any]
"""Makes what is to be kept out of what is."""


class Keeper(Protocol):
    """Where one account's units last."""

    async def load(self) -> tuple[StoredDirectory, list[State]]: ...
    async def generation(self) -> int | None: ...
    async def settling(self) -> Any: ...
    async def fresher(self, known: Mapping[str, float]) -> tuple[list[State], list[str]]: ...
    async def claim(self, path: str) -> bool: ...
    async def look(self, path: str) -> State | None: ...
    async def news(self, seconds: float) -> None: ...
    def keep(self, state: State, generation: int) -> None: ...
    def give_back(self, path: str) -> None: ...
    def drop(self, paths: Sequence[str]) -> None: ...
    def keep_cost(self, gather_cost: int) -> None: ...
    def keep_proof(self, path: str, day: int, held: bool) -> None: ...
    async def mark_stale(self, touched: Callable[[str], bool], settling: Kept | None = None) -> int | None: ...
    async def settle(self) -> None: ...


class Forgetful:
    """Nothing lasts and nobody shares: for a directory in memory alone."""

    async def load(self) -> tuple[StoredDirectory, list[State]]:
        return StoredDirectory(), []

    async def generation(self) -> int | None:
        return None

    async def settling(self) -> Any:
        return None

    async def fresher(self, known: Mapping[str, float]) -> tuple[list[State], list[str]]:
        return [], []

    async def claim(self, path: str) -> bool:
        return True

    async def look(self, path: str) -> State | None:
        return None

    async def news(self, seconds: float) -> None:
        return

    def keep(self, state: State, generation: int) -> None:
        return

    def give_back(self, path: str) -> None:
        return

    def drop(self, paths: Sequence[str]) -> None:
        return

    def keep_cost(self, gather_cost: int) -> None:
        return

    def keep_proof(self, path: str, day: int, held: bool) -> None:
        return

    async def mark_stale(self, touched: Callable[[str], bool], settling: Kept | None = None) -> int | None:
        return None

    async def settle(self) -> None:
        return


class _Mark:
    """What a write has made stale, and what it leaves to settle."""

    __slots__ = ("settling", "touched")

    def __init__(self, touched: Callable[[str], bool], settling: Kept | None) -> None:
        self.touched = touched
        self.settling = settling


class DatabaseKeeper:
    """One account's units in the database. `shared`: other processes may read and write them too."""

    def __init__(self, account_id: str, store: UnitStore, claims: Claims, *, shared: bool) -> None:
        self._account_id = account_id
        self._store = store
        self._claims = claims
        self._shared = shared
        self._claiming: Batch[str, bool] = Batch(self._claim_all)
        self._looking: Batch[str, State | None] = Batch(self._look_all)
        self._asking: Batch[str, int] = Batch(self._ask_generation)
        self._marking: Batch[_Mark, int] = Batch(self._mark_all)
        self._kept: dict[str, tuple[State, int]] = {}
        self._returned: list[str] = []
        self._dropped: set[str] = set()
        self._proofs: dict[str, tuple[int, bool]] = {}
        self._cost: int | None = None
        self._writer: asyncio.Task[None] | None = None
        self._wanted = self._written = 0
        """How often something was to be kept so far, and how many of these are over and done with."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def load(self) -> tuple[StoredDirectory, list[State]]:
        """Everything that is kept; what can't be read any more is left out, to be fetched again."""
        directory, rows = await self._store.directory(self._account_id), await self._store.load(self._account_id)
        return directory, await _states(rows)

    async def generation(self) -> int | None:
        """The account's generation among all processes; None where no other process could have moved it."""
        return await self._asking.ask("") if self._shared else None

    async def settling(self) -> Any:
        """What is kept of the lists that lag behind writes."""
        return (await self._store.directory(self._account_id)).settling

    async def fresher(self, known: Mapping[str, float]) -> tuple[list[State], list[str]]:
        """Of units that are known here with the time of their reading: those read later since, and what is stale.

        So is what is not kept: nothing would tell of a write to it.
        """
        there = [time for time in await self._store.times(self._account_id) if time[0] in known]
        unkept = known.keys() - {path for path, _, _ in there}
        newer = [path for path, fetched_at, stale in there if not stale and fetched_at > known[path]]
        states = await _states(await self._store.load(self._account_id, newer))
        return states, [*(path for path, _, stale in there if stale), *sorted(unkept)]

    async def claim(self, path: str) -> bool:
        if not self._shared:
            return True
        asked = asyncio.ensure_future(self._claiming.ask(path))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            # Whoever asked has left; what is granted all the same goes back.
            asked.add_done_callback(lambda done: self._unwanted(path, done))
            raise

    def _unwanted(self, path: str, asked: "asyncio.Future[bool]") -> None:
        if not asked.cancelled() and asked.exception() is None and asked.result():
            self.give_back(path)

    async def look(self, path: str) -> State | None:
        return await self._looking.ask(path) if self._shared else None

    async def news(self, seconds: float) -> None:
        await self._claims.news(self._account_id, seconds)

    def keep(self, state: State, generation: int) -> None:
        """Write the unit behind the reading, then give its claim back."""
        self._kept[state.path] = (state, generation)
        self._dropped.discard(state.path)
        self._write()

    def give_back(self, path: str) -> None:
        """Give a claim back with nothing to keep, as after a failed fetch."""
        self._returned.append(path)
        self._write()

    def drop(self, paths: Sequence[str]) -> None:
        """Keep these no longer: there is nothing any more that they tell about."""
        self._returned += [path for path in paths if self._kept.pop(path, None) is not None]
        self._dropped.update(paths)
        self._write()

    def keep_cost(self, gather_cost: int) -> None:
        self._cost = gather_cost
        self._write()

    def keep_proof(self, path: str, day: int, held: bool) -> None:
        self._proofs[path] = (day, held)
        self._write()

    async def mark_stale(self, touched: Callable[[str], bool], settling: Kept | None = None) -> int | None:
        """Tell every process that what `touched` accepts is to be read again; the generation from here on.

        `settling` makes what is to be kept of lagging lists out of what is. Writes that are answered in the same moment
        share a transaction, and the generation after them.
        """
        return await self._marking.ask(_Mark(touched, settling))

    async def settle(self) -> None:
        """Return when everything that is to be kept by now is. Under load there is always more to come: who waited for
        that too would wait for as long as anybody asks for anything.
        """
        if self._written < self._wanted and self._writer is not None and not self._writer.done():
            over = asyncio.get_running_loop().create_future()
            self._waiting.append((self._wanted, over))
            await over

    # --- batches

    async def _claim_all(self, paths: list[str]) -> Mapping[str, bool]:
        granted = await self._claims.acquire([self._key(path) for path in paths])
        return {path: self._key(path) in granted for path in paths}

    async def _look_all(self, paths: list[str]) -> Mapping[str, State | None]:
        found = {state.path: state for state in await _states(await self._store.load(self._account_id, paths))}
        return {path: found.get(path) for path in paths}

    async def _ask_generation(self, _: list[str]) -> Mapping[str, int]:
        return {"": await self._store.generation(self._account_id)}

    async def _mark_all(self, marks: list[_Mark]) -> Mapping[_Mark, int]:
        await self.settle()
        left = [mark.settling for mark in marks if mark.settling is not None]

        def touched(path: str) -> bool:
            return any(mark.touched(path) for mark in marks)

        def settling(kept: Any) -> Any:
            return reduce(lambda so_far, then: then(so_far), left, kept)

        generation = await self._store.mark_stale(self._account_id, touched, settling if left else None)
        await self._claims.release([], self._account_id)
        return dict.fromkeys(marks, generation)

    def _key(self, path: str) -> str:
        return f"{self._account_id} {path}"

    # --- writing behind

    def _write(self) -> None:
        self._wanted += 1
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._written < self._wanted:
                await asyncio.sleep(0)
                await self._write_batch()
                self._tell(self._written)
        finally:
            self._tell(self._wanted)

    def _tell(self, written: int) -> None:
        """Those who wait for no more than this wait no longer."""
        for _, over in (each for each in self._waiting if each[0] <= written):
            if not over.done():
                over.set_result(None)
        self._waiting = [each for each in self._waiting if each[0] > written]

    async def _write_batch(self) -> None:
        wanted = self._wanted
        kept, self._kept = self._kept, {}
        returned, self._returned = self._returned, []
        dropped, self._dropped = self._dropped, set()
        proofs, self._proofs = self._proofs, {}
        cost, self._cost = self._cost, None
        try:
            await self._save(kept, dropped, proofs, cost)
        except StorageUnavailable as error:
            # What was read stands in memory and is answered from there; after a restart it is read again.
            _log.warning("units_not_kept", integrated_account_id=self._account_id, units=len(kept), code=error.code)
            self._dropped |= dropped - self._kept.keys()
        except Exception:  # noqa: BLE001  # a fault of ours, told as one; the claims must go back all the same
            _log.exception("units_not_kept", integrated_account_id=self._account_id, units=len(kept))
        await self._claims.release([self._key(path) for path in (*kept, *returned)], self._account_id)
        self._written = wanted

    async def _save(
        self,
        kept: Mapping[str, tuple[State, int]],
        dropped: Collection[str],
        proofs: Mapping[str, tuple[int, bool]],
        cost: int | None,
    ) -> None:
        by_generation: dict[int, list[State]] = {}
        for state, generation in kept.values():
            by_generation.setdefault(generation, []).append(state)
        for generation, states in by_generation.items():
            await self._store.save(self._account_id, generation, await asyncio.to_thread(_rows, states))
        if dropped:
            await self._store.drop(self._account_id, dropped)
        if proofs:
            await self._store.save_proofs(self._account_id, proofs)
        if cost is not None:
            await self._store.save_cost(self._account_id, cost)


KeeperMaker = Callable[[str], Keeper]


def _rows(states: Sequence[State]) -> list[StoredUnit]:
    return [
        StoredUnit(
            path=state.path,
            body=None if state.records is None else zlib.compress(msgspec.json.encode(state.records), _LEVEL),
            refusal=_refusal(state.error),
            etag=state.etag,
            cost=state.cost,
            fetched_at=state.fetched_at,
            changed_at=state.changed_at,
            stale=state.stale,
            proof_day=state.proof[0] if state.proof else None,
            proof_held=state.proof[1] if state.proof else None,
        )
        for state in states
    ]


async def _states(rows: Sequence[StoredUnit]) -> list[State]:
    """The rows as states; unpacking is work, so the loop gets its turn between them."""
    states = []
    alike = Alike()
    for row in rows:
        state = await asyncio.to_thread(_state, row) if len(row.body or b"") > _LARGE else _state(row)
        if state is not None:
            state.records = await alike.shared(state.records) if state.records is not None else None
            states.append(state)
        await asyncio.sleep(0)
    return states


def _state(row: StoredUnit) -> State | None:
    try:
        records = None if row.body is None else msgspec.json.decode(zlib.decompress(row.body), type=list[Any])
        error = _error(row.refusal) if records is None else None
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, KeyError):
        _log.warning("unit_unreadable", path=row.path)
        return None
    if records is None and error is None:
        return None
    state = State(row.path, records, fetched_at=row.fetched_at, cost=row.cost, error=error, etag=row.etag)
    state.changed_at, state.stale = row.changed_at, row.stale
    if row.proof_day is not None:
        state.proof = (row.proof_day, bool(row.proof_held))
    return state


def _refusal(error: AdapterError | None) -> dict[str, Any] | None:
    if not isinstance(error, RemoteError):
        return None
    return {"status": error.status, "message": error.message, "remote_id": error.remote_id, "insight": error.insight}


def _error(refusal: Mapping[str, Any] | None) -> RemoteError | None:
    if not refusal:
        return None
    kind = {403: RemoteForbidden, 404: RemoteNotFound}.get(refusal["status"], RemoteError)
    return kind(
        refusal["status"], refusal["message"], remote_id=refusal.get("remote_id"), insight=refusal.get("insight")
    )
