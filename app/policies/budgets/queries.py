"""Every statement about budgets over time, handed to the driver. Other rooms' tables are read, never written."""

from __future__ import annotations

from typing import Final

# Whether an account has anything that a budget counts, and anything that a budget may end.
_HARD_POLICY: Final = """
EXISTS (SELECT 1 FROM policies p WHERE p.account_id = $1 AND p.on_budget_exceeded = 'stop_all'
        AND (p.daily_budget_micros IS NOT NULL OR p.monthly_budget_micros IS NOT NULL))
"""
_LIMITED_KEY: Final = """
EXISTS (SELECT 1 FROM commitments c JOIN api_keys k ON k.account_id = c.account_id AND k.id = c.key_id
        WHERE c.account_id = $1 AND c.ended_at IS NULL AND k.spend_limit IS NOT NULL)
"""
HAS_BUDGETS: Final = f"""
SELECT EXISTS (SELECT 1 FROM policies p WHERE p.account_id = $1
               AND (p.daily_budget_micros IS NOT NULL OR p.monthly_budget_micros IS NOT NULL
                    OR p.paused_until IS NOT NULL))
       OR EXISTS (SELECT 1 FROM commitments c WHERE c.account_id = $1 AND c.ended_at IS NULL AND c.team_id IS NOT NULL)
       OR {_LIMITED_KEY} AS any,
       {_HARD_POLICY} OR {_LIMITED_KEY}
       OR EXISTS (SELECT 1 FROM holds h WHERE h.account_id = $1 AND h.state = 'running' AND h.stop_by IS NOT NULL) AS hard
"""  # noqa: S608 - a constant

READ_MEMBERS: Final = """
SELECT rental_id, team_id, user_id, key_id FROM commitments WHERE account_id = $1 AND rental_id = ANY($2::text[])
"""

# Everybody whose budgets may have moved: who has a policy, who has something open, who was looked at before.
LIST_SUBJECTS: Final = """
SELECT subject FROM policies WHERE account_id = $1
UNION SELECT subject FROM budget_marks WHERE account_id = $1
UNION SELECT v.subject FROM commitments c CROSS JOIN LATERAL (VALUES (c.team_id), (c.key_id)) AS v(subject)
      WHERE c.account_id = $1 AND c.ended_at IS NULL AND v.subject IS NOT NULL
ORDER BY 1
"""

READ_MARKS: Final = """
SELECT subject, budget, since, amount, percent, burning, crosses_at FROM budget_marks WHERE account_id = $1
"""

SAVE_MARKS: Final = """
INSERT INTO budget_marks (account_id, subject, budget, since, amount, percent, burning, crosses_at)
SELECT $1, m.* FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::smallint[], $7::boolean[],
                           $8::timestamptz[]) AS m
ON CONFLICT (account_id, subject, budget) DO UPDATE SET since = excluded.since, amount = excluded.amount,
    percent = excluded.percent, burning = excluded.burning, crosses_at = excluded.crosses_at
"""

LOOK_AT: Final = """
INSERT INTO budget_looks (account_id, bucket, next_at) VALUES ($1, $2, $3)
ON CONFLICT (account_id) DO UPDATE SET next_at = excluded.next_at
"""

FIND_LOOKS: Final = """
SELECT account_id, bucket FROM budget_looks
WHERE next_at <= $1 AND bucket = ANY($2::smallint[]) ORDER BY next_at LIMIT $3
"""

SAVE_PAUSE: Final = "UPDATE policies SET paused_until = $3, paused_because = $4 WHERE account_id = $1 AND subject = $2"
