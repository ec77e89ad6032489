"""The ledger's tables: private to the room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base

_MICROS = DOMAIN("micros", BigInteger(), check="VALUE >= 0")
_POSITIVE = DOMAIN("positive", BigInteger(), check="VALUE > 0")


class WalletRow(Base):
    """One account's balances in micro-dollars, changed only together with a transfer."""

    __tablename__ = "wallets"
    __table_args__ = (
        # Neither is negative, and while something is owed nothing is available.
        CheckConstraint("least(available, owed) = 0", name="available_or_owed"),
        Index("ix_wallets_bucket", "bucket"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    available: Mapped[int]
    reserved: Mapped[int] = mapped_column(_MICROS)
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
        CheckConstraint("debit <> credit", name="two_buckets"),
        CheckConstraint("least(available_after, owed_after) = 0", name="available_or_owed"),
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
    seq: Mapped[int] = mapped_column(_POSITIVE, primary_key=True, autoincrement=False)
    id: Mapped[str]
    """Follows from the account and the idempotency key, whose uniqueness is this one's."""
    kind: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    amount: Mapped[int] = mapped_column(_POSITIVE)
    available_after: Mapped[int]
    reserved_after: Mapped[int] = mapped_column(_MICROS)
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
    base_s: Mapped[int | None]
    """From which second on the rate holds; None for a rental's first one."""


class SealRow(Base):
    """The hash chain's value at one row of an account's ledger."""

    __tablename__ = "ledger_seals"

    account_id: Mapped[str] = mapped_column(ForeignKey("wallets.account_id"), primary_key=True)
    last_seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]
    sealed_at: Mapped[datetime]
