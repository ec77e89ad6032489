"""The ledger: wallets, append-only transfers, and the seals over them."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210304_ledger"
down_revision = "202611210303_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # PostgreSQL reads a table's CHECKs anew from text in every statement that writes to it, a domain's once in a session.
    # So what concerns one column is a domain's, and what is left says as much as it can in few terms: the lesser of two
    # amounts is zero where neither is negative and one of them is nothing.
    op.execute("CREATE DOMAIN micros AS BIGINT CONSTRAINT micros_not_negative CHECK (VALUE >= 0)")
    op.execute("CREATE DOMAIN positive AS BIGINT CONSTRAINT positive_above_zero CHECK (VALUE > 0)")
    op.execute("""
        CREATE TABLE wallets (
            account_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            available BIGINT NOT NULL,
            reserved micros NOT NULL,
            owed BIGINT NOT NULL,
            seq BIGINT NOT NULL,
            alert_below BIGINT NOT NULL,
            frozen_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_wallets PRIMARY KEY (account_id),
            CONSTRAINT ck_wallets_available_or_owed CHECK (least(available, owed) = 0)
        ) WITH (fillfactor = 70)
    """)
    op.execute("CREATE INDEX ix_wallets_bucket ON wallets (bucket)")
    op.execute("""
        CREATE TABLE transfers (
            account_id TEXT NOT NULL,
            seq positive NOT NULL,
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            debit TEXT NOT NULL,
            credit TEXT NOT NULL,
            amount positive NOT NULL,
            available_after BIGINT NOT NULL,
            reserved_after micros NOT NULL,
            owed_after BIGINT NOT NULL,
            effective_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            rental_id TEXT,
            actor TEXT NOT NULL,
            description TEXT NOT NULL,
            idempotency_key TEXT NOT NULL,
            rate BIGINT,
            from_s BIGINT,
            to_s BIGINT,
            CONSTRAINT pk_transfers PRIMARY KEY (account_id, seq),
            CONSTRAINT uq_transfers_account_id_id UNIQUE (account_id, id),
            CONSTRAINT ck_transfers_two_buckets CHECK (debit <> credit),
            CONSTRAINT ck_transfers_available_or_owed CHECK (least(available_after, owed_after) = 0)
        )
    """)
    op.execute(
        "CREATE INDEX ix_transfers_account_id_rental_id_seq ON transfers (account_id, rental_id, seq) "
        "WHERE rental_id IS NOT NULL"
    )
    op.execute("""
        CREATE TABLE ledger_seals (
            account_id TEXT NOT NULL,
            last_seq BIGINT NOT NULL,
            hash BYTEA NOT NULL,
            sealed_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_ledger_seals PRIMARY KEY (account_id, last_seq),
            CONSTRAINT fk_ledger_seals_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id)
        )
    """)
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: corrections are new rows', TG_TABLE_NAME USING ERRCODE = '23001';
        END $$
    """)
    for table in ("transfers", "ledger_seals"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    tenant_table(
        op,
        "wallets",
        api="SELECT, UPDATE (available, reserved, owed, seq, alert_below)",
        worker="SELECT, INSERT, UPDATE (available, reserved, owed, seq, alert_below, frozen_at)",
    )
    tenant_table(op, "transfers", api="SELECT, INSERT", worker="SELECT, INSERT")
    tenant_table(op, "ledger_seals", api="SELECT", worker="SELECT, INSERT")


def downgrade() -> None:
    for table in ("ledger_seals", "transfers", "wallets"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DROP DOMAIN micros")
    op.execute("DROP DOMAIN positive")
