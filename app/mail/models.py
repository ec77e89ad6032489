"""The outbox of e-mails; private to this room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class MailRow(Base):
    """One e-mail to one address."""

    __tablename__ = "mails"
    __table_args__ = (
        UniqueConstraint("account_id", "dedupe_key", "to_address"),
        CheckConstraint("state IN ('queued', 'sent', 'logged', 'failed')", name="state"),
        CheckConstraint("tries >= 0", name="tries"),
        CheckConstraint("(state IN ('sent', 'logged')) = (sent_at IS NOT NULL)", name="sent"),
        Index("ix_mails_bucket_next_at", "bucket", "next_at", postgresql_where=text("state = 'queued'")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    to_address: Mapped[str]
    template: Mapped[str]
    data: Mapped[dict[str, Any]]
    dedupe_key: Mapped[str]
    """Names the cause; with the address it stands once."""
    state: Mapped[str]
    tries: Mapped[int]
    next_at: Mapped[datetime]
    """While queued: when it is to be tried, or when a try under way is given up for lost."""
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    message_id: Mapped[str | None]
    """Fixed at the first try, so that a message sent again is known for the same."""
    last_error: Mapped[str | None]
