"""Who changed what: append-only, hash-chained per account."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210802_audit"
down_revision = "202611210801_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE audit_heads (
            account_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            seq BIGINT NOT NULL,
            hash BYTEA NOT NULL,
            CONSTRAINT pk_audit_heads PRIMARY KEY (account_id),
            CONSTRAINT ck_audit_heads_counts_from_one CHECK (seq >= 1)
        ) WITH (fillfactor = 70)
    """)
    op.execute("CREATE INDEX ix_audit_heads_bucket ON audit_heads (bucket)")
    op.execute("""
        CREATE TABLE audit_entries (
            account_id TEXT NOT NULL,
            seq BIGINT NOT NULL,
            id TEXT NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            actor TEXT NOT NULL,
            user_id TEXT,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            team_id TEXT,
            request_id TEXT,
            address TEXT,
            details JSONB NOT NULL,
            hash BYTEA NOT NULL,
            CONSTRAINT pk_audit_entries PRIMARY KEY (account_id, seq)
        )
    """)
    for column in ("at", "actor", "target"):
        op.execute(
            f"CREATE INDEX ix_audit_entries_account_id_{column}_seq ON audit_entries (account_id, {column}, seq)"
        )
    op.execute("""
        CREATE TABLE audit_checks (
            account_id TEXT NOT NULL,
            seq BIGINT NOT NULL,
            hash BYTEA NOT NULL,
            checked_at TIMESTAMPTZ NOT NULL,
            whole_at TIMESTAMPTZ NOT NULL,
            first_bad_seq BIGINT,
            CONSTRAINT pk_audit_checks PRIMARY KEY (account_id)
        )
    """)
    _keep_unchanged()
    # What was rented before has no entries to be missed: rows that are here become false, without being rewritten.
    op.execute("ALTER TABLE rentals ADD COLUMN audited BOOLEAN NOT NULL DEFAULT false")
    op.execute("ALTER TABLE rentals ALTER COLUMN audited SET DEFAULT true")
    tenant_table(
        op, "audit_heads", api="SELECT, INSERT, UPDATE (seq, hash)", worker="SELECT, INSERT, UPDATE (seq, hash)"
    )
    tenant_table(op, "audit_entries", api="SELECT, INSERT", worker="SELECT, INSERT")
    tenant_table(op, "audit_checks", api="SELECT", worker="SELECT, INSERT, UPDATE")


def _keep_unchanged() -> None:
    """Refuse by trigger what the grants refuse already; a head goes one step forward at a time and never back."""
    op.execute("""
        CREATE FUNCTION audit_head_goes_on() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.account_id = OLD.account_id AND NEW.seq = OLD.seq + 1 THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'the head of a chain goes one step forward and never back' USING ERRCODE = '23001';
        END $$
    """)
    op.execute(
        "CREATE TRIGGER goes_on BEFORE UPDATE OR DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION audit_head_goes_on()"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    for table in ("audit_heads", "audit_entries"):
        op.execute(
            f"CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.execute("ALTER TABLE rentals DROP COLUMN audited")
    op.execute("DROP TABLE audit_checks")
    op.execute("DROP TABLE audit_entries")
    op.execute("DROP TABLE audit_heads")
    op.execute("DROP FUNCTION audit_head_goes_on()")
