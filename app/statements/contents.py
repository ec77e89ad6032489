"""What a statement on paper lists, apart from the paper: drawing is imported when something is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.statements.paying import Paid
from app.statements.summing import Statement, Used

RENTALS_MAX: Final = 500
"""A paper lists this many rentals, those that cost most, and the sum of the others; CSV and JSON list all."""
PAYMENTS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Contents:
    """What is printed."""

    statement: Statement
    account_name: str
    addresses: Sequence[str]
    payments: Sequence[Paid]
    """One more than ``PAYMENTS_MAX`` says that there are others."""
    rentals: Sequence[Used]
