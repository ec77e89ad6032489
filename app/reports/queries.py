"""Every statement of the reports room, handed to the driver."""

from __future__ import annotations

from typing import Final

# A transfer that touches ``spend`` (all of ``fresh`` do) with what it is spent on. The lookups are per row by key
# (OFFSET 0 keeps the planner from joining whole tables, since it can't know how few rows are fresh).
# The machine is that of the run which was on when the charge took effect: the last that began before, else the first.
# What is given back goes by the charge before it.
_ATTRIBUTED = """
SELECT t.account_id, (t.effective_at AT TIME ZONE 'UTC')::date AS day, coalesce(t.rental_id, '') AS rental_id,
       coalesce(m.provider, r.listing ->> 'provider', '') AS provider,
       coalesce(m.listing ->> 'family', r.listing ->> 'family', '') AS family,
       r.team_id, r.user_id, r.key_id, coalesce(r.tags, '{}'::jsonb) AS tags,
       CASE WHEN t.credit = 'spend' THEN coalesce(t.to_s - t.from_s, 0) ELSE 0 END AS seconds,
       CASE WHEN t.credit = 'spend' THEN t.amount ELSE 0 END AS charged,
       CASE WHEN t.debit = 'spend' THEN t.amount ELSE 0 END AS refunded
FROM fresh t
LEFT JOIN LATERAL (
    SELECT r.listing, r.team_id, r.user_id, r.key_id, r.tags FROM rentals r
    WHERE r.account_id = t.account_id AND r.id = t.rental_id OFFSET 0
) r ON true
LEFT JOIN LATERAL (
    SELECT coalesce(max(u.effective_at), t.effective_at) AS at FROM (
        SELECT u.effective_at FROM transfers u
        WHERE t.debit = 'spend' AND u.account_id = t.account_id AND u.rental_id = t.rental_id AND u.seq < t.seq
          AND u.credit = 'spend' ORDER BY u.seq DESC LIMIT 1) u
) c ON true
LEFT JOIN LATERAL (
    SELECT a.provider, a.listing FROM rental_runs run
    JOIN attempts a ON a.account_id = run.account_id AND a.rental_id = run.rental_id AND a.number = run.attempt
    WHERE run.account_id = t.account_id AND run.rental_id = t.rental_id
    ORDER BY run.began_at < c.at DESC, abs(extract(epoch FROM run.began_at - c.at)), run.number DESC LIMIT 1
) m ON true
"""

FIND_UNCOUNTED: Final = """
SELECT w.account_id, w.bucket FROM wallets w LEFT JOIN report_counted c ON c.account_id = w.account_id
WHERE w.bucket = ANY($1::smallint[]) AND w.seq > coalesce(c.seq, 0)
  AND (w.seq - coalesce(c.seq, 0) >= $2::bigint OR coalesce(c.counted_at, '-infinity') <= $3)
ORDER BY w.account_id LIMIT $4
"""

BEGIN_COUNTING: Final = """
INSERT INTO report_counted (account_id, seq, counted_at) SELECT account_id, 0, $2 FROM unnest($1::text[]) AS a(account_id)
ORDER BY account_id ON CONFLICT DO NOTHING
"""

LOCK_COUNTED: Final = """
SELECT c.account_id, c.seq, w.seq AS posted_seq FROM report_counted c JOIN wallets w ON w.account_id = c.account_id
WHERE c.account_id = ANY($1::text[]) ORDER BY c.account_id FOR UPDATE OF c
"""

COUNT: Final = f"""
WITH due AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS d(account_id, after_seq, upto_seq)
), fresh AS MATERIALIZED (
    SELECT t.* FROM due d, LATERAL (
        SELECT * FROM transfers t
        WHERE t.account_id = d.account_id AND t.seq > d.after_seq AND t.seq <= d.upto_seq AND 'spend' IN (t.debit, t.credit)
        OFFSET 0
    ) t
), attributed AS ({_ATTRIBUTED})
INSERT INTO report_spend AS s (account_id, day, rental_id, provider, family, team_id, user_id, key_id, tags, seconds,
                               charged, refunded)
SELECT account_id, day, rental_id, provider, family, max(team_id), max(user_id), max(key_id), (array_agg(tags))[1],
       sum(seconds)::bigint, sum(charged)::bigint, sum(refunded)::bigint
FROM attributed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (account_id, day, rental_id, provider, family) DO UPDATE
SET team_id = excluded.team_id, user_id = excluded.user_id, key_id = excluded.key_id, tags = excluded.tags,
    seconds = s.seconds + excluded.seconds, charged = s.charged + excluded.charged,
    refunded = s.refunded + excluded.refunded
"""  # noqa: S608 - a constant

COUNTED: Final = """
UPDATE report_counted c SET seq = d.upto_seq, counted_at = $3
FROM unnest($1::text[], $2::bigint[]) AS d(account_id, upto_seq) WHERE c.account_id = d.account_id
"""

FORGET: Final = "DELETE FROM report_spend WHERE account_id = $1"

UNCOUNT: Final = "UPDATE report_counted SET seq = 0, counted_at = $2 WHERE account_id = $1"

