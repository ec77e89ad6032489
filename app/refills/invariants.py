"""What must always be true of rules and attempts. For the worker and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among
from app.refills.evaluating import CHARGES_PER_DAY

_STATEMENT: Final = f"""
WITH t AS (SELECT *, date_trunc('month', created_at, 'UTC') AS month FROM topup_attempts WHERE account_id = ANY($1::text[])
), r AS (SELECT * FROM auto_topup_rules WHERE account_id = ANY($1::text[])
), came AS (
    SELECT account_id, reference, sum(amount) AS amount FROM transfers
    WHERE account_id = ANY($1::text[]) AND debit = 'funding' AND kind IN ('auto_topup', 'debt_repaid') GROUP BY 1, 2
)
SELECT 'topup.two_at_once' AS name, account_id, min(id) AS what FROM t
    WHERE state IN ('created', 'submitted', 'unknown') GROUP BY account_id HAVING count(*) > 1
UNION ALL SELECT 'topup.beyond_the_cap', a.account_id, a.id FROM t a
    WHERE a.monthly_cap < a.amount + (
        SELECT coalesce(sum(b.amount), 0) FROM t b
        WHERE b.account_id = a.account_id AND b.created_at <= a.created_at AND b.id < a.id
          AND (b.resolved_at IS NULL OR b.resolved_at > a.created_at
               OR b.state = 'succeeded' AND (b.created_at >= a.month OR b.resolved_at >= a.month)))
UNION ALL SELECT 'topup.too_many_a_day', account_id, min(id) FROM t WHERE state <> 'canceled'
    GROUP BY account_id, date_trunc('day', created_at, 'UTC') HAVING count(*) > {CHARGES_PER_DAY}
UNION ALL SELECT 'topup.succeeded_without_its_money', t.account_id, t.id FROM t
    LEFT JOIN came c ON c.account_id = t.account_id AND c.reference = t.payment_id
    WHERE t.state = 'succeeded' AND c.amount IS DISTINCT FROM t.amount
UNION ALL SELECT 'topup.money_without_its_success', x.account_id, x.id FROM transfers x
    WHERE x.account_id = ANY($1::text[]) AND x.kind = 'auto_topup' AND NOT EXISTS (
        SELECT 1 FROM t WHERE t.account_id = x.account_id AND t.payment_id = x.reference AND t.state = 'succeeded')
UNION ALL SELECT 'rule.is_not_looked_up_at', r.account_id, 'rule' FROM r JOIN wallets w ON w.account_id = r.account_id
    WHERE r.state <> 'off' AND w.alert_below < r.threshold
UNION ALL SELECT 'rule.charges_without_a_card', account_id, 'rule' FROM r WHERE state = 'active' AND payment_method_id IS NULL
UNION ALL SELECT 'rule.asks_though_it_may_not', r.account_id, t.id FROM r JOIN t ON t.account_id = r.account_id
    WHERE t.state = 'created' AND r.state IN ('off', 'suspended')
"""  # noqa: S608 - a constant


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
