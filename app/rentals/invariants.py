"""What must always be true of rentals, as queries that return the ids for which it is not."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

INVARIANTS: Final = {
    "a live rental has exactly one open hold, any other has none": """
        SELECT r.id FROM rentals r LEFT JOIN holds h ON h.account_id = r.account_id AND h.rental_id = r.id
        WHERE (r.status NOT IN ('stopping', 'stopped', 'failed')) <> (h.state IS NOT NULL AND h.state <> 'closed')
    """,
    "a hold runs exactly while its rental runs or hibernates": """
        SELECT r.id FROM rentals r JOIN holds h ON h.account_id = r.account_id AND h.rental_id = r.id
        WHERE (r.status IN ('running', 'hibernated')) <> (h.state = 'running')
    """,
    "a stretch is open exactly while its rental runs or hibernates": """
        SELECT r.id FROM rentals r WHERE (r.status IN ('running', 'hibernated')) <> EXISTS (
            SELECT 1 FROM rental_runs s WHERE s.account_id = r.account_id AND s.rental_id = r.id AND s.ended_at IS NULL)
    """,
    "stretches do not overlap": """
        SELECT s.rental_id FROM rental_runs s JOIN rental_runs t ON t.account_id = s.account_id
            AND t.rental_id = s.rental_id AND t.number = s.number + 1 WHERE s.ended_at IS NULL OR t.began_at < s.ended_at
    """,
    "a rental ran for as long as its stretches": """
        SELECT r.id FROM rentals r WHERE r.ran_seconds <> (
            SELECT coalesce(sum(floor(extract(epoch FROM s.ended_at - s.began_at))), 0) FROM rental_runs s
            WHERE s.account_id = r.account_id AND s.rental_id = r.id AND s.kind = 'ran' AND s.ended_at IS NOT NULL)
    """,
    "no second of a gap is charged in the end": """
        SELECT r.id FROM rentals r JOIN holds h ON h.account_id = r.account_id AND h.rental_id = r.id
        WHERE h.state = 'closed' AND (h.charged - h.refunded)::numeric * 3600 > (
            SELECT coalesce(sum(s.rate::numeric * floor(extract(epoch FROM s.ended_at - s.began_at))), 0)
            FROM rental_runs s WHERE s.account_id = r.account_id AND s.rental_id = r.id)
    """,
    "an open hold has the rental's rate, or that of its hibernation": """
        SELECT r.id FROM rentals r JOIN holds h ON h.account_id = r.account_id AND h.rental_id = r.id
        WHERE h.state <> 'closed' AND h.rate <> CASE r.status WHEN 'hibernated' THEN r.stopped_rate ELSE r.rate END
    """,
    "a rental that is turned off, or is off, has one attempt that is so too, any other has none": """
        SELECT r.id FROM rentals r WHERE (r.status IN ('hibernating', 'hibernated')) <> EXISTS (
            SELECT 1 FROM attempts a WHERE a.account_id = r.account_id AND a.rental_id = r.id
            AND a.status IN ('hibernating', 'hibernated') AND (a.status = r.status
                OR r.status NOT IN ('hibernating', 'hibernated')))
    """,
    "a rental that waits has no machine": """
        SELECT r.id FROM rentals r JOIN attempts a ON a.account_id = r.account_id AND a.rental_id = r.id
        WHERE r.status = 'queued' AND a.status NOT IN ('doomed', 'gone')
    """,
    "a rental counts against the caps of those for whom it runs, until it is over": """
        SELECT r.id FROM rentals r LEFT JOIN commitments c ON c.account_id = r.account_id AND c.rental_id = r.id
        WHERE c.rental_id IS NULL OR (r.status IN ('stopped', 'failed')) <> (c.ended_at IS NOT NULL)
        OR (r.team_id, r.key_id, r.user_id) IS DISTINCT FROM (c.team_id, c.key_id, c.user_id)
    """,
    "nothing counts against the caps without a rental": """
        SELECT c.rental_id FROM commitments c WHERE NOT EXISTS (
            SELECT 1 FROM rentals r WHERE r.account_id = c.account_id AND r.id = c.rental_id)
    """,
    "no hold is without a rental": """
        SELECT h.rental_id FROM holds h WHERE NOT EXISTS (
            SELECT 1 FROM rentals r WHERE r.account_id = h.account_id AND r.id = h.rental_id)
    """,
    "a rental that runs or saves its checkpoint has exactly one live attempt, any other has none": """
        SELECT r.id FROM rentals r
        WHERE (r.status = 'running' OR r.status = 'interrupted' AND r.stage = 'checkpointing') <> EXISTS (
            SELECT 1 FROM attempts a WHERE a.account_id = r.account_id AND a.rental_id = r.id AND a.status = 'live')
    """,
    "a rental that is over has no attempt that is not on its way out": """
        SELECT r.id FROM rentals r JOIN attempts a ON a.account_id = r.account_id AND a.rental_id = r.id
        WHERE r.status IN ('stopping', 'stopped', 'failed') AND a.status NOT IN ('doomed', 'gone')
    """,
    "a stopping rental waits for a doomed attempt": """
        SELECT r.id FROM rentals r WHERE r.status = 'stopping' AND NOT EXISTS (
            SELECT 1 FROM attempts a WHERE a.account_id = r.account_id AND a.rental_id = r.id AND a.status = 'doomed')
    """,
    "a rental on its way somewhere is looked at again, and no other": """
        SELECT r.id FROM rentals r
        WHERE (r.status IN ('queued', 'provisioning', 'interrupted', 'hibernating')) <> (r.next_at IS NOT NULL)
    """,
    "a rental says since when it is interrupted, hibernates or waits": """
        SELECT r.id FROM rentals r WHERE r.status = 'interrupted' AND r.interrupted_at IS NULL
        OR r.status = 'running' AND (r.interrupted_at IS NOT NULL OR r.run_since IS NULL)
        OR r.status = 'hibernated' AND r.hibernated_at IS NULL OR r.status = 'queued' AND r.queued_until IS NULL
        OR r.status <> 'running' AND r.run_since IS NOT NULL
    """,
    "a doomed attempt is looked at again": """
        SELECT a.rental_id FROM attempts a WHERE a.status = 'doomed' AND a.next_at IS NULL
    """,
    "a rental at its end says when and why": """
        SELECT r.id FROM rentals r WHERE r.status IN ('stopping', 'stopped', 'failed')
        AND (r.ended_at IS NULL OR r.settled_at IS NULL OR (r.end_reason IS NULL AND r.failure IS NULL))
    """,
    "a rental's events are gapless": """
        SELECT e.subject FROM events e WHERE e.subject LIKE 'rent_%'
        GROUP BY e.account_id, e.subject HAVING max(e.seq) <> count(*) OR min(e.seq) <> 1
    """,
    "the audit tells of a rental's creation, and last what it is now": """
        SELECT r.id FROM rentals r WHERE r.audited AND (
            NOT EXISTS (SELECT 1 FROM audit_entries e WHERE e.account_id = r.account_id AND e.target = r.id
                AND e.action = 'rental.created')
            OR r.status IS DISTINCT FROM (SELECT e.details->'after'->>'status' FROM audit_entries e
                WHERE e.account_id = r.account_id AND e.target = r.id AND e.details->'after' ? 'status'
                ORDER BY e.seq DESC LIMIT 1))
    """,
}
"""Sentence → query; each returns nothing while the sentence is true."""

_SAMPLE = 5


async def broken(session: AsyncSession) -> dict[str, list[str]]:
    """Return the sentences that do not hold, with some ids each; for the worker role, over all accounts."""
    found = {}
    for sentence, query in INVARIANTS.items():
        rows = await driver(session).fetch(f"{query} LIMIT {_SAMPLE}")
        if rows:
            found[sentence] = [row[0] for row in rows]
    return found
