"""The tables of tenancy; private to this room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base

_ROLES = "role IN ('owner', 'admin', 'billing', 'member', 'viewer')"


class AccountRow(Base):
    """A tenant. Its id is its ``account_id``, so that row-level security treats it like its other rows."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("kind IN ('personal', 'organization')", name="kind"),
        CheckConstraint("status IN ('active', 'suspended')", name="status"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    created_at: Mapped[datetime]


class UserRow(Base):
    """A person's membership in an account; the same person may be in several. Kept when it ends."""

    __tablename__ = "users"
    __table_args__ = (
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_users_account_id_accounts"),
        CheckConstraint(_ROLES, name="role"),
        Index("ix_users_id", "id"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    joined_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class TeamRow(Base):
    """A part of an account."""

    __tablename__ = "teams"
    __table_args__ = (
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_teams_account_id_accounts"),
        Index(
            "ix_teams_account_id_name", "account_id", "name", unique=True, postgresql_where=text("archived_at IS NULL")
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    time_zone: Mapped[str]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class TeamMemberRow(Base):
    """A person in a team of its account."""

    __tablename__ = "team_members"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "team_id"], ["teams.account_id", "teams.id"]),
        ForeignKeyConstraint(["account_id", "user_id"], ["users.account_id", "users.id"]),
        CheckConstraint("role IN ('lead', 'member')", name="role"),
        Index("ix_team_members_account_id_user_id", "account_id", "user_id"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    team_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    added_at: Mapped[datetime]


class ApiKeyRow(Base):
    """An API key, without its secret."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_api_keys_account_id_accounts"),
        ForeignKeyConstraint(["account_id", "rotated_to"], ["api_keys.account_id", "api_keys.id"]),
        ForeignKeyConstraint(["account_id", "team_id"], ["teams.account_id", "teams.id"]),
        CheckConstraint("mode IN ('live', 'test')", name="mode"),
        CheckConstraint("spend_limit > 0", name="spend_limit"),
        CheckConstraint("limit_reset IN ('daily', 'weekly', 'monthly')", name="limit_reset"),
        CheckConstraint("limit_reset IS NULL OR spend_limit IS NOT NULL", name="limit_that_resets"),
        Index("ix_api_keys_account_id_created_by", "account_id", "created_by"),
        Index("ix_api_keys_account_id_team_id", "account_id", "team_id"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    last4: Mapped[str]
    mode: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    allowed_ips: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    rotated_to: Mapped[str | None]
    last_used_at: Mapped[datetime | None]
    team_id: Mapped[str | None]
    spend_limit: Mapped[int | None]
    limit_reset: Mapped[str | None]


class KeyHashRow(Base):
    """The way from a secret's hash to its key; globally unique."""

    __tablename__ = "key_hashes"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "key_id"], ["api_keys.account_id", "api_keys.id"]),
        CheckConstraint("octet_length(hash) = 32", name="length"),
        {"comment": "global: finds the account of a key before the account is known"},
    )

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[str]
    key_id: Mapped[str]


class InvitationRow(Base):
    """An invitation to an account, by e-mail. Open until it is accepted, revoked or expires."""

    __tablename__ = "invitations"
    __table_args__ = (
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_invitations_account_id_accounts"),
        CheckConstraint(_ROLES, name="role"),
        CheckConstraint("accepted_at IS NULL OR revoked_at IS NULL", name="one_end"),
        Index(
            "ix_invitations_account_id_email",
            "account_id",
            "email",
            unique=True,
            postgresql_where=text("accepted_at IS NULL AND revoked_at IS NULL"),
        ),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    role: Mapped[str]
    teams: Mapped[list[Any]]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    invited_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    sent_at: Mapped[datetime]
    times_sent: Mapped[int]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[str | None]
    revoked_at: Mapped[datetime | None]


class InvitationTokenRow(Base):
    """The way from a token's hash to its invitation; globally unique."""

    __tablename__ = "invitation_tokens"
    __table_args__ = (
        ForeignKeyConstraint(["account_id", "invitation_id"], ["invitations.account_id", "invitations.id"]),
        CheckConstraint("octet_length(hash) = 32", name="length"),
    )

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    account_id: Mapped[str]
    invitation_id: Mapped[str]
