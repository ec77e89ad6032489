"""Lots of credit, holds for reversals, and what a transfer refers to."""

from alembic import op

from app.kit.rls import API, WORKER

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


def downgrade() -> None:
    op.execute("ALTER TABLE wallets DROP COLUMN restricted_at")
    op.execute("ALTER TABLE transfers DROP COLUMN reference")
