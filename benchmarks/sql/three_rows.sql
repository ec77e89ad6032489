-- A general ledger to compare with: accounts that carry a balance and a version, and three rows per transfer: itself and
-- an entry for each of its two accounts, with the balance before and after. All of it is one PL/pgSQL function; ids are
-- prefixed ULIDs made in the database, amounts are NUMERIC.

-- Servers differ in whether they can make a UUID that begins with the time; one server does not change.
CREATE FUNCTION can_time_uuids() RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS $$
    SELECT EXISTS (SELECT FROM pg_proc p WHERE p.proname = 'uuidv7')
$$;

CREATE FUNCTION timed_uuid() RETURNS UUID LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made UUID;
BEGIN
    IF can_time_uuids() THEN
        EXECUTE 'SELECT uuidv7()' INTO made;
    ELSE
        made := gen_random_uuid();
    END IF;
    RETURN made;
END $$;

-- 128 bits, with two in front, as 26 digits of five bits each.
CREATE FUNCTION as_ulid(bits BIT(130)) RETURNS TEXT LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    digits CONSTANT TEXT := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
BEGIN
    RETURN (SELECT string_agg(substr(digits, substring(bits FROM place * 5 + 1 FOR 5)::INT + 1, 1), '' ORDER BY place)
            FROM generate_series(0, 25) AS place);
END $$;

CREATE FUNCTION new_id(prefix TEXT) RETURNS TEXT LANGUAGE sql VOLATILE AS $$
    SELECT prefix || '_' || as_ulid(B'00' || ('x' || replace(timed_uuid()::text, '-', ''))::BIT(128))
$$;

CREATE TABLE ledger_accounts (
    id TEXT PRIMARY KEY DEFAULT new_id('acct'),
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    balance NUMERIC NOT NULL DEFAULT 0,
    version BIGINT NOT NULL DEFAULT 0,
    may_be_negative BOOLEAN NOT NULL,
    may_be_positive BOOLEAN NOT NULL,
    metadata JSONB,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE ledger_transfers (
    id TEXT PRIMARY KEY DEFAULT new_id('tran'),
    source_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    target_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    amount NUMERIC NOT NULL CHECK (amount > 0),
    event_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    metadata JSONB,
    CHECK (source_id <> target_id)
);
CREATE INDEX ON ledger_transfers (source_id);
CREATE INDEX ON ledger_transfers (target_id);
CREATE INDEX ON ledger_transfers (event_at);

CREATE TABLE ledger_entries (
    id TEXT PRIMARY KEY DEFAULT new_id('entr'),
    account_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    transfer_id TEXT NOT NULL REFERENCES ledger_transfers (id),
    amount NUMERIC NOT NULL,
    balance_before NUMERIC NOT NULL,
    balance_after NUMERIC NOT NULL,
    account_version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ON ledger_entries (account_id);
CREATE INDEX ON ledger_entries (transfer_id);

CREATE FUNCTION refuse_beyond_bounds(account ledger_accounts) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    IF account.balance < 0 AND NOT account.may_be_negative OR account.balance > 0 AND NOT account.may_be_positive THEN
        RAISE EXCEPTION 'account % may not hold %', account.id, account.balance;
    END IF;
END $$;

CREATE TYPE asked AS (source_id TEXT, target_id TEXT, amount NUMERIC);

CREATE FUNCTION transfer_all(wanted asked[], event_at TIMESTAMPTZ, metadata JSONB) RETURNS SETOF ledger_transfers
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    one asked;
    touched TEXT[] := '{}';
    place TEXT;
    source ledger_accounts;
    target ledger_accounts;
    made TEXT;
    all_made TEXT[] := '{}';
BEGIN
    FOREACH one IN ARRAY wanted LOOP
        touched := touched || one.source_id || one.target_id;
    END LOOP;
    -- In the order of ids, so that no two calls wait for each other.
    FOR place IN SELECT DISTINCT t.id FROM unnest(touched) AS t (id) ORDER BY t.id LOOP
        PERFORM a.id FROM ledger_accounts a WHERE a.id = place FOR UPDATE;
    END LOOP;
    FOREACH one IN ARRAY wanted LOOP
        IF one.amount <= 0 THEN
            RAISE EXCEPTION 'a transfer moves more than nothing, not %', one.amount;
        END IF;
        IF one.source_id = one.target_id THEN
            RAISE EXCEPTION 'a transfer needs two accounts, not % twice', one.source_id;
        END IF;
        UPDATE ledger_accounts a SET balance = a.balance - one.amount, version = a.version + 1, updated_at = now()
        WHERE a.id = one.source_id RETURNING * INTO source;
        PERFORM refuse_beyond_bounds(source);
        UPDATE ledger_accounts a SET balance = a.balance + one.amount, version = a.version + 1, updated_at = now()
        WHERE a.id = one.target_id RETURNING * INTO target;
        PERFORM refuse_beyond_bounds(target);
        IF source.currency <> target.currency THEN
            RAISE EXCEPTION 'accounts % and % hold different currencies', source.id, target.id;
        END IF;
        INSERT INTO ledger_transfers AS t (source_id, target_id, amount, event_at, created_at, metadata)
        VALUES (one.source_id, one.target_id, one.amount, coalesce(event_at, now()), now(), metadata)
        RETURNING t.id INTO made;
        all_made := all_made || made;
        INSERT INTO ledger_entries (account_id, transfer_id, amount, balance_before, balance_after, account_version,
                                    created_at)
        VALUES (source.id, made, -one.amount, source.balance + one.amount, source.balance, source.version, now());
        INSERT INTO ledger_entries (account_id, transfer_id, amount, balance_before, balance_after, account_version,
                                    created_at)
        VALUES (target.id, made, one.amount, target.balance - one.amount, target.balance, target.version, now());
    END LOOP;
    RETURN QUERY SELECT t.* FROM ledger_transfers t WHERE t.id = ANY (all_made) ORDER BY t.id;
END $$;

CREATE FUNCTION transfer(source_id TEXT, target_id TEXT, amount NUMERIC, event_at TIMESTAMPTZ DEFAULT NULL,
                         metadata JSONB DEFAULT NULL)
RETURNS SETOF ledger_transfers LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM transfer_all(ARRAY[(source_id, target_id, amount)::asked], event_at, metadata);
END $$;

INSERT INTO ledger_accounts (id, name, currency, balance, may_be_negative, may_be_positive, created_at, updated_at)
SELECT 'acct_' || lpad(g::text, 26, '0'), 'account ' || g, 'USD', 1000000000000, false, true, now(), now()
FROM generate_series(1, 10000) g;
VACUUM ANALYZE ledger_accounts;
