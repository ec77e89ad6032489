"""A shell on a rented machine: connect with the platform's key, run commands, write files, all with deadlines.

ShellError
├── Unreachable      no connection, or it broke: the machine may still be booting
├── AuthRefused      the machine does not take the platform's key
├── HostKeyChanged   another machine answers, or somebody sits in between
├── TimedOut         no answer within the deadline
└── AnswerTooLong    the machine said more than was asked for

The machine is not trusted: what it says is bounded in size and time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from app.providers.contract import Connection

_CHUNK = 64 * 1024
_CLOSE_SECONDS = 2
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""In a fixed order, so that a machine with several host keys always shows us the same one."""


class ShellError(Exception):
    """Something went wrong between us and the machine."""


class Unreachable(ShellError):
    """The machine can't be connected to, or the connection broke."""


class AuthRefused(ShellError):
    """The machine does not accept the platform's key."""


class HostKeyChanged(ShellError):
    """The machine shows another host key than it did before."""


class TimedOut(ShellError):
    """The machine did not answer in time."""


class AnswerTooLong(ShellError):
    """The machine's answer exceeds the bound."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended. ``status`` is negative for a signal and None when the machine told none."""

    status: int | None
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; what is no UTF-8 is replaced."""
        return self.stdout.decode(errors="replace")


class Shell:
    """An open connection. ``host_key`` is the machine's fingerprint, to be kept and given at the next connect."""

    latency_ms: int | None = None
    """How long it took until the machine took the connection: about one way there and back."""

    def __init__(self, connection: asyncssh.SSHClientConnection, *, host_key: str) -> None:
        self.host_key = host_key
        self._connection = connection

    async def run(
        self, command: str, *, stdin: bytes = b"", deadline_seconds: float = 30, max_bytes: int = 1024 * 1024
    ) -> Answer:
        """Run one command to its end. ``command`` is fixed text: what users wrote goes through ``stdin``.

        Raises:
            TimedOut, Unreachable, AnswerTooLong.
        """
        try:
            async with asyncio.timeout(deadline_seconds):
                return await self._run(command, stdin, max_bytes)
        except TimeoutError:
            raise TimedOut(f"no answer to a command within {deadline_seconds:g} s") from None
        except (asyncssh.Error, OSError) as error:
            raise Unreachable(f"the connection broke: {error}"[:200]) from error

    async def write_file(self, path: str, content: bytes, *, mode: str = "600") -> None:
        """Put a file in place as a whole or not at all. ``path`` is fixed text, relative to the home.

        Raises:
            TimedOut, Unreachable; ShellError when the machine can't write it (disk full, read-only).
        """
        # A connection that breaks half-way looks like the end of the input, so the length is checked before the move.
        command = (
            f'cd && umask 077 && mkdir -p "$(dirname {path})" && new={path}.$$ && cat > "$new" && '
            f'if [ "$(wc -c < "$new")" -eq {len(content)} ] && chmod {mode} "$new" && mv -f "$new" {path}; '
            'then :; else rm -f "$new"; exit 1; fi'
        )
        answer = await self.run(command, stdin=content)
        if answer.status != 0:
            raise ShellError(f"the machine could not write {path}: {answer.stderr[:200].decode(errors='replace')}")

    async def _run(self, command: str, stdin: bytes, max_bytes: int) -> Answer:
        process = await self._connection.create_process(command, encoding=None)
        try:
            reading = asyncio.gather(_read(process.stdout, max_bytes), _read(process.stderr, max_bytes))
            try:
                await _write(process, stdin)
                stdout, stderr = await reading
            finally:
                reading.cancel()
            await process.wait_closed()
            return Answer(process.returncode, stdout, stderr)
        finally:
            process.close()


@asynccontextmanager
async def open_shell(
    connection: Connection, *, private_key: str | asyncssh.SSHKey, deadline_seconds: float, known_host: str | None
) -> AsyncIterator[Shell]:
    """Connect and log in within the deadline; the connection is closed at the end of the block.

    ``known_host`` is the fingerprint of before. With None the host key is trusted as shown: keep ``Shell.host_key``.

    Raises:
        Unreachable, AuthRefused, HostKeyChanged, TimedOut.
    """
    key = asyncssh.import_private_key(private_key) if isinstance(private_key, str) else private_key
    visitor = _Visitor(known_host)
    try:
        async with asyncio.timeout(deadline_seconds):
            link = await _connect(connection, key, visitor)
    except TimeoutError:
        raise TimedOut(f"no SSH login within {deadline_seconds:g} s") from None
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostKeyChanged(f"host key {visitor.shown} instead of {known_host}") from error
    except asyncssh.PermissionDenied as error:
        raise AuthRefused("the machine refuses the platform's key") from error
    except (asyncssh.Error, OSError) as error:
        raise Unreachable(f"no SSH: {error}"[:200]) from error
    try:
        shell = Shell(link, host_key=visitor.shown)
        shell.latency_ms = visitor.latency_ms
        yield shell
    finally:
        await _hang_up(link)


async def _connect(connection: Connection, key: asyncssh.SSHKey, visitor: _Visitor) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        connection.host,
        connection.port,
        username=connection.username,
        client_factory=lambda: visitor,
        client_keys=[key],
        known_hosts=([], [], []),  # nothing known beforehand: the visitor decides
        server_host_key_algs=list(_HOST_KEYS),
        preferred_auth="publickey",
        x509_trusted_certs=None,
        agent_path=None,
        gss_host=None,
        config=None,
        keepalive_interval=15,
    )


class _Visitor(asyncssh.SSHClient):
    """Notes the host key and accepts it if it is the known one or none is known."""

    def __init__(self, known_host: str | None) -> None:
        self.shown = ""
        self.latency_ms: int | None = None
        self._known_host = known_host
        self._began = time.monotonic()

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:  # noqa: ARG002 - the signature is the library's
        """Note how long the connection took."""
        self.latency_ms = round((time.monotonic() - self._began) * 1000)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - the signature is the library's
        """Trust on first use."""
        self.shown = key.get_fingerprint()
        return self._known_host in {None, self.shown}


async def _read(stream: asyncssh.SSHReader[bytes], max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while part := await stream.read(_CHUNK):
        left -= len(part)
        if left < 0:
            raise AnswerTooLong(f"more than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


async def _write(process: asyncssh.SSHClientProcess[bytes], stdin: bytes) -> None:
    """Send the input; a command that ends without reading it is no error."""
    try:
        process.stdin.write(stdin)
        await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionResetError):
        return


async def _hang_up(link: asyncssh.SSHClientConnection) -> None:
    link.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await link.wait_closed()
    except TimeoutError:
        link.abort()
