"""The refills room's tables: private to the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base

_OPEN = "state IN ('created', 'submitted', 'unknown')"


class RuleRow(Base):
    """When a wallet asks its card for more, and whether it may now. Amounts in micro-dollars."""

    __tablename__ = "auto_topup_rules"
    __table_args__ = (
        CheckConstraint(
            "mode = 'fixed' AND amount > 0 AND target IS NULL OR mode = 'target' AND target > threshold AND amount IS NULL",
            name="mode",
        ),
        CheckConstraint("threshold > 0", name="threshold_positive"),
        CheckConstraint("monthly_cap > 0", name="monthly_cap_positive"),
        CheckConstraint("state IN ('active', 'cooling', 'backing_off', 'suspended', 'capped', 'off')", name="state"),
        CheckConstraint(
            "state NOT IN ('cooling', 'backing_off', 'capped') OR until IS NOT NULL", name="passing_states_end"
        ),
        Index(
            "ix_auto_topup_rules_until",
            "until",
            postgresql_where=text("state IN ('cooling', 'backing_off', 'capped')"),
        ),
        Index("ix_auto_topup_rules_bucket", "bucket", postgresql_where=text("state = 'active'")),
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    mode: Mapped[str]
    threshold: Mapped[int]
    amount: Mapped[int | None]
    target: Mapped[int | None]
    monthly_cap: Mapped[int]
    only_while_running: Mapped[bool]
    payment_method_id: Mapped[str | None]
    """Stripe's id of the card; None once it was detached."""
    card_fingerprint: Mapped[str | None]
    state: Mapped[str]
    state_reason: Mapped[str | None]
    until: Mapped[datetime | None]
    """When a state that passes by itself ends."""
    failures: Mapped[int] = mapped_column(SmallInteger)
    """Declines in a row."""
    bad_fingerprints: Mapped[list[Any]]
    """Cards that are left alone until a person acts."""
    consent_text_version: Mapped[str]
    consent_at: Mapped[datetime]
    consent_actor: Mapped[str]
    last_manual_resume_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    version: Mapped[int]


class AttemptRow(Base):
    """One charge that the rule asked for; at most one is open in a wallet. Amounts in micro-dollars, whole cents."""

    __tablename__ = "topup_attempts"
    __table_args__ = (
        CheckConstraint(
            "state IN ('created', 'submitted', 'unknown', 'succeeded', 'declined', 'action_required', 'canceled')",
            name="state",
        ),
        CheckConstraint("amount > 0 AND amount % 10000 = 0", name="amount_positive"),
        CheckConstraint("month_total <= monthly_cap", name="within_cap"),
        CheckConstraint(
            f"({_OPEN}) = (next_at IS NOT NULL) AND (next_at IS NULL) = (resolved_at IS NOT NULL)",
            name="open_is_looked_at",
        ),
        CheckConstraint(
            "state NOT IN ('submitted', 'unknown') OR params IS NOT NULL AND submitted_at IS NOT NULL",
            name="sent_is_frozen",
        ),
        Index("uq_topup_attempts_one_open", "account_id", unique=True, postgresql_where=text(_OPEN)),
        Index(
            "uq_topup_attempts_account_id_payment_intent_id",
            "account_id",
            "payment_intent_id",
            unique=True,
            postgresql_where=text("payment_intent_id IS NOT NULL"),
        ),
        Index("ix_topup_attempts_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    amount: Mapped[int]
    currency: Mapped[str]
    monthly_cap: Mapped[int]
    """The rule's cap when this was asked for."""
    month_total: Mapped[int]
    """What the month had charged and in flight with this one."""
    payment_method_id: Mapped[str]
    card_fingerprint: Mapped[str | None]
    state: Mapped[str]
    decline_code: Mapped[str | None]
    advice_code: Mapped[str | None]
    payment_intent_id: Mapped[str | None]
    payment_id: Mapped[str | None]
    checkout_id: Mapped[str | None]
    """Where the customer can confirm, when the bank asked for that."""
    params: Mapped[dict[str, Any] | None]
    """What is sent to Stripe, frozen before it is sent for the first time: every retry sends the same."""
    trigger: Mapped[str]
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(SmallInteger)
    next_at: Mapped[datetime | None]
