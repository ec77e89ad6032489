"""The lots room's tables: private to the room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class LotRow(Base):
    """Credit that came in at once, and what has become of it, up to the book's transfer. Amounts in micro-dollars."""

    __tablename__ = "credit_lots"
    __table_args__ = (
        UniqueConstraint("account_id", "source", "reference"),
        CheckConstraint("source IN ('promo', 'adjustment', 'paid')", name="source"),
        CheckConstraint("least(granted, remaining, spent, aside, withheld) >= 0", name="not_negative"),
        CheckConstraint("source = 'promo' OR withheld = 0 AND expires_at IS NULL", name="only_grants_expire"),
        Index("ix_credit_lots_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    reference: Mapped[str | None]
    """The payment that it came from, or what the grant was given for."""
    granted: Mapped[int]
    remaining: Mapped[int]
    """Neither spent nor held for a refund or a dispute."""
    spent: Mapped[int]
    aside: Mapped[int]
    """Held for a refund or a dispute."""
    withheld: Mapped[int]
    """Taken away while something is owed, granted again afterwards."""
    priority: Mapped[int]
    expires_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When its expiry is looked after; None when nothing of it is left to expire."""
    opened_seq: Mapped[int]
    reason: Mapped[str]
    created_at: Mapped[datetime]


class BookRow(Base):
    """How far an account's transfers are folded into its lots, and what was lent to it while it owed something."""

    __tablename__ = "credit_books"

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    counted_seq: Mapped[int]
    owed: Mapped[int]
    lent: Mapped[int]
    lent_spent: Mapped[int]


class ReversedPaymentRow(Base):
    """Of which payment a refund or a dispute is."""

    __tablename__ = "reversed_payments"

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    payment_id: Mapped[str]
