"""Reading what a cloud says: strict where a wrong value would mislead us, tolerant of everything we don't need.

JSON numbers come as ``int`` or ``Decimal``, never as ``float``. Each reader returns a value of its type within its
bounds or raises ``Malformed``; ``maybe`` turns that into None for fields we can live without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NoReturn, TypeVar

from app.kit.money import from_price

T = TypeVar("T")

WHOLE_MAX = 2**53 - 1
PRICE_MAX_DOLLARS = 100_000
"""No price we read is above this; a larger one is a mistake or an attack on our arithmetic."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_SECONDS_MAX = 253_402_300_799
_PORT_MAX = 65_535
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252})", re.ASCII)
_UNPRINTABLE = re.compile(r"(?:[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff])+")


class Malformed(ValueError):
    """A value is not what the wire protocol says."""


def read_json(body: bytes) -> object:
    """Return a JSON text's value. Refuses duplicate keys, NaN, infinities, absurd numbers and absurd depth.

    Raises:
        Malformed: for whatever reason it can't be read.
    """
    try:
        return json.loads(body, parse_float=_decimal, parse_constant=_refuse, object_pairs_hook=_unique)
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error


def mapping(value: object) -> dict[str, object]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise Malformed(f"an object was expected, not {type(value).__name__}")
    return value


def items(value: object) -> list[object]:
    """Return a JSON array."""
    if not isinstance(value, list):
        raise Malformed(f"an array was expected, not {type(value).__name__}")
    return value


def whole(value: object, *, low: int = 0, high: int = WHOLE_MAX) -> int:
    """Return a whole number within bounds; ``2.0`` counts as one, ``true`` does not."""
    found = number(value, low=low, high=high)
    if found != int(found):
        raise Malformed("a whole number was expected")
    return int(found)


def floored(value: object, *, low: int = 0, high: int = WHOLE_MAX) -> int:
    """Return a number within bounds, rounded down."""
    return int(number(value, low=low, high=high))


def number(value: object, *, low: int | Decimal = 0, high: int | Decimal = WHOLE_MAX) -> Decimal:
    """Return a number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Malformed(f"a number was expected, not {type(value).__name__}")
    if not low <= value <= high:
        raise Malformed("a number is out of its bounds")
    return Decimal(value)


def price_micros(value: object) -> int:
    """Return a price in dollars as micro-dollars, rounded up."""
    return from_price(number(value, high=PRICE_MAX_DOLLARS))


def text(value: object, *, longest: int = 256) -> str:
    """Return a text that is safe to store and show: control, direction and surrogate characters become a space."""
    if not isinstance(value, str):
        raise Malformed(f"a text was expected, not {type(value).__name__}")
    return _UNPRINTABLE.sub(" ", value[: longest + 64]).strip()[:longest].rstrip()


def name(value: object, *, longest: int = 128) -> str:
    """Return a text that names something: not empty, not altered by cleaning, not too long."""
    found = text(value, longest=longest)
    if not found or found != value:
        raise Malformed("a name is empty, too long or has unprintable characters")
    return found


def host(value: object) -> str:
    """Return a host name or an IP address."""
    found = text(value)
    if not _HOST.fullmatch(found):
        raise Malformed("a host was expected")
    return found


def port(value: object) -> int:
    """Return a TCP port, given as a number or as digits."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(_PORT_MAX)):
        return whole(int(value), low=1, high=_PORT_MAX)
    return whole(value, low=1, high=_PORT_MAX)


def moment(value: object) -> datetime:
    """Return seconds since 1970 as an aware time in UTC, rounded down to the second."""
    return _EPOCH + timedelta(seconds=floored(value, high=_EPOCH_SECONDS_MAX))


def maybe(read: Callable[[object], T], value: object) -> T | None:
    """Return what a reader makes of a value, None where it is absent or malformed."""
    if value is None:
        return None
    try:
        return read(value)
    except Malformed:
        return None


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError as error:
        raise Malformed("a number beyond all bounds") from error


def _refuse(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is no JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a key stands twice in one object")
    return found
