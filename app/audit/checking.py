"""Checking: what the service does by itself to find a chain that was tampered with, and to remember how it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import queries
from app.audit.verifying import Place, Verified, beginning, verify
from app.kit.db import driver
from app.kit.leases import bucket_of

WHOLE_EVERY: Final = timedelta(days=7)
"""How old an entry's last reading may become."""
_AGAIN_AFTER: Final = timedelta(minutes=10)
_GROUP: Final = 500


async def find_unchecked(session: AsyncSession, *, buckets: Sequence[int], at: datetime, limit: int) -> list[str]:
    """Return the accounts whose chains have grown since they were looked at, or were not read whole for a week."""
    rows = await driver(session).fetch(
        queries.FIND_UNCHECKED, list(buckets), at - WHOLE_EVERY, at - _AGAIN_AFTER, limit
    )
    return [row["account_id"] for row in rows if bucket_of(row["account_id"]) in buckets]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a chain found, and when it was last read from its beginning."""

    found: Verified
    whole_at: datetime


async def look(session: AsyncSession, account_id: str, *, at: datetime) -> Looked:
    """Verify a chain from where it was found whole, and from its beginning where that is due or trouble was found."""
    known = await driver(session).fetchrow(queries.FIND_CHECK, account_id)
    if known is None or known["first_bad_seq"] is not None or known["whole_at"] <= at - WHOLE_EVERY:
        return Looked(await verify(session, account_id=account_id), at)
    after = Place(known["seq"], known["hash"])
    return Looked(await verify(session, account_id=account_id, after=after), known["whole_at"])


async def keep(session: AsyncSession, account_id: str, looked: Looked, *, at: datetime) -> None:
    """Keep how far a chain is whole; of one that is not, only where the trouble begins."""
    found = looked.found
    if found.ok:
        place = found.reached
        await driver(session).execute(queries.KEEP_CHECK, account_id, place.seq, place.hash, at, looked.whole_at)
    else:
        origin = beginning(account_id).hash
        await driver(session).execute(queries.NOTE_BAD, account_id, origin, at, found.first_bad_seq)


async def every_chain(session: AsyncSession) -> AsyncIterator[str]:
    """Yield the account of every chain there is, or was."""
    after = ""
    while rows := await driver(session).fetch(queries.LIST_CHAINS, after, _GROUP):
        for row in rows:
            yield row["account_id"]
        after = rows[-1]["account_id"]
