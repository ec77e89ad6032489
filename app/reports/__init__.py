"""Reports: what was spent by whom on what, what it will come to, and what of it was idle.

Promised: every transfer that pays for use or gives it back (all that touches the bucket ``spend``) is counted exactly
once, on the day of UTC on which it took effect; so each report's total is the ledger's to the micro-dollar, at any
moment, however it is grouped. What is counted already stands in sums by day and rental; what was posted since is read
from the ledger in the same statement.
A charge belongs to the team, person and key that made its rental, to the machine that was in use when it took effect
(a rental may move to another cloud), and to the tags that the rental bore when the day was counted. What is given back
belongs to the machine that was charged for last.
Who reaches only some teams sees theirs, and what they or their keys rented; a report then says so.
Tables: report_spend, report_counted; reads transfers, rentals and gpu_use. Called by endpoints and by the worker.
"""

from app.reports.counting import recount
from app.reports.spending import Grouping, Sight, Spending, Spent, Sums, sum_spending

__all__ = ["Grouping", "Sight", "Spending", "Spent", "Sums", "recount", "sum_spending"]
