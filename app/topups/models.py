"""The topups room's tables: private to the room. Amounts in micro-dollars."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class CustomerRow(Base):
    """Who an account is at Stripe. ``email`` and ``name`` are what Stripe was told: a retry must tell the same."""

    __tablename__ = "customers"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str | None]
    email: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]


class CustomerOwnerRow(Base):
    """Whose a customer at Stripe is."""

    __tablename__ = "customer_owners"

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]


class PaymentMethodRow(Base):
    """A saved card; ``id`` is Stripe's."""

    __tablename__ = "payment_methods"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    brand: Mapped[str]
    last4: Mapped[str]
    exp_month: Mapped[int] = mapped_column(SmallInteger)
    exp_year: Mapped[int] = mapped_column(SmallInteger)
    fingerprint: Mapped[str | None]
    created_at: Mapped[datetime]
    detached_at: Mapped[datetime | None]


class PaymentMethodOwnerRow(Base):
    """Whose a card is, also when Stripe tells of it without its customer."""

    __tablename__ = "payment_method_owners"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]


class CheckoutRow(Base):
    """One visit to Stripe's page: created → open → complete | processing → complete | failed; or expired, failed."""

    __tablename__ = "checkouts"
    __table_args__ = (
        UniqueConstraint("account_id", "idempotency_key"),
        CheckConstraint("mode IN ('payment', 'setup')", name="mode"),
        CheckConstraint("purpose IN ('deposit', 'save_card', 'confirm_topup')", name="purpose"),
        CheckConstraint("state IN ('created', 'open', 'processing', 'complete', 'expired', 'failed')", name="state"),
        CheckConstraint("(mode = 'payment') = (amount IS NOT NULL)", name="a_payment_has_an_amount"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("state <> 'open' OR session_id IS NOT NULL", name="an_open_one_has_a_session"),
        Index(
            "uq_checkouts_account_id_session_id",
            "account_id",
            "session_id",
            unique=True,
            postgresql_where=text("session_id IS NOT NULL"),
        ),
        Index("ix_checkouts_account_id", "account_id", postgresql_where=text("state = 'processing'")),
        Index("ix_checkouts_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    mode: Mapped[str]
    purpose: Mapped[str]
    amount: Mapped[int | None]
    save_card: Mapped[bool]
    idempotency_key: Mapped[str]
    """The caller's, after the purpose and a colon."""
    params: Mapped[dict[str, Any]]
    """What Stripe is asked, word for word: a retry must ask the same."""
    state: Mapped[str]
    session_id: Mapped[str | None]
    url: Mapped[str | None]
    payment_intent_id: Mapped[str | None]
    setup_intent_id: Mapped[str | None]
    payment_method_id: Mapped[str | None]
    """The card that was saved here."""
    payment_id: Mapped[str | None]
    attempt_id: Mapped[str | None]
    """The top-up that a person confirms here."""
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    """When it is looked at without being asked; None once it is over."""


class PaymentRow(Base):
    """One PaymentIntent. ``credited``, ``refunded`` and ``disputed`` are what the ledger has been told so far."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("account_id", "payment_intent_id"),
        ForeignKeyConstraint(["account_id", "checkout_id"], ["checkouts.account_id", "checkouts.id"]),
        CheckConstraint("source IN ('checkout', 'auto_topup')", name="source"),
        CheckConstraint(
            "amount >= 0 AND tax >= 0 AND credited >= 0 AND refunded >= 0 AND disputed >= 0",
            name="amounts_not_negative",
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    payment_intent_id: Mapped[str]
    source: Mapped[str]
    checkout_id: Mapped[str | None]
    attempt_id: Mapped[str | None]
    amount: Mapped[int]
    tax: Mapped[int]
    credited: Mapped[int]
    refunded: Mapped[int]
    disputed: Mapped[int]
    status: Mapped[str]
    charge_id: Mapped[str | None]
    receipt_url: Mapped[str | None]
    payment_method_id: Mapped[str | None]
    brand: Mapped[str | None]
    last4: Mapped[str | None]
    fingerprint: Mapped[str | None]
    created_at: Mapped[datetime]
    succeeded_at: Mapped[datetime | None]
    checked_at: Mapped[datetime]


class PaymentOwnerRow(Base):
    """Whose a PaymentIntent is."""

    __tablename__ = "payment_owners"

    payment_intent_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    payment_id: Mapped[str]


class RefundRow(Base):
    """Money on its way back to a card: asked of us, or made at Stripe behind our back."""

    __tablename__ = "refunds"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "payment_id"], ["payments.account_id", "payments.id"]),
        CheckConstraint("source IN ('ours', 'external')", name="source"),
        CheckConstraint(
            "status IN ('held', 'submitted', 'pending', 'succeeded', 'failed', 'canceled', 'unknown')", name="status"
        ),
        CheckConstraint("amount > 0", name="amount_positive"),
        Index(
            "uq_refunds_account_id_idempotency_key",
            "account_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index(
            "uq_refunds_account_id_stripe_refund_id",
            "account_id",
            "stripe_refund_id",
            unique=True,
            postgresql_where=text("stripe_refund_id IS NOT NULL"),
        ),
        Index("ix_refunds_account_id_payment_id", "account_id", "payment_id"),
        Index("ix_refunds_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    payment_id: Mapped[str]
    amount: Mapped[int]
    reason: Mapped[str | None]
    source: Mapped[str]
    status: Mapped[str]
    stripe_refund_id: Mapped[str | None]
    failure_reason: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    tries: Mapped[int]
    next_at: Mapped[datetime | None]


class DisputeRow(Base):
    """A payment that its card's owner contests; ``withdrawn`` and ``reinstated`` as the ledger knows them."""

    __tablename__ = "disputes"
    __table_args__ = (
        UniqueConstraint("account_id", "stripe_dispute_id"),
        ForeignKeyConstraint(["account_id", "payment_id"], ["payments.account_id", "payments.id"]),
        CheckConstraint("amount >= 0 AND withdrawn >= 0 AND reinstated >= 0", name="amounts_not_negative"),
        Index("ix_disputes_account_id_payment_id", "account_id", "payment_id"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    payment_id: Mapped[str]
    stripe_dispute_id: Mapped[str]
    amount: Mapped[int]
    reason: Mapped[str]
    status: Mapped[str]
    phase: Mapped[str]
    due_by: Mapped[datetime | None]
    withdrawn: Mapped[int]
    reinstated: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class StripeEventRow(Base):
    """Something Stripe told. It only says where to look: nothing is read from its payload but ids."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        CheckConstraint("source IN ('webhook', 'sweep')", name="source"),
        CheckConstraint("state IN ('new', 'done', 'ignored', 'dead')", name="state"),
        Index("ix_stripe_events_next_at", "next_at", postgresql_where=text("state = 'new'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    type: Mapped[str]
    api_version: Mapped[str | None]
    created_at: Mapped[datetime]
    livemode: Mapped[bool]
    payload: Mapped[bytes]
    object_id: Mapped[str | None]
    received_at: Mapped[datetime]
    source: Mapped[str]
    state: Mapped[str]
    outcome: Mapped[str | None]
    tries: Mapped[int]
    next_at: Mapped[datetime | None]
    handled_at: Mapped[datetime | None]


class StripeCursorRow(Base):
    """How far a list of Stripe's was read."""

    __tablename__ = "stripe_cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[str | None]
    at: Mapped[datetime]


class ReconciliationRow(Base):
    """One comparison of our books with Stripe's."""

    __tablename__ = "reconciliations"
    __table_args__ = (Index("ix_reconciliations_kind_at", "kind", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    at: Mapped[datetime]
    ok: Mapped[bool]
    report: Mapped[dict[str, Any]]
