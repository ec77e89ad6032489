"""Every statement of the wallet room that is not the ledger's; hot ones are handed to the driver."""

from __future__ import annotations

from typing import Final

from app import refills

_METER = (
    "account_id, rental_id, rate, held, charged, billed_seconds, base_seconds, earlier_seconds, "
    "earlier_charged, rate_changes, overrun_seconds, max_spend, started_at, settled_at, funded_until, ends_at, "
    "ends_because, stop_by, stop_by_because"
)

INSERT_HOLD: Final = """
INSERT INTO holds (account_id, rental_id, bucket, state, rate, held, charged, refunded, billed_seconds, base_seconds,
                   overrun_seconds, max_spend, slot, created_at)
VALUES ($1, $2, $3, 'waiting', $4, $5, 0, 0, 0, 0, 0, $6, 0, $7)
"""

LOCK_HOLD: Final = f"""
SELECT {_METER}, state, refunded, forgiven, closed_at FROM holds WHERE account_id = $1 AND rental_id = $2 FOR NO KEY UPDATE
"""  # noqa: S608 - a constant

LOCK_RUNNING: Final = f"""
SELECT {_METER} FROM holds
WHERE (account_id, rental_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND state = 'running'
ORDER BY account_id, rental_id FOR NO KEY UPDATE
"""  # noqa: S608 - a constant

LIST_RUNNING: Final = "SELECT rental_id, bucket FROM holds WHERE account_id = $1 AND state = 'running'"

LOCK_DRAINED: Final = f"""
SELECT {_METER} FROM holds
WHERE account_id = $1 AND state = 'running' AND held < rate ORDER BY account_id, rental_id FOR NO KEY UPDATE
"""  # noqa: S608 - a constant

FIND_DUE: Final = """
SELECT account_id, rental_id, bucket FROM holds
WHERE state = 'running' AND slot >= $1 AND slot <= $2 AND bucket = ANY($3::smallint[]) AND settled_at <= $4
ORDER BY account_id, rental_id LIMIT $5
"""

SAVE_METERS: Final = """
UPDATE holds h SET held = m.held, charged = m.charged, billed_seconds = m.billed_seconds,
       overrun_seconds = m.overrun_seconds, settled_at = m.settled_at, funded_until = m.funded_until,
       ends_at = m.ends_at, ends_because = m.ends_because,
       warned_minutes = CASE WHEN h.warned_minutes IS NULL OR m.ends_at IS NULL THEN NULL
                             WHEN least(m.funded_until, h.stop_by) > $11::timestamptz + interval '30 minutes' THEN NULL
                             WHEN least(m.funded_until, h.stop_by) > $11 + interval '10 minutes' THEN greatest(h.warned_minutes, 30)
                             WHEN least(m.funded_until, h.stop_by) > $11 + interval '2 minutes' THEN greatest(h.warned_minutes, 10)
                             ELSE h.warned_minutes END
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::text[])
     AS m(account_id, rental_id, held, charged, billed_seconds, overrun_seconds, settled_at, funded_until, ends_at, ends_because)
WHERE h.account_id = m.account_id AND h.rental_id = m.rental_id
"""

START: Final = """
UPDATE holds SET state = 'running', started_at = $3, settled_at = $3, slot = $4, funded_until = $5, ends_at = $6,
       ends_because = $7, warned_minutes = NULL
WHERE account_id = $1 AND rental_id = $2 AND state = 'waiting'
"""

PAUSE: Final = """
UPDATE holds SET state = 'waiting', base_seconds = $3, started_at = NULL, funded_until = NULL, ends_at = NULL,
       ends_because = NULL, stop_by = NULL, stop_by_because = NULL
WHERE account_id = $1 AND rental_id = $2 AND state = 'running'
"""

LOCK_ALL_RUNNING: Final = f"""
SELECT {_METER} FROM holds WHERE account_id = $1 AND state = 'running' ORDER BY account_id, rental_id FOR NO KEY UPDATE
"""  # noqa: S608 - a constant

CAP: Final = """
UPDATE holds h SET stop_by = m.stop_by, stop_by_because = m.because
FROM unnest($2::text[], $3::timestamptz[], $4::text[]) AS m(rental_id, stop_by, because)
WHERE h.account_id = $1 AND h.rental_id = m.rental_id
"""

CHANGE_RATE: Final = """
UPDATE holds SET rate = $3, held = $4, charged = $5, billed_seconds = $6, overrun_seconds = $7, earlier_seconds = $6,
       earlier_charged = $5, rate_changes = rate_changes + 1, settled_at = $8, funded_until = $9, ends_at = $10,
       ends_because = $11, warned_minutes = NULL
WHERE account_id = $1 AND rental_id = $2
"""

