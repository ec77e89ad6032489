"""The ports of ``up``: looked at before anything starts, so that nothing half started meets a taken one."""

from __future__ import annotations

import errno
import socket
import sys
import time
from dataclasses import dataclass

from app.cli.errors import UpError

_PORT_MAX = 65_535
_LOOPBACK_OF_MACHINES = "127.77.255.254"
_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Ports:
    """Five ports in a row."""

    api: int
    sandbox: int
    machines: int
    """Where the sandbox's Lambda machines take SSH, each on a loopback address of its own."""
    worker: int
    """Where the worker tells its figures."""
    modal: int
    """Where the sandbox's Modal answers: gRPC has a port of its own."""

    @classmethod
    def following(cls, first: int) -> Ports:
        """Return the five that begin with ``first``.

        Raises:
            UpError: they would run past the last port.
        """
        if first + 4 > _PORT_MAX:
            raise UpError(
                f"HOURGLASS_PORT={first} leaves no room for the four ports after it. Set it to 65531 or less."
            )
        return cls(first, first + 1, first + 2, first + 3, first + 4)

    def reserve(self, host: str, *, patience_seconds: float = 0.0) -> socket.socket:
        """Listen on the API's port and see that the others are free; return the listening socket.

        It is taken before anything else starts and handed down to whoever serves, so no request is ever refused
        between. ``patience_seconds`` is how long to wait for processes that are just ending.

        Raises:
            UpError: a port is taken; the message names it.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                for port, what in (
                    (self.sandbox, "the sandbox"),
                    (self.worker, "the worker's figures"),
                    (self.modal, "the sandbox's Modal"),
                ):
                    _bound("127.0.0.1", port, what, first=self.api).close()
                if sys.platform == "linux":
                    _bound(_LOOPBACK_OF_MACHINES, self.machines, "the sandbox's machines", first=self.api).close()
                listening = _bound(host, self.api, "the API", first=self.api)
            except UpError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                listening.listen(2048)
                return listening


def _bound(host: str, port: int, what: str, *, first: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        if port != first:
            bound.listen(1)  # binding alone succeeds beside another bound, not listening socket
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UpError(
                f"Port {port}, for {what}, is taken by another program. Stop that program, or set HOURGLASS_PORT to a "
                f"port that is free together with the four after it, such as HOURGLASS_PORT={_elsewhere(first)}."
            ) from None
        raise UpError(
            f"Can't listen on {host} port {port}, for {what}: {error.strerror}. Set HOURGLASS_HOST and HOURGLASS_PORT."
        ) from None
    return bound


def _elsewhere(first: int) -> int:
    return first + 100 if first + 104 <= _PORT_MAX else first - 100
