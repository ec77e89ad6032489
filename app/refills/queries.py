"""Every statement of the refills room. ``wallets`` is the ledger's: read, never written."""

from __future__ import annotations

from typing import Final

_OPEN = "('created', 'submitted', 'unknown')"

INCOMING_OF: Final = f"""
((SELECT coalesce(sum(a.amount), 0) FROM topup_attempts a WHERE a.account_id = {{0}} AND a.state IN {_OPEN})
 + (SELECT coalesce(sum(c.amount), 0) FROM checkouts c WHERE c.account_id = {{0}} AND c.state = 'processing'))::bigint
"""  # noqa: S608 - a constant
"""What is on its way into a wallet: attempts that are open, and payments by hand whose money takes its time."""

# Rules whose wallet stands below its threshold and that may ask now. Empty for nearly every batch.
FIND_BELOW: Final = f"""
SELECT r.account_id, r.only_while_running FROM auto_topup_rules r JOIN wallets w ON w.account_id = r.account_id
WHERE r.account_id = ANY($1::text[])
  AND (r.state = 'active' OR r.state IN ('cooling', 'backing_off', 'capped') AND r.until <= $2)
  AND w.available < r.threshold AND w.owed = 0 AND w.frozen_at IS NULL AND w.restricted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM topup_attempts a WHERE a.account_id = r.account_id AND a.state IN {_OPEN})
ORDER BY r.account_id
"""  # noqa: S608 - a constant

_RULE = (
    "account_id, mode, threshold, amount, target, monthly_cap, only_while_running, payment_method_id, card_fingerprint, "
    "state, state_reason, until, failures, bad_fingerprints::text AS bad_fingerprints, consent_text_version, consent_at, "
    "consent_actor, last_manual_resume_at, created_at, updated_at, version"
)

READ_RULE: Final = f"SELECT {_RULE} FROM auto_topup_rules WHERE account_id = $1"  # noqa: S608 - a constant

INSERT_RULE: Final = """
INSERT INTO auto_topup_rules (
    account_id, bucket, mode, threshold, amount, target, monthly_cap, only_while_running, payment_method_id,
    card_fingerprint, state, state_reason, until, failures, bad_fingerprints, consent_text_version, consent_at,
    consent_actor, last_manual_resume_at, created_at, updated_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $20, 1)
"""

SAVE_RULE: Final = """
UPDATE auto_topup_rules SET mode = $3, threshold = $4, amount = $5, target = $6, monthly_cap = $7,
    only_while_running = $8, payment_method_id = $9, card_fingerprint = $10, state = $11, state_reason = $12, until = $13,
    failures = $14, bad_fingerprints = $15, consent_text_version = $16, consent_at = $17, consent_actor = $18,
    last_manual_resume_at = $19, updated_at = $20, version = version + 1
WHERE account_id = $1 AND bucket = $2
"""

READ_THRESHOLD: Final = "SELECT threshold FROM auto_topup_rules WHERE account_id = $1 AND state <> 'off'"

# What was charged and is in flight: in the month (asked for or resolved in it, and all that is open) and in the day.
READ_CHARGED: Final = f"""
SELECT {INCOMING_OF.format("$1")} AS incoming,
       coalesce(bool_or(state IN {_OPEN}), false) AS in_flight,
       coalesce(sum(amount) FILTER (WHERE state IN {_OPEN}
           OR state = 'succeeded' AND (created_at >= $2 OR resolved_at >= $2)), 0)::bigint AS month_total,
       count(*) FILTER (WHERE created_at >= $3 AND state <> 'canceled') AS day_count,
       max(resolved_at) FILTER (WHERE state = 'succeeded') AS succeeded_at
FROM topup_attempts WHERE account_id = $1
"""  # noqa: S608 - a constant

_ATTEMPT = (
    "account_id, id, bucket, amount, currency, payment_method_id, card_fingerprint, state, decline_code, advice_code, "
    "payment_intent_id, payment_id, checkout_id, params::text AS params, trigger, created_at, submitted_at, resolved_at, "
    "tries, next_at"
)

INSERT_ATTEMPT: Final = """
INSERT INTO topup_attempts (account_id, id, bucket, amount, currency, monthly_cap, month_total, payment_method_id,
                            card_fingerprint, state, trigger, created_at, tries, next_at)
VALUES ($1, $2, $3, $4, 'usd', $5, $6, $7, $8, 'created', $9, $10, 0, $10)
"""

READ_ATTEMPT: Final = f"SELECT {_ATTEMPT} FROM topup_attempts WHERE account_id = $1 AND id = $2"  # noqa: S608 - a constant

FIND_OPEN: Final = f"SELECT {_ATTEMPT} FROM topup_attempts WHERE account_id = $1 AND state IN {_OPEN}"  # noqa: S608 - a constant

LIST_ATTEMPTS: Final = f"""
SELECT {_ATTEMPT} FROM topup_attempts WHERE account_id = $1 AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - a constant

FIND_DUE: Final = """
SELECT account_id, id, bucket FROM topup_attempts
WHERE next_at <= $1 AND bucket = ANY($2::smallint[]) ORDER BY next_at LIMIT $3
"""

SAVE_ATTEMPT: Final = """
UPDATE topup_attempts SET state = $3, decline_code = $4, advice_code = $5, payment_intent_id = $6, payment_id = $7,
       checkout_id = $8, params = $9, submitted_at = $10, resolved_at = $11, tries = $12, next_at = $13
WHERE account_id = $1 AND id = $2
"""

SUM_INCOMING: Final = f"SELECT {INCOMING_OF.format('$1')}"
