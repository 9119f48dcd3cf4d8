"""What carrying out a write needs of whoever knows the provider: plans, looks, and the sending itself."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Literal, Protocol

from adapter.directory.units import Client
from adapter.directory.writing.model import Ask, Obstacle, Operation, Plan, Step
from adapter.errors import RemoteError

Looked = Literal["done", "not_done", "unknown"]


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

    def difference(self, old: Plan | None, new: Plan) -> Sequence[Mapping[str, Any]]:
        """How a plan differs from an older one, which may not be known any more."""

    async def check(self, ask: Ask, step: Step, *, anew: bool = False) -> Step | Obstacle | None:
        """Right before sending, the place being ours: the step, perhaps adjusted; what refuses it; None: it is so.

        `anew`: nothing that its plan rests on counts any more.
        """

    async def send(self, step: Step) -> Sent:
        """Once, without repeating; AccountBlocked and NeedsReauth where the account may not be used any more."""

    def is_already(self, step: Step, error: RemoteError) -> bool:
        """Whether a refusal is the provider's way to say that it is so already."""

    async def look_up(self, ask: Ask, step: Step) -> Looked:
        """What became of a step whose answer is not known."""

    async def touched(self, step: Step, answer: bytes) -> None:
        """Have what a step may have changed read again by every process."""

    async def result(self, operation: Operation) -> Any:
        """What the operation is answered with, as the provider shows it now; JSON."""


class WorkMaker(Protocol):
    """Puts an account to work, with the client that speaks for it, or with a new one."""

    def __call__(self, account_id: str, client: Client | None = None, /) -> Awaitable[Work]: ...
