"""What must become true of rules and attempts.

- auditing, one item a bucket of accounts: one open attempt at most, never beyond the cap, every success in the ledger; a
  difference is told and freezes nothing, since the money itself is right. Twice: it is told again. Never: it goes on
  unseen.
"""

from __future__ import annotations

from app.kit.db import Database
from app.kit.reconcile import Reconciler
from app.ledger.reconcilers import audit
from app.refills.invariants import broken_for


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks auto-top-up against caps and the ledger."""
    return audit(db, name="refills.auditing", check=broken_for, then="tell")
