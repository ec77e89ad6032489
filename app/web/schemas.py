"""Wire types: strict models and the few field types that every room needs.

Strict means that ``true`` and ``"5"`` are no integers and unknown fields are refused. The models see values as
``reading`` makes them: whole numbers as int, others as Decimal, never a float.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from app.kit.clock import rfc3339
from app.kit.money import Money, dollars

INT_MAX = 2**53 - 1
"""The largest whole number on the wire: exact in every JSON reader."""

_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_DOLLARS_PATTERN = r"^-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,6})?$"


class Wire(BaseModel):
    """A body in or out: strict, no unknown fields, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text on one line, without control, zero-width or direction characters")
    return text


def _lines(text: str) -> str:
    if _UNFIT.search(text):
        raise ValueError("must not hold control or direction characters other than tab and line ends")
    return text


def _micros(value: Any) -> int:  # noqa: ANN401 - whatever JSON held
    """Read dollars from a decimal string or a JSON number."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("must be dollars as a decimal string or a number")  # noqa: TRY004 - a ValueError is a 422
    return Money.parse(str(value)).micros


def _decimal(value: Any) -> Decimal:  # noqa: ANN401 - whatever JSON held
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")  # noqa: TRY004 - a ValueError is a 422
    return Decimal(value)


def _moment(value: Any) -> datetime:  # noqa: ANN401 - whatever JSON held
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("must be a time by RFC 3339 with an offset, for example 2030-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time of the calendar") from None


Text = Annotated[str, AfterValidator(_one_line)]
"""Printable text on one line; bound its length with ``Field(min_length=…, max_length=…)``."""

Name = Annotated[Text, Field(min_length=1, max_length=64)]
"""A name a person gives: 1 to 64 printable characters."""

Lines = Annotated[str, AfterValidator(_lines)]
"""Text of several lines, such as a script; bound its length with ``Field``."""

WholeNumber = Annotated[int, Field(ge=0, le=INT_MAX)]
"""A whole number from 0; narrow it with another ``Field``."""

DecimalIn = Annotated[Decimal, BeforeValidator(_decimal), WithJsonSchema({"type": "number"})]
"""A JSON number, exact."""

_MONEY_IN_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": _DOLLARS_PATTERN}, {"type": "number"}],
    "examples": ["2.80"],
}

MoneyIn = Annotated[int, BeforeValidator(_micros), Field(ge=0), WithJsonSchema(_MONEY_IN_SCHEMA)]
"""Dollars in, as a decimal string or a JSON number, zero or more; micro-dollars inside."""

PositiveMoneyIn = Annotated[int, BeforeValidator(_micros), Field(gt=0), WithJsonSchema(_MONEY_IN_SCHEMA)]
"""Dollars in, above zero; micro-dollars inside."""

MoneyOut = Annotated[
    int,
    PlainSerializer(dollars, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DOLLARS_PATTERN, "examples": ["2.80"]}),
]
"""Micro-dollars inside, dollars as a decimal string out."""

TimeIn = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment by RFC 3339 with an offset; aware UTC inside."""

TimeOut = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T12:00:00.000Z"]}),
]
"""An aware moment inside, RFC 3339 in UTC with ``Z`` out."""
