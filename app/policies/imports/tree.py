"""What a file says, whatever its syntax: keys with values and the lines on which they stand; and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

Scalar = str | Decimal | bool | None

LINES_MAX: Final = 5_000
DEPTH_MAX: Final = 8
"""How deep values lie within each other."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the reader of a file wants to know, and on which line."""

    line: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Item:
    """A value and the line of its key. Lists hold items, tables hold them by key as it was written."""

    value: Scalar | list[Item] | Table
    line: int


@dataclass(slots=True)
class Table:
    """Keys and their values, in order."""

    items: dict[str, Item] = field(default_factory=dict)

    def put(self, key: str, item: Item, notices: list[Notice]) -> None:
        """Set a key; one that stands there twice is told, and the last counts."""
        if key in self.items:
            notices.append(Notice(item.line, "duplicate_key", f"{key} stands here a second time; this one counts."))
        self.items[key] = item

    def table(self, key: str, line: int) -> Table:
        """Return the table below a key, made where there is none."""
        found = self.items.get(key)
        if found is not None and isinstance(found.value, Table):
            return found.value
        below = Table()
        self.items[key] = Item(below, line)
        return below


class UnreadableError(Exception):
    """A part of a file can't be read; the line and why."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message
