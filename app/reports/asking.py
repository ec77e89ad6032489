"""What may be asked of reports."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from app.reports.spending import Days, Grouping

TAG_MAX = 64
_DAYS_MAX = 3660
_PLAIN = frozenset(Grouping) - {Grouping.TAG}
_GROUP_BY = rf"^({'|'.join(sorted(_PLAIN))}|tag:.{{1,{TAG_MAX}}})$"


def _day(value: object) -> date:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"2\d{3}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("must be a day of this millennium such as 2026-03-01")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def _group_by(text: str) -> str:
    if text not in _PLAIN and not (text.startswith("tag:") and 0 < len(text) - 4 <= TAG_MAX and text.isprintable()):
        raise ValueError("must be team, user, key, family, provider, day, or tag: and the tag's name")
    return text


DayIn = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class Format(StrEnum):
    """How a report is told."""

    JSON = "json"
    CSV = "csv"
    TEXT = "text"
    PDF = "pdf"


class DaysQuery(BaseModel):
    """Which days of UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Annotated[DayIn | None, Field(description="The first day; the first of this month without.")] = None
    until: Annotated[DayIn | None, Field(description="The first day that is not in it any more; tomorrow without.")] = (
        None
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and not 0 < (self.until - self.since).days <= _DAYS_MAX:
            raise ValueError(f"until must come after since, by {_DAYS_MAX} days at most")
        return self

    def days(self, at: datetime) -> Days:
        """Return the days that are meant, as seen at a moment."""
        until = self.until or max(at.date(), self.since or at.date()) + timedelta(days=1)
        last = until - timedelta(days=1)
        return Days(self.since or min(at.date(), last).replace(day=1), until)


class SpendQuery(DaysQuery):
    """What to sum, and how to tell it."""

    group_by: Annotated[
        str,
        Field(description="`team`, `user`, `key`, `family`, `provider`, `day`, or `tag:` and the tag's name."),
        AfterValidator(_group_by),
        WithJsonSchema({"type": "string", "pattern": _GROUP_BY, "examples": ["team", "tag:project"]}),
    ] = "team"
    format: Annotated[
        Literal["json", "csv", "text"] | None,
        Field(description="Instead of the `Accept` header: for links that a person follows."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=10_000, description="How many groups at most; the others as one sum.")] = 1000

    @property
    def grouping(self) -> tuple[Grouping, str | None]:
        """What to group by, and the tag's name."""
        by, _, tag = self.group_by.partition(":")
        return Grouping(by), tag or None


class IdleQuery(DaysQuery):
    """Which days, and how many rentals."""

    limit: Annotated[int, Field(ge=1, le=1000, description="How many rentals at most.")] = 100


class ChargebackQuery(BaseModel):
    """How to tell a chargeback."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Literal["json", "csv", "pdf"] | None,
        Field(description="Instead of the `Accept` header: for links that a person follows."),
    ] = None
