"""`adapter sandbox`: a made-up Heroku to play with; also as a child process, for the demo."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Annotated, Self

import msgspec
import typer

from adapter.cli.console import AsJson, examples, show_json
from adapter.cli.processes import follow_parent, interrupts_ignored, usable_port
from adapter.errors import ConfigError, StartupError

DEFAULT_PORT = 5100
_READY_SECONDS = 60

Teams = Annotated[int, typer.Option(min=0, help="Teams in the made-up Heroku.")]
Members = Annotated[int, typer.Option(min=0, help="People in it, everybody counted once.")]
Apps = Annotated[int, typer.Option(min=0, help="Apps in it.")]
Seed = Annotated[int, typer.Option(help="The same seed and sizes make the same Heroku.")]
LatencyMs = Annotated[float, typer.Option(min=0, help="How long each of its answers takes, in milliseconds.")]


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a sandbox is and how slow."""

    teams: int = 5
    members: int = 40
    apps: int = 20
    seed: int = 1
    latency_ms: float = 0


def register(app: typer.Typer) -> None:
    app.command("sandbox", epilog=examples("adapter sandbox --teams 50 --members 2000 --apps 300 --port 0"))(sandbox)


def sandbox(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = DEFAULT_PORT,
    teams: Teams = 5,
    members: Members = 40,
    apps: Apps = 20,
    seed: Seed = 1,
    latency_ms: LatencyMs = 0,
    as_json: AsJson = False,
) -> None:
    """Run a made-up Heroku: its API, OAuth pages, limits and quirks. It needs no account, no network, and forgets all.

    With --json, one line {"sandbox_url", "token"} is printed when it answers. It can be steered over HTTP at
    /sandbox/…: faults, the clock, the request log.
    """
    size = Size(teams=teams, members=members, apps=apps, seed=seed, latency_ms=latency_ms)
    _run(host, usable_port(host, port, "--port"), size, _tell_json if as_json else _tell)


def _run(host: str, port: int, size: Size, announce: Callable[[str, str], None]) -> None:
    from adapter.sandbox import run_sandbox

    run_sandbox(host, port, announce=announce, **msgspec.structs.asdict(size))


def _tell_json(url: str, token: str) -> None:
    show_json({"sandbox_url": url, "token": token})


def _tell(url: str, token: str) -> None:
    typer.echo(
        f"The sandbox answers at {url}\n"
        f"Its owner's token:      {token}\n\n"
        f"  curl -s {url}/teams \\\n"
        f"    -H 'Accept: application/vnd.heroku+json; version=3' -H 'Authorization: Bearer {token}'\n\n"
        f"To have the adapter talk to it, set HEROKU_API_URL={url} and HEROKU_AUTH_URL={url}. Press Ctrl-C to stop."
    )


class SandboxProcess:
    """A sandbox in a child process, answering inside the `with`; it ends with this process, however that ends."""

    url: str
    owner_token: str

    def __init__(self, port: int, size: Size) -> None:
        # A fresh interpreter: a fork would take our threads' locks with it, but not the threads.
        context = multiprocessing.get_context("spawn")
        self._answer, told = context.Pipe(duplex=False)
        self._process = context.Process(target=_child, args=(told, port, size), name="sandbox", daemon=True)
        with interrupts_ignored():
            self._process.start()
        told.close()

    def __enter__(self) -> Self:
        """Wait until it answers; StartupError where it doesn't."""
        try:
            self.url, self.owner_token = self._told()
        except BaseException:
            self._end()
            raise
        return self

    def _told(self) -> tuple[str, str]:
        if not self._answer.poll(_READY_SECONDS):
            raise StartupError("The sandbox does not answer.")
        try:
            answer: tuple[str, str] | str = self._answer.recv()
        except EOFError:
            raise StartupError("The sandbox ended before it answered.") from None
        if isinstance(answer, str):
            raise ConfigError(answer)
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.join(5)
        self._process.kill()
        self._process.join()


def _child(told: Connection, port: int, size: Size) -> None:
    follow_parent()
    try:
        _run("127.0.0.1", port, size, lambda url, token: told.send((url, token)))
    except OSError as error:
        told.send(f"The sandbox can't listen on port {port} ({error.strerror}).")
