"""The rentals room's tables: private to the room."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base

ALIVE = ("creating", "booting", "checking", "live", "hibernating", "hibernated", "resuming")
"""States of an attempt that may own a machine and are not on their way out."""


class RentalRow(Base):
    """One rental. ``rate`` is locked, in micro-dollars per hour; its money stands on the wallet's hold of this id."""

    __tablename__ = "rentals"
    __table_args__ = (
        CheckConstraint("rate > 0", name="rate_positive"),
        CheckConstraint(
            "status IN ('queued', 'provisioning', 'running', 'interrupted', 'hibernating', 'hibernated', 'stopping', "
            "'stopped', 'failed')",
            name="status",
        ),
        CheckConstraint("ran_seconds >= 0", name="ran_seconds_not_negative"),
        Index("ix_rentals_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
        Index("ix_rentals_stop_at", "stop_at", postgresql_where=text("status = 'running' AND stop_at IS NOT NULL")),
        Index("ix_rentals_bucket", "bucket", postgresql_where=text("status = 'running'")),
        Index("ix_rentals_created_at", "created_at", postgresql_where=text("status = 'queued'")),
        Index(
            "ix_rentals_account_id_team_id_id",
            "account_id",
            "team_id",
            "id",
            postgresql_where=text("team_id IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    version: Mapped[int]
    name: Mapped[str | None]
    tags: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    team_id: Mapped[str | None]
    """Whose it is; None for the account's own."""
    key_id: Mapped[str | None]
    """The key that made it."""
    user_id: Mapped[str | None]
    """Who made it, or the key that did."""
    status: Mapped[str]
    stage: Mapped[str | None]
    status_reason: Mapped[str | None]
    wanted: Mapped[dict[str, Any]]
    """What the caller asked of a listing: for matching again after a failed attempt."""
    launch: Mapped[dict[str, Any]]
    """Image, ports, disk, startup script."""
    sealed_env: Mapped[bytes | None]
    """Environment and secrets, sealed by the vault."""
    listing: Mapped[dict[str, Any]]
    """The listing that the rate comes from; after a fall-through, the one in use."""
    rate: Mapped[int]
    attempts: Mapped[int] = mapped_column(Integer)
    ssh_keys: Mapped[list[Any]]
    keys_version: Mapped[int]
    keys_applied: Mapped[int]
    max_duration_seconds: Mapped[int | None]
    max_spend: Mapped[int | None]
    next_at: Mapped[datetime | None]
    """When placement looks at it again; None once nothing is to be placed."""
    deadline_at: Mapped[datetime]
    queued_until: Mapped[datetime | None]
    """How long it waits for something to rent; None for one that never waited."""
    searched_before: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How many attempts it had when it was last sent back to wait."""
    created_at: Mapped[datetime]
    running_at: Mapped[datetime | None]
    """When it first ran."""
    run_since: Mapped[datetime | None]
    """When the present run began; None while nothing is billed as running."""
    ran_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    """Whole seconds of the runs that are over."""
    interruptions: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    interrupted_at: Mapped[datetime | None]
    """Since when its machine is being replaced; None again once it runs."""
    hibernated_at: Mapped[datetime | None]
    """Since when its machine is off; None again once it runs."""
    stopped_rate: Mapped[int | None]
    """What an hour of hibernation costs, in micro-dollars; None where it can't hibernate."""
    disk_lost: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether what was on the disk is lost, since it was resumed on another machine."""
    heartbeat_at: Mapped[datetime | None]
    """When the machine was last known to be well."""
    stop_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]
    failure: Mapped[dict[str, Any] | None]
    log_offset: Mapped[int]
    log_base: Mapped[int] = mapped_column(server_default=text("0"))
    """Where the log of the present machine begins within the rental's."""
    log_exit: Mapped[int | None] = mapped_column(Integer)
    audited: Mapped[bool] = mapped_column(server_default=text("true"))
    """Whether the audit tells of its creation; False for those that were there before the audit was."""


class AttemptRow(Base):
    """One try to place a rental on one listing: at most one create call, at most one machine."""

    __tablename__ = "attempts"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "rental_id"], ["rentals.account_id", "rentals.id"]),
        CheckConstraint(
            "status IN ('creating', 'booting', 'checking', 'live', 'hibernating', 'hibernated', 'resuming', 'doomed', "
            "'gone')",
            name="status",
        ),
        CheckConstraint("machine_id IS NOT NULL OR status IN ('creating', 'doomed', 'gone')", name="known_machine"),
        Index(
            "uq_attempts_one_alive",
            "account_id",
            "rental_id",
            unique=True,
            postgresql_where=text(
                "status IN ('creating', 'booting', 'checking', 'live', 'hibernating', 'hibernated', 'resuming')"
            ),
        ),
        Index("ix_attempts_next_at", "next_at", postgresql_where=text("status = 'doomed'")),
        Index("ix_attempts_gone_at", "gone_at", postgresql_where=text("status = 'gone' AND machine_id IS NOT NULL")),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str]
    provider: Mapped[str]
    offer_id: Mapped[str]
    listing: Mapped[dict[str, Any]]
    marker: Mapped[str]
    machine_id: Mapped[str | None]
    connection: Mapped[dict[str, Any] | None]
    host_key: Mapped[str | None]
    created_at: Mapped[datetime]
    booting_at: Mapped[datetime | None]
    checking_at: Mapped[datetime | None]
    live_at: Mapped[datetime | None]
    """When it first was the customer's."""
    answered_at: Mapped[datetime | None]
    """When the machine itself last answered, with its GPU: what no word of its cloud is worth."""
    preempts_at: Mapped[datetime | None]
    """When the cloud takes the machine back, once it has said so."""
    hibernated_at: Mapped[datetime | None]
    resuming_at: Mapped[datetime | None]
    doomed_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    destroy_tries: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str | None]
    message: Mapped[str | None]
    gpus: Mapped[list[Any] | None]


