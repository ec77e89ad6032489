-- A general ledger to compare with: accounts with a balance, and per transfer one row for itself and one for each entry.
CREATE TABLE ledger_accounts (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    balance BIGINT NOT NULL,
    version BIGINT NOT NULL,
    allow_negative_balance BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CHECK (allow_negative_balance OR balance >= 0)
) WITH (fillfactor = 70);

CREATE TABLE ledger_transfers (
    id UUID PRIMARY KEY,
    from_account_id BIGINT NOT NULL REFERENCES ledger_accounts (id),
    to_account_id BIGINT NOT NULL REFERENCES ledger_accounts (id),
    amount BIGINT NOT NULL CHECK (amount > 0),
    event_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    metadata JSONB,
    CHECK (from_account_id <> to_account_id)
);
CREATE INDEX ON ledger_transfers (from_account_id);
CREATE INDEX ON ledger_transfers (to_account_id);

CREATE TABLE ledger_entries (
    id UUID PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES ledger_accounts (id),
    transfer_id UUID NOT NULL REFERENCES ledger_transfers (id),
    amount BIGINT NOT NULL,
    account_previous_balance BIGINT NOT NULL,
    account_current_balance BIGINT NOT NULL,
    account_version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ON ledger_entries (account_id);
CREATE INDEX ON ledger_entries (transfer_id);

INSERT INTO ledger_accounts
SELECT g, 'account ' || g, 'USD', 1000000000000, 0, false, now(), now() FROM generate_series(1, 10000) g;
VACUUM ANALYZE ledger_accounts;
