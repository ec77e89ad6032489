"""What must always be true of wallets and transfers. For the worker and the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among
from app.ledger.kinds import ENTRIES, PAID_FROM, Kind

_ACCOUNTS_MAX = 500

_ENTRIES = ", ".join(
    f"('{kind}', '{paying}', '{credit}')"
    for kind, (debit, credit) in ENTRIES.items()
    for paying in sorted({debit} | PAID_FROM.get(kind, frozenset()))
)

_STATEMENT: Final = f"""
WITH t AS (
    SELECT *, row_number() OVER rows AS n,
           sum(CASE 'available' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) OVER rows AS available,
           sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) OVER rows AS reserved,
           sum(CASE 'owed' WHEN debit THEN amount WHEN credit THEN -amount ELSE 0 END) OVER rows AS owed
    FROM transfers WHERE account_id = ANY($1::text[])
    WINDOW rows AS (PARTITION BY account_id ORDER BY seq)
), totals AS (
    SELECT account_id, count(*) AS rows, max(seq) AS seq,
           sum(CASE 'available' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS available,
           sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS reserved,
           sum(CASE 'owed' WHEN debit THEN amount WHEN credit THEN -amount ELSE 0 END) AS owed,
           sum(CASE WHEN debit IN ('funding', 'promo', 'adjustment') THEN amount ELSE 0 END)
           - sum(CASE WHEN credit IN ('funding', 'promo', 'adjustment') THEN amount ELSE 0 END) AS brought_in,
           sum(CASE 'spend' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS spend
    FROM t GROUP BY account_id
), w AS (
    SELECT w.*, coalesce(f.rows, 0) AS fold_rows, coalesce(f.seq, 0) AS fold_seq, coalesce(f.available, 0) AS fold_available,
           coalesce(f.reserved, 0) AS fold_reserved, coalesce(f.owed, 0) AS fold_owed,
           coalesce(f.brought_in, 0) AS brought_in, coalesce(f.spend, 0) AS spend
    FROM wallets w LEFT JOIN totals f ON f.account_id = w.account_id WHERE w.account_id = ANY($1::text[])
), metered AS (
    SELECT account_id, seq, kind, amount, rate, from_s, to_s, coalesce(base_s, 0) AS base_s,
           coalesce(lag(to_s) OVER (PARTITION BY account_id, rental_id ORDER BY seq), 0) AS before_s
    FROM t WHERE kind = '{Kind.USAGE}'
)
SELECT 'wallet.negative' AS name, account_id, 'wallet' AS what FROM w WHERE least(available, reserved, owed) < 0
UNION ALL SELECT 'wallet.owed_and_available', account_id, 'wallet' FROM w WHERE owed > 0 AND available > 0
UNION ALL SELECT 'wallet.is_not_its_fold', account_id, 'wallet' FROM w
    WHERE (available, reserved, owed) <> (fold_available, fold_reserved, fold_owed)
UNION ALL SELECT 'ledger.conservation', account_id, 'wallet' FROM w WHERE brought_in <> available + reserved + spend - owed
UNION ALL SELECT 'ledger.seq_has_a_gap', account_id, n::text FROM t WHERE n <> seq
UNION ALL SELECT 'ledger.seq_is_not_the_wallets', account_id, 'wallet' FROM w WHERE seq <> fold_seq OR seq <> fold_rows
UNION ALL SELECT 'ledger.after_is_wrong', account_id, seq::text FROM t
    WHERE (available, reserved, owed) <> (available_after, reserved_after, owed_after)
UNION ALL SELECT 'ledger.below_zero', account_id, seq::text FROM t
    WHERE least(available_after, reserved_after, owed_after) < 0 OR owed_after > 0 AND available_after > 0
UNION ALL SELECT 'ledger.unknown_entry', account_id, seq::text FROM t
    WHERE (kind, debit, credit) NOT IN ({_ENTRIES})
UNION ALL SELECT 'usage.is_not_the_difference', account_id, seq::text FROM metered
    WHERE amount IS DISTINCT FROM div(rate::numeric * (to_s - base_s), 3600) - div(rate::numeric * (from_s - base_s), 3600)
UNION ALL SELECT 'usage.leaves_or_repeats_seconds', account_id, seq::text FROM metered
    WHERE from_s < greatest(before_s, base_s) OR to_s <= from_s
       OR div(rate::numeric * (from_s - base_s), 3600) <> div(rate::numeric * (greatest(before_s, base_s) - base_s), 3600)
"""  # noqa: S608 - a constant

_LIST_ACCOUNTS = "SELECT account_id FROM wallets WHERE account_id > $1 ORDER BY account_id LIMIT $2"
_LIST_BUCKET = "SELECT account_id FROM wallets WHERE bucket = $1 AND account_id > $2 ORDER BY account_id LIMIT $3"


async def broken(session: AsyncSession, *, account_id: AccountId | None = None) -> list[Broken]:
    """Return the invariants of the ledger that do not hold: for one account, or for all that the role sees."""
    if account_id is not None:
        return await broken_for(session, [account_id])
    return [found async for accounts in every_account(session) for found in await broken_for(session, accounts)]


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)


async def every_account(session: AsyncSession, *, bucket: int | None = None) -> AsyncIterator[list[AccountId]]:
    """Yield the accounts that have a wallet, of one bucket or of all, in groups of up to 500."""
    after = ""
    while True:
        if bucket is None:
            rows = await driver(session).fetch(_LIST_ACCOUNTS, after, _ACCOUNTS_MAX)
        else:
            rows = await driver(session).fetch(_LIST_BUCKET, bucket, after, _ACCOUNTS_MAX)
        if not rows:
            return
        after = rows[-1]["account_id"]
        yield [AccountId(row["account_id"]) for row in rows]