CLOSE: Final = """
UPDATE holds SET state = 'closed', held = 0, charged = $3, billed_seconds = $4, overrun_seconds = $5, closed_at = $6,
       settled_at = $6, funded_until = NULL, ends_at = NULL, ends_because = NULL
WHERE account_id = $1 AND rental_id = $2
"""

READ_CAP: Final = """
SELECT stop_by FROM holds WHERE account_id = $1 AND rental_id = $2 AND state = 'running'
"""

# C(n) for an n before the present rate, from what was captured.
CHARGED_UP_TO: Final = """
SELECT coalesce(sum(div(rate::numeric * (least(to_s, $3) - coalesce(base_s, 0)), 3600)
                    - div(rate::numeric * (from_s - coalesce(base_s, 0)), 3600)), 0)::bigint
FROM transfers WHERE account_id = $1 AND rental_id = $2 AND kind = 'usage' AND from_s < $3::bigint
"""

REFUND: Final = "UPDATE holds SET refunded = refunded + $3 WHERE account_id = $1 AND rental_id = $2"

FORGIVE: Final = """
UPDATE holds SET forgiven = refunded, base_seconds = greatest(base_seconds, billed_seconds + overrun_seconds)
WHERE account_id = $1 AND rental_id = $2 AND state = 'waiting'
"""

# What a running hold has used and not captured at $2, in the terms of Meter.accrued.
_ACCRUED = """
least(h.held, h.earlier_charged - h.charged + div(h.rate::numeric * least(
        h.base_seconds - h.overrun_seconds - h.earlier_seconds
            + greatest(0, floor(extract(epoch FROM least($2::timestamptz, h.stop_by) - h.started_at))),
        div((h.charged - h.earlier_charged + h.held + 1)::numeric * 3600 - 1, h.rate)), 3600))
"""

READ_BALANCE: Final = f"""
SELECT w.available, w.reserved, w.owed, w.seq, w.frozen_at IS NOT NULL AS frozen, r.running, r.burn, r.accrued,
       (SELECT a.threshold FROM wallet_alerts a WHERE a.account_id = w.account_id AND a.level = 'balance') AS alert_below,
       {refills.INCOMING_OF.format("w.account_id")} AS incoming, w.restricted_at IS NOT NULL AS restricted
FROM wallets w, LATERAL (
    SELECT count(*) AS running, coalesce(sum(h.rate), 0)::bigint AS burn,
           coalesce(sum(greatest(0, {_ACCRUED})), 0)::bigint AS accrued
    FROM holds h WHERE h.account_id = w.account_id AND h.state = 'running'
) r
WHERE w.account_id = $1
"""  # noqa: S608 - a constant

LIST_HOLDS: Final = f"""
SELECT {_METER}, state, created_at FROM holds
WHERE account_id = $1 AND state <> 'closed' AND ($2::text IS NULL OR rental_id < $2) ORDER BY rental_id DESC LIMIT $3
"""  # noqa: S608 - a constant

FIND_HOLD: Final = f"""
SELECT {_METER}, state, refunded, closed_at FROM holds WHERE account_id = $1 AND rental_id = ANY($2::text[])
"""  # noqa: S608 - a constant

FIND_ENDING: Final = """
SELECT account_id, rental_id, bucket, ends_because FROM holds
WHERE state = 'running' AND ends_at IS NOT NULL AND ends_at <= $1 AND bucket = ANY($2::smallint[])
ORDER BY ends_at LIMIT $3
"""

FIND_LOW: Final = """
SELECT account_id, rental_id, bucket, ends_because FROM holds
WHERE state = 'running' AND ends_at IS NOT NULL AND ends_at <= $1 AND bucket = ANY($2::smallint[])
  AND least(funded_until, stop_by) - make_interval(mins => CASE warned_minutes WHEN 10 THEN 2 WHEN 30 THEN 10 ELSE 30 END) <= $3
  AND warned_minutes IS DISTINCT FROM 2
ORDER BY ends_at LIMIT $4
"""

LOCK_LOW: Final = """
SELECT least(funded_until, stop_by) AS funded_until, ends_because, warned_minutes FROM holds
WHERE account_id = $1 AND rental_id = $2 AND state = 'running' AND ends_at IS NOT NULL FOR NO KEY UPDATE
"""

WARN: Final = "UPDATE holds SET warned_minutes = $3 WHERE account_id = $1 AND rental_id = $2"

