"""What an order must be before any cloud sees it: no value may be read by the cloud as something else."""

from __future__ import annotations

import re

from app.providers.contract import Capability, Order
from app.providers.errors import Rejected

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}", re.ASCII)
_MARKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_VALUE_MAX = 32_768
_PORTS = range(1, 65_536)


def check_order(order: Order, capability: Capability) -> None:
    """Return for an order that can be sent.

    A variable's name matters most: Vast.ai takes names such as ``-v /:/host`` as options of the container.

    Raises:
        Rejected: and nothing was sent.
    """
    if not _MARKER.fullmatch(order.marker) or len(order.marker) > capability.marker_max_length:
        raise Rejected(f"the marker must be 1 to {capability.marker_max_length} plain characters")
    if not _IMAGE.fullmatch(order.image):
        raise Rejected("the image's name has characters that no image has")
    if not all(_VARIABLE.fullmatch(variable) for variable in order.env):
        raise Rejected("a variable's name must be letters, digits and underscores")
    if any(_UNSENDABLE.search(value) or len(value) > _VALUE_MAX for value in order.env.values()):
        raise Rejected("a variable's value is too long or has a NUL or half a character")
    if not all(port in _PORTS for port in order.ports):
        raise Rejected("a port is a number from 1 to 65535")
    if order.disk_gb < 1:
        raise Rejected("a disk has at least 1 GB")
    if order.spot and not capability.spot:
        raise Rejected("this cloud rents nothing by bid")
