"""Every statement of the feed."""

from __future__ import annotations

from typing import Final

FIND_QUEUED: Final = """
SELECT b.bucket FROM unnest($1::smallint[]) AS b(bucket)
WHERE EXISTS (SELECT 1 FROM event_queue q WHERE q.bucket = b.bucket)
"""

TAKE: Final = """
WITH taken AS (
    DELETE FROM event_queue WHERE (account_id, event_id) IN (
        SELECT account_id, event_id FROM event_queue WHERE bucket = $1 ORDER BY event_id LIMIT $2)
    RETURNING account_id, event_id)
SELECT e.account_id, e.id, e.type, e.at, e.subject, e.seq, e.actor, e.data::text AS data
FROM taken t JOIN events e ON e.account_id = t.account_id AND e.id = t.event_id ORDER BY e.id
"""

APPEND: Final = """
INSERT INTO event_feed (account_id, position, event_id, subject, seq, type, team_id, made_by, person)
SELECT n.account_id,
       coalesce((SELECT max(f.position) FROM event_feed f WHERE f.account_id = n.account_id), 0)
       + row_number() OVER (PARTITION BY n.account_id ORDER BY n.number),
       n.event_id, n.subject, n.seq, n.type, n.team_id, n.made_by, n.person
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[])
     WITH ORDINALITY AS n(account_id, event_id, subject, seq, type, team_id, made_by, person, number)
"""

_SEEN: Final = """
SELECT f.position, f.team_id, e.account_id, e.id, e.type, e.at, e.subject, e.seq, e.actor, e.data::text AS data
FROM event_feed f JOIN events e ON e.account_id = f.account_id AND e.subject = f.subject AND e.seq = f.seq
WHERE f.account_id = $1
  AND CASE WHEN f.subject LIKE 'rent\\_%' THEN $2 OR f.team_id = ANY($4) OR f.made_by = $5 OR f.person = $6
           WHEN f.subject LIKE 'team\\_%' THEN $2 OR f.subject = ANY($4)
           ELSE $3 END
  AND ($7::text IS NULL OR f.type LIKE $7)
"""
LIST_BEFORE: Final = f"{_SEEN} AND f.position < $8 ORDER BY f.position DESC LIMIT $9"
LIST_AFTER: Final = f"{_SEEN} AND f.position > $8 ORDER BY f.position LIMIT $9"

FIND_POSITION: Final = "SELECT position FROM event_feed WHERE account_id = $1 AND event_id = $2"
LAST_POSITION: Final = "SELECT coalesce(max(position), 0) FROM event_feed WHERE account_id = $1"
