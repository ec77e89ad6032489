"""Reports on the wire: forecasts and idle waste."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from app.reports.forecasting import Forecast, Pace, Projection, TeamForecast
from app.reports.idling import GpuIdle, Idleness, RentalIdle
from app.reports.spending import Days
from app.web.schemas import MoneyOut, TimeOut, Wire


class PaceOut(Wire):
    """What was spent, and what is being spent."""

    spent: MoneyOut
    """In this month, as the ledger has it."""
    accrued: MoneyOut
    """Used by what runs, and not in the ledger yet."""
    burn_per_hour: MoneyOut
    trailing: MoneyOut
    """Spent in the last `trailing_days` whole days."""

    @classmethod
    def of(cls, pace: Pace) -> PaceOut:
        """Return a pace in its form."""
        return cls(spent=pace.spent, accrued=pace.accrued, burn_per_hour=pace.burn_per_hour, trailing=pace.trailing)


class ProjectionOut(Wire):
    """What the month will have come to."""

    expected: MoneyOut
    """What runs now goes on for a day; from then on every day costs what the last whole days cost on average."""
    if_all_runs_on: MoneyOut
    if_as_lately: MoneyOut

    @classmethod
    def of(cls, told: Projection) -> ProjectionOut:
        """Return a projection in its form."""
        return cls(expected=told.expected, if_all_runs_on=told.if_all_runs_on, if_as_lately=told.if_as_lately)


class TeamForecastOut(Wire):
    """One team's part of a forecast."""

    team_id: str | None
    team: str
    pace: PaceOut
    projection: ProjectionOut

    @classmethod
    def of(cls, told: TeamForecast, name: str) -> TeamForecastOut:
        """Return a team's forecast in its form."""
        pace, projection = PaceOut.of(told.pace), ProjectionOut.of(told.projection)
        return cls(team_id=told.team_id, team=name, pace=pace, projection=projection)


class ForecastOut(Wire):
    """What the present month of UTC will have come to, and why. The whole is the sum of the teams."""

    object: Literal["spend_forecast"] = "spend_forecast"
    month: str
    as_of: TimeOut
    ends_at: TimeOut
    left_seconds: int
    trailing_days: int
    currency: Literal["usd"] = "usd"
    coverage: Literal["account", "reach"]
    pace: PaceOut
    projection: ProjectionOut
    teams: list[TeamForecastOut]
    explanation: list[str]

    @classmethod
    def of(cls, told: Forecast, names: dict[str | None, str], explanation: list[str], *, is_whole: bool) -> ForecastOut:
        """Return a forecast in its form."""
        outlook = told.outlook
        return cls(
            month=str(outlook.month),
            as_of=outlook.at,
            ends_at=outlook.month.ends_at,
            left_seconds=outlook.left_seconds,
            trailing_days=outlook.trailing_days,
            coverage="account" if is_whole else "reach",
            pace=PaceOut.of(told.pace),
            projection=ProjectionOut.of(told.projection),
            teams=[TeamForecastOut.of(team, names[team.team_id]) for team in told.teams],
            explanation=explanation,
        )


class GpuIdleOut(Wire):
    """One GPU of a rental."""

    gpu: int
    """Its index on the machine."""
    watched_seconds: int
    idle_seconds: int
    mean_percent: int

    @classmethod
    def of(cls, told: GpuIdle) -> GpuIdleOut:
        """Return a GPU in its form."""
        return cls(
            gpu=told.gpu,
            watched_seconds=told.watched_seconds,
            idle_seconds=told.idle_seconds,
            mean_percent=told.mean_percent,
        )


class RentalIdleOut(Wire):
    """One rental's GPUs."""

    rental_id: str
    name: str | None
    status: str
    family: str | None
    team_id: str | None
    user_id: str | None
    rate_per_hour: MoneyOut
    idle_cost: MoneyOut
    sampled_at: TimeOut
    gpus: list[GpuIdleOut]

    @classmethod
    def of(cls, told: RentalIdle) -> RentalIdleOut:
        """Return a rental in its form."""
        return cls(
            rental_id=told.rental_id,
            name=told.name,
            status=told.status,
            family=told.family,
            team_id=told.team_id,
            user_id=told.user_id,
            rate_per_hour=told.rate,
            idle_cost=told.cost,
            sampled_at=told.sampled_at,
            gpus=[GpuIdleOut.of(gpu) for gpu in told.gpus],
        )


class IdleReport(Wire):
    """GPUs that were paid for and did nothing: estimated from samples, dearest first."""

    object: Literal["idle_report"] = "idle_report"
    since: date
    until: date
    as_of: TimeOut
    idle_percent: int
    """At or below so much utilisation a GPU counts as idle."""
    coverage: Literal["account", "reach"]
    watched_gpu_seconds: int
    idle_gpu_seconds: int
    idle_cost: MoneyOut
    rental_count: int
    rentals: list[RentalIdleOut]

    @classmethod
    def of(cls, told: Idleness, days: Days, *, idle_percent: int, is_whole: bool, at: datetime) -> IdleReport:
        """Return a report in its form."""
        return cls(
            since=days.since,
            until=days.until,
            as_of=at,
            idle_percent=idle_percent,
            coverage="account" if is_whole else "reach",
            watched_gpu_seconds=told.watched_gpu_seconds,
            idle_gpu_seconds=told.idle_gpu_seconds,
            idle_cost=told.cost,
            rental_count=told.count,
            rentals=[RentalIdleOut.of(rental) for rental in told.rentals],
        )
