"""`RunningSandbox`: a sandbox on a free loopback port, for tests and the demo."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from .options import Options
from .seed import SeedOptions, generate
from .server import ServerThread, run_until_signalled
from .state import Sandbox
from .world import World

PROCESS_TIMEOUT_S = 60
LOOPBACK = build_opener(ProxyHandler({}))  # whatever proxy the environment names


class RunningSandbox:
    """A sandbox that answers from construction until `close` (or the end of the `with`).

    `world` is a `World` made by hand, or what makes one (then `reset` starts afresh), or None for a seeded world of
    `seed`'s size. In a thread (the default) `.world` and `.sandbox` are the live objects. With `thread=False` it runs
    in a child process, takes seeded worlds only, and is steered over HTTP alone: what load tests want.
    """

    def __init__(
        self,
        world: World | Callable[[], World] | None = None,
        *,
        seed: SeedOptions | None = None,
        options: Options | None = None,
        thread: bool = True,
        port: int = 0,
    ) -> None:
        self._seed = seed or SeedOptions()
        self.owner_token: str
        self._thread: ServerThread | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        if thread:
            self.sandbox = Sandbox(world or (lambda: generate(self._seed)), options)
            self._thread = ServerThread(self.sandbox, port=port)
            self.url = self._thread.server.url
            self.owner_token = self.sandbox.owner_token
        else:
            if world is not None:
                raise ValueError("a sandbox in a process takes a seeded world only")
            self.url = self._start_process(port, options or Options())
            self.owner_token = self.token(["global"])

    def _start_process(self, port: int, options: Options) -> str:
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_run_in_process, args=(port, self._seed, options, sender), daemon=True)
        self._process.start()
        sender.close()
        with receiver:
            if not receiver.poll(PROCESS_TIMEOUT_S):
                self._process.kill()
                raise TimeoutError("the sandbox process did not start")
            url: str = receiver.recv()
            return url

    @property
    def world(self) -> World:
        """The live world (thread mode only)."""
        return self.sandbox.world

    def truth(self) -> dict[str, Any]:
        """`GET /sandbox/world`."""
        shown: dict[str, Any] = self.control("GET", "world")
        return shown

    def control(self, method: str, name: str, /, body: object = None, **query: str) -> Any:
        """Call a control endpoint, `/sandbox/<name>`. Raises `urllib.error.HTTPError` on what it refuses."""
        url = f"{self.url}/sandbox/{name}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        with LOOPBACK.open(Request(url, data=data, method=method), timeout=PROCESS_TIMEOUT_S) as response:  # noqa: S310 (loopback)
            return json.load(response)

    def token(self, scopes: Sequence[str], account: str | None = None, expires_in: float | None = None) -> str:
        """A token with these scopes for an account (id or e-mail; default the owner); never expires unless asked."""
        wanted = {"scopes": list(scopes), "account": account, "expires_in": expires_in}
        minted: str = self.control("POST", "tokens", wanted)["access_token"]
        return minted

    def requests(self, **query: str) -> list[dict[str, Any]]:
        """The log since the last reset; narrowed by `method`, `path` (glob), `status`."""
        listed: list[dict[str, Any]] = self.control("GET", "requests", **query)["requests"]
        return listed

    def request_count(self, **query: str) -> int:
        count: int = self.control("GET", "requests", count_only="1", **query)["count"]
        return count

    def reset_requests(self) -> None:
        self.control("DELETE", "requests")

    def faults(self, faults: Sequence[dict[str, Any]]) -> None:
        """Add faults; see `adapter.sandbox.faults.Fault` for their words."""
        self.control("POST", "faults", list(faults))

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def options(self, **changes: object) -> None:
        """Change `Options` while it runs."""
        self.control("POST", "options", changes)

    def budget(self, remaining: float, account: str | None = None) -> None:
        """Set what is left of an account's request budget."""
        self.control("POST", "budget", {"remaining": remaining, "account": account})

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward."""
        self.control("POST", "clock", {"advance_s": seconds})

    def reset(self) -> None:
        """World, tokens, budgets, faults and log as at the start; `owner_token` is minted anew."""
        self.owner_token = self.control("POST", "reset")["owner_token"]

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()
        if self._process is not None:
            self._process.terminate()
            self._process.join(PROCESS_TIMEOUT_S)
            self._process.close()
        self._thread = self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _run_in_process(port: int, seed: SeedOptions, options: Options, started: Connection) -> None:
    sandbox = Sandbox(lambda: generate(seed), options)
    run_until_signalled(sandbox, "127.0.0.1", port, lambda url, _: started.send(url))
