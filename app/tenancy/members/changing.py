"""The life of a membership: its role, and its end. Whoever changes one holds the account's row, so none goes unseen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import nothing
from app.kit.ids import AccountId, UserId
from app.tenancy.errors import LastOwner
from app.tenancy.members import queries
from app.tenancy.models import InvitationRow, TeamMemberRow, UserRow
from app.tenancy.queries import lock_account
from app.tenancy.revoking import revoke_keys_of_person
from app.tenancy.roles import administers, owns
from app.web import Principal
from app.web.errors import Forbidden
from app.web.principal import Role

_INVITING: frozenset[Role] = frozenset({"owner", "admin"})


@dataclass(frozen=True, slots=True)
class Removed:
    """What ended with a membership."""

    keys: list[str]
    teams: list[str]
    invitations: list[str]

    @property
    def told(self) -> dict[str, list[str]]:
        """Return it as the audit tells it."""
        return {"keys_revoked": self.keys, "teams_left": self.teams, "invitations_revoked": self.invitations}


async def hold_member(session: AsyncSession, user_id: UserId, *, account_id: AccountId) -> UserRow:
    """Return a person of an account, removed ones too, holding the account: whoever else changes a role waits.

    Raises:
        NotFound: it never was there.
    """
    await lock_account(session, account_id=account_id)
    return await queries.lock_member(session, user_id, account_id=account_id)


def require_role_change(caller: Principal, *, was: Role | None, becomes: Role | None) -> None:
    """Pass when a caller may make somebody who ``was`` something, or nobody yet, what it ``becomes``, or nobody.

    Raises:
        Forbidden: it may not.
    """
    if not administers(caller):
        raise Forbidden("Only an administrator of the account can change its people.")
    if "owner" in {was, becomes} and was != becomes and not owns(caller):
        raise Forbidden("Only an owner can make or unmake owners.")


async def change_role(session: AsyncSession, row: UserRow, role: Role, *, at: datetime) -> None:
    """Give a person another role; who no longer may invite has invited nobody.

    Raises:
        NotFound: the person was removed.
        LastOwner: nobody else owns the account.
    """
    if row.removed_at is not None:
        raise nothing("member")
    if row.role == "owner" and role != "owner":
        await _require_another_owner(session, row)
    was, row.role = role_of(row), role
    await session.flush()
    if was in _INVITING and role not in _INVITING:
        await _revoke_invitations(session, row, at=at)


async def remove(session: AsyncSession, row: UserRow, *, at: datetime) -> Removed:
    """End a membership, and with it the person's teams, keys and open invitations. One that has ended stays as it is.

    Raises:
        LastOwner: nobody else owns the account.
    """
    if row.removed_at is not None:
        return Removed([], [], [])
    if row.role == "owner":
        await _require_another_owner(session, row)
    row.removed_at = at
    await session.flush()
    account_id = AccountId(row.account_id)
    theirs = (TeamMemberRow.account_id == account_id, TeamMemberRow.user_id == row.id)
    left = delete(TeamMemberRow).where(*theirs).returning(TeamMemberRow.team_id)
    # Teams before keys, as for who is taken out of one team meanwhile: neither waits for the other's rows in a circle.
    teams = list(await session.scalars(left.execution_options(synchronize_session=False)))
    keys = await revoke_keys_of_person(session, row.id, account_id=account_id, at=at)
    return Removed(keys, teams, invitations=await _revoke_invitations(session, row, at=at))


def role_of(row: UserRow) -> Role:
    """Return a person's role."""
    return cast("Role", row.role)


async def _require_another_owner(session: AsyncSession, row: UserRow) -> None:
    if not await queries.count_owners(session, account_id=AccountId(row.account_id), but=row.id):
        raise LastOwner


async def _revoke_invitations(session: AsyncSession, row: UserRow, *, at: datetime) -> list[str]:
    statement = (
        update(InvitationRow)
        .where(
            InvitationRow.account_id == row.account_id,
            InvitationRow.invited_by == row.id,
            InvitationRow.accepted_at.is_(None),
            InvitationRow.revoked_at.is_(None),
        )
        .values(revoked_at=at)
        .returning(InvitationRow.id)
        .execution_options(synchronize_session=False)
    )
    return list(await session.scalars(statement))