# Each account's available and runway (live total over the sum of running rates) against its armed levels.
CROSS_LEVELS: Final = """
WITH now AS (
    SELECT w.account_id, w.available, w.available + w.reserved AS total, r.burn, r.accrued
    FROM wallets w, LATERAL (
        SELECT coalesce(sum(h.rate), 0) AS burn,
               coalesce(sum(greatest(0, {accrued})), 0) AS accrued
        FROM holds h WHERE h.account_id = w.account_id AND h.state = 'running'
    ) r
    WHERE w.account_id = ANY($1::text[])
), figure AS (
    SELECT a.account_id, a.level, a.threshold, a.armed, a.fired_at, now.available, now.total, now.accrued, now.burn,
           CASE WHEN a.level LIKE 'runway%' THEN CASE WHEN now.burn > 0 THEN div((now.total - now.accrued) * 3600, now.burn) END
                ELSE now.available END AS value
    FROM wallet_alerts a JOIN now ON now.account_id = a.account_id
), rearmed AS (
    UPDATE wallet_alerts a SET armed = true FROM figure f
    WHERE a.account_id = f.account_id AND a.level = f.level AND NOT f.armed
      AND (f.value IS NULL OR f.value * 10 >= f.threshold * 11 AND f.value > f.threshold)
), fired AS (
    UPDATE wallet_alerts a SET armed = false, fired_at = CASE WHEN f.quiet THEN a.fired_at ELSE $2 END
    FROM (SELECT *, fired_at IS NOT NULL AND fired_at > $2::timestamptz - interval '12 hours' AS quiet FROM figure) f
    WHERE a.account_id = f.account_id AND a.level = f.level AND f.armed AND f.value <= f.threshold
    RETURNING a.account_id, a.level, a.threshold, f.value, f.available, f.total, f.quiet
)
SELECT account_id, level, threshold, value::bigint, available, total FROM fired WHERE NOT quiet ORDER BY account_id, level
""".replace("{accrued}", _ACCRUED.strip())

FIND_LIVE: Final = """
SELECT DISTINCT account_id FROM holds WHERE account_id = ANY($1::text[]) AND state <> 'closed'
"""

# Rules whose wait is over, and active ones that a decrease should have judged.
FIND_UNFILLED: Final = """
SELECT r.account_id, r.bucket FROM auto_topup_rules r JOIN wallets w ON w.account_id = r.account_id
WHERE r.bucket = ANY($2::smallint[]) AND (
    r.state IN ('cooling', 'backing_off', 'capped') AND r.until <= $1
    OR r.state = 'active' AND w.available < r.threshold AND w.owed = 0 AND w.frozen_at IS NULL AND w.restricted_at IS NULL
       AND (NOT r.only_while_running
            OR EXISTS (SELECT 1 FROM holds h WHERE h.account_id = r.account_id AND h.state <> 'closed'))
       AND NOT EXISTS (SELECT 1 FROM topup_attempts a
                       WHERE a.account_id = r.account_id AND a.state IN ('created', 'submitted', 'unknown')))
ORDER BY r.account_id LIMIT $3
"""

OPEN_LEVELS: Final = """
INSERT INTO wallet_alerts (account_id, level, threshold, armed)
SELECT $1, l.level, l.threshold, l.level LIKE 'runway%' FROM unnest($2::text[], $3::bigint[]) AS l(level, threshold)
ON CONFLICT DO NOTHING
"""

DROP_LEVEL: Final = "DELETE FROM wallet_alerts WHERE account_id = $1 AND level = $2"

SET_LEVEL: Final = """
INSERT INTO wallet_alerts (account_id, level, threshold, armed)
SELECT $1, $2, $3::bigint, w.available > $3::bigint OR $2 LIKE 'runway%' FROM wallets w WHERE w.account_id = $1
ON CONFLICT (account_id, level) DO UPDATE SET threshold = excluded.threshold, armed = excluded.armed, fired_at = NULL
"""

READ_LEVELS: Final = "SELECT level, threshold, armed, fired_at FROM wallet_alerts WHERE account_id = $1 ORDER BY level"

_USED = """
SELECT {key} AS key, coalesce(sum(to_s - from_s) FILTER (WHERE kind = 'usage'), 0)::bigint,
       coalesce(sum(amount) FILTER (WHERE kind = 'usage'), 0)::bigint,
       coalesce(sum(amount) FILTER (WHERE debit = 'spend'), 0)::bigint
FROM transfers
WHERE account_id = $1 AND rental_id IS NOT NULL AND (kind = 'usage' OR debit = 'spend')
  AND ($2::timestamptz IS NULL OR effective_at >= $2) AND ($3::timestamptz IS NULL OR effective_at < $3)
  AND ($4::text IS NULL OR {key} < $4)
GROUP BY 1 ORDER BY 1 DESC LIMIT $5
"""

USED_BY_RENTAL: Final = _USED.replace("{key}", "rental_id")

USED_BY_DAY: Final = _USED.replace("{key}", "to_char(effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
