"""Every statement of the ledger room. The first ones are handed to the driver: they are the hottest of all."""

from __future__ import annotations

from typing import Final

OPEN_WALLET: Final = """
INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)
VALUES ($1, $2, 0, 0, 0, 0, 0, $3) ON CONFLICT DO NOTHING
"""

# The hottest of all, for a key that is as new as the rental it names: nothing is looked for first, and what follows from
# the kind is written out.
RESERVE: Final = """
WITH moved AS (
    UPDATE wallets SET available = available - $2, reserved = reserved + $2, seq = seq + 1
    WHERE account_id = $1 AND available >= $2 AND frozen_at IS NULL AND restricted_at IS NULL
    RETURNING available, reserved, owed, seq, available <= alert_below AS alert_due
), written AS (
    INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after,
                           effective_at, rental_id, actor, description, idempotency_key)
    SELECT $1, seq, $4, 'reserve', 'available', 'reserved', $2, available, reserved, owed, $5, $6, $7, '', $3
    FROM moved
)
SELECT available, reserved, owed, seq, alert_due FROM moved
"""

POST_ONE: Final = """
WITH moved AS (
    UPDATE wallets SET available = available + $2, reserved = reserved + $3, owed = owed + $4, seq = seq + 1
    WHERE account_id = $1
      AND least(available + $2, owed + $4) = 0 AND reserved + $3 >= 0
      AND ($7 <> 'reserve' OR frozen_at IS NULL AND restricted_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM transfers t WHERE t.account_id = $1 AND t.id = $6)
    RETURNING available, reserved, owed, seq, available <= alert_below AS alert_due
), written AS (
    INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after,
                           effective_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s, reference,
                           base_s)
    SELECT $1, seq, $6, $7, $8, $9, $10::bigint, available, reserved, owed, $11, $12, $13, $14, $5, $15, $16, $17, $18,
           $19::bigint
    FROM moved
)
SELECT available, reserved, owed, seq, alert_due FROM moved
"""

POST_MANY: Final = """
WITH m AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::bigint[], $11::timestamptz[], $12::text[], $13::text[], $14::text[],
                         $15::bigint[], $16::bigint[], $17::bigint[], $18::text[], $19::bigint[])
    WITH ORDINALITY AS m(account_id, d_available, d_reserved, d_owed, idempotency_key, id, kind, debit, credit, amount, at,
                         rental_id, actor, description, rate, from_s, to_s, reference, base_s, n)
), sums AS (
    SELECT account_id, count(*) AS rows, sum(d_available)::bigint AS a, sum(d_reserved)::bigint AS r, sum(d_owed)::bigint AS o
    FROM m GROUP BY account_id
), moved AS (
    UPDATE wallets w SET available = w.available + s.a, reserved = w.reserved + s.r, owed = w.owed + s.o, seq = w.seq + s.rows
    FROM sums s WHERE w.account_id = s.account_id
    RETURNING w.account_id, w.available - s.a AS a, w.reserved - s.r AS r, w.owed - s.o AS o, w.seq - s.rows AS seq
)
INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after,
                       effective_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s, reference,
                       base_s)
SELECT m.account_id, b.seq + row_number() OVER mine, m.id, m.kind, m.debit, m.credit, m.amount,
       b.a + sum(m.d_available) OVER mine, b.r + sum(m.d_reserved) OVER mine, b.o + sum(m.d_owed) OVER mine,
       m.at, m.rental_id, m.actor, m.description, m.idempotency_key, m.rate, m.from_s, m.to_s, m.reference,
       m.base_s
FROM m JOIN moved b ON b.account_id = m.account_id
WINDOW mine AS (PARTITION BY m.account_id ORDER BY m.n ROWS UNBOUNDED PRECEDING)
"""

LOCK_WALLETS: Final = """
SELECT account_id, available, reserved, owed, frozen_at IS NOT NULL AS frozen, restricted_at IS NOT NULL AS restricted
FROM wallets
WHERE account_id = ANY($1) ORDER BY account_id FOR NO KEY UPDATE
"""

READ_WALLET: Final = (
    "SELECT available, reserved, owed, seq, frozen_at, restricted_at FROM wallets WHERE account_id = $1"
)

FIND_POSTED: Final = """
SELECT kind, amount, available_after, reserved_after, owed_after, seq FROM transfers
WHERE account_id = $1 AND id = $2
"""

WATCH: Final = "UPDATE wallets SET alert_below = $2 WHERE account_id = $1"

SUM_POSTED: Final = """
SELECT sum(amount)::bigint FROM transfers WHERE account_id = $1 AND id IN ($2, $3)
"""

FREEZE: Final = """
UPDATE wallets SET frozen_at = $2 WHERE account_id = $1 AND frozen_at IS NULL RETURNING account_id
"""

UNFREEZE: Final = "UPDATE wallets SET frozen_at = NULL WHERE account_id = $1"

RESTRICT: Final = "UPDATE wallets SET restricted_at = $2 WHERE account_id = $1 AND restricted_at IS NULL"

UNRESTRICT: Final = "UPDATE wallets SET restricted_at = NULL WHERE account_id = $1 AND restricted_at IS NOT NULL"

POSTED_FOR: Final = "SELECT kind, amount FROM transfers WHERE account_id = $1 AND reference = $2 ORDER BY seq"

# Every column, in an order that is part of the seals; those that came later are hashed where they are set.
_ROW = (
    "account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after, effective_at, "
    "created_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s, reference, base_s"
)

READ_ROWS: Final = f"SELECT {_ROW} FROM transfers WHERE account_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"  # noqa: S608 - a constant

LAST_SEAL: Final = "SELECT last_seq, hash FROM ledger_seals WHERE account_id = $1 ORDER BY last_seq DESC LIMIT 1"

LIST_SEALS: Final = "SELECT last_seq, hash FROM ledger_seals WHERE account_id = $1 ORDER BY last_seq"

INSERT_SEAL: Final = """
INSERT INTO ledger_seals (account_id, last_seq, hash, sealed_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""

FIND_UNSEALED: Final = """
SELECT w.account_id FROM wallets w
WHERE w.bucket = ANY($1::smallint[])
  AND w.seq > coalesce((SELECT max(s.last_seq) FROM ledger_seals s WHERE s.account_id = w.account_id), 0)
ORDER BY w.account_id LIMIT $2
"""

# What is shown of a transfer, in the order in which rendering writes it.
_SHOWN = (
    "id, seq, kind, debit, credit, amount, available_after, reserved_after, owed_after, effective_at, created_at, "
    "rental_id, actor, description, rate, from_s, to_s, reference, base_s"
)

LIST_TRANSFERS: Final = f"SELECT {_SHOWN} FROM transfers WHERE account_id = $1{{where}} ORDER BY seq DESC LIMIT $2"  # noqa: S608 - a constant

FIND_TRANSFER: Final = f"SELECT {_SHOWN} FROM transfers WHERE account_id = $1 AND id = $2"  # noqa: S608 - a constant
