"""The outbox's table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class EventRow(Base):
    """One thing that happened to one subject; ``seq`` counts per subject without gaps."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_account_id_id", "account_id", "id"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str]
    type: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]]
