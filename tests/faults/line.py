"""The line to a Heroku, which can be bad: it hands requests on to a sandbox as they are, unless trouble takes them."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_S = 30
_CHUNK = 64 * 1024
DAY = dt.timedelta(days=1)
_HERE, _ELSEWHERE = "127.0.0.1", "127.0.0.2"
_PEM = serialization.Encoding.PEM
_GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError, httpx.TransportError)


@dataclass(kw_only=True)
class Asked:
    """One request, its body unread, and the connection that it came over."""

    method: str
    path: str
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def body(self) -> bytes:
        return b"".join([part async for part in self.parts()])

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives, however it is framed."""
        if self.headers.get("transfer-encoding") != "chunked":
            left = int(self.headers.get("content-length", 0))
            while left:
                yield (part := await self.reader.read(min(left, _CHUNK)))
                left -= len(part)
                if not part:
                    raise ConnectionResetError
            return
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the other side has closed the connection."""
        with suppress(*_GONE):
            while await self.reader.read(_CHUNK):
                pass


Trouble = Callable[[Asked], Awaitable[bool | None]]
"""Answers a request in its own way, after which the connection is closed; or False: the request is handed on."""


class Line:
    """Listens from construction to the end of the `with`; `trouble` may be set at any time."""

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._scheme = "https" if tls else "http"
        self.trouble: Trouble | None = None
        self.asked: list[str] = []
        """`METHOD /path` of every request that came over it."""
        self._port = 0
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self._http = httpx.AsyncClient(base_url=target, trust_env=False, timeout=PATIENCE_S)
        self.mend()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def call(self, what: Callable[[], object]) -> None:
        """Have something done where its troubles are."""
        self._loop.call_soon_threadsafe(what)

    def mend(self) -> None:
        self.run(self._listen())

    def cut(self) -> None:
        """Nobody listens any more, and what was open is closed."""
        self.run(self._cut())

    def speak(self, tls: ssl.SSLContext | None) -> None:
        """From now on show that certificate, or none, to everybody who comes; all come anew."""
        self.cut()
        self._tls = tls
        self.mend()

    @contextmanager
    def bad(self, trouble: Trouble) -> Iterator[None]:
        self.trouble = trouble
        try:
            yield
        finally:
            self.trouble = None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close what is open."""
        for writer in self._connections:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except _GONE:
            writer.transport.abort()  # one side has left: the other hears of it
        finally:
            self._connections.discard(writer)
            with suppress(*_GONE):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow it."""
        asked = _read(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        self.asked.append(f"{asked.method} {asked.path}")
        trouble = self.trouble
        if trouble is not None and await trouble(asked) is not False:
            return False
        await self._hand_on(asked)
        return True

    async def _hand_on(self, asked: Asked) -> None:
        headers = {name: value for name, value in asked.headers.items() if name != "transfer-encoding"}
        answer = await self._http.request(asked.method, asked.path, headers=headers, content=await asked.body())
        lines = [f"HTTP/1.1 {answer.status_code} Whatever"]
        lines += [f"{name}: {value}" for name, value in answer.headers.multi_items() if name not in _FRAMING]
        if asked.method != "HEAD" and answer.status_code not in {204, 304}:
            lines.append(f"content-length: {len(answer.content)}")
        await asked.write(("\r\n".join(lines) + "\r\n\r\n").encode() + answer.content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._over())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _over(self) -> None:
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=PATIENCE_S) if others else None
        await self._http.aclose()


_FRAMING = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})


def _read(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return Asked(method=method, path=path, headers=headers, reader=reader, writer=writer)


# --- what it can show for itself


_VOUCHES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Vouches for servers; `path` is its own certificate, for those who are to believe it."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._now = dt.datetime.now(dt.UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("An Authority")
        made = self._begun(self._name, self._key, self._now + DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(_VOUCHES, critical=True)
        self.path = where / "authority.pem"
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def good(self) -> ssl.SSLContext:
        return self._context(_HERE, self._now + DAY)

    def expired(self) -> ssl.SSLContext:
        return self._context(_HERE, self._now - DAY)

    def of_another(self) -> ssl.SSLContext:
        """For a host of another name."""
        return self._context(_ELSEWHERE, self._now + DAY)

    def _context(self, host: str, ends: dt.datetime) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        made = self._begun(_named("api.heroku.example"), key, ends).add_extension(names, critical=False)
        plain = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        both = self._where / "both.pem"
        both.write_bytes(plain + made.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, ends: dt.datetime) -> x509.CertificateBuilder:
        begins = ends - 30 * DAY
        number = x509.random_serial_number()
        made = x509.CertificateBuilder(self._name, name, key.public_key(), number, begins, ends)
        # Python 3.13 believes nobody whose certificate does not say these.
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        of = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return made.add_extension(of, critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
