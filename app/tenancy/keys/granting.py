"""Who may give which key away, and who may change or end one that exists."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import NotFound
from app.kit.finding import nothing
from app.kit.ids import AccountId, TeamId
from app.tenancy.errors import TeamArchived, TooMany, UnknownReference
from app.tenancy.keys import queries
from app.tenancy.models import ApiKeyRow
from app.tenancy.roles import administers, manages
from app.tenancy.teams import known_team_id
from app.tenancy.teams.queries import hold_person, hold_team
from app.web import Principal
from app.web.errors import Forbidden, MembershipEnded

KEYS_MAX = 1_000


def require_grantable(caller: Principal, *, scopes: Collection[str], mode: str) -> None:
    """Pass when a caller may hand out a key of such terms: never more than it has itself.

    Raises:
        ScopeMissing: the caller lacks one of the scopes.
        Forbidden: a test key would make a live one, or a key with a limit one that spends beside it.
    """
    require_unlimited(caller)
    for scope in sorted(scopes):
        caller.require(scope)
    if mode == "live" and not caller.live:
        raise Forbidden("A test key can only make test keys.")


def require_unlimited(caller: Principal) -> None:
    """Pass when a caller has no limit of its own: what it made or changed could spend beside it.

    Raises:
        Forbidden: it has one.
    """
    if caller.limit is not None:
        raise Forbidden("A key with a spend limit can't make or change keys.")


async def hold_maker(session: AsyncSession, caller: Principal) -> None:
    """Keep the person behind a caller from being removed before the transaction ends: its keys are revoked then.

    Raises:
        MembershipEnded: it was removed in this moment.
    """
    if caller.user_id is None or caller.role is None:
        return
    if await hold_person(session, caller.user_id, account_id=caller.account_id) is None:
        raise MembershipEnded


async def hold_team_of(session: AsyncSession, row: ApiKeyRow) -> None:
    """Keep a key's team, if it has one, from being archived before the transaction ends."""
    if row.team_id is not None:
        await hold_team(session, TeamId(row.team_id), account_id=AccountId(row.account_id))


async def require_room(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Pass while an account has room for another key.

    Raises:
        TooMany: it has as many in force as it can have.
    """
    if await queries.count_in_force(session, account_id=account_id, at=at) >= KEYS_MAX:
        raise TooMany(f"An account has at most {KEYS_MAX} keys in force.")


async def team_for(session: AsyncSession, caller: Principal, named: str | None) -> TeamId | None:
    """Return the team that a key of a caller's belongs to: the one it names, and for a team's key always that team.

    The team is not archived before the transaction ends: its keys are revoked then, this one among them.

    Raises:
        UnknownReference: the caller sees no such team.
        TeamArchived: the team takes no keys any more.
        Forbidden: a team's key names another team, or none.
    """
    if named is None and caller.team_id is None:
        return None
    try:
        team_id = known_team_id(named or str(caller.team_id))
    except NotFound:
        raise UnknownReference from None
    if not caller.reaches(team_id, created_by=None):
        raise UnknownReference
    team = await hold_team(session, team_id, account_id=caller.account_id)
    if team is None:
        raise UnknownReference
    if team.archived_at is not None:
        raise TeamArchived
    return team_id


def sees(caller: Principal, row: ApiKeyRow) -> bool:
    """Say whether a caller sees a key: its own, its person's, its teams'."""
    return row.id == caller.key_id or caller.reaches(row.team_id, created_by=row.created_by)


def require_seen(caller: Principal, row: ApiKeyRow) -> None:
    """Pass when a caller sees a key.

    Raises:
        NotFound: it does not, as if there were none.
    """
    if not sees(caller, row):
        raise nothing("API key")


def require_changeable(caller: Principal, row: ApiKeyRow) -> None:
    """Pass when a caller may change or end a key: its own, its person's, a team's that it manages.

    Raises:
        NotFound: it does not see the key.
        Forbidden: it sees it, as another one's of its team.
    """
    require_seen(caller, row)
    own = row.id == caller.key_id or (row.created_by is not None and row.created_by == caller.user_id)
    if own or administers(caller) or (row.team_id is not None and manages(caller, TeamId(row.team_id))):
        return
    raise Forbidden("Only who made a key, a lead of its team, or an administrator of the account can change it.")
