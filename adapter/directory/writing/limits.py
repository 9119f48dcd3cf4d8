"""How operations are carried out, and what keeps one from going on."""

import asyncio
from typing import Any

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times are in seconds."""

    planning: float = 45.0
    """How long a plan may take to be drawn, before anything is kept of it."""
    at_once: int = 8
    """Places that one operation writes to at the same time."""
    lease: float = 30.0
    """How long an operation, or a place, stays with a process that gives no sign of life."""
    pulse: float = 3.0
    """Between two signs of life, at which a wish to stop is heard too."""
    patience: float = 900.0
    """How long an operation goes on by itself: waits for the budget, is picked up after a crash."""
    scan: float = 3.0
    """Between two looks for operations that nobody holds."""
    look_pauses: tuple[float, ...] = (0.0, 2.0)
    """Before the looks at what became of a step: the provider may still be busy with it."""
    retry_pauses: tuple[float, ...] = (0.5, 2.0)
    """Between attempts to read, or to send what has not left yet."""
    journal_pauses: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)
    """Between attempts to write down what was answered."""
    grace: float = 20.0
    """How long a process that ends waits for what it is sending."""


class Halt:
    """Whether, and why, an operation is to send nothing more from here."""

    def __init__(self) -> None:
        self.stop: Any = None
        """Somebody wants it to end."""
        self.closing = False
        """The process ends: another one goes on."""
        self.lost = False
        """Another one may be going on already, or nothing can be written down."""
        self.refused: str | None = None
        """The account, or the plan, was refused: further steps would be too."""
        self._event = asyncio.Event()

    @property
    def now(self) -> bool:
        return self._event.is_set()

    def by(self, *, stop: Any = None, closing: bool = False, lost: bool = False, refused: str | None = None) -> None:
        self.stop = self.stop if stop is None else stop
        self.closing = self.closing or closing
        self.lost = self.lost or lost
        self.refused = self.refused or refused
        if self.stop is not None or self.closing or self.lost or self.refused is not None:
            self._event.set()

    async def within(self, seconds: float) -> bool:
        """Whether it came in the next seconds; returns as soon as it has."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
