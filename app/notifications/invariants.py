"""What must always be true of notifications. For the worker and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among

_STATEMENT: Final = """
WITH d AS (SELECT * FROM webhook_deliveries WHERE account_id = ANY($1::text[]))
SELECT 'event.is_told_to_nobody' AS name, e.account_id, e.id AS what FROM events e
    WHERE e.account_id = ANY($1::text[])
      AND NOT EXISTS (SELECT 1 FROM event_feed f WHERE f.account_id = e.account_id AND f.event_id = e.id)
      AND NOT EXISTS (SELECT 1 FROM event_queue q WHERE q.account_id = e.account_id AND q.event_id = e.id)
UNION ALL SELECT 'event.waits_though_it_was_told', q.account_id, q.event_id FROM event_queue q
    JOIN event_feed f ON f.account_id = q.account_id AND f.event_id = q.event_id WHERE q.account_id = ANY($1::text[])
UNION ALL SELECT 'feed.has_a_gap', account_id, max(position)::text FROM event_feed
    WHERE account_id = ANY($1::text[]) GROUP BY account_id HAVING max(position) <> count(*)
UNION ALL SELECT 'delivery.waits_for_a_webhook_that_is_off', d.account_id, d.id FROM d
    JOIN webhook_endpoints e ON e.account_id = d.account_id AND e.id = d.endpoint_id
    WHERE d.state = 'pending' AND d.type <> 'webhook.test' AND e.state = 'deleted'
UNION ALL SELECT 'delivery.was_taken_by_nobody', d.account_id, d.id FROM d WHERE d.state = 'delivered' AND NOT EXISTS (
    SELECT 1 FROM webhook_attempts a WHERE a.account_id = d.account_id AND a.delivery_id = d.id AND a.error IS NULL)
UNION ALL SELECT 'delivery.has_more_tries_than_it_tells', a.account_id, a.delivery_id FROM webhook_attempts a
    JOIN d ON d.account_id = a.account_id AND d.id = a.delivery_id WHERE a.number > d.tries
"""


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
