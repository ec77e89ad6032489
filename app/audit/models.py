"""The audit's tables: private to the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class HeadRow(Base):
    """Where an account's chain ends: how many entries it has, and the hash of the last."""

    __tablename__ = "audit_heads"
    __table_args__ = (
        CheckConstraint("seq >= 1", name="counts_from_one"),
        Index("ix_audit_heads_bucket", "bucket"),
        {"postgresql_with": {"fillfactor": 70}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    seq: Mapped[int]
    hash: Mapped[bytes]


class EntryRow(Base):
    """One act: who did what to which thing. Never changed; ``seq`` counts per account without gaps."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_account_id_at_seq", "account_id", "at", "seq"),
        Index("ix_audit_entries_account_id_actor_seq", "account_id", "actor", "seq"),
        Index("ix_audit_entries_account_id_target_seq", "account_id", "target", "seq"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    """A key's or a person's id, ``operator``, or ``system`` for what the worker does by itself."""
    user_id: Mapped[str | None]
    """The person behind the actor, where one is known."""
    action: Mapped[str]
    """What was done, as ``thing.deed``: ``rental.created``, ``team.updated``."""
    target: Mapped[str]
    """The id of what it was done to."""
    team_id: Mapped[str | None]
    request_id: Mapped[str | None]
    address: Mapped[str | None]
    """Where the request came from."""
    details: Mapped[dict[str, Any]]
    hash: Mapped[bytes]
    """SHA-256 of the hash before and of everything in this row."""


class CheckRow(Base):
    """How far an account's chain was found whole, and with which hash: it must lead through there for ever."""

    __tablename__ = "audit_checks"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]
    hash: Mapped[bytes]
    checked_at: Mapped[datetime]
    whole_at: Mapped[datetime]
    """When it was last read from its very beginning."""
    first_bad_seq: Mapped[int | None]
    """Where trouble began when it was last looked at; None while there is none."""
