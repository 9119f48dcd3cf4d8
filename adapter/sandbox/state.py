"""One running sandbox: its world, and everything that is not world."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .access import Budget, Keyring
from .clock import Clock
from .faults import FaultPlan
from .options import Options
from .paging import Listing
from .records import repeatable
from .world import World

LOG_SIZE = 200_000
DEMO_REDIRECT_URI = "http://127.0.0.1:5000/connect-account/callback"


class LoggedRequest(msgspec.Struct):
    """One request as it was answered. It names the token's authorization and never the token."""

    method: str
    path: str
    query: str
    status: int
    account_id: str | None
    token_id: str | None
    range: str | None
    time: str
    request_id: str
    fault: str | None = None
    remaining: int | None = None
    """What was left of the account's budget afterwards."""


class RequestLog:
    """The requests since the last reset; the newest `LOG_SIZE` of them are kept, all are counted."""

    def __init__(self) -> None:
        self.count = 0
        self.entries: deque[LoggedRequest] = deque(maxlen=LOG_SIZE)

    def add(self, entry: LoggedRequest) -> None:
        self.count += 1
        self.entries.append(entry)

    def reset(self) -> None:
        self.count = 0
        self.entries.clear()


class Minted(msgspec.Struct, frozen=True):
    id: str
    access_token: str
    account_id: str
    scopes: tuple[str, ...]


class Sandbox:
    """World, tokens, budgets, faults, clock and log. `make_world` is called again by `reset`.

    The owner has a token with scope `global` (`owner_token`), and there is one OAuth client (`client`).
    """

    def __init__(
        self,
        make_world: Callable[[], World] | World,
        options: Options | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._make_world = make_world
        self._options = options or Options()
        self.clock = clock or Clock()
        self.log = RequestLog()
        self._requests = 0
        self.reset()

    def reset(self) -> None:
        """World, options, tokens, budgets, faults and log as at first; a world made by hand stays as it is."""
        self.world = self._make_world if isinstance(self._make_world, World) else self._make_world()
        self.world.now = self.clock.stamp
        self.options = msgspec.structs.replace(self._options)
        self.faults = FaultPlan(repeatable(f"faults {self.world.seed}"))
        self.budget = Budget(self.options.budget_capacity, self.options.budget_per_minute, self.clock.seconds)
        self.keyring = Keyring(clock=self.clock, rng=repeatable(f"keyring {self.world.seed}"))
        self.log.reset()
        self._listings: dict[tuple[str, ...], Listing] = {}
        self._listed_at = -1
        if self.world.accounts:
            owner = self.world.owner.id
            self.owner_token = self.mint(owner, ("global",)).access_token
            self.client = self.keyring.add_client(owner, "Unified directory", DEMO_REDIRECT_URI)

    def mint(self, account_id: str, scope: tuple[str, ...], life_s: float | None = None) -> Minted:
        authorization = self.keyring.authorize(account_id, scope, life_s=life_s)
        token = authorization.access.text if authorization.access else ""
        return Minted(authorization.id, token, account_id, scope)

    def change_options(self, changes: Mapping[str, Any]) -> Options:
        """Change some options. Raises `msgspec.ValidationError` for an unknown word or value."""
        merged = msgspec.structs.asdict(self.options) | dict(changes)
        self.options = msgspec.convert(merged, Options)
        self.budget.capacity = self.options.budget_capacity
        self.budget.per_minute = self.options.budget_per_minute
        self.world.revision += 1
        return self.options

    def next_request_id(self) -> str:
        self._requests += 1
        return f"{self._requests:08x}-5a2d-4b0c-8000-000000000000"

    def listing(self, key: tuple[str, ...], make: Callable[[], Listing]) -> Listing:
        """A list under `key`, made again only after the world has changed."""
        if self._listed_at != self.world.revision:
            self._listings.clear()
            self._listed_at = self.world.revision
        held = self._listings.get(key)
        if held is None:
            held = self._listings[key] = make()
        return held
