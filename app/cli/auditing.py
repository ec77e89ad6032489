"""What the operator asks of the audit: whether every chain is whole, and whether every rental is told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from app import audit
from app.cli.accounts import opened
from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.rls import WORKER
from app.ledger.invariants import every_account
from app.rentals.completeness import untold_for
from app.settings import Settings


async def verify(settings: Settings, *, account: AccountId | None) -> dict[str, Any]:
    """Return what was found of one account's audit, or of everybody's and the operator's own: ``ok``, and what is not."""
    chains, entries, broken = 0, 0, []
    async with opened(settings, WORKER) as db:
        async for account_id in _chains(db, account):
            async with db.begin_unscoped() as session:
                found = await audit.verify(session, account_id=account_id)
            chains, entries = chains + 1, entries + found.reached.seq
            if not found.ok:
                told = {"account_id": account_id, "first_bad_seq": found.first_bad_seq, "trouble": found.trouble}
                broken.append(told)
        untold = [told async for told in _untold(db, account)]
    return {
        "ok": not broken and not untold,
        "chains": chains,
        "entries": entries,
        "broken": broken,
        "untold": untold,
    }


async def _chains(db: Database, account: AccountId | None) -> AsyncIterator[str]:
    if account is not None:
        yield account
        return
    async with db.begin_unscoped() as session:
        found = [account_id async for account_id in audit.every_chain(session)]
    for account_id in found:
        yield account_id


async def _untold(db: Database, account: AccountId | None) -> AsyncIterator[dict[str, str]]:
    groups: Sequence[list[AccountId]] = [] if account is None else [[account]]
    if account is None:
        async with db.begin_unscoped() as session:
            groups = [group async for group in every_account(session)]
    for group in groups:
        async with db.begin_unscoped() as session:
            for broken in await untold_for(session, group):
                for case in broken.sample:
                    yield {"account_id": case.account_id, "rental_id": case.what, "what": broken.name}
