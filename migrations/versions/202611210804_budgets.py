"""Caps of holds, what was told of budgets, and requests for other policies."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210804_budgets"
down_revision = "202611210803_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE holds
            ADD COLUMN stop_by TIMESTAMPTZ,
            ADD COLUMN stop_by_because TEXT,
            ADD CONSTRAINT ck_holds_cap_has_a_reason CHECK ((stop_by IS NULL) = (stop_by_because IS NULL))
    """)
    op.execute("""
        CREATE TABLE budget_marks (
            account_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            budget TEXT NOT NULL,
            since TIMESTAMPTZ NOT NULL,
            amount BIGINT NOT NULL,
            percent SMALLINT NOT NULL,
            burning BOOLEAN NOT NULL,
            crosses_at TIMESTAMPTZ,
            CONSTRAINT pk_budget_marks PRIMARY KEY (account_id, subject, budget),
            CONSTRAINT ck_budget_marks_budget CHECK (budget IN ('daily_budget', 'monthly_budget', 'limit')),
            CONSTRAINT ck_budget_marks_percent CHECK (percent IN (0, 50, 75, 90, 100))
        )
    """)
    tenant_table(op, "budget_marks", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE budget_looks (
            account_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            next_at TIMESTAMPTZ,
            CONSTRAINT pk_budget_looks PRIMARY KEY (account_id)
        )
    """)
    op.execute("CREATE INDEX ix_budget_looks_next_at ON budget_looks (next_at) WHERE next_at IS NOT NULL")
    tenant_table(op, "budget_looks", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE policy_requests (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            team_id TEXT NOT NULL,
            version BIGINT NOT NULL,
            changes JSONB NOT NULL,
            reason TEXT NOT NULL,
            state TEXT NOT NULL,
            asked_by TEXT NOT NULL,
            asked_at TIMESTAMPTZ NOT NULL,
            decided_by TEXT,
            decided_at TIMESTAMPTZ,
            note TEXT,
            CONSTRAINT pk_policy_requests PRIMARY KEY (account_id, id),
            CONSTRAINT ck_policy_requests_state CHECK (state IN ('open', 'approved', 'denied')),
            CONSTRAINT ck_policy_requests_decided CHECK ((state = 'open') = (decided_at IS NULL))
        )
    """)
    op.execute("CREATE INDEX ix_policy_requests_account_id_team_id_id ON policy_requests (account_id, team_id, id)")
    tenant_table(op, "policy_requests", api="SELECT, INSERT, UPDATE", worker="SELECT")


def downgrade() -> None:
    for table in ("policy_requests", "budget_looks", "budget_marks"):
        op.execute(f"DROP TABLE {table}")
    op.execute("""
        ALTER TABLE holds
            DROP CONSTRAINT ck_holds_cap_has_a_reason,
            DROP COLUMN stop_by_because,
            DROP COLUMN stop_by
    """)
