"""Which of the connected accounts a command is about."""

from typing import TYPE_CHECKING, Any

from adapter.errors import BadRequest, NotFound
from adapter.models import IntegratedAccount

if TYPE_CHECKING:
    from adapter.app import House


async def every(house: "House", **which: Any) -> list[IntegratedAccount]:
    """All accounts that fit, by id."""
    found: list[IntegratedAccount] = []
    while page := await house.accounts.list(after=found[-1].id if found else "", limit=1000, **which):
        found += page
    return found


async def only_account(house: "House") -> str:
    """The one account that is connected; NotFound, or BadRequest where there are several."""
    found = await every(house)
    if not found:
        raise NotFound("No Heroku account is connected yet; `adapter account add --tenant T` connects one.")
    if len(found) > 1:
        raise BadRequest(
            f"{len(found)} accounts are connected: say which with --account ID (or ADAPTER_ACCOUNT); "
            "`adapter account list` shows them."
        )
    return found[0].id
