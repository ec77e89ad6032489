-- One transfer from the hot account, statement by statement as an application sends them.
\set target random(2, 10000)
BEGIN;
SELECT id, balance, version FROM ledger_accounts WHERE id IN (1, :target) ORDER BY id FOR UPDATE;
INSERT INTO ledger_transfers (id, from_account_id, to_account_id, amount, event_at, created_at)
VALUES (uuidv7(), 1, :target, 5, now(), now()) RETURNING id AS transfer \gset
UPDATE ledger_accounts SET balance = balance - 5, version = version + 1, updated_at = now()
WHERE id = 1 RETURNING balance AS source_balance, version AS source_version \gset
UPDATE ledger_accounts SET balance = balance + 5, version = version + 1, updated_at = now()
WHERE id = :target RETURNING balance AS target_balance, version AS target_version \gset
INSERT INTO ledger_entries (id, account_id, transfer_id, amount, account_previous_balance, account_current_balance,
                            account_version, created_at)
VALUES (uuidv7(), 1, :transfer, -5, :source_balance::bigint + 5, :source_balance, :source_version, now()),
       (uuidv7(), :target, :transfer, 5, :target_balance::bigint - 5, :target_balance, :target_version, now());
COMMIT;
