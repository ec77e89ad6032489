"""Every statement of the lots room, handed to the driver."""

from __future__ import annotations

from typing import Final

_LOT = "id, source, reference, granted, remaining, spent, aside, withheld, priority, expires_at, opened_seq"

READ_BOOK: Final = """
SELECT w.seq AS posted_seq, coalesce(b.counted_seq, 0) AS counted_seq, coalesce(b.owed, 0) AS owed,
       coalesce(b.lent, 0) AS lent, coalesce(b.lent_spent, 0) AS lent_spent
FROM wallets w LEFT JOIN credit_books b ON b.account_id = w.account_id WHERE w.account_id = $1
"""

READ_LOTS: Final = f"SELECT {_LOT} FROM credit_lots WHERE account_id = $1"  # noqa: S608 - a constant

# What moves between available and a rental's hold changes no lot. Usage between two other transfers comes as one sum.
READ_SINCE: Final = """
SELECT max(seq) AS seq, max(id) AS id, kind, debit, credit, sum(amount)::bigint AS amount, reference
FROM (
    SELECT seq, id, kind, debit, credit, amount, reference,
           CASE WHEN credit = 'spend' THEN count(*) FILTER (WHERE credit <> 'spend') OVER (ORDER BY seq) ELSE -seq END AS part
    FROM transfers WHERE account_id = $1 AND seq > $2 AND kind NOT IN ('reserve', 'reserve_renew', 'release')
) t
GROUP BY part, kind, debit, credit, reference ORDER BY 1
"""

READ_PAYMENTS: Final = """
SELECT reference, payment_id FROM reversed_payments WHERE account_id = $1 AND reference = ANY($2::text[])
"""

SAVE_BOOK: Final = """
INSERT INTO credit_books (account_id, counted_seq, owed, lent, lent_spent) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id) DO UPDATE SET counted_seq = excluded.counted_seq, owed = excluded.owed, lent = excluded.lent,
    lent_spent = excluded.lent_spent
"""

SAVE_LOTS: Final = """
INSERT INTO credit_lots (account_id, id, source, reference, granted, remaining, spent, aside, withheld, priority, opened_seq,
                         reason, created_at)
SELECT $1, l.id, l.source, l.reference, l.granted, l.remaining, l.spent, l.aside, 0, l.priority, l.opened_seq, '', now()
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::bigint[]) AS l(id, source, reference, granted, remaining, spent, aside, priority, opened_seq)
ON CONFLICT (account_id, id) DO UPDATE SET granted = excluded.granted, remaining = excluded.remaining,
    spent = excluded.spent, aside = excluded.aside,
    due_at = CASE WHEN excluded.remaining > 0 THEN coalesce(credit_lots.due_at, credit_lots.expires_at)
                  ELSE credit_lots.due_at END
"""

OPEN_PROMO: Final = """
INSERT INTO credit_lots (account_id, id, source, reference, granted, remaining, spent, aside, withheld, priority, expires_at,
                         due_at, opened_seq, reason, created_at)
VALUES ($1, $2, 'promo', $3, $4, 0, 0, 0, $5, $6, $7, $7, 0, $8, $9)
"""

FIND_PROMO: Final = "SELECT granted FROM credit_lots WHERE account_id = $1 AND source = 'promo' AND reference = $2"

ADD_WITHHELD: Final = "UPDATE credit_lots SET withheld = withheld + $3 WHERE account_id = $1 AND id = $2"

TAKE_WITHHELD: Final = """
WITH found AS (
    SELECT id, withheld, reason, expires_at FROM credit_lots
    WHERE account_id = $1 AND withheld > 0 AND ($2::boolean OR expires_at <= $3)
), taken AS (
    UPDATE credit_lots l SET withheld = 0 FROM found f WHERE l.account_id = $1 AND l.id = f.id RETURNING l.id
)
SELECT f.id, f.withheld, f.reason, f.expires_at FROM found f JOIN taken USING (id) ORDER BY f.id
"""

TIE: Final = """
INSERT INTO reversed_payments (account_id, reference, payment_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

FIND_DUE: Final = """
SELECT l.account_id, w.bucket FROM credit_lots l JOIN wallets w ON w.account_id = l.account_id
WHERE l.due_at <= $1 AND w.bucket = ANY($2::smallint[]) GROUP BY 1, 2 ORDER BY min(l.due_at) LIMIT $3
"""

LOOKED: Final = """
UPDATE credit_lots SET due_at = CASE WHEN remaining > 0 THEN $3::timestamptz END WHERE account_id = $1 AND due_at <= $2
"""
