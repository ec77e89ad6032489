"""Every statement of the mail room."""

from __future__ import annotations

from typing import Final

WRITE: Final = """
INSERT INTO mails (account_id, id, bucket, to_address, template, data, dedupe_key, state, tries, next_at, created_at)
SELECT $1, m.id, $2, m.to_address, $3, $4::jsonb, $5, 'queued', 0, $6, $6
FROM unnest($7::text[], $8::text[]) AS m(id, to_address)
ON CONFLICT DO NOTHING
"""

COUNT_WRITTEN: Final = """
SELECT count(DISTINCT dedupe_key) FROM mails WHERE account_id = $1 AND template = $2 AND created_at > $3
"""

FIND_DUE: Final = """
SELECT account_id, id FROM mails WHERE state = 'queued' AND bucket = ANY($1::smallint[]) AND next_at <= $2
ORDER BY next_at, id LIMIT $3
"""

OLDEST_QUEUED: Final = "SELECT min(created_at) FROM mails WHERE state = 'queued' AND bucket = ANY($1::smallint[])"

CLAIM: Final = """
UPDATE mails SET tries = tries + 1, next_at = $4, message_id = coalesce(message_id, $5)
WHERE account_id = $1 AND id = $2 AND state = 'queued' AND next_at <= $3
RETURNING account_id, id, to_address, template, data::text AS data, tries, created_at, message_id
"""

FINISH: Final = """
UPDATE mails SET state = $4, sent_at = $5, last_error = $6, next_at = coalesce($7, next_at),
    data = CASE WHEN $4 = 'queued' THEN data ELSE data - 'token' END
WHERE account_id = $1 AND id = $2 AND state = 'queued' AND tries = $3
"""

PRUNE: Final = """
DELETE FROM mails WHERE (account_id, id) IN (
    SELECT account_id, id FROM mails WHERE state <> 'queued' AND created_at < $1 LIMIT $2)
"""
