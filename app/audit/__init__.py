"""Audit: who changed what, when and from where; written in the transaction of the act and never changed.

Promised: per account, entries carry a gapless ``seq`` and each the hash of the one before, so that ``verify`` finds a
changed, deleted or inserted row; the worker looks too, and remembers how it was. Every room that changes something for
a customer says so by ``write``, or ``note`` in a request; what a request changed and no room told is told at the edge,
by ``witness``.

Tables: audit_heads, audit_entries, audit_checks.
"""

from app.audit.checking import every_chain
from app.audit.entries import OPERATOR, SYSTEM, Entry, changes
from app.audit.verifying import Place, Verified, verify
from app.audit.witnessing import witness
from app.audit.writing import note, write, written

__all__ = [
    "OPERATOR",
    "SYSTEM",
    "Entry",
    "Place",
    "Verified",
    "changes",
    "every_chain",
    "note",
    "verify",
    "witness",
    "write",
    "written",
]
