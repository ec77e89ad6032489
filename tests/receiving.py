"""A receiver on this machine: TLS by an authority of the tests' own, and answers as good or bad as a test wants them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("*.example.com", "*.rebinding.example.net")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Authority:
    """A file with its certificate, and the TLS of a server that has one of its."""

    file: Path
    server: ssl.SSLContext


@dataclass
class Request:
    """What was sent: header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Takes one request on each connection, and answers with ``answer``: bytes, or what writes them."""

    port: int = 0
    answer: bytes | Callable = OK
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    open_most: int = 0

    def url(self, host: str = "hooks.example.com", path: str = "/in") -> str:
        return f"https://{host}:{self.port}{path}"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(head[0], headers, body))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(writer, self.requests[-1])
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(context: ssl.SSLContext | None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Receive on a free port of this machine."""
    receiver = Receiver()
    running: set[asyncio.Task] = set()

    async def taking(reader, writer):
        running.add(asyncio.current_task())
        try:
            await receiver.take(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            running.discard(asyncio.current_task())

    patience = {"ssl_shutdown_timeout": 0.2} if context else {}  # a sender that has died says no goodbye
    server = await asyncio.start_server(taking, host, 0, ssl=context, **patience)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0.02)


def new_authority(home: Path) -> Authority:
    """Make an authority, and a certificate of its for the names of the tests and for this machine's addresses."""
    key, root = _signed("authority", None, ca=True)
    own, leaf = _signed("receiver", (key, root), ca=False)
    (home / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (home / "own.pem").write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "own.pem")
    return Authority(home / "ca.pem", context)


def _signed(name, issuer, *, ca):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by_key, by = issuer or (key, None)
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a certificate is for real time
    names = [*(x509.DNSName(one) for one in NAMES)]
    names += [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
    )
    if ca:
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        made = made.add_extension(usage, critical=True)
    return key, made.sign(by_key, hashes.SHA256())