# Everything of an account in a span of days that the caller sees: what is counted, and what was posted since. One
# statement is of one moment, so nothing is seen twice or missed. The upper bound of ``seq`` lets the planner see that few
# rows are meant; a COALESCE outside of the subquery would keep it from using the index under row-level security.
# $4 to $6: the teams seen (null: all), the key that asks, and the person whose every rental is seen.
_SEEN = f"""
WITH fresh AS MATERIALIZED (
    SELECT * FROM transfers t
    WHERE t.account_id = $1 AND t.seq > (SELECT coalesce(max(c.seq), 0) FROM report_counted c WHERE c.account_id = $1)
      AND t.seq <= (SELECT w.seq FROM wallets w WHERE w.account_id = $1) AND 'spend' IN (t.debit, t.credit)
      AND t.effective_at >= $2::date::timestamp AT TIME ZONE 'UTC' AND t.effective_at < $3::date::timestamp AT TIME ZONE 'UTC'
), seen AS (
    SELECT * FROM (
        SELECT account_id, day, rental_id, provider, family, team_id, user_id, key_id, tags, seconds, charged, refunded
        FROM report_spend WHERE account_id = $1 AND day >= $2::date AND day < $3::date
        UNION ALL {_ATTRIBUTED}
    ) s
    WHERE $4::text[] IS NULL OR team_id = ANY($4) OR key_id = $5 OR user_id = $6
)
"""  # noqa: S608 - a constant

# Rentals are counted by a 64-bit hash of their ids, in half the time: among a million, two share one with a chance of 3e-8.
_SUMS = (
    "count(DISTINCT hashtextextended(rental_id, 0)) FILTER (WHERE rental_id <> '') AS rentals, "
    "sum(seconds)::bigint AS seconds, sum(charged)::bigint AS charged, sum(refunded)::bigint AS refunded"
)

SUM_SPENDING: Final = f"""
{_SEEN}, grouped AS (
    SELECT {{key}} AS key, {_SUMS} FROM seen GROUP BY 1
)
SELECT key, rentals, seconds, charged, refunded, count(*) OVER () AS groups, sum(seconds) OVER ()::bigint AS all_seconds,
       sum(charged) OVER ()::bigint AS all_charged, sum(refunded) OVER ()::bigint AS all_refunded
FROM grouped ORDER BY {{order}} LIMIT $7
"""  # noqa: S608 - a constant

KEYS: Final = {
    "team": "team_id",
    "user": "user_id",
    "key": "key_id",
    "family": "nullif(family, '')",
    "provider": "nullif(provider, '')",
    "day": "day::text",
    "tag": "tags ->> $8",
}
"""What a report may be grouped by."""

BY_NET: Final = "charged - refunded DESC, key NULLS LAST"
BY_DAY: Final = "key DESC"

# A month by team, and by family within each team: of one moment too, so that one adds up to the other.
CHARGE_BACK: Final = f"""
{_SEEN}, named AS (
    SELECT *, nullif(family, '') AS gpu FROM seen
)
SELECT GROUPING(gpu) = 1 AS whole, team_id, gpu AS family, {_SUMS}
FROM named GROUP BY GROUPING SETS ((team_id), (team_id, gpu))
"""  # noqa: S608 - a constant

FIRST_TRANSFER: Final = "SELECT effective_at FROM transfers WHERE account_id = $1 ORDER BY seq LIMIT 1"

WHOSE: Final = """
SELECT id, team_id, key_id, user_id FROM rentals WHERE account_id = $1 AND id = ANY($2::text[])
"""

# What each rental's GPUs did, dearest idleness first. An hour of one GPU costs the rental's rate by its GPUs.
SUM_IDLE: Final = """
WITH used AS (
    SELECT rental_id, gpu, sum(seconds)::bigint AS seconds, sum(idle_seconds)::bigint AS idle_seconds,
           sum(percent_seconds)::bigint AS percent_seconds, max(sampled_at) AS sampled_at
    FROM gpu_use WHERE account_id = $1 AND day >= $2::date AND day < $3::date GROUP BY 1, 2
), rented AS (
    SELECT rental_id, sum(seconds)::bigint AS seconds, sum(idle_seconds)::bigint AS idle_seconds,
           max(sampled_at) AS sampled_at, count(*) AS gpu_count, array_agg(gpu ORDER BY gpu) AS gpus,
           array_agg(seconds ORDER BY gpu) AS gpu_seconds, array_agg(idle_seconds ORDER BY gpu) AS gpu_idle_seconds,
           array_agg(percent_seconds ORDER BY gpu) AS gpu_percent_seconds
    FROM used GROUP BY 1
), priced AS (
    SELECT u.*, r.name, r.status, r.team_id, r.user_id, r.rate, nullif(r.listing ->> 'family', '') AS family,
           div(r.rate::numeric * u.idle_seconds,
               3600 * greatest(u.gpu_count, (r.listing ->> 'gpu_count')::bigint, 1))::bigint AS cost
    FROM rented u JOIN rentals r ON r.account_id = $1 AND r.id = u.rental_id
    WHERE $4::text[] IS NULL OR r.team_id = ANY($4) OR r.key_id = $5 OR r.user_id = $6
)
SELECT *, count(*) OVER () AS rentals, sum(seconds) OVER ()::bigint AS all_seconds,
       sum(idle_seconds) OVER ()::bigint AS all_idle_seconds, sum(cost) OVER ()::bigint AS all_cost
FROM priced ORDER BY cost DESC, rental_id LIMIT $7
"""
