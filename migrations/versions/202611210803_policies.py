"""Policies, what is committed under them, and what was spent."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210803_policies"
down_revision = "202611210802_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _policies()
    _commitments()
    op.execute("""
        CREATE TABLE policy_spend (
            account_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            day DATE NOT NULL,
            micros BIGINT NOT NULL,
            CONSTRAINT pk_policy_spend PRIMARY KEY (account_id, subject, day)
        )
    """)
    op.execute("""
        CREATE TABLE policy_counted (
            account_id TEXT NOT NULL,
            seq BIGINT NOT NULL,
            CONSTRAINT pk_policy_counted PRIMARY KEY (account_id)
        )
    """)
    op.execute("""
        CREATE TABLE policy_zones (
            account_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            CONSTRAINT pk_policy_zones PRIMARY KEY (account_id, subject)
        )
    """)
    tenant_table(op, "policy_spend", api="SELECT", worker="SELECT, INSERT, UPDATE, DELETE")
    tenant_table(op, "policy_counted", api="SELECT", worker="SELECT, INSERT, UPDATE")
    tenant_table(op, "policy_zones", api="SELECT", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    for table in ("policy_zones", "policy_counted", "policy_spend", "commitments", "policies"):
        op.execute(f"DROP TABLE {table}")


def _policies() -> None:
    op.execute("""
        CREATE TABLE policies (
            account_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            version BIGINT NOT NULL,
            gpu_whitelist JSONB,
            max_instances BIGINT,
            max_gpus BIGINT,
            max_price_micros_per_hour BIGINT,
            daily_budget_micros BIGINT,
            monthly_budget_micros BIGINT,
            max_duration_seconds BIGINT,
            allowed_regions JSONB,
            allowed_providers JSONB,
            min_reliability_ppm BIGINT,
            on_budget_exceeded TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            paused_until TIMESTAMPTZ,
            paused_because TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL,
            updated_by TEXT NOT NULL,
            CONSTRAINT pk_policies PRIMARY KEY (account_id, subject),
            CONSTRAINT ck_policies_on_budget_exceeded CHECK (on_budget_exceeded IN ('alert', 'pause_new', 'stop_all')),
            CONSTRAINT ck_policies_not_negative CHECK (least(max_instances, max_gpus, max_price_micros_per_hour,
                daily_budget_micros, monthly_budget_micros, max_duration_seconds, min_reliability_ppm, 0) = 0),
            CONSTRAINT ck_policies_paused_because CHECK ((paused_until IS NULL) = (paused_because IS NULL))
        )
    """)
    op.execute("CREATE INDEX ix_policies_paused_until ON policies (paused_until) WHERE paused_until IS NOT NULL")
    tenant_table(op, "policies", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _commitments() -> None:
    op.execute("""
        CREATE TABLE commitments (
            account_id TEXT NOT NULL,
            rental_id TEXT NOT NULL,
            team_id TEXT,
            key_id TEXT,
            user_id TEXT,
            family TEXT,
            gpu_count BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            ended_at TIMESTAMPTZ,
            CONSTRAINT pk_commitments PRIMARY KEY (account_id, rental_id),
            CONSTRAINT ck_commitments_gpu_count_positive CHECK (gpu_count > 0)
        )
    """)
    for column in ("team_id", "key_id", "user_id"):
        op.execute(f"""
            CREATE INDEX ix_commitments_account_id_{column} ON commitments (account_id, {column}) WHERE ended_at IS NULL
        """)
    tenant_table(op, "commitments", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
