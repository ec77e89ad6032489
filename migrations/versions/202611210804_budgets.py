"""Caps of holds, what was told of budgets, and requests for other policies."""

from alembic import op

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


def downgrade() -> None:
    op.execute("""
        ALTER TABLE holds
            DROP CONSTRAINT ck_holds_cap_has_a_reason,
            DROP COLUMN stop_by_because,
            DROP COLUMN stop_by
    """)
