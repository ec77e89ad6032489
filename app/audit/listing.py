"""Reading the audit: a page by filters, or everything that matches, oldest first, with little memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.models import EntryRow
from app.kit.db import Database
from app.kit.ids import AccountId
from app.web import Principal

_ROWS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None does not narrow."""

    actor: str | None = None
    action: str | None = None
    """The whole, or its beginning up to a dot: ``rental`` finds ``rental.created``."""
    target: str | None = None
    team_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not itself."""


async def list_entries(
    session: AsyncSession, wanted: Wanted, *, caller: Principal, before_seq: int | None, limit: int
) -> Sequence[EntryRow]:
    """Return entries that the caller may see, newest first."""
    query = select(EntryRow).where(*_conditions(wanted, caller)).order_by(EntryRow.seq.desc()).limit(limit)
    if before_seq is not None:
        query = query.where(EntryRow.seq < before_seq)
    return (await session.scalars(query)).all()


async def every_entry(db: Database, wanted: Wanted, *, caller: Principal) -> AsyncIterator[Sequence[EntryRow]]:
    """Yield everything that the caller may see, oldest first, each group from a transaction of its own."""
    after = 0
    while True:
        query = select(EntryRow).where(*_conditions(wanted, caller), EntryRow.seq > after)
        async with db.begin(caller.account_id) as session:
            rows = (await session.scalars(query.order_by(EntryRow.seq).limit(_ROWS_MAX))).all()
        if rows:
            yield rows
        if len(rows) < _ROWS_MAX:
            return
        after = rows[-1].seq


def _conditions(wanted: Wanted, caller: Principal) -> list[ColumnElement[bool]]:
    account_id: AccountId = caller.account_id
    conditions: list[ColumnElement[bool]] = [EntryRow.account_id == account_id]
    for column, value in (
        (EntryRow.actor, wanted.actor),
        (EntryRow.target, wanted.target),
        (EntryRow.team_id, wanted.team_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.action is not None:
        within = EntryRow.action.startswith(f"{wanted.action}.", autoescape=True)
        conditions.append(or_(EntryRow.action == wanted.action, within))
    if wanted.since is not None:
        conditions.append(EntryRow.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(EntryRow.at < wanted.until)
    if caller.reach is not None:
        person = caller.user_id if caller.team_id is None else None  # a team's key sees nothing else of who made it
        own = [name for name in (caller.key_id, person) if name is not None]
        conditions.append(or_(EntryRow.team_id.in_(caller.reach), EntryRow.actor.in_(own), EntryRow.user_id.in_(own)))
    return conditions
