"""What is remembered of budgets: private to the room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class MarkRow(Base):
    """How far one budget has come in its present period, as far as that was told. Amounts in micro-dollars."""

    __tablename__ = "budget_marks"
    __table_args__ = (
        CheckConstraint("budget IN ('daily_budget', 'monthly_budget', 'limit')", name="budget"),
        CheckConstraint("percent IN (0, 50, 75, 90, 100)", name="percent"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    budget: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    """When the period began that the rest is about."""
    amount: Mapped[int]
    """The budget then; another one is told of anew."""
    percent: Mapped[int] = mapped_column(SmallInteger)
    """The highest level that was told."""
    burning: Mapped[bool]
    """Whether it was told that it will not last."""
    crosses_at: Mapped[datetime | None]
    """When a hard budget ends what runs; one that has passed stays."""


class LookRow(Base):
    """When an account's budgets are looked at again; None while nothing can change by itself."""

    __tablename__ = "budget_looks"
    __table_args__ = (Index("ix_budget_looks_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    next_at: Mapped[datetime | None]
