"""A card as somebody types it into a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request

from app.sandbox.stripe.cards import card_numbered

_EXPIRY = re.compile(r"\s*(\d{1,2})\s*[/-]?\s*(\d{4}|\d{2})\s*")
_NUMBER_MIN, _NUMBER_MAX = 12, 19
_MONTHS = 12


_FIELDS_MAX = 20


async def sent_by(request: Request) -> dict[str, str]:
    """Return the fields of a form."""
    raw = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(raw, keep_blank_values=True, max_num_fields=_FIELDS_MAX))


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the fields."""

    number: str = ""
    expiry: str = ""
    cvc: str = ""
    name: str = ""
    save: bool = False

    @classmethod
    def of(cls, form: Mapping[str, str]) -> Typed:
        """Return what a form says."""
        number, expiry, cvc, name = (form.get(field, "").strip()[:100] for field in ("number", "expiry", "cvc", "name"))
        return cls(number, expiry, cvc, name, save=form.get("save") == "1")

    @property
    def digits(self) -> str:
        """The number without spaces."""
        return re.sub(r"[\s-]", "", self.number)

    @property
    def month_and_year(self) -> tuple[int, int]:
        """The expiry."""
        found = _EXPIRY.fullmatch(self.expiry)
        month, year = (found[1], found[2]) if found else ("0", "0")
        return int(month), int(year) + (2000 if len(year) == 2 else 0)  # noqa: PLR2004 - two digits

    def shown_again(self) -> Typed:
        """Return what a page may repeat: never the code, and no number but a test card's."""
        return Typed(self.number if card_numbered(self.number) else "", self.expiry, "", self.name, self.save)

    def mistake(self, *, month: int, year: int) -> tuple[str, str] | None:
        """Return the field that is wrong and why, seen from a month."""
        if not (self.digits.isdecimal() and _NUMBER_MIN <= len(self.digits) <= _NUMBER_MAX):
            return "number", "Your card number is incomplete."
        if not _adds_up(self.digits):
            return "number", "Your card number is invalid."
        expires_month, expires_year = self.month_and_year
        if not 1 <= expires_month <= _MONTHS:
            return "expiry", "Your card's expiration date is incomplete."
        if (expires_year, expires_month) < (year, month):
            return "expiry", "Your card's expiration date is in the past."
        if not re.fullmatch(r"\d{3,4}", self.cvc):
            return "cvc", "Your card's security code is incomplete."
        return None if self.name else ("name", "Enter the name on your card.")


def _adds_up(digits: str) -> bool:
    """Whether the last digit checks the others, as on every card."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0  # noqa: PLR2004 - the rule's own numbers
