"""Reading the feed: what a caller may see of it, from either end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.notifications.feed import queries
from app.notifications.told import Told
from app.web import Principal

_LAST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody sees: all rentals and teams or some, and what concerns the account as a whole or not."""

    account_id: AccountId
    everybody: bool
    account: bool
    teams: tuple[str, ...] = ()
    maker: str | None = None
    person: str | None = None
    """Whose every rental is seen; not by a key that belongs to a team."""

    @classmethod
    def of(cls, caller: Principal) -> Sight:
        """Return what a caller sees: its reach; the account's money and settings only with ``billing:read``."""
        return cls(
            caller.account_id,
            everybody=caller.reach is None,
            account=caller.reach is None and caller.may("billing:read"),
            teams=tuple(sorted(caller.reach or ())),
            maker=caller.actor,
            person=caller.user_id if caller.team_id is None else None,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place in the feed."""

    position: int
    event: Told


async def list_before(
    session: AsyncSession, sight: Sight, *, before: int | None, wanted: str | None, limit: int
) -> list[Entry]:
    """Return what is seen before a place, or from the end, newest first. ``wanted``: a type, or ``rental.*``."""
    return await _list(session, queries.LIST_BEFORE, sight, _LAST if before is None else before, wanted, limit)


async def list_after(session: AsyncSession, sight: Sight, *, after: int, wanted: str | None, limit: int) -> list[Entry]:
    """Return what is seen after a place, oldest first. ``wanted``: a type, or ``rental.*``."""
    return await _list(session, queries.LIST_AFTER, sight, after, wanted, limit)


async def find_position(session: AsyncSession, *, account_id: AccountId, event_id: str) -> int | None:
    """Return an event's place, or None where the account's feed has no such event."""
    position: int | None = await driver(session).fetchval(queries.FIND_POSITION, account_id, event_id)
    return position


async def last_position(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return the place of an account's last event, 0 where it has none."""
    position: int = await driver(session).fetchval(queries.LAST_POSITION, account_id)
    return position


async def _list(
    session: AsyncSession, statement: str, sight: Sight, position: int, wanted: str | None, limit: int
) -> list[Entry]:
    rows = await driver(session).fetch(
        statement,
        sight.account_id,
        sight.everybody,
        sight.account,
        list(sight.teams),
        sight.maker,
        sight.person,
        _pattern(wanted),
        position,
        limit,
    )
    return [Entry(row["position"], Told.of(row, team_id=row["team_id"])) for row in rows]


def _pattern(wanted: str | None) -> str | None:
    return None if wanted is None else wanted.replace("_", "\\_").replace("*", "%")
