"""The ledger's tables: private to the room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class WalletRow(Base):
    """One account's balances in micro-dollars, changed only together with a transfer."""

    __tablename__ = "wallets"
    __table_args__ = (
        CheckConstraint("available >= 0", name="available_not_negative"),
        CheckConstraint("reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("owed >= 0", name="owed_not_negative"),
        CheckConstraint("owed = 0 OR available = 0", name="owed_leaves_nothing_available"),
        Index("ix_wallets_bucket", "bucket"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    available: Mapped[int]
    reserved: Mapped[int]
    owed: Mapped[int]
    seq: Mapped[int]
    alert_below: Mapped[int]
    """At or below this much available, a movement says that warnings may be due."""
    frozen_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    restricted_at: Mapped[datetime | None]
    """Since when a payment is disputed: nothing new is reserved and no hold renewed."""


class TransferRow(Base):
    """One movement of a positive amount from one bucket of an account to another. Never changed.

    Its wallet is there without a foreign key saying so: a transfer is inserted from the very row of the wallet's update.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        UniqueConstraint("account_id", "id"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("debit <> credit", name="two_buckets"),
        CheckConstraint("seq > 0", name="seq_positive"),
        CheckConstraint("available_after >= 0 AND reserved_after >= 0 AND owed_after >= 0", name="after_not_negative"),
        CheckConstraint("owed_after = 0 OR available_after = 0", name="owed_leaves_nothing_available"),
        Index(
            "ix_transfers_account_id_rental_id_seq",
            "account_id",
            "rental_id",
            "seq",
            postgresql_where=text("rental_id IS NOT NULL"),
        ),
        Index(
            "ix_transfers_account_id_reference",
            "account_id",
            "reference",
            postgresql_where=text("reference IS NOT NULL"),
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str]
    """Follows from the account and the idempotency key, whose uniqueness is this one's."""
    kind: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    amount: Mapped[int]
    available_after: Mapped[int]
    reserved_after: Mapped[int]
    owed_after: Mapped[int]
    effective_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    rental_id: Mapped[str | None]
    actor: Mapped[str]
    description: Mapped[str]
    idempotency_key: Mapped[str]
    rate: Mapped[int | None]
    from_s: Mapped[int | None]
    to_s: Mapped[int | None]
    reference: Mapped[str | None]
    """The payment, refund, dispute, top-up or lot of credit that it belongs to."""


class SealRow(Base):
    """The hash chain's value at one row of an account's ledger."""

    __tablename__ = "ledger_seals"

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    last_seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]
    sealed_at: Mapped[datetime]
