"""What was spent, summed by what one asks for: counted sums and the ledger's newest rows in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.reports import queries
from app.web import Principal


class Grouping(StrEnum):
    """By what spending is summed. A tag's name is given beside."""

    TEAM = "team"
    USER = "user"
    KEY = "key"
    TAG = "tag"
    FAMILY = "family"
    PROVIDER = "provider"
    DAY = "day"


class Days(NamedTuple):
    """Days of UTC: from the first on, up to before the last."""

    since: date
    until: date


@dataclass(frozen=True, slots=True)
class Sight:
    """What of an account the caller sees."""

    account_id: AccountId
    teams: tuple[str, ...] | None
    """None: everything."""
    key_id: str | None = None
    user_id: str | None = None
    """Whose every rental is seen; not by a key that belongs to a team."""

    @classmethod
    def of(cls, principal: Principal) -> Sight:
        """Return what a caller sees, as in the list of rentals: its teams', its own, and those of its person's keys."""
        teams = None if principal.reach is None else tuple(sorted(principal.reach))
        person = principal.user_id if principal.team_id is None else None
        return cls(principal.account_id, teams, principal.key_id, person)

    @property
    def is_whole(self) -> bool:
        """Whether it is all there is."""
        return self.teams is None

    def sees(self, *, team_id: str | None, key_id: str | None, user_id: str | None) -> bool:
        """Say whether a rental of a team, made by a key or a person, is within it; as ``queries`` do."""
        if self.teams is None or (team_id is not None and team_id in self.teams):
            return True
        by_it, by_its_person = (
            key_id is not None and key_id == self.key_id,
            user_id is not None and user_id == self.user_id,
        )
        return by_it or by_its_person

    def bounds(self, days: Days) -> tuple[object, ...]:
        """Return the first parameters of every statement."""
        return (
            self.account_id,
            days.since,
            days.until,
            None if self.teams is None else list(self.teams),
            self.key_id,
            self.user_id,
        )


@dataclass(frozen=True, slots=True)
class Sums:
    """Seconds billed, and micro-dollars."""

    seconds: int = 0
    charged: int = 0
    refunded: int = 0

    @property
    def net(self) -> int:
        """``charged`` less ``refunded``."""
        return self.charged - self.refunded

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.seconds + other.seconds, self.charged + other.charged, self.refunded + other.refunded)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.seconds - other.seconds, self.charged - other.charged, self.refunded - other.refunded)


@dataclass(frozen=True, slots=True)
class Spent:
    """One group."""

    key: str | None
    """An id, a name, or a day; None for what has none."""
    rentals: int
    """How many rentals there are in it; one that moved is in several groups."""
    sums: Sums


@dataclass(frozen=True, slots=True)
class Spending:
    """Groups, those that cost most first (days: the newest), and the sum of all, shown or not."""

    groups: tuple[Spent, ...]
    count: int
    """How many groups there are in all."""
    total: Sums

    @property
    def others(self) -> Sums:
        """The sum of the groups that are not shown."""
        return self.total - sum((group.sums for group in self.groups), start=Sums())


async def sum_spending(
    session: AsyncSession, sight: Sight, days: Days, *, by: Grouping, tag: str | None = None, limit: int = 1000
) -> Spending:
    """Return what was charged and given back in some days, summed by something; ``tag`` names it for ``Grouping.TAG``."""
    order = queries.BY_DAY if by is Grouping.DAY else queries.BY_NET
    statement = queries.SUM_SPENDING.replace("{key}", queries.KEYS[by]).replace("{order}", order)
    tags = (tag,) if by is Grouping.TAG else ()
    rows = await driver(session).fetch(statement, *sight.bounds(days), limit, *tags)
    if not rows:
        return Spending((), 0, Sums())
    first = rows[0]
    total = Sums(first["all_seconds"], first["all_charged"], first["all_refunded"])
    return Spending(tuple(map(_spent, rows)), first["groups"], total)


def _spent(row: asyncpg.Record) -> Spent:
    return Spent(row["key"], row["rentals"], Sums(row["seconds"], row["charged"], row["refunded"]))
