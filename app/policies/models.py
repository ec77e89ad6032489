"""The policies room's tables: private to the room."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Date, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base

_LIMITS = (
    "max_instances, max_gpus, max_price_micros_per_hour, daily_budget_micros, monthly_budget_micros, "
    "max_duration_seconds, min_reliability_ppm"
)


class PolicyRow(Base):
    """What one subject may: a team, a person, a key, or the account itself. NULL sets no limit.

    A team without a row has the default policy, any other subject none.
    """

    __tablename__ = "policies"
    __table_args__ = (
        CheckConstraint("on_budget_exceeded IN ('alert', 'pause_new', 'stop_all')", name="on_budget_exceeded"),
        CheckConstraint(f"least({_LIMITS}, 0) = 0", name="not_negative"),
        CheckConstraint("(paused_until IS NULL) = (paused_because IS NULL)", name="paused_because"),
        Index("ix_policies_paused_until", "paused_until", postgresql_where=text("paused_until IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """How often its terms were set; a row that only notes a pause is at 0."""
    gpu_whitelist: Mapped[list[Any] | None]
    max_instances: Mapped[int | None]
    max_gpus: Mapped[int | None]
    max_price_micros_per_hour: Mapped[int | None]
    daily_budget_micros: Mapped[int | None]
    monthly_budget_micros: Mapped[int | None]
    max_duration_seconds: Mapped[int | None]
    allowed_regions: Mapped[list[Any] | None]
    allowed_providers: Mapped[list[Any] | None]
    min_reliability_ppm: Mapped[int | None]
    on_budget_exceeded: Mapped[str]
    time_zone: Mapped[str]
    """Of the account's and of persons' budgets; a team has its own, a key counts in UTC."""
    paused_until: Mapped[datetime | None]
    """Nothing new is provisioned before."""
    paused_because: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class CommitmentRow(Base):
    """A rental as the caps see it: open until the rental is over."""

    __tablename__ = "commitments"
    __table_args__ = (
        CheckConstraint("gpu_count > 0", name="gpu_count_positive"),
        *(
            Index(
                f"ix_commitments_account_id_{column}", "account_id", column, postgresql_where=text("ended_at IS NULL")
            )
            for column in ("team_id", "key_id", "user_id")
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str | None]
    key_id: Mapped[str | None]
    user_id: Mapped[str | None]
    family: Mapped[str | None]
    gpu_count: Mapped[int]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class SpendRow(Base):
    """What a subject spent on one day of its own, as far as its account's transfers are counted. Micro-dollars.

    A day's usage is what its seconds cost; a refund lessens the day on which it was given.
    """

    __tablename__ = "policy_spend"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    micros: Mapped[int]


class CountedRow(Base):
    """Up to which transfer an account's spending is counted."""

    __tablename__ = "policy_counted"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]


class ZoneRow(Base):
    """In which zone a subject's days are counted, where that is not UTC."""

    __tablename__ = "policy_zones"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    time_zone: Mapped[str]
