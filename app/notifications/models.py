"""The tables of notifications; private to this room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class EventQueueRow(Base):
    """An event that nobody was told of yet; written by a trigger in the event's own transaction."""

    __tablename__ = "event_queue"
    __table_args__ = (Index("ix_event_queue_bucket_event_id", "bucket", "event_id"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)


class FeedRow(Base):
    """An event at its place among all of its account's, and who may see it."""

    __tablename__ = "event_feed"
    __table_args__ = (
        UniqueConstraint("account_id", "event_id"),
        CheckConstraint("position > 0", name="position"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts an account's events from 1 in the order in which they were found, never one below another seen before."""
    event_id: Mapped[str]
    subject: Mapped[str]
    seq: Mapped[int]
    type: Mapped[str]
    team_id: Mapped[str | None]
    made_by: Mapped[str | None]
    """The key or the person that made the subject."""
    person: Mapped[str | None]
    """Who that is, where a person stands behind it."""


class EndpointRow(Base):
    """Where a customer wants to be told."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("state IN ('enabled', 'disabled', 'deleted')", name="state"),
        CheckConstraint("(state = 'disabled') = (disabled_because IS NOT NULL)", name="because"),
        CheckConstraint("(sealed_previous IS NULL) = (previous_until IS NULL)", name="previous"),
        Index("ix_webhook_endpoints_bucket", "bucket", postgresql_where=text("state <> 'deleted'")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[int]
    url: Mapped[str]
    description: Mapped[str]
    types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Patterns of the types that are wanted; none: all."""
    state: Mapped[str]
    disabled_because: Mapped[str | None]
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_previous: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[datetime | None]
    """Until when messages carry a signature by the secret before, too."""
    failing_since: Mapped[datetime | None]
    """When the first of the tries failed that have all failed since."""
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class DeliveryRow(Base):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("account_id", "endpoint_id", "event_id"),
        ForeignKeyConstraint(["account_id", "endpoint_id"], ["webhook_endpoints.account_id", "webhook_endpoints.id"]),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        CheckConstraint("tries >= tries_before AND tries_before >= 0", name="tries"),
        CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="next"),
        CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name="ended"),
        Index(
            "ix_webhook_deliveries_account_id_endpoint_id_next_at",
            "account_id",
            "endpoint_id",
            "next_at",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_webhook_deliveries_account_id_endpoint_id_id", "account_id", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_ended_at", "ended_at", postgresql_where=text("state <> 'pending'")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    state: Mapped[str]
    tries: Mapped[int]
    tries_before: Mapped[int]
    """How many of them belong to earlier series."""
    since: Mapped[datetime]
    """When the present series of tries began; three days later it is given up."""
    next_at: Mapped[datetime | None]
    trying_until: Mapped[datetime | None]
    """While a try is under way: when it is given up for lost."""
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]


class AttemptRow(Base):
    """One try of a delivery, and what came of it."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "delivery_id"],
            ["webhook_deliveries.account_id", "webhook_deliveries.id"],
            ondelete="CASCADE",
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    milliseconds: Mapped[int]
    status: Mapped[int | None]
    error: Mapped[str | None]
    answer: Mapped[str]
    """The beginning of what the receiver said."""


class PreferenceRow(Base):
    """Whether a person, or an account for everybody who has not chosen, wants mails of a kind."""

    __tablename__ = "notification_preferences"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str] = mapped_column(primary_key=True)
    """A person's id, or the account's own."""
    kind: Mapped[str] = mapped_column(primary_key=True)
    wanted: Mapped[bool]
