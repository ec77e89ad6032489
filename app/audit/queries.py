"""Every statement of the audit."""

from __future__ import annotations

from typing import Final

COLUMNS: Final = "account_id, id, at, actor, user_id, action, target, team_id, request_id, address"
"""What an entry's hash is made of, in this order, and after it the details."""

APPEND: Final = f"""
WITH head AS (
    INSERT INTO audit_heads AS h (account_id, bucket, seq, hash) VALUES ($1, $14, 1, sha256($12::bytea || $13::bytea))
    ON CONFLICT (account_id) DO UPDATE SET seq = h.seq + 1, hash = sha256(h.hash || $13::bytea)
    RETURNING seq, hash
)
INSERT INTO audit_entries ({COLUMNS}, details, seq, hash)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, head.seq, head.hash FROM head
"""  # noqa: S608 - a constant
"""Takes the next place in the chain and the entry into it. Waits for whoever is taking one in the same account."""

READ: Final = f"""
SELECT {COLUMNS}, details::text AS details, seq, hash FROM audit_entries
WHERE account_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4
"""  # noqa: S608 - a constant

READ_END: Final = """
SELECT coalesce(h.seq, 0) AS seq, h.hash, coalesce(e.first, 1) AS first, coalesce(e.last, 0) AS last, c.seq AS checked_seq,
       c.hash AS checked_hash, c.checked_at
FROM (SELECT min(seq) AS first, max(seq) AS last FROM audit_entries WHERE account_id = $1) e
LEFT JOIN audit_heads h ON h.account_id = $1 LEFT JOIN audit_checks c ON c.account_id = $1
"""
"""Where a chain ends, by its head, by its entries and as it was last found whole: one snapshot."""

FIND_UNCHECKED: Final = """
SELECT h.account_id FROM audit_heads h LEFT JOIN audit_checks c ON c.account_id = h.account_id
WHERE h.bucket = ANY($1::smallint[])
  AND (c.seq IS NULL OR c.seq <> h.seq OR c.whole_at <= $2) AND (c.checked_at IS NULL OR c.checked_at <= $3)
UNION ALL
SELECT c.account_id FROM audit_checks c
WHERE c.checked_at <= $3 AND NOT EXISTS (SELECT 1 FROM audit_heads h WHERE h.account_id = c.account_id)
LIMIT $4
"""
"""Chains that have grown, or that were not read whole for long; and those whose head is gone, whoever's they were."""

KEEP_CHECK: Final = """
INSERT INTO audit_checks (account_id, seq, hash, checked_at, whole_at, first_bad_seq) VALUES ($1, $2, $3, $4, $5, NULL)
ON CONFLICT (account_id) DO UPDATE
SET seq = excluded.seq, hash = excluded.hash, checked_at = excluded.checked_at, whole_at = excluded.whole_at,
    first_bad_seq = excluded.first_bad_seq
"""

NOTE_BAD: Final = """
INSERT INTO audit_checks (account_id, seq, hash, checked_at, whole_at, first_bad_seq) VALUES ($1, 0, $2, $3, $3, $4)
ON CONFLICT (account_id) DO UPDATE SET checked_at = excluded.checked_at, first_bad_seq = excluded.first_bad_seq
"""
"""What was found whole before stays what the chain must lead through."""

FIND_CHECK: Final = "SELECT seq, hash, whole_at, first_bad_seq FROM audit_checks WHERE account_id = $1"

LIST_CHAINS: Final = """
SELECT account_id FROM (SELECT account_id FROM audit_heads UNION SELECT account_id FROM audit_checks) all_chains
WHERE account_id > $1 ORDER BY account_id LIMIT $2
"""
