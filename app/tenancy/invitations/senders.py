"""Who may ask people in: asked when it is done and once more when it is accepted."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, UserId
from app.tenancy.members.queries import find_member

_ADMINISTRATORS = frozenset({"owner", "admin"})


async def may_invite(session: AsyncSession, sender_id: str, *, role: str, account_id: AccountId) -> bool:
    """Say whether a sender has, at this moment, what lets it ask somebody in with a role.

    The operator, and a key that nobody of the account made, have no role to lose.
    """
    if not sender_id.startswith(f"{UserId.prefix}_"):
        return True
    sender = await find_member(session, UserId(sender_id), account_id=account_id)
    needed = frozenset({"owner"}) if role == "owner" else _ADMINISTRATORS
    return sender is not None and sender.removed_at is None and sender.role in needed
