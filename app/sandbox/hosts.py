"""A sandbox machine: a real SSH server that runs commands for real, in a home of its own, with GPUs as told.

As on a real machine ``~/.ssh/authorized_keys`` is read at every login, a detached process outlives its session, and
everything ends when the machine does.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import asyncssh

from app.sandbox.cuda import FACTS, FOLDER, CudaFaults, cuda_files, python_script
from app.sandbox.homes import Home, kill_processes, open_home
from app.sandbox.nvidia_smi import GpuFacts, broken_nvidia_smi_script, dmesg_script, nvidia_smi_script
from app.sandbox.shells import run_session

__all__ = ["GpuFacts", "Host", "HostBehaviour", "start_host"]

_Connections = set[asyncssh.SSHServerConnection]


@dataclass(frozen=True, slots=True)
class HostBehaviour:
    """What is wrong with a machine. The default is a sound one."""

    accepts_ssh: bool = True
    """False: nothing listens, a connection is refused."""
    hangs: bool = False
    """True: connections are taken and nothing is ever said."""
    has_nvidia_smi: bool = True
    """False: there is no such command."""
    runs_nvidia_smi: bool = True
    """False: the tool can't talk to its driver and exits with 9."""
    xid_errors: bool = False
    """True: the kernel log tells of a GPU that fell off the bus."""
    ecc_errors: int = 0
    """Uncorrected memory errors on each GPU that has ECC."""
    cuda: CudaFaults = field(default_factory=CudaFaults)


class Host:
    """A machine that is up. ``home`` is where its files really are."""

    def __init__(self, address: str, port: int, *, home: Home, username: str) -> None:
        self.address = address
        self.port = port
        self.username = username
        self.home = home.path
        self._home = home
        self._listener: asyncssh.SSHAcceptor | asyncio.Server | socket.socket | None = None
        self._connections: _Connections = set()
        self._sessions: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()

    async def listen(self, behaviour: HostBehaviour) -> None:
        """Open the port, or keep it shut, as the behaviour says."""
        if not behaviour.accepts_ssh:
            self._listener = reserved = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
            reserved.bind((self.address, self.port))
            self.port = reserved.getsockname()[1]
        elif behaviour.hangs:
            self._listener = server = await asyncio.start_server(self._say_nothing, self.address, self.port)
            self.port = server.sockets[0].getsockname()[1]
        else:
            self._listener = acceptor = await asyncssh.create_server(
                lambda: _Door(self._home, self.username, self._connections),
                self.address,
                self.port,
                server_host_keys=[_host_key(self.home)],
                process_factory=self._serve,
                encoding=None,
                line_editor=False,
                agent_forwarding=False,
                compression_algs=None,
                login_timeout=30,
                reuse_address=True,
            )
            self.port = acceptor.get_port()

    def authorize(self, public_key: str) -> None:
        """Let one more key in."""
        descriptor = os.open(self.home / ".ssh" / "authorized_keys", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(public_key.strip() + "\n")

    def lose_gpu(self) -> None:
        """Let the GPU fall off the bus."""
        (self.home / FOLDER / FACTS).unlink(missing_ok=True)
        scripts = {"nvidia-smi": broken_nvidia_smi_script(), "dmesg": dmesg_script(xid_errors=True)}
        for name, script in scripts.items():
            path = self.home / ".bin" / name
            path.unlink(missing_ok=True)
            path.write_text(script, encoding="utf-8")
            path.chmod(0o755)

    async def close(self) -> None:
        """End the machine: no more logins, connections cut, every process killed. Closing twice is harmless."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        for writer in self._silent:
            writer.close()
        for connection in list(self._connections):
            connection.abort()
        await self._kill_all()
        if isinstance(listener, asyncssh.SSHAcceptor):
            await listener.wait_closed()
        await asyncio.gather(*(connection.wait_closed() for connection in list(self._connections)))
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=5)
        self._home.release()

    async def _kill_all(self) -> None:
        """Kill until none is left: one that forks meanwhile is caught by the next round."""
        for _ in range(100):
            if not kill_processes(self._home):
                return
            await asyncio.sleep(0.01)

    def _serve(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.create_task(self._run(session))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        if self._listener is None:
            return
        await run_session(session, self._home, self.username)

    async def _say_nothing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._silent.add(writer)
        while await reader.read(4096):
            pass
        self._silent.discard(writer)
        writer.close()


async def start_host(
    *,
    address: str,
    port: int,
    home: Path,
    gpu: GpuFacts,
    authorized_keys: list[str],
    behaviour: HostBehaviour | None = None,
    username: str = "root",
) -> Host:
    """Start a machine and return it once it answers. Port 0 takes any free one.

    A home that exists is taken up again with all that is in it; the keys given are added to those it has.

    Raises:
        OSError: the address or port can't be had.
    """
    behaviour = behaviour or HostBehaviour()
    place = open_home(home)
    host = Host(address, port, home=place, username=username)
    try:
        _furnish(place, gpu, behaviour, username=username, authorized_keys=authorized_keys)
        await host.listen(behaviour)
    except BaseException:
        place.release()
        raise
    return host


def _furnish(home: Home, gpu: GpuFacts, behaviour: HostBehaviour, *, username: str, authorized_keys: list[str]) -> None:
    """Write the machine's own commands and the keys that may log in."""
    commands = {
        "dmesg": dmesg_script(xid_errors=behaviour.xid_errors),
        "whoami": f"#!/bin/sh\necho {shlex.quote(username)}\n",  # the machine's user has no name of its own
    }
    if behaviour.has_nvidia_smi:
        script = nvidia_smi_script(gpu, seed=str(home.path), ecc_errors=behaviour.ecc_errors)
        commands["nvidia-smi"] = script if behaviour.runs_nvidia_smi else broken_nvidia_smi_script()
        if python := python_script():
            commands["python3"] = python
            home.write(FOLDER, cuda_files(gpu, behaviour.cuda), mode=0o644)
            if not behaviour.runs_nvidia_smi:
                (home.path / FOLDER / FACTS).unlink()
    home.write(".bin", commands, mode=0o755)
    if not behaviour.has_nvidia_smi:
        (home.path / ".bin" / "nvidia-smi").unlink(missing_ok=True)
    lines = home.authorized_keys.splitlines()
    lines += [key.strip() for key in authorized_keys if key.strip() not in lines]
    home.write(".ssh", {"authorized_keys": "".join(f"{line}\n" for line in lines)}, mode=0o600)


@cache
def _host_key(home: Path) -> asyncssh.SSHKey:
    """Return the machine's host key: another for each machine, the same when it is started again."""
    return asyncssh.generate_private_key("ssh-ed25519", comment=home.name)


class _Door(asyncssh.SSHServer):
    """Lets in whoever holds a key that ``authorized_keys`` names at this moment, under the machine's username."""

    def __init__(self, home: Home, username: str, connections: _Connections) -> None:
        self._home = home
        self._username = username
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember the connection, to cut it when the machine ends."""
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is the library's
        """Forget the connection."""
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        """Take the keys from the file as it is now; always ask for one."""
        if self._connection is not None and username == self._username:
            try:
                self._connection.set_authorized_keys(asyncssh.import_authorized_keys(self._home.authorized_keys))
            except ValueError:  # the file names no valid key: nobody gets in
                return True
        return True