class RunRow(Base):
    """A stretch of time for which a rental is billed: running, or off with its disk kept. Stretches never overlap."""

    __tablename__ = "rental_runs"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "rental_id"], ["rentals.account_id", "rentals.id"]),
        CheckConstraint("kind IN ('ran', 'hibernated')", name="kind"),
        CheckConstraint("ended_at IS NULL OR ended_at >= began_at", name="ends_after_it_began"),
        Index(
            "uq_rental_runs_one_open", "account_id", "rental_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str]
    attempt: Mapped[int] = mapped_column(Integer)
    """On whose machine."""
    rate: Mapped[int]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str | None]
    """``interrupted``, ``hibernated``, ``resumed``, ``host_lost`` or the rental's end reason."""


class GpuUseRow(Base):
    """How busy one GPU of a rental was on one day of UTC, from samples that the watch takes every few minutes."""

    __tablename__ = "gpu_use"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "rental_id"], ["rentals.account_id", "rentals.id"]),
        CheckConstraint("idle_seconds BETWEEN 0 AND seconds", name="idle_within_seconds"),
        CheckConstraint(
            "percent_seconds BETWEEN 0 AND 100 * seconds AND last_percent BETWEEN 0 AND 100", name="percent"
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    gpu: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Its index on the machine."""
    samples: Mapped[int] = mapped_column(Integer)
    seconds: Mapped[int]
    """For how much of the day there are samples: each stands for the time since the one before."""
    idle_seconds: Mapped[int]
    percent_seconds: Mapped[int]
    """Utilisation in percent, times the seconds for which it stands."""
    last_percent: Mapped[int] = mapped_column(Integer)
    sampled_at: Mapped[datetime]


class LogRow(Base):
    """A piece of a startup script's output."""

    __tablename__ = "rental_logs"
    __table_args__ = (ForeignKeyConstraint(["account_id", "rental_id"], ["rentals.account_id", "rentals.id"]),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    rental_id: Mapped[str] = mapped_column(primary_key=True)
    from_offset: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
    at: Mapped[datetime]


class QuoteRow(Base):
    """A listing and a price, locked for a minute."""

    __tablename__ = "quotes"

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    wanted: Mapped[dict[str, Any]]
    listing: Mapped[dict[str, Any]]
    rate: Mapped[int]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_by: Mapped[str | None]


class SshKeyRow(Base):
    """A customer's public key."""

    __tablename__ = "ssh_keys"
    __table_args__ = (UniqueConstraint("account_id", "fingerprint"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    public_key: Mapped[str]
    fingerprint: Mapped[str]
    created_at: Mapped[datetime]


class TemplateRow(Base):
    """A customer's own launch template."""

    __tablename__ = "templates"
    __table_args__ = (UniqueConstraint("account_id", "name"),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    launch: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class OrphanRow(Base):
    """A machine with our marker that no attempt owns, seen by the sweep."""

    __tablename__ = "orphans"

    provider: Mapped[str] = mapped_column(primary_key=True)
    machine_id: Mapped[str] = mapped_column(primary_key=True)
    marker: Mapped[str]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]
    price_micros_per_hour: Mapped[int | None]
    """What it costs us, where its cloud tells."""
    created_at: Mapped[datetime | None]
