"""Every SELECT and lock of the rentals room, and the two inserts that a caller waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, RentalId
from app.rentals.models import ALIVE, AttemptRow, LogRow, QuoteRow, RentalRow, SshKeyRow, TemplateRow

RENTAL_PARTS: Final = """
made AS (
    INSERT INTO rentals (account_id, id, created_by, created_at, bucket, team_id, key_id, user_id, name, tags, wanted, launch,
                         ssh_keys, max_duration_seconds, max_spend, listing, rate, status, stage, next_at, queued_until,
                         sealed_env, deadline_at, version, attempts, keys_version, keys_applied, log_offset)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
            1, 0, 1, 0, 0)
), told AS (
    INSERT INTO events (account_id, subject, seq, id, type, at, actor, data)
    VALUES ($1, $2, 1, $24, 'rental.' || $18, $4, $3, $25)
)
"""

INSERT_SSH_KEY: Final = """
INSERT INTO ssh_keys (account_id, id, name, public_key, fingerprint, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, fingerprint) DO NOTHING RETURNING id
"""

DELETE_SSH_KEY: Final = "DELETE FROM ssh_keys WHERE account_id = $1 AND id = $2 RETURNING id"

READ_SSH_KEYS: Final = """
SELECT id, public_key FROM ssh_keys WHERE account_id = $1 ORDER BY id DESC LIMIT $2
"""

LIST_TRANSFERS: Final = """
SELECT seq, id, kind, amount, effective_at, rate, from_s, to_s, description FROM transfers
WHERE account_id = $1 AND rental_id = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""


async def lock_rental(session: AsyncSession, *, account_id: str, rental_id: str) -> RentalRow | None:
    """Return a rental under its row lock. A wallet that is needed too has been locked before."""
    return await session.scalar(
        select(RentalRow)
        .where(RentalRow.account_id == account_id, RentalRow.id == rental_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def find_rental(session: AsyncSession, *, account_id: str, rental_id: str) -> RentalRow | None:
    """Return a rental as it stands."""
    return await session.scalar(select(RentalRow).where(RentalRow.account_id == account_id, RentalRow.id == rental_id))


async def list_rentals(
    session: AsyncSession,
    *,
    account_id: AccountId,
    statuses: Sequence[str] = (),
    family: str | None = None,
    tag: str | None = None,
    team_id: str | None = None,
    seen: ColumnElement[bool] | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Sequence[RentalRow]:
    """Return rentals, newest first. ``tag`` is a name, or ``name:value``; ``seen`` is what the caller may see."""
    wanted = select(RentalRow).where(RentalRow.account_id == account_id)
    if seen is not None:
        wanted = wanted.where(seen)
    if team_id is not None:
        wanted = wanted.where(RentalRow.team_id == team_id)
    if statuses:
        wanted = wanted.where(RentalRow.status.in_(statuses))
    if family is not None:
        wanted = wanted.where(RentalRow.listing["family"].astext == family)
    if tag is not None:
        name, colon, value = tag.partition(":")
        wanted = wanted.where(RentalRow.tags[name].astext == value if colon else RentalRow.tags.has_key(name))
    if before:
        wanted = wanted.where(RentalRow.id < before)
    return (await session.scalars(wanted.order_by(RentalRow.id.desc()).limit(limit))).all()


async def find_status(session: AsyncSession, *, account_id: AccountId, rental_id: RentalId) -> str | None:
    """Return a rental's status alone."""
    return await session.scalar(
        select(RentalRow.status).where(RentalRow.account_id == account_id, RentalRow.id == rental_id)
    )


async def find_alive(session: AsyncSession, *, account_id: str, rental_id: str) -> AttemptRow | None:
    """Return the rental's attempt that may own a machine and is not on its way out."""
    return await session.scalar(
        select(AttemptRow).where(
            AttemptRow.account_id == account_id, AttemptRow.rental_id == rental_id, AttemptRow.status.in_(ALIVE)
        )
    )


async def lock_attempt(session: AsyncSession, *, account_id: str, rental_id: str, number: int) -> AttemptRow | None:
    """Return one attempt under its row lock; its rental has been locked before."""
    return await session.scalar(
        select(AttemptRow)
        .where(AttemptRow.account_id == account_id, AttemptRow.rental_id == rental_id, AttemptRow.number == number)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def list_attempts(session: AsyncSession, *, account_id: str, rental_ids: Sequence[str]) -> Sequence[AttemptRow]:
    """Return all attempts of some rentals, in order."""
    rows = await session.scalars(
        select(AttemptRow)
        .where(AttemptRow.account_id == account_id, AttemptRow.rental_id.in_(rental_ids))
        .order_by(AttemptRow.rental_id, AttemptRow.number)
    )
    return rows.all()


async def find_quote(session: AsyncSession, *, account_id: AccountId, quote_id: str) -> QuoteRow | None:
    """Return a quote under its row lock: it serves one rental."""
    return await session.scalar(
        select(QuoteRow).where(QuoteRow.account_id == account_id, QuoteRow.id == quote_id).with_for_update()
    )


async def list_ssh_keys(
    session: AsyncSession,
    *,
    account_id: AccountId,
    ids: Sequence[str] | None = None,
    before: str | None = None,
    limit: int = 50,
) -> Sequence[SshKeyRow]:
    """Return an account's keys, newest first; with ``ids`` only those."""
    wanted = select(SshKeyRow).where(SshKeyRow.account_id == account_id)
    if ids is not None:
        wanted = wanted.where(SshKeyRow.id.in_(ids))
    if before:
        wanted = wanted.where(SshKeyRow.id < before)
    return (await session.scalars(wanted.order_by(SshKeyRow.id.desc()).limit(limit))).all()


async def find_template(session: AsyncSession, *, account_id: AccountId, template_id: str) -> TemplateRow | None:
    """Return an account's own template by id or name."""
    return await session.scalar(
        select(TemplateRow).where(
            TemplateRow.account_id == account_id, or_(TemplateRow.id == template_id, TemplateRow.name == template_id)
        )
    )


async def lock_template(session: AsyncSession, *, account_id: AccountId, template_id: str) -> TemplateRow | None:
    """Return an account's own template, by id or name, under its row lock."""
    named = or_(TemplateRow.id == template_id, TemplateRow.name == template_id)
    return await session.scalar(
        select(TemplateRow).where(TemplateRow.account_id == account_id, named).with_for_update()
    )


async def list_templates(
    session: AsyncSession, *, account_id: AccountId, before: str | None = None, limit: int = 50
) -> Sequence[TemplateRow]:
    """Return an account's own templates, newest first."""
    wanted = select(TemplateRow).where(TemplateRow.account_id == account_id)
    if before:
        wanted = wanted.where(TemplateRow.id < before)
    return (await session.scalars(wanted.order_by(TemplateRow.id.desc()).limit(limit))).all()


async def list_logs(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, offset: int, limit: int
) -> Sequence[LogRow]:
    """Return pieces of a rental's log from an offset on, in order."""
    rows = await session.scalars(
        select(LogRow)
        .where(LogRow.account_id == account_id, LogRow.rental_id == rental_id, LogRow.from_offset >= offset)
        .order_by(LogRow.from_offset)
        .limit(limit)
    )
    return rows.all()
