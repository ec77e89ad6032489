"""Every statement that statements put to the database. All read; none sees past the ``seq`` at which the reading began."""

from __future__ import annotations

from typing import Final

LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM transfers WHERE account_id = $1"

SUM_BY_KIND: Final = """
SELECT effective_at < $3 AS earlier, kind, debit, credit, count(*) AS count, sum(amount)::bigint AS amount
FROM transfers WHERE account_id = $1 AND seq <= $2 AND effective_at < $4 GROUP BY 1, 2, 3, 4
"""

SUM_BY_MONTH: Final = """
SELECT to_char(effective_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, debit, credit, count(*) AS count,
       sum(amount)::bigint AS amount
FROM transfers WHERE account_id = $1 AND seq <= $2 GROUP BY 1, 2, 3
"""

FIRST_UNSETTLED: Final = "SELECT min(settled_at) FROM holds WHERE account_id = $1 AND state = 'running'"

_USED = """
SELECT rental_id, coalesce(sum(to_s - from_s) FILTER (WHERE credit = 'spend'), 0)::bigint AS seconds,
       max(rate) AS rate, coalesce(sum(amount) FILTER (WHERE credit = 'spend'), 0)::bigint AS charged,
       coalesce(sum(amount) FILTER (WHERE debit = 'spend'), 0)::bigint AS refunded
FROM transfers
WHERE account_id = $1 AND rental_id IS NOT NULL AND (credit = 'spend' OR debit = 'spend')
  AND seq <= $2 AND effective_at >= $3 AND effective_at < $4
"""

LIST_USED: Final = f"{_USED} AND rental_id > $5 GROUP BY rental_id ORDER BY rental_id LIMIT $6"

LIST_DEAREST: Final = f"""
{_USED} GROUP BY rental_id ORDER BY coalesce(sum(amount) FILTER (WHERE credit = 'spend'), 0) DESC, rental_id LIMIT $5
"""

SUM_USED: Final = f"""
SELECT count(*) AS rentals, coalesce(sum(seconds), 0)::bigint AS seconds, coalesce(sum(charged), 0)::bigint AS charged,
       coalesce(sum(refunded), 0)::bigint AS refunded
FROM ({_USED} GROUP BY rental_id) AS used
"""  # noqa: S608 - a constant

LIST_PAID: Final = """
SELECT reference, min(effective_at) AS at, sum(amount)::bigint AS credited FROM transfers
WHERE account_id = $1 AND seq <= $2 AND effective_at >= $3 AND effective_at < $4
  AND kind IN ('deposit', 'auto_topup', 'debt_repaid') AND debit = 'funding'
  AND reference > $5 AND reference < 'pay`' GROUP BY reference ORDER BY reference LIMIT $6
"""
"""By the ids of payments, which begin with ``pay_``: the backtick is the character after the underscore."""
