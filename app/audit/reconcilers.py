"""What must become true of the audit.

- verifying: every chain that has grown is read from where it was found whole, and once a week from its beginning; how
  far it is whole is kept, and logged, so that a history that is rewritten later no longer fits. Twice: nothing has
  grown. Never: what is changed behind our back is found by who asks only.
"""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import Counter

from app.audit.checking import find_unchecked, keep, look
from app.kit.db import Database
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.reconcile import Reconciler, Round

log = structlog.get_logger(__name__)

_WHOLE_SECONDS_MAX: Final = 1_800.0
"""So long may it take to read a chain of tens of millions; cut short, it would never be read whole."""

BROKEN: Final = Counter("hourglass_audit_chains_broken", "Looks at a chain of the audit that found trouble")


def verifying(db: Database) -> Reconciler:
    """Return the reconciler that verifies chains."""

    async def find(this: Round, limit: int) -> list[str]:
        """Return the accounts whose chains are due."""
        async with db.begin_unscoped() as session:
            return await find_unchecked(session, buckets=this.holding.buckets, at=this.at, limit=limit)

    async def step(this: Round, account_id: str) -> str:
        """Verify one chain, keep how far it is whole, and tell of trouble."""
        async with db.begin_unscoped() as session:
            looked = await look(session, account_id, at=this.at)
        async with db.begin_unscoped() as session:  # apart: a long look holds no lease's row
            await fenced(session, this.holding, [bucket_name(bucket_of(account_id))])
            await keep(session, account_id, looked, at=this.at)
        found = looked.found
        if found.ok:
            log.info("audit.verified", account_id=account_id, seq=found.reached.seq, hash=found.reached.hash.hex())
            return "verified"
        BROKEN.inc()
        log.error("audit.broken", account_id=account_id, seq=found.first_bad_seq, trouble=found.trouble)
        return "broken"

    return Reconciler(
        name="audit.verifying",
        every_seconds=60.0,
        batch=200,
        find=find,
        step=step,
        concurrency=1,
        step_seconds_max=_WHOLE_SECONDS_MAX,
    )
