"""The processes of a measurement, each on its core: an upstream, the proxies before it, and wrk."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

BODY = 4096
CONNECTIONS = 32
PROXY_CORE, REST_CORE = 0, 1
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")

_UPSTREAM = """
    server {
        listen 127.0.0.1:PORT;
        keepalive_requests 100000000;
        default_type application/json;
        add_header RateLimit-Remaining 4500;
        add_header Request-Id 01234567-89ab-cdef-0123-456789abcdef;
        add_header ETag '"0123456789abcdef"';
        add_header Oauth-Scope global;
        location = /account { return 200 '{"id":"01234567-89ab-cdef-0123-456789abcdef","email":"bench@example.com"}'; }
        location = /apps { root DIR; }
        location / { return 200 '[]'; }
    }
"""
_PROXY = """
    upstream provider { server 127.0.0.1:UPSTREAM; keepalive 64; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:PORT;
        keepalive_requests 100000000;
        location /custom/ {
            proxy_pass http://provider/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
"""
_FRAME = """
worker_processes 1;
pid DIR/NAME.pid;
error_log /dev/null;
daemon off;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path DIR/NAME-body; proxy_temp_path DIR/NAME-proxy; fastcgi_temp_path DIR/NAME-f;
    uwsgi_temp_path DIR/NAME-u; scgi_temp_path DIR/NAME-s;
    SERVER
}
"""


class Served(NamedTuple):
    port: int
    pid: int

    def cpu(self) -> float:
        """Seconds of processor time that the process and its children have taken."""
        ticks = 0
        family = {self.pid}
        for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(stat.parent.name) in family or int(fields[1]) in family:
                    family.add(int(stat.parent.name))
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def missing_tools() -> list[str]:
    """What a measurement needs and this machine lacks."""
    return [tool for tool in ("nginx", "wrk") if not shutil.which(tool, path=_path())]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def upstream(directory: Path) -> Iterator[int]:
    """An nginx with a list of 4 KB at `/apps`."""
    directory.chmod(0o755)  # started by root, nginx reads as nobody
    (directory / "apps").write_bytes(b'["' + b"x" * (BODY - 4) + b'"]')
    port = free_port()
    with _nginx(directory, "upstream", _UPSTREAM, port, REST_CORE):
        yield port


@contextmanager
def nginx_proxy(directory: Path, upstream_port: int) -> Iterator[Served]:
    port = free_port()
    with _nginx(directory, "proxy", _PROXY.replace("UPSTREAM", str(upstream_port)), port, PROXY_CORE) as served:
        yield Served(port, served)


@contextmanager
def granian(factory: str, environ: Mapping[str, str]) -> Iterator[Served]:
    """`tests.bench.apps:<factory>` served by one worker with one thread."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--no-ws", "--no-log", "--factory"]
    with _running([*command, f"tests.bench.apps:{factory}"], port, PROXY_CORE, environ) as served:
        yield Served(port, served)


def load(port: int, path: str, seconds: float, headers: Sequence[str] = ()) -> float:
    """Requests a second that wrk gets through; RuntimeError where any of them failed."""
    given = [part for header in headers for part in ("-H", header)]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", *given, f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(_pinned(command, REST_CORE), capture_output=True, text=True, check=True).stdout
    if bad := _BAD.search(said):
        raise RuntimeError(f"{path}: {bad[0]}")
    found = _RATE.search(said)
    if found is None:
        raise RuntimeError(said)
    return float(found[1])


@contextmanager
def _nginx(directory: Path, name: str, server: str, port: int, core: int) -> Iterator[int]:
    text = _FRAME.replace("SERVER", server).replace("PORT", str(port)).replace("NAME", name)
    config = directory / f"{name}.conf"
    config.write_text(text.replace("DIR", str(directory)))
    binary = shutil.which("nginx", path=_path()) or "nginx"
    with _running([binary, "-c", str(config), "-p", str(directory)], port, core, {}) as process:
        yield process


@contextmanager
def _running(command: Sequence[str], port: int, core: int, environ: Mapping[str, str]) -> Iterator[int]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(_pinned(command, core), env={**os.environ, **environ}, stdout=quiet, stderr=quiet)
    try:
        _await(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen")


def _pinned(command: Sequence[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command]


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
