"""A mail server on this machine that keeps what it is given, and says what a test wants it to say."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.mail import Letter, Mailbox

USER, PASSWORD = "hourglass", "correct horse@battery/staple"


@dataclass
class Taken:
    """What the server was given: the envelope, and the bytes between DATA and the dot."""

    sender: str
    to: list[str]
    content: bytes
    signed_in: bool
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        return BytesParser(policy=SMTP_POLICY).parsebytes(self.content)


@dataclass
class Server:
    """The handler; each ``says`` is used up by one answer at that command."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    says: dict[str, list[str]] = field(default_factory=dict)
    hang_at: str | None = None
    cut_after_data: int = 0
    commands: list[str] = field(default_factory=list)
    has_taken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def _said(self, command: str, otherwise: str) -> str:
        self.commands.append(command)
        if self.hang_at == command:
            await asyncio.Event().wait()
        said = self.says.get(command)
        return said.pop(0) if said else otherwise

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 - the library's name
        said = await self._said("MAIL", "250 ok")
        if said.startswith("250"):
            envelope.mail_from = address
        return said

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - the library's name
        said = await self._said("RCPT", "250 ok")
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - the library's name
        said = await self._said("DATA", "250 taken")
        if said.startswith("250"):
            self.taken.append(
                Taken(
                    envelope.mail_from,
                    list(envelope.rcpt_tos),
                    envelope.original_content,
                    bool(session.authenticated),
                    session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
                )
            )
        self.has_taken.set()
        if self.hang_at == "answer":
            await asyncio.Event().wait()
        if self.cut_after_data:
            self.cut_after_data -= 1
            server.transport.abort()
        return said

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802 - the library's name
        return await self._said("QUIT", "221 bye")

    def sign_in(self, server, session, envelope, mechanism, data):
        ok = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=ok, handled=ok)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for this machine, as (file of the authority, context of the server)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a certificate is for real time
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    home = tmp_path_factory.mktemp("certificate")
    (home / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "ca.pem", home / "key.pem")
    return home / "ca.pem", context


@pytest.fixture
async def serve():
    """Start servers: ``server = await serve()``; ``tls``: from the start, ``starttls``: offered with this context."""
    running, protocols = [], []

    async def serving(*, tls=None, starttls=None, **options):
        server = Server()

        def made():
            protocol = SMTP(
                server,
                hostname="mail.example.com",
                loop=asyncio.get_running_loop(),
                tls_context=starttls,
                authenticator=server.sign_in,
                **options,
            )
            protocols.append(protocol)
            return protocol

        listening = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=tls)
        running.append(listening)
        server.port = listening.sockets[0].getsockname()[1]
        return server

    yield serving
    for listening in running:
        listening.close()
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.transport.abort()
    await asyncio.sleep(0.05)


@pytest.fixture
async def mailer(serve):
    return await serve()


@pytest.fixture
def letter(at):
    def writing(**changed):
        known = {
            "message_id": "<mail_01@example.com>",
            "written_at": at,
            "sender": Mailbox("billing@example.com", "Hourglass"),
            "to": Mailbox.of("ada@example.com"),
            "subject": "Your balance",
            "text": "One line.\n.\n..a dot\nFrom here\n",
        }
        return Letter(**(known | changed))

    return writing
