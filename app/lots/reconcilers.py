"""What must become true of lots.

- auditing, one item a bucket of accounts: what is left of the lots is what is on the wallet and held, what was spent of
  them is the usage; a wallet with a difference is frozen. Twice: frozen stays frozen. Never: a difference goes on unseen.
"""

from __future__ import annotations

from app.kit.db import Database
from app.kit.reconcile import Reconciler
from app.ledger.reconcilers import audit
from app.lots.invariants import broken_for


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks lots against the ledger."""
    return audit(db, name="lots.auditing", check=broken_for)
