"""Whose rentals are, for those who tell others of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.notifications import Owner

_OWNERS: Final = """
SELECT r.account_id, r.id, r.team_id, r.created_by, r.user_id
FROM unnest($1::text[], $2::text[]) AS w(account_id, id)
JOIN rentals r ON r.account_id = w.account_id AND r.id = w.id
"""


async def owners_of(session: AsyncSession, rentals: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Owner]:
    """Return the team, the maker and the person of rentals, by pairs of account and rental; nothing for what is none."""
    rows = await driver(session).fetch(_OWNERS, [account for account, _ in rentals], [rental for _, rental in rentals])
    return {(row["account_id"], row["id"]): Owner(row["team_id"], row["created_by"], row["user_id"]) for row in rows}
