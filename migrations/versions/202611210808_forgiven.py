"""What was given back for good, so that it is neither used up at another rate nor counted twice."""

from alembic import op

revision = "202611210808_forgiven"
down_revision = "202611210807_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE holds ADD COLUMN forgiven BIGINT NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE holds NO FORCE ROW LEVEL SECURITY")
    op.execute("""
        UPDATE holds SET forgiven = refunded, base_seconds = greatest(base_seconds, billed_seconds + overrun_seconds)
        WHERE state = 'waiting' AND refunded > 0
    """)
    op.execute("ALTER TABLE holds FORCE ROW LEVEL SECURITY")
    op.execute(
        "ALTER TABLE holds ADD CONSTRAINT ck_holds_forgiven_within_refund CHECK (forgiven BETWEEN 0 AND refunded)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE holds DROP COLUMN forgiven")
