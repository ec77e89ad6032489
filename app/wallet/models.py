"""The wallet room's tables: private to the room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class HoldRow(Base):
    """Money held for one rental, and the meter that eats it. Amounts in micro-dollars, ``rate`` per hour."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'closed')", name="state"),
        CheckConstraint("rate > 0", name="rate_positive"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint(
            "charged = earlier_charged + div(rate::numeric * (billed_seconds - earlier_seconds), 3600)",
            name="charged_is_the_cost",
        ),
        CheckConstraint(
            "earlier_seconds BETWEEN 0 AND billed_seconds AND earlier_charged BETWEEN 0 AND charged",
            name="earlier_is_within",
        ),
        CheckConstraint("refunded BETWEEN 0 AND charged", name="refund_within_charge"),
        CheckConstraint("forgiven BETWEEN 0 AND refunded", name="forgiven_within_refund"),
        CheckConstraint("state <> 'closed' OR held = 0", name="closed_is_empty"),
        CheckConstraint("state <> 'running' OR started_at IS NOT NULL", name="running_has_started"),
        CheckConstraint("(stop_by IS NULL) = (stop_by_because IS NULL)", name="cap_has_a_reason"),
        Index("ix_holds_slot_bucket", "slot", "bucket", postgresql_where=text("state = 'running'")),
        Index("ix_holds_account_id", "account_id", postgresql_where=text("state <> 'closed'")),
        Index("ix_holds_ends_at", "ends_at", postgresql_where=text("state = 'running' AND ends_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 70}},
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str]
    rate: Mapped[int]
    held: Mapped[int]
    """What remains of the money held."""
    charged: Mapped[int]
    """Captured so far; always C(billed_seconds): what earlier rates cost, and the present rate since."""
    refunded: Mapped[int]
    forgiven: Mapped[int] = mapped_column(server_default=text("0"))
    """What of it was for seconds before ``base_seconds``: the next run is charged from its first second on."""
    billed_seconds: Mapped[int]
    base_seconds: Mapped[int]
    """Billable seconds of earlier runs, also those given back; the present run adds to it from ``started_at``."""
    earlier_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    """Seconds billed at earlier rates; 0 while the first one holds."""
    earlier_charged: Mapped[int] = mapped_column(server_default=text("0"))
    """What they cost."""
    rate_changes: Mapped[int] = mapped_column(server_default=text("0"))
    overrun_seconds: Mapped[int]
    """Seconds that ran past the money because we were late: our loss."""
    max_spend: Mapped[int | None]
    slot: Mapped[int] = mapped_column(SmallInteger)
    """The second within the settlement period at which this hold is settled."""
    started_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    funded_until: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    """When a stop must be issued since the hold could not be renewed in full, or is capped; None while neither is so."""
    ends_because: Mapped[str | None]
    stop_by: Mapped[datetime | None]
    """After which nothing is billed, whatever runs and however late a worker is; None where nothing caps it."""
    stop_by_because: Mapped[str | None]
    warned_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class AlertRow(Base):
    """One warning level of a wallet: micro-dollars available (``balance``, ``depleted``) or seconds of runway."""

    __tablename__ = "wallet_alerts"
    __table_args__ = (CheckConstraint("threshold >= 0", name="threshold_not_negative"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    level: Mapped[str] = mapped_column(primary_key=True)
    threshold: Mapped[int]
    armed: Mapped[bool]
    fired_at: Mapped[datetime | None]


class ReversalHoldRow(Base):
    """Money held for one refund or dispute, and what came of it. Amounts in micro-dollars."""

    __tablename__ = "reversal_holds"
    __table_args__ = (
        CheckConstraint("kind IN ('refund', 'dispute')", name="kind"),
        CheckConstraint("state IN ('open', 'closed')", name="state"),
        CheckConstraint("held BETWEEN 0 AND asked", name="held_within_asked"),
        CheckConstraint("returned BETWEEN 0 AND debited", name="returned_within_debited"),
        CheckConstraint("state <> 'closed' OR held = 0", name="closed_is_empty"),
        Index("ix_reversal_holds_account_id", "account_id", postgresql_where=text("state = 'open'")),
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    """The refund's or the dispute's id."""
    kind: Mapped[str]
    payment_id: Mapped[str]
    state: Mapped[str]
    asked: Mapped[int]
    """What was to be held; for a dispute there may have been less."""
    held: Mapped[int]
    debited: Mapped[int]
    """What has left for it, owed parts included."""
    returned: Mapped[int]
    """What of that came back."""
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
