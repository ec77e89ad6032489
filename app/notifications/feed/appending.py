"""Taking events from the queue and giving each its place in the feed of its account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.notifications.feed import queries
from app.notifications.told import Told, is_rental, is_team


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a rental is: its team, the key or person that made it, and the person behind that."""

    team_id: str | None = None
    made_by: str | None = None
    person: str | None = None


Whose = Callable[[AsyncSession, Sequence[tuple[str, str]]], Awaitable[Mapping[tuple[str, str], Owner]]]
"""Tells whose rentals are, by pairs of account and rental; given by the room that knows."""

NOBODYS = Owner()


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that has its place, and whose its subject is."""

    event: Told
    owner: Owner


async def take(session: AsyncSession, bucket: int, whose: Whose, *, limit: int) -> list[Placed]:
    """Move events of a bucket from the queue to the feed, in this transaction; return them, oldest first.

    The caller holds the bucket: two that append for one account at once would want the same places.
    """
    rows = await driver(session).fetch(queries.TAKE, bucket, limit)
    events = [Told.of(row) for row in rows]
    rentals = {(event.account_id, event.subject) for event in events if is_rental(event.subject)}
    owners = await whose(session, sorted(rentals)) if rentals else {}
    placed = [_placed(event, owners.get((event.account_id, event.subject), NOBODYS)) for event in events]
    await _append(session, placed)
    return placed


def _placed(event: Told, owner: Owner) -> Placed:
    owner = Owner(team_id=event.subject) if is_team(event.subject) else owner
    return Placed(replace(event, team_id=owner.team_id), owner)


async def _append(session: AsyncSession, placed: Sequence[Placed]) -> None:
    await driver(session).execute(
        queries.APPEND,
        [one.event.account_id for one in placed],
        [one.event.id for one in placed],
        [one.event.subject for one in placed],
        [one.event.seq for one in placed],
        [one.event.type for one in placed],
        [one.owner.team_id for one in placed],
        [one.owner.made_by for one in placed],
        [one.owner.person for one in placed],
    )
