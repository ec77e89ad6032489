"""Lots of credit, holds for reversals, and what a transfer refers to."""

from alembic import op

from app.kit.rls import API, WORKER, tenant_table

revision = "202611210600_lots"
down_revision = "202611210307_rentals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE transfers ADD COLUMN reference TEXT")
    op.execute(
        "CREATE INDEX ix_transfers_account_id_reference ON transfers (account_id, reference) WHERE reference IS NOT NULL"
    )
    op.execute("ALTER TABLE wallets ADD COLUMN restricted_at TIMESTAMPTZ")
    for role in (API, WORKER):
        op.execute(f"GRANT UPDATE (restricted_at) ON wallets TO {role}")
    _lots()
    op.execute("""
        CREATE TABLE reversal_holds (
            account_id TEXT NOT NULL,
            reference TEXT NOT NULL,
            kind TEXT NOT NULL,
            payment_id TEXT NOT NULL,
            state TEXT NOT NULL,
            asked BIGINT NOT NULL,
            held BIGINT NOT NULL,
            debited BIGINT NOT NULL,
            returned BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            closed_at TIMESTAMPTZ,
            CONSTRAINT pk_reversal_holds PRIMARY KEY (account_id, reference),
            CONSTRAINT fk_reversal_holds_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT ck_reversal_holds_kind CHECK (kind IN ('refund', 'dispute')),
            CONSTRAINT ck_reversal_holds_state CHECK (state IN ('open', 'closed')),
            CONSTRAINT ck_reversal_holds_held_within_asked CHECK (held BETWEEN 0 AND asked),
            CONSTRAINT ck_reversal_holds_returned_within_debited CHECK (returned BETWEEN 0 AND debited),
            CONSTRAINT ck_reversal_holds_closed_is_empty CHECK (state <> 'closed' OR held = 0)
        )
    """)
    op.execute("CREATE INDEX ix_reversal_holds_account_id ON reversal_holds (account_id) WHERE state = 'open'")
    tenant_table(op, "reversal_holds", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _lots() -> None:
    op.execute("""
        CREATE TABLE credit_lots (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            source TEXT NOT NULL,
            reference TEXT,
            granted BIGINT NOT NULL,
            remaining BIGINT NOT NULL,
            spent BIGINT NOT NULL,
            aside BIGINT NOT NULL,
            withheld BIGINT NOT NULL,
            priority BIGINT NOT NULL,
            expires_at TIMESTAMPTZ,
            due_at TIMESTAMPTZ,
            opened_seq BIGINT NOT NULL,
            reason TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_credit_lots PRIMARY KEY (account_id, id),
            CONSTRAINT fk_credit_lots_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT uq_credit_lots_account_id_source_reference UNIQUE (account_id, source, reference),
            CONSTRAINT ck_credit_lots_source CHECK (source IN ('promo', 'adjustment', 'paid')),
            CONSTRAINT ck_credit_lots_not_negative CHECK (least(granted, remaining, spent, aside, withheld) >= 0),
            CONSTRAINT ck_credit_lots_only_grants_expire CHECK (source = 'promo' OR withheld = 0 AND expires_at IS NULL)
        )
    """)
    op.execute("CREATE INDEX ix_credit_lots_due_at ON credit_lots (due_at) WHERE due_at IS NOT NULL")
    op.execute("""
        CREATE TABLE credit_books (
            account_id TEXT NOT NULL,
            counted_seq BIGINT NOT NULL,
            owed BIGINT NOT NULL,
            lent BIGINT NOT NULL,
            lent_spent BIGINT NOT NULL,
            CONSTRAINT pk_credit_books PRIMARY KEY (account_id),
            CONSTRAINT fk_credit_books_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id)
        )
    """)
    op.execute("""
        CREATE TABLE reversed_payments (
            account_id TEXT NOT NULL,
            reference TEXT NOT NULL,
            payment_id TEXT NOT NULL,
            CONSTRAINT pk_reversed_payments PRIMARY KEY (account_id, reference),
            CONSTRAINT fk_reversed_payments_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id)
        )
    """)
    for table in ("credit_lots", "credit_books"):
        tenant_table(op, table, api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    tenant_table(op, "reversed_payments", api="SELECT, INSERT", worker="SELECT, INSERT")


def downgrade() -> None:
    for table in ("reversal_holds", "reversed_payments", "credit_books", "credit_lots"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE wallets DROP COLUMN restricted_at")
    op.execute("ALTER TABLE transfers DROP COLUMN reference")
