"""Loopback addresses for machines that have one each: a network for each cloud."""

from __future__ import annotations

import random
import socket
from collections.abc import Container

_TRIED = 200


def free_address(chance: random.Random, *, net: int, port: int, taken: Container[str]) -> str:
    """Return an address of 127.``net``.0.0/16 on which the port can be had.

    Raises:
        OSError: none of many tried.
    """
    for _ in range(_TRIED):
        address = f"127.{net}.{chance.randrange(0, 256)}.{chance.randrange(1, 255)}"
        if address in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
        return address
    raise OSError(f"no loopback address of 127.{net}.0.0/16 has port {port} free")
