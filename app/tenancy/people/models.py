"""The tables of people and their sessions; private to tenancy."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class PersonRow(Base):
    """A person, known by the numeric id that GitHub gave it; its login may become somebody else's."""

    __tablename__ = "people"
    __table_args__ = (UniqueConstraint("github_id"), CheckConstraint("cardinality(emails) > 0", name="emails"))

    id: Mapped[str] = mapped_column(primary_key=True)
    github_id: Mapped[int] = mapped_column(BigInteger)
    login: Mapped[str]
    name: Mapped[str]
    emails: Mapped[list[str]] = mapped_column(ARRAY(Text))
    personal_account_id: Mapped[str]
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime]


class SignInRow(Base):
    """Somebody on the way to GitHub and back; gone when it comes back, which it can do once."""

    __tablename__ = "sign_ins"
    __table_args__ = (
        CheckConstraint("octet_length(state_hash) = 32 AND octet_length(browser_hash) = 32", name="length"),
        Index("ix_sign_ins_expires_at", "expires_at"),
    )

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    return_to: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SessionRow(Base):
    """A browser in which a person is signed in, and the account it has chosen there."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("secret_hash"),
        ForeignKeyConstraint(["person_id"], ["people.id"]),
        CheckConstraint("octet_length(secret_hash) = 32 AND octet_length(previous_hash) = 32", name="length"),
        CheckConstraint("(previous_hash IS NULL) = (previous_until IS NULL)", name="previous"),
        Index("ix_sessions_previous_hash", "previous_hash"),
        Index("ix_sessions_person_id_created_at", "person_id", "created_at"),
        Index("ix_sessions_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_until: Mapped[datetime | None]
    person_id: Mapped[str]
    account_id: Mapped[str]
    user_agent: Mapped[str]
    address: Mapped[str | None]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    rotated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
