"""What must always be true of holds and warning levels, beside the ledger. For the worker and the tests.

That a live rental has exactly one hold, and no hold is without a rental, is for the room of rentals to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among
from app.ledger.invariants import every_account
from app.wallet.meter import STOP_BUDGET_SECONDS

_STATEMENT: Final = f"""
WITH h AS (SELECT * FROM holds WHERE account_id = ANY($1::text[])
), told AS (
    SELECT t.account_id, t.rental_id,
           sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS held,
           coalesce(sum(amount) FILTER (WHERE kind = 'usage'), 0) AS charged,
           coalesce(max(to_s) FILTER (WHERE kind = 'usage'), 0) AS to_s,
           coalesce(sum(amount) FILTER (WHERE debit = 'spend'), 0) AS refunded,
           count(*) FILTER (WHERE kind = 'reserve') AS reserves,
           bool_or(kind = 'usage' AND from_s >= to_s) AS backwards,
           coalesce(sum(amount) FILTER (WHERE kind = 'usage' AND to_s <= h.earlier_seconds), 0) AS earlier,
           bool_or(kind = 'usage' AND to_s > h.earlier_seconds
                   AND (t.rate, coalesce(base_s, 0)) IS DISTINCT FROM (h.rate, h.earlier_seconds)) AS mispriced
    FROM transfers t LEFT JOIN h ON h.account_id = t.account_id AND h.rental_id = t.rental_id
    WHERE t.account_id = ANY($1::text[]) AND t.rental_id IS NOT NULL GROUP BY t.account_id, t.rental_id
), r AS (SELECT * FROM reversal_holds WHERE account_id = ANY($1::text[])
), reversed AS (
    SELECT account_id, reference, sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS held,
           coalesce(sum(amount) FILTER (WHERE kind IN ('refund', 'dispute_debit', 'clawback', 'debt_incurred')), 0) AS debited,
           coalesce(sum(amount) FILTER (WHERE debit = 'funding'), 0) AS returned
    FROM transfers WHERE account_id = ANY($1::text[]) AND reference IS NOT NULL AND rental_id IS NULL
    GROUP BY account_id, reference
), held AS (SELECT account_id, sum(held) AS held FROM (SELECT account_id, held FROM h UNION ALL SELECT account_id, held FROM r) _
            GROUP BY account_id
)
SELECT 'wallet.reserved_is_not_its_holds' AS name, w.account_id, 'wallet' AS what FROM wallets w
    LEFT JOIN held USING (account_id) WHERE w.account_id = ANY($1::text[]) AND w.reserved <> coalesce(held.held, 0)
UNION ALL SELECT 'reversal.differs_from_the_ledger', account_id, reference FROM r
    LEFT JOIN reversed t USING (account_id, reference)
    WHERE r.held <> coalesce(t.held, 0) OR r.debited <> coalesce(t.debited, 0)
       OR r.kind = 'dispute' AND r.returned <> coalesce(t.returned, 0)
UNION ALL SELECT 'reversal.holds_money_without_a_row', account_id, reference FROM reversed t
    LEFT JOIN r USING (account_id, reference) WHERE t.held <> 0 AND r.reference IS NULL
UNION ALL SELECT 'wallet.restricted_without_a_dispute_or_free_with_one', account_id, 'wallet' FROM wallets w
    WHERE w.account_id = ANY($1::text[]) AND (w.restricted_at IS NOT NULL) <>
          EXISTS (SELECT 1 FROM r WHERE r.account_id = w.account_id AND r.state = 'open' AND r.kind = 'dispute')
UNION ALL SELECT 'hold.differs_from_the_ledger', account_id, rental_id FROM h FULL JOIN told t USING (account_id, rental_id)
    WHERE (h.held, h.charged, h.refunded) IS DISTINCT FROM (t.held::bigint, t.charged::bigint, t.refunded::bigint)
       OR t.reserves IS DISTINCT FROM 1
UNION ALL SELECT 'hold.seconds_differ_from_the_ledger', account_id, rental_id FROM h JOIN told t USING (account_id, rental_id)
    WHERE t.to_s > h.billed_seconds OR t.backwards
UNION ALL SELECT 'hold.charge_is_not_the_cost', account_id, rental_id FROM h
    WHERE charged <> earlier_charged + div(rate::numeric * (billed_seconds - earlier_seconds), 3600)
UNION ALL SELECT 'hold.rates_differ_from_the_ledger', account_id, rental_id FROM h JOIN told t USING (account_id, rental_id)
    WHERE t.earlier <> h.earlier_charged OR t.mispriced
UNION ALL SELECT 'hold.beyond_an_hour_or_max_spend', account_id, rental_id FROM h
    WHERE held < 0 OR held > rate OR charged + held > max_spend OR refunded > charged
UNION ALL SELECT 'hold.closed_holds_money', account_id, rental_id FROM h WHERE state = 'closed' AND (held <> 0 OR closed_at IS NULL)
UNION ALL SELECT 'hold.funded_until_is_wrong', account_id, rental_id FROM h
    WHERE (state = 'running') <> (funded_until IS NOT NULL)
       OR state = 'running' AND funded_until <> started_at + make_interval(secs => greatest(0,
            earlier_seconds + div((charged - earlier_charged + held + 1)::numeric * 3600 - 1, rate) + overrun_seconds - base_seconds)::double precision)
UNION ALL SELECT 'hold.ends_at_is_wrong', account_id, rental_id FROM h
    WHERE ends_at IS DISTINCT FROM CASE WHEN state = 'running' THEN
              least(CASE WHEN held < rate THEN funded_until - interval '{STOP_BUDGET_SECONDS} seconds' END, stop_by) END
       OR state = 'running' AND (ends_at IS NULL) <> (ends_because IS NULL)
UNION ALL SELECT 'hold.capped_while_it_waits', account_id, rental_id FROM h WHERE state = 'waiting' AND stop_by IS NOT NULL
UNION ALL SELECT 'hold.billed_beyond_its_cap', h.account_id, h.rental_id FROM h JOIN transfers t USING (account_id, rental_id)
    WHERE t.kind = 'usage' AND h.stop_by IS NOT NULL AND t.effective_at > h.stop_by
UNION ALL SELECT 'hold.could_have_been_renewed', h.account_id, h.rental_id FROM h JOIN wallets w USING (account_id)
    WHERE h.state = 'running' AND h.held < least(h.rate, h.max_spend - h.charged) AND w.available > 0
      AND w.frozen_at IS NULL AND w.restricted_at IS NULL
UNION ALL SELECT 'warning.missed_or_not_rearmed', a.account_id, a.level FROM wallet_alerts a JOIN wallets w USING (account_id)
    WHERE a.account_id = ANY($1::text[]) AND a.level NOT LIKE 'runway%'
      AND (a.armed AND w.available <= a.threshold
           OR NOT a.armed AND w.available > a.threshold AND w.available * 10 >= a.threshold * 11)
UNION ALL SELECT 'warning.watched_too_low', w.account_id, 'wallet' FROM wallets w
    WHERE w.account_id = ANY($1::text[]) AND w.alert_below <
          (SELECT max(threshold) FROM wallet_alerts a WHERE a.account_id = w.account_id AND a.level NOT LIKE 'runway%')
"""  # noqa: S608 - a constant


async def broken(session: AsyncSession, *, account_id: AccountId | None = None) -> list[Broken]:
    """Return the invariants of the wallet that do not hold: for one account, or for all that the role sees."""
    if account_id is not None:
        return await broken_for(session, [account_id])
    return [found async for accounts in every_account(session) for found in await broken_for(session, accounts)]


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
