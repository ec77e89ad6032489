"""Forecasting: what a month will have come to at its end. Pure but for ``forecast``; amounts in micro-dollars.

What runs now is taken to run for one more day; from then on a day costs what the last seven whole days cost on average.
Beside it stand the two plain answers: if everything that runs now went on, and if every day were an average one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.clock import whole_seconds
from app.kit.db import driver
from app.kit.ids import RentalId
from app.reports import queries
from app.reports.spending import Days, Grouping, Sight, sum_spending
from app.statements import Month

DAY_SECONDS: Final = 86_400
TRAILING_DAYS: Final = 7
_TEAMS_MAX: Final = 10_000
_HOLDS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Pace:
    """What a team, or all, spent and spends."""

    spent: int = 0
    """In the month so far, as the ledger has it."""
    accrued: int = 0
    """Used by what runs, and not in the ledger yet."""
    burn_per_hour: int = 0
    """What an hour of all that runs now costs."""
    trailing: int = 0
    """Spent in the last whole days, ``Outlook.trailing_days`` of them."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What the month will have come to."""

    expected: int
    if_all_runs_on: int
    if_as_lately: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """When it is asked, and on how many days the average rests."""

    month: Month
    at: datetime
    trailing_days: int
    """0 where the account has had no whole day yet: then the present burn counts for all of the month."""

    @property
    def left_seconds(self) -> int:
        """How much of the month is to come."""
        return whole_seconds(self.at, self.month.ends_at)


@dataclass(frozen=True, slots=True)
class TeamForecast:
    """One team's part, or that of no team."""

    team_id: str | None
    pace: Pace
    projection: Projection


@dataclass(frozen=True, slots=True)
class Forecast:
    """A month's forecast by team, dearest first; the whole is the sum of the teams."""

    outlook: Outlook
    teams: tuple[TeamForecast, ...]

    @property
    def pace(self) -> Pace:
        """The sum of the teams' paces."""
        paces = [team.pace for team in self.teams]
        return Pace(
            sum(pace.spent for pace in paces),
            sum(pace.accrued for pace in paces),
            sum(pace.burn_per_hour for pace in paces),
            sum(pace.trailing for pace in paces),
        )

    @property
    def projection(self) -> Projection:
        """The sum of the teams' projections."""
        told = [team.projection for team in self.teams]
        return Projection(
            sum(one.expected for one in told),
            sum(one.if_all_runs_on for one in told),
            sum(one.if_as_lately for one in told),
        )


def project(pace: Pace, outlook: Outlook) -> Projection:
    """Return what a month will have come to, from what was spent and what is."""
    known, left = pace.spent + pace.accrued, outlook.left_seconds
    all_runs_on = known + _burnt(pace, left)
    if not outlook.trailing_days:
        return Projection(all_runs_on, all_runs_on, all_runs_on)
    first_day = min(left, DAY_SECONDS)
    return Projection(
        expected=known + _burnt(pace, first_day) + _as_lately(pace, outlook, left - first_day),
        if_all_runs_on=all_runs_on,
        if_as_lately=known + _as_lately(pace, outlook, left),
    )


async def forecast(session: AsyncSession, sight: Sight, *, at: datetime) -> Forecast:
    """Return the forecast of the present month of UTC."""
    month, today = Month.of(at), at.astimezone(UTC).date()
    first = await driver(session).fetchval(queries.FIRST_TRANSFER, sight.account_id)
    age = 0 if first is None else (today - first.astimezone(UTC).date()).days
    outlook = Outlook(month, at, max(0, min(TRAILING_DAYS, age)))
    spent = await _by_team(session, sight, Days(month.starts_at.date(), month.ends_at.date()))
    trailing = await _by_team(session, sight, Days(today - timedelta(days=outlook.trailing_days), today))
    live = await _live_by_team(session, sight, at=at)
    paces = {
        team_id: Pace(spent.get(team_id, 0), *live.get(team_id, (0, 0)), max(0, trailing.get(team_id, 0)))
        for team_id in spent.keys() | trailing.keys() | live.keys()
    }
    teams = [TeamForecast(team_id, pace, project(pace, outlook)) for team_id, pace in paces.items()]
    return Forecast(outlook, tuple(sorted(teams, key=_dearest_first)))


async def _by_team(session: AsyncSession, sight: Sight, days: Days) -> dict[str | None, int]:
    spending = await sum_spending(session, sight, days, by=Grouping.TEAM, limit=_TEAMS_MAX)
    return {group.key: group.sums.net for group in spending.groups}


async def _live_by_team(session: AsyncSession, sight: Sight, *, at: datetime) -> dict[str | None, tuple[int, int]]:
    """Return (accrued, burn per hour) of what runs, by team."""
    live: defaultdict[str | None, tuple[int, int]] = defaultdict(lambda: (0, 0))
    before: RentalId | None = None
    while True:
        holds = await wallet.list_holds(session, account_id=sight.account_id, before=before, limit=_HOLDS_AT_ONCE)
        running = {hold.meter.rental_id: hold.meter for hold in holds if hold.state == "running"}
        for row in await driver(session).fetch(queries.WHOSE, sight.account_id, list(running)):
            if sight.sees(team_id=row["team_id"], key_id=row["key_id"], user_id=row["user_id"]):
                meter = running[row["id"]]
                accrued, burn = live[row["team_id"]]
                live[row["team_id"]] = accrued + meter.accrued(at), burn + meter.rate
        if len(holds) < _HOLDS_AT_ONCE:
            return dict(live)
        before = holds[-1].meter.rental_id


def _burnt(pace: Pace, seconds: int) -> int:
    return pace.burn_per_hour * seconds // 3600


def _as_lately(pace: Pace, outlook: Outlook, seconds: int) -> int:
    return pace.trailing * seconds // (outlook.trailing_days * DAY_SECONDS)


def _dearest_first(team: TeamForecast) -> tuple[int, bool, str]:
    return -team.projection.expected, team.team_id is None, team.team_id or ""
