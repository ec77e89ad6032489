"""Months of UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_TEXT = re.compile(r"(2\d{3})-(0[1-9]|1[0-2])", re.ASCII)
_DECEMBER = 12


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One month of a year, in UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2026-03``.

        Raises:
            ValueError: it is no month of this millennium.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError("must be a month such as 2026-03")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, at: datetime) -> Month:
        """Return the month in which a moment lies."""
        at = at.astimezone(UTC)
        return cls(at.year, at.month)

    @property
    def starts_at(self) -> datetime:
        """The first moment that belongs to it."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def ends_at(self) -> datetime:
        """The first moment that belongs to it no more."""
        return self.next.starts_at

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + 1, 1) if self.number == _DECEMBER else Month(self.year, self.number + 1)

    def __str__(self) -> str:
        """Return the wire's form, ``2026-03``; texts sort as months do."""
        return f"{self.year:04d}-{self.number:02d}"
