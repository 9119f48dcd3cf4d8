"""A sandbox with a world made by hand in a process of its own: what is measured does not share its interpreter."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import httpx
import msgspec

from adapter.sandbox import RunningSandbox

_STARTS_WITHIN = 60.0


class Apart(msgspec.Struct, frozen=True):
    """Where it answers, and its owner's key."""

    url: str
    owner_token: str

    def requests(self) -> list[dict[str, Any]]:
        """What it was asked so far."""
        answer = httpx.get(f"{self.url}/sandbox/requests", trust_env=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["requests"]
        return found


@contextmanager
def apart(make: Callable[[], RunningSandbox]) -> Iterator[Apart]:
    """What `make`, a function of a module, makes; ended with the block. TimeoutError where it does not start."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(make, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_STARTS_WITHIN):
            raise TimeoutError("The sandbox did not start.")
        yield Apart(*ours.recv())
    finally:
        ours.close()
        process.join(_STARTS_WITHIN)


def _serve(make: Callable[[], RunningSandbox], told: Connection) -> None:
    with make() as sandbox:
        told.send((sandbox.url, sandbox.owner_token))
        told.poll(None)  # until whoever asked closes
