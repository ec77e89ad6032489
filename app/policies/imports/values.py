"""Values as people write them: ``$2.50/h``, ``4``, ``90s``, ``RTX 4090``; None where a text means nothing of the kind."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from app.policies.imports.tree import Item, Table

_MICROS: Final = 1_000_000
_MONEY: Final = re.compile(
    r"(?:US)?\$?\s*(\d[\d_,]*(?:\.\d+)?)\s*(?:usd|\$)?\s*(?:(?:/|per)\s*(?:h|hr|hour|d|day|mo|month))?", re.IGNORECASE
)
_SPAN: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*(s|sec|secs|seconds?|m|min|mins|minutes?|h|hr|hrs|hours?|d|days?)?", re.IGNORECASE
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX: Final = 10**15
_MANY: Final = 100_000


def money(item: Item) -> int | None:
    """Return an amount in dollars as micro-dollars."""
    number = _number(item, _MONEY)
    if number is None:
        return None
    micros = number * _MICROS
    return int(micros) if micros == int(micros) and micros <= _MAX else None


def count(item: Item) -> int | None:
    """Return a whole number from 0 on."""
    number = _number(item, re.compile(r"(\d+)"))
    return int(number) if number is not None and number <= _MANY and number == int(number) else None


def seconds(item: Item) -> int | None:
    """Return a span of time; without a unit it is seconds."""
    text = str(item.value).strip()
    found = _SPAN.fullmatch(text) if not isinstance(item.value, bool) else None
    if found is None:
        return None
    span = Decimal(found.group(1)) * _UNITS[(found.group(2) or "s")[0].lower()]
    return int(span) if span == int(span) and span <= _MAX else None


def share(item: Item) -> int | None:
    """Return a part of 1, or of 100 with or without ``%``, in millionths."""
    number = _number(item, re.compile(r"(\d+(?:\.\d+)?)\s*%?"))
    if number is None:
        return None
    part = number / 100 if number > 1 or "%" in str(item.value) else number
    return int(part * _MICROS) if part <= 1 else None


def words(item: Item) -> list[Item] | None:
    """Return a list of texts; one text is split where commas, semicolons or bars stand."""
    if isinstance(item.value, list):
        return None if any(isinstance(one.value, (list, Table)) for one in item.value) else item.value
    if isinstance(item.value, (Table, bool)) or item.value is None:
        return None
    return [Item(part.strip(), item.line) for part in re.split(r"[,;|]", str(item.value)) if part.strip()]


def _number(item: Item, pattern: re.Pattern[str]) -> Decimal | None:
    if isinstance(item.value, Decimal):
        return item.value if item.value >= 0 else None
    if not isinstance(item.value, str):
        return None
    found = pattern.fullmatch(item.value.strip())
    return None if found is None else Decimal(found.group(1).replace("_", "").replace(",", ""))
