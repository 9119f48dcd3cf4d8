"""`adapter demo`: a made-up Heroku, the adapter in front of it, an account connected, and commands to try."""

import asyncio
import multiprocessing
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import structlog
import typer

from adapter.cli.console import AsJson, examples, show_json
from adapter.cli.processes import exit_on_signals, url_of, usable_port
from adapter.cli.sandbox import DEFAULT_PORT, Apps, LatencyMs, Members, SandboxProcess, Seed, Size, Teams
from adapter.config import Settings, load
from adapter.models import Scope, Secret

HOST = "127.0.0.1"
TENANT = "demo"
SCOPES = tuple(scope for scope in Scope if scope is not Scope.RAW_SECRETS)
DAYS = 30

_READY_SECONDS = 60


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to try the demo: the line that `--json` prints."""

    base_url: str
    api_token: str
    integrated_account_id: str
    account_token: str
    sandbox_url: str


def register(app: typer.Typer) -> None:
    app.command("demo", epilog=examples("adapter demo", "adapter demo --port 0 --sandbox-port 0 --json"))(demo)


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The adapter's port; 0: any that is free.")] = 8080,
    sandbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The made-up Heroku's port; 0: any that is free.")
    ] = DEFAULT_PORT,
    teams: Teams = 5,
    members: Members = 40,
    apps: Apps = 20,
    seed: Seed = 1,
    latency_ms: LatencyMs = 0,
    log_level: Annotated[str, typer.Option(help="What the adapter logs to stderr.")] = "warning",
    as_json: AsJson = False,
) -> None:
    """Try everything at once, with no Heroku account and no network: a made-up Heroku, and the adapter in front of it.

    It listens on this machine only, keeps its data in a temporary directory, and takes it away when it is stopped.
    With --json, one line is printed when everything answers:
    {"base_url", "api_token", "integrated_account_id", "account_token", "sandbox_url"}.
    """
    exit_on_signals()
    size = Size(teams=teams, members=members, apps=apps, seed=seed, latency_ms=latency_ms)
    port = usable_port(HOST, port, "--port")
    sandbox_port = usable_port(HOST, sandbox_port, "--sandbox-port")
    with (
        SandboxProcess(sandbox_port, size) as sandbox,
        tempfile.TemporaryDirectory(prefix="adapter-demo-") as directory,
    ):
        settings = _settings(port, directory, sandbox.url, log_level)
        prepared = asyncio.run(_prepare(settings, sandbox))
        _serve(settings, lambda: show_json(prepared) if as_json else typer.echo(_page(prepared, size)))


def _settings(port: int, directory: str, sandbox_url: str, log_level: str) -> Settings:
    """The user's own settings, but for everything that says whose data and which Heroku it is about."""
    own = {name: value for name, value in os.environ.items() if name != "DYNO"}
    return load(
        own,
        database_url=f"sqlite:///{directory}/adapter.db",
        adapter_secret_keys=secrets.token_urlsafe(48),
        heroku_api_url=sandbox_url,
        heroku_auth_url=sandbox_url,
        heroku_oauth_id="",
        heroku_oauth_secret="",
        host=HOST,
        port=port,
        public_url=url_of(HOST, port),
        log_level=log_level,
    )


async def _prepare(settings: Settings, sandbox: SandboxProcess) -> Demo:
    from adapter import logs
    from adapter.app import open_house

    logs.configure(settings.log_level, settings.log_format)
    async with open_house(settings) as house:
        account = await house.accounts.connect_api_key(tenant_id=TENANT, api_key=Secret(sandbox.owner_token))
        _, api_token = await house.tokens.create_api(name="demo")
        _, account_token = await house.tokens.create_account(account.id, scopes=SCOPES, expires_in=DAYS * 24 * 60 * 60)
    return Demo(
        base_url=settings.public_url,
        api_token=api_token.reveal(),
        integrated_account_id=account.id,
        account_token=account_token.reveal(),
        sandbox_url=sandbox.url,
    )


def _serve(settings: Settings, announce: Callable[[], None]) -> None:
    from adapter.cli.serving import serve_until_stopped

    os.environ.pop("DYNO", None)
    # Preparing has started threads, and a fork would take their locks along without them.
    multiprocessing.set_start_method("spawn", force=True)
    threading.Thread(target=_announce, args=(settings.public_url, announce), name="announcer", daemon=True).start()
    serve_until_stopped(settings)


def _announce(base_url: str, announce: Callable[[], None]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if _is_ready(base_url):
            announce()
            return
        time.sleep(0.02)
    structlog.get_logger("adapter.demo").error("demo_not_ready", seconds=_READY_SECONDS)


def _is_ready(base_url: str) -> bool:
    try:
        with urlopen(f"{base_url}/readyz", timeout=5) as answer:  # noqa: S310  # our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _page(demo: Demo, size: Size) -> str:
    curl = 'curl -s -H "Authorization: Bearer $TOKEN"'
    return f"""
A made-up Heroku with {size.teams} teams, {size.members} people and {size.apps} apps, and the adapter in front of it:

  adapter  {demo.base_url}
  Heroku   {demo.sandbox_url}

Try in another terminal: everybody, who may do what on which app, and Heroku's own API through the adapter.

  export TOKEN={demo.account_token}
  {curl} '{demo.base_url}/unified/user-directory/users?limit=3'
  {curl} '{demo.base_url}/unified/user-directory/role_assignments?role_id=app:deploy&limit=3'
  {curl} '{demo.base_url}/proxy/apps?limit=3'

This token opens one connected account, {demo.integrated_account_id}. To manage accounts and tokens:

  export API_TOKEN={demo.api_token}
  curl -s -H "Authorization: Bearer $API_TOKEN" '{demo.base_url}/integrated-account'

Press Ctrl-C to stop; nothing is left behind.
"""
