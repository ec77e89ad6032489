"""Every SELECT and lock of invitations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found
from app.kit.ids import AccountId, InvitationId
from app.tenancy.models import InvitationRow


async def page_of_invitations(
    session: AsyncSession, *, account_id: AccountId, before: tuple[datetime, str] | None, limit: int
) -> Sequence[InvitationRow]:
    """Return an account's invitations, newest first, those made before a position."""
    query = select(InvitationRow).where(InvitationRow.account_id == account_id)
    if before is not None:
        query = query.where(tuple_(InvitationRow.created_at, InvitationRow.id) < before)
    rows = await session.scalars(query.order_by(InvitationRow.created_at.desc(), InvitationRow.id.desc()).limit(limit))
    return rows.all()


async def get_invitation(session: AsyncSession, invitation_id: InvitationId, *, account_id: AccountId) -> InvitationRow:
    """Return one invitation of an account.

    Raises:
        NotFound: the account has no such invitation.
    """
    return found(await session.scalar(_one(invitation_id, account_id)), "invitation")


async def lock_invitation(
    session: AsyncSession, invitation_id: InvitationId, *, account_id: AccountId
) -> InvitationRow:
    """Return one invitation of an account and hold its row.

    Raises:
        NotFound: the account has no such invitation.
    """
    return found(
        await session.scalar(
            _one(invitation_id, account_id).with_for_update(key_share=True).execution_options(populate_existing=True)
        ),
        "invitation",
    )


async def find_unanswered(session: AsyncSession, email: str, *, account_id: AccountId) -> InvitationRow | None:
    """Return the invitation to an address that is neither accepted nor revoked, held; it may have expired."""
    query = select(InvitationRow).where(
        InvitationRow.account_id == account_id,
        InvitationRow.email == email,
        InvitationRow.accepted_at.is_(None),
        InvitationRow.revoked_at.is_(None),
    )
    return await session.scalar(query.with_for_update(key_share=True).execution_options(populate_existing=True))


async def count_open(session: AsyncSession, *, account_id: AccountId, at: datetime) -> int:
    """Return how many invitations of an account are open."""
    query = select(func.count()).where(
        InvitationRow.account_id == account_id,
        InvitationRow.accepted_at.is_(None),
        InvitationRow.revoked_at.is_(None),
        InvitationRow.expires_at > at,
    )
    return await session.scalar(query) or 0


async def count_made_since(session: AsyncSession, since: datetime, *, account_id: AccountId) -> int:
    """Return how many invitations of an account were made since a moment, whatever became of them."""
    query = select(func.count()).where(InvitationRow.account_id == account_id, InvitationRow.created_at > since)
    return await session.scalar(query) or 0


def _one(invitation_id: InvitationId, account_id: AccountId) -> Select[InvitationRow]:
    return select(InvitationRow).where(InvitationRow.account_id == account_id, InvitationRow.id == invitation_id)
