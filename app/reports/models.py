"""The reports' tables: private to the room. Both follow from the ledger, and can be counted again from it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class SpendRow(Base):
    """What one rental was charged and given back on one day of UTC, on one provider's GPUs of one family.

    ``seq`` of the transfers in it is at most the account's ``CountedRow.seq``. Amounts in micro-dollars. What belongs
    to no rental has an empty ``rental_id``; what is not known of the machine is empty too.
    """

    __tablename__ = "report_spend"
    __table_args__ = (
        CheckConstraint("seconds >= 0 AND charged >= 0 AND refunded >= 0", name="not_negative"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str | None]
    user_id: Mapped[str | None]
    key_id: Mapped[str | None]
    tags: Mapped[dict[str, Any]]
    """As the rental bore them when the day was last counted."""
    seconds: Mapped[int]
    charged: Mapped[int]
    refunded: Mapped[int]


class CountedRow(Base):
    """Up to which transfer an account is counted."""

    __tablename__ = "report_counted"
    __table_args__ = (
        CheckConstraint("seq >= 0", name="seq"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]
    counted_at: Mapped[datetime]
