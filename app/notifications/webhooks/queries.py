"""Every statement of webhooks that is no single row's."""

from __future__ import annotations

from typing import Final

from app.notifications.webhooks.pinging import TEST

# Locked, so that none is disabled or deleted before what it wants is written: that would wait for ever.
FIND_WANTING: Final = """
SELECT account_id, id, types FROM webhook_endpoints WHERE account_id = ANY($1::text[]) AND state = 'enabled'
ORDER BY account_id, id FOR SHARE
"""

QUEUE: Final = """
INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, type, state, tries, tries_before, since, next_at, created_at)
SELECT q.account_id, q.id, q.endpoint_id, q.event_id, q.type, 'pending', 0, 0, $6, $6, $6
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS q(account_id, id, endpoint_id, event_id, type)
ON CONFLICT DO NOTHING
"""

# From endpoint to endpoint of those for which anything waits, at most a few of each: however much waits for one, the
# others' are found, and endpoints for which nothing waits cost nothing.
FIND_DUE: Final = f"""
WITH RECURSIVE lanes AS (
    (SELECT account_id, endpoint_id FROM webhook_deliveries WHERE state = 'pending'
     ORDER BY account_id, endpoint_id LIMIT 1)
    UNION ALL
    SELECT n.account_id, n.endpoint_id FROM lanes l CROSS JOIN LATERAL (
        SELECT w.account_id, w.endpoint_id FROM webhook_deliveries w
        WHERE w.state = 'pending' AND (w.account_id, w.endpoint_id) > (l.account_id, l.endpoint_id)
        ORDER BY w.account_id, w.endpoint_id LIMIT 1) n
)
SELECT d.account_id, d.id, d.endpoint_id, d.next_at
FROM lanes l JOIN webhook_endpoints e ON e.account_id = l.account_id AND e.id = l.endpoint_id
CROSS JOIN LATERAL (
    SELECT w.account_id, w.id, w.endpoint_id, w.next_at FROM webhook_deliveries w
    WHERE w.account_id = e.account_id AND w.endpoint_id = e.id AND w.state = 'pending' AND w.next_at <= $2
      AND (w.trying_until IS NULL OR w.trying_until <= $2) AND (e.state = 'enabled' OR w.type = '{TEST}')
    ORDER BY w.next_at LIMIT $3) d
WHERE e.bucket = ANY($1::smallint[]) AND e.state <> 'deleted'
ORDER BY d.next_at, d.id LIMIT $4
"""  # noqa: S608 - a constant

CLAIM: Final = f"""
UPDATE webhook_deliveries d SET tries = d.tries + 1, trying_until = $4
FROM webhook_endpoints e, events v
LEFT JOIN event_feed f ON f.account_id = v.account_id AND f.event_id = v.id
WHERE d.account_id = $1 AND d.id = $2 AND d.state = 'pending' AND d.next_at <= $3
  AND (d.trying_until IS NULL OR d.trying_until <= $3)
  AND e.account_id = d.account_id AND e.id = d.endpoint_id AND (e.state = 'enabled' OR d.type = '{TEST}')
  AND e.state <> 'deleted' AND v.account_id = d.account_id AND v.id = d.event_id
RETURNING d.id AS delivery_id, d.endpoint_id, d.tries, d.tries_before, d.since, e.url, e.sealed_secret, e.sealed_previous,
          e.previous_until, f.team_id, v.account_id, v.id, v.type, v.at, v.subject, v.seq, v.actor, v.data::text AS data
"""  # noqa: S608 - a constant

NOTE_ATTEMPT: Final = """
INSERT INTO webhook_attempts (account_id, delivery_id, number, at, milliseconds, status, error, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""

# What was taken after all counts, also where the delivery was given up meanwhile.
FINISH: Final = """
UPDATE webhook_deliveries SET state = $4, next_at = $5, ended_at = $6, trying_until = NULL, last_status = $7, last_error = $8
WHERE account_id = $1 AND id = $2 AND tries = $3 AND (state = 'pending' OR $4 = 'delivered')
"""

NOTE_SUCCESS: Final = """
UPDATE webhook_endpoints SET failing_since = NULL WHERE account_id = $1 AND id = $2 AND failing_since IS NOT NULL
"""

NOTE_FAILURE: Final = """
UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, $3)
WHERE account_id = $1 AND id = $2 AND state = 'enabled' RETURNING failing_since
"""

DISABLE: Final = """
UPDATE webhook_endpoints SET state = 'disabled', disabled_because = $3, version = version + 1, updated_at = $4
WHERE account_id = $1 AND id = $2 AND state = 'enabled' RETURNING url, failing_since
"""

GIVE_UP: Final = """
UPDATE webhook_deliveries SET state = 'failed', next_at = NULL, ended_at = $3, last_error = $4
WHERE account_id = $1 AND endpoint_id = $2 AND state = 'pending'
"""

PRUNE_DELIVERIES: Final = """
DELETE FROM webhook_deliveries WHERE (account_id, id) IN (
    SELECT account_id, id FROM webhook_deliveries WHERE state <> 'pending' AND ended_at < $1 LIMIT $2)
"""

PRUNE_ENDPOINTS: Final = """
DELETE FROM webhook_endpoints e WHERE e.state = 'deleted' AND NOT EXISTS (
    SELECT 1 FROM webhook_deliveries d WHERE d.account_id = e.account_id AND d.endpoint_id = e.id)
"""
