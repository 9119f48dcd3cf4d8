"""The gathers under way: whoever asks for the same view meanwhile shares one, and what the budget did not allow is gone
on with as it flows back.
"""

import asyncio
from collections.abc import Callable

from adapter.directory.gather import Gather, Scope
from adapter.directory.lists import Client
from adapter.directory.purse import Purse
from adapter.directory.units import AccountUnits
from adapter.mapping.model import Model, Resource

_AT_ONCE = 25
"""Requests that a gather short of budget waits for before it goes on."""

ViewKey = tuple[str, Scope | None, bool]
"""A resource's name, the places that it is confined to, and whether inherited records are among them."""


class Gatherings:
    """See `join`; those of all accounts."""

    def __init__(
        self, model: Model, units_of: Callable[[str, Client], AccountUnits], purse_of: Callable[[Client], Purse]
    ) -> None:
        self._model = model
        self._units_of = units_of
        self._purse_of = purse_of
        self._running: dict[tuple[str, ViewKey], tuple[Gather, asyncio.Task[None]]] = {}
        self._following: dict[tuple[str, ViewKey], asyncio.Task[None]] = {}
        """What goes on with a gather as the budget flows back."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Every gather under way, those too that nobody joins any more."""

    def of(self, account_id: str) -> Gather | None:
        """One that an account's callers wait for at the moment."""
        return next((gather for (account, _), (gather, _) in self._running.items() if account == account_id), None)

    async def close(self) -> None:
        tasks = [*self._tasks, *self._following.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def join(
        self, account_id: str, client: Client, resource: Resource, key: ViewKey, max_age: float
    ) -> tuple[Gather, asyncio.Task[None]]:
        """The gather under way for this view, or a new one: callers that come together share it."""
        running = self._running.get((account_id, key))
        units = self._units_of(account_id, client)
        if running and running[0].begun_generation == units.generation and running[0].max_age <= max_age:
            return running
        names = self._model.units_of(resource, inherited=key[2])
        gather = Gather(self._model, units, client, names, scope=key[1], max_age=max_age)
        task = asyncio.create_task(self._run(account_id, client, resource, key, gather))
        self._tasks.add(task)
        self._running[account_id, key] = (gather, task)
        task.add_done_callback(lambda done: self._left(account_id, key, done))
        return gather, task

    async def _run(self, account_id: str, client: Client, resource: Resource, key: ViewKey, gather: Gather) -> None:
        await self._units_of(account_id, client).open()
        await gather.run()
        if gather.scope is None:
            self._units_of(account_id, client).cost_of_gather(gather.cost)
        if gather.held and (account_id, key) not in self._following:
            follow_up = asyncio.create_task(self._follow_up(account_id, client, resource, key, gather.held))
            self._following[account_id, key] = follow_up
            follow_up.add_done_callback(lambda done: self._followed(account_id, key, done))

    async def _follow_up(self, account_id: str, client: Client, resource: Resource, key: ViewKey, held: int) -> None:
        """Go on with what the budget did not allow, as it flows back, until nothing is missing for want of it."""
        while held:
            await asyncio.sleep(self._purse_of(client).wait(min(held, _AT_ONCE)))
            gather, task = self.join(account_id, client, resource, key, float("inf"))
            await asyncio.wait({task})
            if task.cancelled() or task.exception():
                return
            held = gather.held

    def _followed(self, account_id: str, key: ViewKey, task: asyncio.Task[None]) -> None:
        self._following.pop((account_id, key), None)
        if not task.cancelled():
            task.exception()  # the next question begins it anew

    def _left(self, account_id: str, key: ViewKey, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._running.get((account_id, key), (None, None))[1] is task:
            del self._running[account_id, key]
        if not task.cancelled():
            task.exception()  # whoever waits for the task raises it; nobody may
