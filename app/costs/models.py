"""The costs room's tables: private to the room."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class MachineCostRow(Base):
    """What one machine that is gone cost us at its cloud, in micro-dollars."""

    __tablename__ = "machine_costs"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'final')", name="state"),
        CheckConstraint("(state = 'open') = (next_at IS NOT NULL)", name="open_ones_are_asked_for"),
        CheckConstraint("state = 'open' OR micros IS NOT NULL", name="final_ones_are_known"),
        CheckConstraint("micros >= 0 AND price >= 0", name="not_negative"),
        CheckConstraint("num_nonnulls(account_id, rental_id, attempt) IN (0, 3)", name="all_of_the_attempt"),
        Index("ix_machine_costs_next_at", "provider", "next_at", postgresql_where=text("state = 'open'")),
        Index("ix_machine_costs_account_id_rental_id", "account_id", "rental_id"),
        Index("ix_machine_costs_ended_at", "ended_at"),
    )

    provider: Mapped[str] = mapped_column(primary_key=True)
    machine_id: Mapped[str] = mapped_column(primary_key=True)
    marker: Mapped[str]
    account_id: Mapped[str | None]
    """Whose rental it served; None for an orphan."""
    rental_id: Mapped[str | None]
    attempt: Mapped[int | None] = mapped_column(Integer)
    family: Mapped[str | None]
    price: Mapped[int]
    """Of the machine with its disk, per hour, as it was listed; 0 where an orphan's is not known."""
    began_at: Mapped[datetime]
    ran_from: Mapped[datetime]
    """When it was first seen to run: from then on clouds without books bill."""
    ended_at: Mapped[datetime]
    state: Mapped[str]
    micros: Mapped[int | None]
    exact: Mapped[bool]
    """From the cloud's books, and complete."""
    tries: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class CostReconciliationRow(Base):
    """A day of UTC at one cloud, ours beside its books."""

    __tablename__ = "cost_reconciliations"

    provider: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    ok: Mapped[bool | None]
    """None where the cloud has no books."""
    report: Mapped[dict[str, Any]]
