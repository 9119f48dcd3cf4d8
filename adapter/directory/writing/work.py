"""What carrying out a write needs of whoever knows the provider: plans, looks, and the sending itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from adapter.directory.lists import Client
from adapter.directory.writing.model import Ask, Obstacle, Operation, Plan, Step
from adapter.directory.writing.report import Proved
from adapter.errors import RemoteError

Looked = Literal["done", "not_done", "unknown"]
Tell = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Halted = Callable[[], bool]


class Sent(Protocol):
    """The provider's answer to a step."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def request_id(self) -> str | None: ...
    def json(self) -> Any: ...


class Work(Protocol):
    """One account at work. Whatever reads or sends may raise what the upstream client does, and BudgetReserved."""

    async def plan(self, ask: Ask) -> Plan:
        """What would be done about it, from lists that are read now where it matters."""

    def difference(self, old: Plan, new: Plan) -> Sequence[Mapping[str, Any]]:
        """How a plan differs from an older one."""

    async def check(self, ask: Ask, step: Step, *, anew: bool = False) -> Step | Obstacle | None:
        """Right before sending, the place being ours: the step, perhaps adjusted; what refuses it; None: it is so.

        `anew`: nothing that its plan rests on counts any more.
        """

    async def send(self, step: Step) -> Sent:
        """Once, without repeating; AccountBlocked and NeedsReauth where the account may not be used any more."""

    def is_already(self, step: Step, error: RemoteError) -> bool:
        """Whether a refusal is the provider's way to say that it is so already."""

    async def look_up(self, ask: Ask, step: Step, *, patient: bool = False) -> Looked:
        """What became of a step whose answer is not known.

        `patient`: lists that may lag behind are read until it is sure.
        """

    async def touched(self, step: Step, answer: bytes, *, done: bool) -> None:
        """Have what a step may have changed read again by every process. Only one that was `done` tells who is out of
        what, whatever lists go on showing.
        """

    async def prove(self, operation: Operation, tell: Tell, halted: Halted) -> Proved | None:
        """What a removal from everywhere came to once its steps are over; None for any other write.

        `tell` writes an event down; `halted` says that nobody waits for the proof any more.
        """

    async def result(self, operation: Operation) -> Any:
        """What the operation is answered with, as the provider shows it now; JSON."""


class WorkMaker(Protocol):
    """Puts an account to work, with the client that speaks for it, or with a new one."""

    def __call__(self, account_id: str, client: Client | None = None, /) -> Awaitable[Work]: ...
