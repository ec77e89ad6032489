"""Commands and interactive shells that SSH sessions of a sandbox machine run, for real, as the machine's user."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from typing import IO

import asyncssh

from app.sandbox.homes import MARKER, Home

_CHUNK = 64 * 1024
_TTY_SHELL = 'tty=$1; shift; exec <"$tty" >"$tty" 2>&1; exec "$@"'
"""Opening the terminal as leader of a new session makes it the controlling one, so that Ctrl-C works."""
_INTERACTIVE = ["/bin/bash", "--norc", "-i"] if Path("/bin/bash").exists() else ["/bin/sh", "-i"]
"""Without the computer's own start-up file, which would put its name into the prompt."""


def environment(home: Home, username: str) -> dict[str, str]:
    """Return all that a command finds in its environment: nothing of ours."""
    return {
        "HOME": str(home.path),
        "PATH": f"{home.path}/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "USER": username,
        "LOGNAME": username,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        MARKER: home.marker,
    }


async def run_session(session: asyncssh.SSHServerProcess[bytes], home: Home, username: str) -> None:
    """Run what the session asks for and forward input, output and exit status, until it ends or the client is gone.

    As with any SSH server, a background process that keeps the output open keeps the session open. When the client
    goes first, the command's process group gets SIGHUP.
    """
    env = environment(home, username)
    if session.subsystem:
        session.exit(1)
        return
    if session.term_type:
        await _run_on_terminal(session, home, env | {"TERM": session.term_type, "PS1": f"{username}@sandbox:$PWD# "})
    else:
        await _run_on_pipes(session, home, env)


async def _run_on_pipes(session: asyncssh.SSHServerProcess[bytes], home: Home, env: dict[str, str]) -> None:
    command = ["-c", session.command] if session.command is not None else []
    child = _spawn(["/bin/sh", *command], home=home, env=env, stdio=subprocess.PIPE)
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("a child that was given pipes has none")
    await _carry(session, child, child.stdin, [(child.stdout, session.stdout), (child.stderr, session.stderr)])


async def _run_on_terminal(session: asyncssh.SSHServerProcess[bytes], home: Home, env: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    command = ["/bin/sh", "-c", session.command] if session.command is not None else _INTERACTIVE
    try:
        _resize(ours, session.term_size)
        if home.uid is not None:
            os.fchown(theirs, home.uid, home.uid)
        command = ["/bin/sh", "-c", _TTY_SHELL, "sh", os.ttyname(theirs), *command]
        child = _spawn(command, home=home, env=env | {"SHELL": _INTERACTIVE[0]}, stdio=theirs)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    typed = os.fdopen(os.dup(ours), "wb", 0)
    await _carry(session, child, typed, [(os.fdopen(ours, "rb", 0), session.stdout)])


def _spawn(command: list[str], *, home: Home, env: dict[str, str], stdio: int) -> subprocess.Popen[bytes]:
    """Start a command as leader of a session and group of its own, as the machine's user and in its home.

    Not by the event loop: uvloop knows no way to start a process as another user.
    """
    return subprocess.Popen(  # noqa: S603 - running what the client says is what a machine is for
        command,
        bufsize=0,
        stdin=stdio,
        stdout=stdio,
        stderr=stdio,
        env=env,
        cwd=home.path,
        start_new_session=True,
        user=home.uid,
        group=home.uid,
        extra_groups=None if home.uid is None else [],
    )


async def _carry(
    session: asyncssh.SSHServerProcess[bytes],
    child: subprocess.Popen[bytes],
    source: IO[bytes],
    outputs: list[tuple[IO[bytes], asyncssh.SSHWriter[bytes]]],
) -> None:
    """Forward between client and command until both are done, and tell the client how the command ended."""
    feeding = asyncio.create_task(_feed(session, child, source))
    forwarding = [asyncio.create_task(_forward(file, target)) for file, target in outputs]
    gone = asyncio.create_task(session.channel.wait_closed())
    ended = asyncio.create_task(_ended(child, forwarding))
    await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        signal_group(child, signal.SIGHUP)
    status = await ended
    if status < 0:
        session.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
    else:
        session.exit(status)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    source.close()
    await gone


async def _ended(child: subprocess.Popen[bytes], forwarding: list[asyncio.Task[None]]) -> int:
    """Wait for the command and the end of its output; return its status, negative for a signal."""
    watch = os.pidfd_open(child.pid)
    exited = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(watch, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(watch)
        os.close(watch)
    status = child.wait()
    await asyncio.gather(*forwarding)
    return status


async def _feed(session: asyncssh.SSHServerProcess[bytes], child: subprocess.Popen[bytes], target: IO[bytes]) -> None:
    """Carry the client's input, window sizes and signals to the command."""
    os.set_blocking(target.fileno(), False)
    with suppress(OSError):  # the command has closed its input
        while True:
            try:
                data = await session.stdin.read(_CHUNK)
            except asyncssh.TerminalSizeChanged as change:
                _resize(target.fileno(), change.term_size)
                continue
            except asyncssh.SignalReceived as received:
                signal_group(child, getattr(signal, f"SIG{received.signal}", signal.SIGTERM))
                continue
            except asyncssh.BreakReceived:
                signal_group(child, signal.SIGINT)
                continue
            if not data:
                break
            await _write(target.fileno(), data)
    if not session.term_type:
        target.close()


async def _write(descriptor: int, data: bytes) -> None:
    """Write all of it. Not by a pipe transport: uvloop's would read from a terminal and lose what it read."""
    loop = asyncio.get_running_loop()
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(descriptor, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(descriptor)


async def _forward(file: IO[bytes], target: asyncssh.SSHWriter[bytes]) -> None:
    """Carry output to the client to its end; once the client is gone it is read and dropped."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    reading, _ = await loop.connect_read_pipe(lambda: _OutputProtocol(reader), file)
    try:
        while data := await reader.read(_CHUNK):
            with suppress(BrokenPipeError, ConnectionError, asyncssh.Error):
                target.write(data)
                await target.drain()
    finally:
        reading.close()


class _OutputProtocol(asyncio.StreamReaderProtocol):
    """Takes the error with which a terminal ends once its last user has gone (EIO) for the end that it is."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End the output, without an error where a terminal has ended."""
        super().connection_lost(None if isinstance(exc, OSError) else exc)


def signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    """Signal the process group that a command leads; one that has ended is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _resize(terminal: int, size: tuple[int, int, int, int]) -> None:
    width, height, pixel_width, pixel_height = size
    window = struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, pixel_width & 0xFFFF, pixel_height & 0xFFFF)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, window)
