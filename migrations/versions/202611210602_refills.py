"""Auto-top-up: rules and attempts."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210602_refills"
down_revision = "202611210601_mail"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE auto_topup_rules (
            account_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            mode TEXT NOT NULL,
            threshold BIGINT NOT NULL,
            amount BIGINT,
            target BIGINT,
            monthly_cap BIGINT NOT NULL,
            only_while_running BOOLEAN NOT NULL,
            payment_method_id TEXT,
            card_fingerprint TEXT,
            state TEXT NOT NULL,
            state_reason TEXT,
            until TIMESTAMPTZ,
            failures SMALLINT NOT NULL,
            bad_fingerprints JSONB NOT NULL,
            consent_text_version TEXT NOT NULL,
            consent_at TIMESTAMPTZ NOT NULL,
            consent_actor TEXT NOT NULL,
            last_manual_resume_at TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL,
            version BIGINT NOT NULL,
            CONSTRAINT pk_auto_topup_rules PRIMARY KEY (account_id),
            CONSTRAINT fk_auto_topup_rules_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT ck_auto_topup_rules_mode CHECK (
                mode = 'fixed' AND amount > 0 AND target IS NULL OR mode = 'target' AND target > threshold AND amount IS NULL),
            CONSTRAINT ck_auto_topup_rules_threshold_positive CHECK (threshold > 0),
            CONSTRAINT ck_auto_topup_rules_monthly_cap_positive CHECK (monthly_cap > 0),
            CONSTRAINT ck_auto_topup_rules_state CHECK (
                state IN ('active', 'cooling', 'backing_off', 'suspended', 'capped', 'off')),
            CONSTRAINT ck_auto_topup_rules_passing_states_end CHECK (
                state NOT IN ('cooling', 'backing_off', 'capped') OR until IS NOT NULL)
        )
    """)
    op.execute(
        "CREATE INDEX ix_auto_topup_rules_until ON auto_topup_rules (until) "
        "WHERE state IN ('cooling', 'backing_off', 'capped')"
    )
    op.execute("CREATE INDEX ix_auto_topup_rules_bucket ON auto_topup_rules (bucket) WHERE state = 'active'")
    tenant_table(op, "auto_topup_rules", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE topup_attempts (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            amount BIGINT NOT NULL,
            currency TEXT NOT NULL,
            monthly_cap BIGINT NOT NULL,
            month_total BIGINT NOT NULL,
            payment_method_id TEXT NOT NULL,
            card_fingerprint TEXT,
            state TEXT NOT NULL,
            decline_code TEXT,
            advice_code TEXT,
            payment_intent_id TEXT,
            payment_id TEXT,
            checkout_id TEXT,
            params JSONB,
            trigger TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            submitted_at TIMESTAMPTZ,
            resolved_at TIMESTAMPTZ,
            tries SMALLINT NOT NULL,
            next_at TIMESTAMPTZ,
            CONSTRAINT pk_topup_attempts PRIMARY KEY (account_id, id),
            CONSTRAINT fk_topup_attempts_account_id_wallets FOREIGN KEY (account_id) REFERENCES wallets (account_id),
            CONSTRAINT ck_topup_attempts_state CHECK (
                state IN ('created', 'submitted', 'unknown', 'succeeded', 'declined', 'action_required', 'canceled')),
            CONSTRAINT ck_topup_attempts_amount_positive CHECK (amount > 0 AND amount % 10000 = 0),
            CONSTRAINT ck_topup_attempts_within_cap CHECK (month_total <= monthly_cap),
            CONSTRAINT ck_topup_attempts_open_is_looked_at CHECK (
                (state IN ('created', 'submitted', 'unknown')) = (next_at IS NOT NULL)
                AND (next_at IS NULL) = (resolved_at IS NOT NULL)),
            CONSTRAINT ck_topup_attempts_sent_is_frozen CHECK (
                state NOT IN ('submitted', 'unknown') OR params IS NOT NULL AND submitted_at IS NOT NULL)
        )
    """)
    op.execute(
        "CREATE UNIQUE INDEX uq_topup_attempts_one_open ON topup_attempts (account_id) "
        "WHERE state IN ('created', 'submitted', 'unknown')"
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_topup_attempts_account_id_payment_intent_id "
        "ON topup_attempts (account_id, payment_intent_id) WHERE payment_intent_id IS NOT NULL"
    )
    op.execute("CREATE INDEX ix_topup_attempts_next_at ON topup_attempts (next_at) WHERE next_at IS NOT NULL")
    tenant_table(op, "topup_attempts", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    op.execute("DROP TABLE topup_attempts")
    op.execute("DROP TABLE auto_topup_rules")
