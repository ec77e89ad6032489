"""Every statement of the audit."""

from __future__ import annotations

from typing import Final

APPEND: Final = """
WITH head AS (
    INSERT INTO audit_heads AS h (account_id, seq, hash) VALUES ($1, 1, sha256($12::bytea || $13::bytea))
    ON CONFLICT (account_id) DO UPDATE SET seq = h.seq + 1, hash = sha256(h.hash || $13::bytea)
    RETURNING seq, hash
)
INSERT INTO audit_entries (account_id, seq, id, at, actor, user_id, action, target, team_id, request_id, address, details, hash)
SELECT $1, head.seq, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, head.hash FROM head
"""
"""Takes the next place in the chain and the entry into it. Waits for whoever is taking one in the same account."""
