"""What must become true of card money's books.

- auditing, one item a bucket of accounts: payments, refunds and disputes equal their transfers; a wallet with a
  difference is frozen. Twice: frozen stays frozen. Never: a difference goes on unseen.
"""

from __future__ import annotations

from app.kit.db import Database
from app.kit.reconcile import Reconciler
from app.ledger.reconcilers import audit
from app.topups.payments.invariants import broken_for


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks payments, refunds and disputes against wallets and transfers."""
    return audit(db, name="topups.auditing", check=broken_for)
