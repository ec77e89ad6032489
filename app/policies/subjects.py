"""Whose policy a path names, and who may see or change it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy
from app.kit.db import driver
from app.kit.errors import NotFound
from app.kit.ids import ApiKeyId, TeamId, UserId
from app.policies import queries
from app.policies.spenders import Spender
from app.web import Principal
from app.web.errors import Forbidden


def require_administrator(caller: Principal) -> None:
    """Pass when a caller may change policies: owners and admins, not those whom a policy is about.

    Raises:
        Forbidden: it may not.
    """
    if not tenancy.administers(caller):
        raise Forbidden("Only owners and admins change policies; a team's lead can ask for a change.")


async def team(session: AsyncSession, text: str, caller: Principal) -> Spender:
    """Return a team that the caller reaches, as one that spends.

    Raises:
        NotFound: there is none.
    """
    try:
        team_id = TeamId.parse(text)
    except ValueError:
        raise NotFound("There is no such team.") from None
    if not caller.reaches(team_id, created_by=None):
        raise NotFound("There is no such team.")
    await tenancy.get_team(session, team_id, account_id=caller.account_id)
    return Spender(caller.account_id, team_id=team_id)


async def member(session: AsyncSession, text: str, caller: Principal) -> Spender:
    """Return a person of the account: the caller itself, or whoever it may see.

    Raises:
        NotFound: there is none.
    """
    try:
        user_id = UserId.parse(text)
    except ValueError:
        raise NotFound("There is no such member.") from None
    is_seen = caller.reach is None or (caller.user_id == user_id and caller.team_id is None)
    if not is_seen or not await driver(session).fetchval(queries.IS_MEMBER, caller.account_id, user_id):
        raise NotFound("There is no such member.")
    return Spender(caller.account_id, user_id=user_id)


async def key(session: AsyncSession, text: str, caller: Principal) -> Spender:
    """Return an API key that the caller sees, with its own limit.

    Raises:
        NotFound: there is none.
    """
    try:
        key_id = ApiKeyId.parse(text)
    except ValueError:
        raise NotFound("There is no such API key.") from None
    row = await driver(session).fetchrow(queries.FIND_KEY, caller.account_id, key_id)
    is_seen = row is not None and (
        caller.key_id == key_id or caller.reaches(row["team_id"], created_by=row["created_by"])
    )
    if not is_seen:
        raise NotFound("There is no such API key.")
    limits = await tenancy.key_limits(session, account_id=caller.account_id, key_ids=[key_id])
    return Spender(caller.account_id, key_id=key_id, limit=limits.get(key_id))
