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
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SMALL, LARGE = 4096, 200_000
"""Bytes of the bodies at `/apps` and `/teams`."""
CONNECTIONS = 32
PROXY_CORE, REST_CORE = 0, 1
DAY = timedelta(days=1)
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_HALF = re.compile(r"\s+50%\s+([\d.]+)(us|ms|s)\b")
_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")

_UPSTREAM = """
    server {
        listen 127.0.0.1:PORT TLS;
        keepalive_requests 100000000;
        default_type application/json;
        add_header RateLimit-Remaining 4500;
        add_header Request-Id 01234567-89ab-cdef-0123-456789abcdef;
        add_header ETag '"0123456789abcdef"';
        add_header Oauth-Scope global;
        location = /account { return 200 '{"id":"01234567-89ab-cdef-0123-456789abcdef","email":"bench@example.com"}'; }
        location = /apps { root DIR; }
        location = /teams { root DIR; }
        location / { return 200 '[]'; }
    }
"""
_PROXY = """
    upstream provider { server 127.0.0.1:UPSTREAM; keepalive 64; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:PORT;
        keepalive_requests 100000000;
        location /custom/ {
            proxy_pass SCHEME://provider/;
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


class Provider(NamedTuple):
    """Where the upstream is, and the file of the authority that vouches for it where it speaks TLS."""

    url: str
    authority: Path | None = None


class Load(NamedTuple):
    """What a load came to: requests a second, and the milliseconds that half of them took at most."""

    rate: float
    half: float


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


def missing_tools(needed: Sequence[str]) -> list[str]:
    """What a measurement needs and this machine lacks."""
    return [tool for tool in needed if not shutil.which(tool, path=_path())]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def upstream(directory: Path, *, tls: bool = False) -> Iterator[Provider]:
    """An nginx with a list of 4 KB at `/apps`, and one of 200 KB at `/teams`."""
    directory.chmod(0o755)  # started by root, nginx reads as nobody
    for name, size in (("apps", SMALL), ("teams", LARGE)):
        (directory / name).write_bytes(b'["' + b"x" * (size - 4) + b'"]')
    port = free_port()
    authority = certificate(directory) if tls else None
    ssl = f"ssl; ssl_certificate {authority}; ssl_certificate_key {directory / 'key.pem'}" if tls else ""
    with _nginx(directory, "upstream", _UPSTREAM.replace("TLS", ssl), port, REST_CORE):
        yield Provider(f"{'https' if tls else 'http'}://127.0.0.1:{port}", authority)


@contextmanager
def nginx_proxy(directory: Path, provider: Provider) -> Iterator[Served]:
    port = free_port()
    scheme, _, there = provider.url.partition("://")
    server = _PROXY.replace("127.0.0.1:UPSTREAM", there).replace("SCHEME", scheme)
    with _nginx(directory, "proxy", server, port, PROXY_CORE) as pid:
        yield Served(port, pid)


def certificate(directory: Path) -> Path:
    """A certificate of 127.0.0.1's own, with its key beside it in `key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (directory / "key.pem").write_bytes(pem)
    file = directory / "authority.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def granian(factory: str, environ: Mapping[str, str]) -> Iterator[Served]:
    """`tests.bench.<factory>` (`module:function`) served by one worker with one thread."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--no-ws", "--no-log", "--factory"]
    with running([*command, f"tests.bench.{factory}"], port, PROXY_CORE, environ) as served:
        yield Served(port, served)


def load(port: int, path: str, seconds: float, headers: Sequence[str] = (), connections: int = CONNECTIONS) -> Load:
    """What wrk gets through; RuntimeError where any request failed."""
    given = [part for header in headers for part in ("-H", header)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", *given]
    command.append(f"http://127.0.0.1:{port}{path}")
    said = subprocess.run(_pinned(command, REST_CORE), capture_output=True, text=True, check=True).stdout
    if bad := _BAD.search(said):
        raise RuntimeError(f"{path}: {bad[0]}")
    rate, half = _RATE.search(said), _HALF.search(said)
    if rate is None or half is None:
        raise RuntimeError(said)
    return Load(float(rate[1]), float(half[1]) * _IN_MS[half[2]])


@contextmanager
def _nginx(directory: Path, name: str, server: str, port: int, core: int) -> Iterator[int]:
    text = _FRAME.replace("SERVER", server).replace("PORT", str(port)).replace("NAME", name)
    config = directory / f"{name}.conf"
    config.write_text(text.replace("DIR", str(directory)))
    binary = shutil.which("nginx", path=_path()) or "nginx"
    with running([binary, "-c", str(config), "-p", str(directory)], port, core, {}) as process:
        yield process


@contextmanager
def running(command: Sequence[str], port: int, core: int, environ: Mapping[str, str]) -> Iterator[int]:
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
