"""What all commands share: errors told in one line, help that teaches, and a house to work in."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from typer.core import TyperGroup

from adapter.errors import (
    AccountBlocked,
    AccountNotFound,
    AdapterError,
    BadRequest,
    NeedsReauth,
    StartupError,
    WrongAccount,
)

if TYPE_CHECKING:  # the composition takes a second to import, which --help need not wait for
    from adapter.app import House
    from adapter.config import Settings

T = TypeVar("T")

_JSON = "adapter.json"

# Where the words of an error lead to an HTTP route, the terminal has a command.
_ADVICE: Mapping[type[AdapterError], str] = {
    AccountNotFound: "No integrated account has this id; `adapter account list` shows those that exist.",
    AccountBlocked: "The integrated account is blocked, so nothing was asked of it.",
    NeedsReauth: "Heroku no longer accepts the stored token; run `adapter account add` for its tenant with a new one.",
    WrongAccount: "This belongs to another integrated account.",
}


class Commands(TyperGroup):
    """Commands whose errors end in one clear line, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AdapterError as error:
            typer.echo(_as_json(error) if ctx.meta.get(_JSON) else f"error: {_words(error)}", err=True)
            raise typer.Exit(2 if isinstance(error, StartupError | BadRequest) else 1) from None


def _words(error: AdapterError) -> str:
    return _ADVICE.get(type(error), error.message)


def _as_json(error: AdapterError) -> str:
    details = {"details": error.details} if error.details else {}
    return msgspec.json.encode({"code": error.code, "message": _words(error), **details, **error.extra()}).decode()


def _remember(ctx: typer.Context, wanted: bool) -> bool:
    ctx.meta[_JSON] = wanted
    return wanted


AsJson = Annotated[
    bool, typer.Option("--json", envvar="ADAPTER_JSON", callback=_remember, help="Answer in JSON, errors too.")
]
"""The option that every command with something to show takes."""


def examples(*commands: str) -> str:
    """An epilog with commands to copy."""
    return "\n\n".join([f"Example{'s' if len(commands) > 1 else ''}:", *(f"  {command}" for command in commands)])


def note(text: str) -> None:
    """A remark for whoever sits at the terminal; stdout stays what was asked for."""
    typer.echo(text, err=True)


def show_json(value: Any) -> None:
    """`value` (anything msgspec encodes) on one line, at once: whoever reads it from a pipe is waiting."""
    typer.echo(msgspec.json.encode(value))


def settings(**flags: Any) -> "Settings":
    """The environment's settings under a command's flags (None: not given). Quieter than the server unless told."""
    from adapter.config import load

    return load(**{"log_level": os.environ.get("LOG_LEVEL") or "warning", **flags})


def in_house(work: Callable[["House"], Awaitable[T]], **flags: Any) -> T:
    """What `work` makes of an open house; the house is closed again."""
    from adapter import logs
    from adapter.app import open_house

    chosen = settings(**flags)
    logs.configure(chosen.log_level, chosen.log_format)

    async def worked() -> T:
        async with open_house(chosen) as house:
            return await work(house)

    return asyncio.run(worked())
