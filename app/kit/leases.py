"""Leases: work is divided by names (64 buckets of accounts, one per cloud), each held by one worker at a time.

A grant raises the name's fence. A worker's transaction begins with ``fenced``: it share-locks the lease rows it works
under and is refused when any was granted to somebody else meanwhile. The lock is kept to the commit, so no grant can
slip in between. Only here the database's clock decides, since workers' clocks may differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Database, Driver, driver
from app.kit.orm import Base

BUCKETS = 64
LEASE_SECONDS = 15
"""A worker that says nothing for so long loses what it held."""

_ALIVE = f"seen_at > now() - interval '{LEASE_SECONDS} seconds'"
_UNTIL = f"now() + interval '{LEASE_SECONDS} seconds'"
_RENEW = f"""
UPDATE leases SET expires_at = {_UNTIL} WHERE owner = $1 AND expires_at > now() AND name = ANY($2) RETURNING name, fence
"""  # noqa: S608 - a constant
_GIVE_UP = "UPDATE leases SET expires_at = now() WHERE owner = $1 AND name = ANY($2)"
_TAKE = f"""
UPDATE leases SET owner = $1, fence = fence + 1, expires_at = {_UNTIL} WHERE name IN (
    SELECT name FROM leases WHERE expires_at <= now() AND name = ANY($2) AND NOT name = ANY($4)
    ORDER BY name LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING name, fence
"""  # noqa: S608 - a constant


class LeaseRow(Base):
    """Who holds a name, under which fence, and until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    fence: Mapped[int]
    expires_at: Mapped[datetime]


class WorkerRow(Base):
    """A worker that was alive a moment ago."""

    __tablename__ = "workers"

    owner: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]


def bucket_of(account_id: str) -> int:
    """Return the bucket (0 to 63) of an account: stable for ever, since it is stored on rows."""
    return hashlib.blake2b(account_id.encode(), digest_size=2).digest()[0] % BUCKETS


def bucket_name(bucket: int) -> str:
    """Return the lease name of a bucket."""
    return f"bucket:{bucket:02d}"


class StaleFenceError(Exception):
    """The lease was granted to another worker; this one must drop what it was about to write."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one worker holds right now: lease names with the fence under which each was granted."""

    owner: str
    fences: Mapping[str, int]

    @property
    def buckets(self) -> list[int]:
        """The account buckets among the names."""
        return sorted(int(name[7:]) for name in self.fences if name.startswith("bucket:"))

    def holds(self, name: str) -> bool:
        """Say whether a name is among them."""
        return name in self.fences


async def fenced(session: AsyncSession, holding: Holding, names: Iterable[str]) -> None:
    """Make the rest of this transaction conditional on still holding these names.

    Raises:
        StaleFenceError: one of them was never held, or has been granted to another worker.
    """
    wanted = sorted(set(names))
    fences = [holding.fences.get(name, -1) for name in wanted]
    rows = await driver(session).fetch(
        "SELECT l.name FROM unnest($1::text[], $2::bigint[]) AS mine(name, fence) "
        "JOIN leases l ON l.name = mine.name AND l.fence = mine.fence WHERE l.owner = $3 ORDER BY l.name FOR SHARE OF l",
        wanted,
        fences,
        holding.owner,
    )
    if len(rows) != len(wanted):
        raise StaleFenceError(f"{len(wanted) - len(rows)} of {len(wanted)} leases are no longer held")


async def hold_share(db: Database, owner: str, names: Iterable[str]) -> Holding:
    """Say that ``owner`` is alive, renew its leases, give up or take some so that every worker has its share.

    ``names`` are all names there are. Returns what is held now; a worker calls this every few seconds.
    """
    wanted = sorted(names)
    async with db.begin_unscoped() as session:
        connection = driver(session)
        alive = await _announce(connection, owner, wanted)
        share = -(-len(wanted) // max(1, alive))
        renewed = await connection.fetch(_RENEW, owner, wanted)
        held = {row["name"]: row["fence"] for row in renewed}
        surplus = sorted(held)[share:]
        await connection.execute(_GIVE_UP, owner, surplus)
        for name in surplus:
            del held[name]
        taken = await connection.fetch(_TAKE, owner, wanted, max(0, share - len(held)), surplus)
        held.update({row["name"]: row["fence"] for row in taken})
        return Holding(owner=owner, fences=held)


async def _announce(connection: Driver, owner: str, names: list[str]) -> int:
    """Note that a worker lives, make sure that every name has its row, and return how many workers live."""
    await connection.execute(
        "INSERT INTO workers (owner, seen_at) VALUES ($1, now()) ON CONFLICT (owner) DO UPDATE SET seen_at = now()",
        owner,
    )
    await connection.execute(
        "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, '', 0, now() FROM unnest($1::text[]) AS n(name) "
        "WHERE NOT EXISTS (SELECT 1 FROM leases l WHERE l.name = n.name) ON CONFLICT DO NOTHING",
        names,
    )
    alive: int = await connection.fetchval(f"SELECT count(*) FROM workers WHERE {_ALIVE}")  # noqa: S608 - a constant
    return alive


async def let_go(db: Database, owner: str) -> None:
    """Give up everything at once: a worker that stops in good order."""
    async with db.begin_unscoped() as session:
        await driver(session).execute("UPDATE leases SET expires_at = now() WHERE owner = $1", owner)
        await driver(session).execute("DELETE FROM workers WHERE owner = $1", owner)
