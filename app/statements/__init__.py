"""Statements: an account's month on paper.

Promised: opening + every movement of the month = closing, and one month's closing is the next one's opening; JSON, CSV
and PDF tell the same numbers, equal to the ledger to the micro-dollar; a final statement never changes.
A month is UTC's, and a movement belongs to the one in which it took effect. A statement is final when its month is over
and every rental that ran across its end has been settled up to there; until then it is provisional.
Tables: none of its own. Called by endpoints, and by reports for its months and its paper.
"""

from app.statements.months import Month
from app.statements.summing import Balances, Line, Span, Statement, Used, get_statement, is_final, list_months

__all__ = ["Balances", "Line", "Month", "Span", "Statement", "Used", "get_statement", "is_final", "list_months"]
