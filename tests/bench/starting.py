"""From the command to the first answer: `adapter serve` against a granian that serves a fixed answer."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench import servers
from tests.bench.aims import at_most
from tests.bench.fixed import BODY_FILE

WHAT = "start-up to the first answer, on a database that is there; the imports measured apart"
TAKES = "a minute"
NEEDS: tuple[str, ...] = ()
AIMS = {"ours/(bare + our imports)": at_most(2)}
OTHERWISE: dict[str, str] = {}
_IMPORTS = "import adapter.app, adapter.cli.serving"
_PATIENCE = 60


def measure(rounds: int, _seconds: float) -> dict[str, float]:
    """Seconds (medians of interleaved rounds)."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        body = directory / "body"
        body.write_bytes(b"{}")
        environ = {
            "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
            "ADAPTER_SECRET_KEYS": "b" * 40,
            "LOG_LEVEL": "error",
            BODY_FILE: str(body),
        }
        _until_answered(_serve, environ)  # makes the tables
        ours, bare, imports = [], [], []
        for _ in range(rounds):
            ours.append(_until_answered(_serve, environ))
            bare.append(_until_answered(_fixed, environ))
            imports.append(_run([sys.executable, "-c", _IMPORTS]) - _run([sys.executable, "-c", ""]))
    found = {"ours, s": median(ours), "bare, s": median(bare), "our imports, s": median(imports)}
    found["ours/(bare + our imports)"] = found["ours, s"] / (found["bare, s"] + found["our imports, s"])
    return found


def _serve(port: int) -> list[str]:
    return [sys.executable, "-m", "adapter", "serve", "--port", str(port)]


def _fixed(port: int) -> list[str]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--no-log", "--factory"]
    return [*command, "tests.bench.fixed:fixed"]


def _until_answered(command: Callable[[int], list[str]], environ: Mapping[str, str]) -> float:
    port = servers.free_port()
    quiet = subprocess.DEVNULL
    begun = time.perf_counter()
    process = subprocess.Popen(command(port), env={**os.environ, **environ}, stdout=quiet, stderr=quiet)
    try:
        while time.perf_counter() - begun < _PATIENCE and process.poll() is None:
            if _answers(port):
                return time.perf_counter() - begun
            time.sleep(0.005)
        raise RuntimeError(f"{process.args!r} gave no answer")
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _run(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begun
