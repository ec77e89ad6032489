"""The wallet room: holds with their meters, and warning levels."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210305_wallet"
down_revision = "202611210304_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE holds (
            account_id TEXT NOT NULL,
            rental_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            state TEXT NOT NULL,
            rate BIGINT NOT NULL,
            held BIGINT NOT NULL,
            charged BIGINT NOT NULL,
            refunded BIGINT NOT NULL,
            billed_seconds BIGINT NOT NULL,
            base_seconds BIGINT NOT NULL,
            overrun_seconds BIGINT NOT NULL,
            max_spend BIGINT,
            slot SMALLINT NOT NULL,
            started_at TIMESTAMPTZ,
            settled_at TIMESTAMPTZ,
            funded_until TIMESTAMPTZ,
            ends_at TIMESTAMPTZ,
            ends_because TEXT,
            warned_minutes SMALLINT,
            created_at TIMESTAMPTZ NOT NULL,
            closed_at TIMESTAMPTZ,
            CONSTRAINT pk_holds PRIMARY KEY (account_id, rental_id),
            CONSTRAINT fk_holds_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT ck_holds_state CHECK (state IN ('waiting', 'running', 'closed')),
            CONSTRAINT ck_holds_rate_positive CHECK (rate > 0),
            CONSTRAINT ck_holds_held_not_negative CHECK (held >= 0),
            CONSTRAINT ck_holds_charged_is_the_cost CHECK (charged = div(rate::numeric * billed_seconds, 3600)),
            CONSTRAINT ck_holds_refund_within_charge CHECK (refunded BETWEEN 0 AND charged),
            CONSTRAINT ck_holds_closed_is_empty CHECK (state <> 'closed' OR held = 0),
            CONSTRAINT ck_holds_running_has_started CHECK (state <> 'running' OR started_at IS NOT NULL)
        ) WITH (fillfactor = 70)
    """)
    op.execute("CREATE INDEX ix_holds_slot_bucket ON holds (slot, bucket) WHERE state = 'running'")
    op.execute("CREATE INDEX ix_holds_account_id ON holds (account_id) WHERE state <> 'closed'")
    op.execute("CREATE INDEX ix_holds_ends_at ON holds (ends_at) WHERE state = 'running' AND ends_at IS NOT NULL")
    tenant_table(op, "holds", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE wallet_alerts (
            account_id TEXT NOT NULL,
            level TEXT NOT NULL,
            threshold BIGINT NOT NULL,
            armed BOOLEAN NOT NULL,
            fired_at TIMESTAMPTZ,
            CONSTRAINT pk_wallet_alerts PRIMARY KEY (account_id, level),
            CONSTRAINT fk_wallet_alerts_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT ck_wallet_alerts_threshold_not_negative CHECK (threshold >= 0)
        )
    """)
    tenant_table(op, "wallet_alerts", api="SELECT, INSERT, UPDATE, DELETE", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    op.execute("DROP TABLE wallet_alerts")
    op.execute("DROP TABLE holds")
