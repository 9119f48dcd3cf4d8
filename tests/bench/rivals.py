"""What people would put before the provider instead. Each is looked for; where it is missing, a part goes on without.

Node's proxies are looked for in `$BENCH_NODE`, Python's in the virtual environment `$BENCH_VENV`: they are no
dependencies of ours, and not to be installed among them.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench import servers
from tests.bench.servers import Provider, Served

_CACHE = Path("~/.cache/adapter-bench").expanduser()
NODE = Path(os.environ.get("BENCH_NODE", _CACHE / "node"))
VENV = Path(os.environ.get("BENCH_VENV", _CACHE / "venv"))
_NODE_PACKAGES = "fastify @fastify/http-proxy http-proxy"
_VENV_PACKAGES = "fastapi-proxy-lib uvicorn mitmproxy"

_FASTIFY = """
const app = require('fastify')();
app.register(require('@fastify/http-proxy'), {upstream: process.env.PROVIDER, prefix: '/custom', rewritePrefix: ''});
app.listen({port: +process.env.PORT, host: '127.0.0.1'});
"""
_HTTP_PROXY = """
const http = require('http'), https = require('https');
const kind = process.env.PROVIDER.startsWith('https') ? https : http;
const agent = new kind.Agent({keepAlive: true, maxSockets: 256});
const proxy = require('http-proxy').createProxyServer({target: process.env.PROVIDER, agent, changeOrigin: true});
proxy.on('error', (error, request, answer) => answer.writeHead(502).end());
http.createServer((request, answer) => {
  request.url = request.url.slice('/custom'.length);
  proxy.web(request, answer);
}).listen(+process.env.PORT, '127.0.0.1');
"""
_FASTAPI = """
import os
from fastapi_proxy_lib.fastapi.app import reverse_http_app

app = reverse_http_app(base_url=os.environ["PROVIDER"] + "/")
"""


class Rival(NamedTuple):
    """`start(directory, provider)` runs it on the proxy's core; `prefix` is where its paths begin."""

    start: Callable[[Path, Provider], AbstractContextManager[Served]]
    prefix: str


def found() -> tuple[dict[str, Rival], list[str]]:
    """The rivals that are here, and for the others how to install them."""
    here: dict[str, Rival] = {"nginx": Rival(servers.nginx_proxy, "/custom")}
    missing: list[str] = []
    for name, package, script in (("@fastify/http-proxy",) * 2 + (_FASTIFY,), ("http-proxy",) * 2 + (_HTTP_PROXY,)):
        if shutil.which("node") and (NODE / "node_modules" / package).is_dir():
            here[name] = Rival(_node(script), "/custom")
        else:
            missing.append(f"{name}: npm install --prefix {NODE} {_NODE_PACKAGES}")
    for name, program, start in (("fastapi-proxy-lib", "uvicorn", _fastapi), ("mitmproxy", "mitmdump", _mitmproxy)):
        if (VENV / "bin" / program).exists():
            here[name] = Rival(start, "")
        else:
            missing.append(f"{name}: python3 -m venv {VENV} && {VENV}/bin/pip install {_VENV_PACKAGES}")
    return here, missing


def _node(script: str) -> Callable[[Path, Provider], AbstractContextManager[Served]]:
    @contextmanager
    def start(directory: Path, provider: Provider) -> Iterator[Served]:
        port = servers.free_port()
        file = directory / f"proxy-{port}.cjs"
        file.write_text(script)
        environ = {
            "PORT": str(port),
            "PROVIDER": provider.url,
            "NODE_PATH": str(NODE / "node_modules"),
            **({"NODE_EXTRA_CA_CERTS": str(provider.authority)} if provider.authority else {}),
        }
        with servers.running(["node", str(file)], port, servers.PROXY_CORE, environ) as pid:
            yield Served(port, pid)

    return start


@contextmanager
def _fastapi(directory: Path, provider: Provider) -> Iterator[Served]:
    port = servers.free_port()
    (directory / "passing_app.py").write_text(_FASTAPI)
    command = [str(VENV / "bin" / "uvicorn"), "passing_app:app", "--app-dir", str(directory), "--port", str(port)]
    environ = {"PROVIDER": provider.url, **_trusting(provider)}
    with servers.running([*command, "--no-access-log"], port, servers.PROXY_CORE, environ) as pid:
        yield Served(port, pid)


@contextmanager
def _mitmproxy(directory: Path, provider: Provider) -> Iterator[Served]:
    port = servers.free_port()
    command = [str(VENV / "bin" / "mitmdump"), "--mode", f"reverse:{provider.url}", "--listen-host", "127.0.0.1"]
    command += ["--listen-port", str(port), "--quiet", "--set", f"confdir={directory / 'mitm'}"]
    if provider.authority:
        command += ["--set", f"ssl_verify_upstream_trusted_ca={provider.authority}"]
    with servers.running(command, port, servers.PROXY_CORE, {}) as pid:
        yield Served(port, pid)


def _trusting(provider: Provider) -> Mapping[str, str]:
    return {"SSL_CERT_FILE": str(provider.authority)} if provider.authority else {}
