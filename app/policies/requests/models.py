"""The table of requests: private to the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class RequestRow(Base):
    """Somebody's wish that a team's policy say something else."""

    __tablename__ = "policy_requests"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'approved', 'denied')", name="state"),
        CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided"),
        Index("ix_policy_requests_account_id_team_id_id", "account_id", "team_id", "id"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str]
    version: Mapped[int]
    """Of the policy that it was asked of: a request never changes what nobody has seen."""
    changes: Mapped[dict[str, Any]]
    """What is to be changed, as it was sent."""
    reason: Mapped[str]
    state: Mapped[str]
    asked_by: Mapped[str]
    asked_at: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]
