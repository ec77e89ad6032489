"""Writing: an entry is noted where the act is done, and chained just before the transaction's COMMIT.

So the head of an account's chain is locked last of all and for one round trip, in the order of the accounts: no
transaction waits for anything else while it holds one, and none can close a circle. What rolls back leaves no entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final, cast

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.entries import SYSTEM, Entry, canonical, origin_of, plain
from app.audit.queries import APPEND
from app.kit.db import before_commit, driver
from app.kit.ids import AuditId
from app.kit.leases import bucket_of
from app.web import Work
from app.web.origin import Origin, find_origin

_PENDING: Final = "hourglass.audit"
_NOBODY = Origin(SYSTEM)


async def write(session: AsyncSession, *entries: Entry) -> None:
    """Let these acts be told in the account's audit when, and only when, this transaction commits.

    Who acts, by which request and from where is the origin's of the moment, where an entry does not say it.
    """
    noted = session.info.get(_PENDING)
    if noted is None:
        noted = session.info[_PENDING] = []
        before_commit(session, _append)
    noted.extend(entries)


async def note(
    work: Work, action: str, target: str, *, team_id: str | None = None, details: Mapping[str, Any] | None = None
) -> None:
    """Let what a request has done to one thing be told in the audit of its account, as ``write`` does."""
    entry = Entry(work.account_id, action, target, work.at, team_id=team_id, details=details or {})
    await write(work.session, entry)


def written(session: AsyncSession) -> Sequence[Entry]:
    """Return what this transaction is going to tell so far."""
    return cast("Sequence[Entry]", session.info.get(_PENDING, ()))


async def _append(session: AsyncSession) -> None:
    origin, connection = find_origin() or _NOBODY, driver(session)
    noted: list[Entry] = session.info.pop(_PENDING)
    for entry in sorted(noted, key=lambda one: one.account_id):  # stable: an account's acts keep their order
        await connection.execute(APPEND, *_arguments(entry, origin))


def _arguments(entry: Entry, origin: Origin) -> tuple[object, ...]:
    details = plain(entry.details)
    is_theirs = entry.actor in (None, origin.actor)
    columns = (
        str(entry.account_id),
        str(AuditId.new()),
        entry.at.astimezone(UTC),
        entry.actor or origin.actor,
        entry.user_id or (origin.user_id if is_theirs else None),
        entry.action,
        entry.target,
        entry.team_id or (origin.team_id if is_theirs else None),
        origin.request_id,
        origin.address,
    )
    text = canonical(columns, details)
    return (*columns, json.dumps(details), origin_of(entry.account_id), text, bucket_of(entry.account_id))
