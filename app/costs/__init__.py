"""Costs: what each machine really cost us, what our clouds' books say of each day, and what is left of each rental.

Promised: every machine that came to be and is gone has one row here, an orphan's too, with what its cloud's own books say
once they say it, or our own estimate, marked as such, where a cloud tells nothing within three days; every finished day
is laid beside the books of every cloud that has any. Customers see none of it, and nothing of it moves money.
States of a machine's cost: open → final, and open again when a machine thought gone turns up. Tables: machine_costs,
cost_reconciliations. Called by the worker's reconcilers and by the operator.
"""

from app.costs.books import compare_day
from app.costs.comparing import Comparison, Difference, compare
from app.costs.margins import Margin, Orphaned, list_margins, sum_orphans
from app.costs.summing import Spent, sum_costs

__all__ = [
    "Comparison",
    "Difference",
    "Margin",
    "Orphaned",
    "Spent",
    "compare",
    "compare_day",
    "list_margins",
    "sum_costs",
    "sum_orphans",
]
