"""Money: whole micro-dollars, and the one formula that turns time into a charge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

MICROS_PER_DOLLAR = 1_000_000
SECONDS_PER_HOUR = 3600
MICROS_MAX = 2**53 - 1
"""The largest amount taken in or given out: exact in every JSON reader, about nine billion dollars."""

_DOLLARS = re.compile(r"-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,6})?", re.ASCII)
_CENTS_DIGITS = 2


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of US dollars as whole micro-dollars (10⁻⁶ USD). Never a float, in or out."""

    micros: int

    def __post_init__(self) -> None:
        if type(self.micros) is not int:
            raise TypeError(f"Money takes whole micro-dollars, not {type(self.micros).__name__}")

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read dollars from a decimal string such as ``"2.80"``.

        Raises:
            ValueError: not a plain decimal, more than 6 decimals, or beyond ``MICROS_MAX``.
        """
        if not _DOLLARS.fullmatch(text):
            raise ValueError("must be dollars as a plain decimal with at most 6 decimals, for example 2.80")
        micros = int(Decimal(text).scaleb(6))
        if abs(micros) > MICROS_MAX:
            raise ValueError("is beyond the largest amount")
        return cls(micros)

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + other.micros)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micros - other.micros)

    def __bool__(self) -> bool:
        return self.micros != 0

    def __str__(self) -> str:
        """Return dollars with 2 to 6 decimals: ``"2.80"``, ``"0.000778"``."""
        return dollars(self.micros)


def dollars(micros: int) -> str:
    """Return micro-dollars as a decimal string with 2 to 6 decimals, the wire's form."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICROS_PER_DOLLAR)
    digits = f"{fraction:06d}".rstrip("0").ljust(_CENTS_DIGITS, "0")
    return f"{sign}{whole}.{digits}"


def from_price(price: Decimal | int | str) -> int:
    """Return a provider's dollar price as micro-dollars, rounded up so that we never sell below it.

    Raises:
        ValueError: negative, not finite, or beyond ``MICROS_MAX``.
    """
    value = Decimal(price)
    if not value.is_finite() or value < 0:
        raise ValueError("a price is a finite number of dollars, zero or more")
    micros = int((value * MICROS_PER_DOLLAR).to_integral_value(rounding=ROUND_CEILING))
    if micros > MICROS_MAX:
        raise ValueError("a price beyond the largest amount")
    return micros


def cost(rate_micros_per_hour: int, seconds: int) -> int:
    """Return C(n) = ⌊rate x n / 3600⌋ in micro-dollars: what n whole billable seconds cost in all.

    Every charge is a difference of two such values, so a bill does not depend on how often it was settled.
    """
    return rate_micros_per_hour * seconds // SECONDS_PER_HOUR


def seconds_covered(rate_micros_per_hour: int, micros: int) -> int:
    """Return the largest n with C(n) ≤ micros: how many whole seconds an amount pays for.

    From ⌊r·n/3600⌋ ≤ m ⇔ r·n < (m + 1)·3600.
    """
    return ((micros + 1) * SECONDS_PER_HOUR - 1) // rate_micros_per_hour
