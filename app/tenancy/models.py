"""The tables of tenancy; private to this room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


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
    """A person of an account."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("account_id", "email"),
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_users_account_id_accounts"),
    )

    account_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]


class ApiKeyRow(Base):
    """An API key, without its secret."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_api_keys_account_id_accounts"),
        ForeignKeyConstraint(["account_id", "rotated_to"], ["api_keys.account_id", "api_keys.id"]),
        CheckConstraint("mode IN ('live', 'test')", name="mode"),
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
