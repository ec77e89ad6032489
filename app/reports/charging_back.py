"""Charging back: what each team's part of an account's month is. The parts add up to the ledger's month."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.errors import NotFound
from app.reports import queries
from app.reports.naming import team_names
from app.reports.spending import Days, Sight, Spent, Sums
from app.statements import Month, is_final


@dataclass(frozen=True, slots=True)
class Part:
    """One team's month; what belongs to no team has one too."""

    team_id: str | None
    name: str
    rentals: int
    sums: Sums
    families: tuple[Spent, ...]
    """By GPU family, dearest first; they add up to ``sums``."""


@dataclass(frozen=True, slots=True)
class Chargeback:
    """An account's month by team, dearest first."""

    month: Month
    as_of: datetime
    """For when it holds: the month's end once it is final, else the moment of asking."""
    final: bool
    """Over, and settled to its end: the amounts do not change any more."""
    is_whole: bool
    """Whether it is of the whole account, or of what the caller sees."""
    parts: tuple[Part, ...]

    @property
    def total(self) -> Sums:
        """The sum of all parts."""
        return sum((part.sums for part in self.parts), start=Sums())


async def charge_back(session: AsyncSession, sight: Sight, month: Month, *, at: datetime) -> Chargeback:
    """Return what each team's part of a month is.

    Raises:
        NotFound: the month has not begun.
    """
    if month > Month.of(at):
        raise NotFound("There is no chargeback of a month that has not begun.")
    # Looked at before the sums: what is settled in between is in them and makes the month provisional once more.
    final = await is_final(session, month, account_id=sight.account_id, at=at)
    days = Days(month.starts_at.date(), month.ends_at.date())
    rows = await driver(session).fetch(queries.CHARGE_BACK, *sight.bounds(days))
    families: defaultdict[str | None, list[Spent]] = defaultdict(list)
    teams: list[tuple[str | None, int, Sums]] = []
    for row in rows:
        sums = Sums(row["seconds"], row["charged"], row["refunded"])
        if row["whole"]:
            teams.append((row["team_id"], row["rentals"], sums))
        else:
            families[row["team_id"]].append(Spent(row["family"], row["rentals"], sums))
    names = await team_names(session, [team_id for team_id, _, _ in teams], account_id=sight.account_id)
    parts = [
        Part(team_id, names[team_id], rentals, sums, tuple(sorted(families[team_id], key=_dearest_first)))
        for team_id, rentals, sums in teams
    ]
    return Chargeback(
        month=month,
        as_of=month.ends_at if final else min(at, month.ends_at),
        final=final,
        is_whole=sight.is_whole,
        parts=tuple(sorted(parts, key=lambda part: (-part.sums.net, part.team_id is None, part.team_id or ""))),
    )


def _dearest_first(spent: Spent) -> tuple[int, bool, str]:
    return -spent.sums.net, spent.key is None, spent.key or ""
