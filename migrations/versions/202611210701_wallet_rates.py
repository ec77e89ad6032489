"""A hold whose rate may change, and transfers that say from which second on theirs holds."""

from alembic import op

revision = "202611210701_wallet_rates"
down_revision = "202611210700_catalog_depth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE transfers ADD COLUMN base_s BIGINT")
    op.execute("""
        ALTER TABLE holds
            ADD COLUMN earlier_seconds BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN earlier_charged BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN rate_changes BIGINT NOT NULL DEFAULT 0,
            DROP CONSTRAINT ck_holds_charged_is_the_cost,
            ADD CONSTRAINT ck_holds_charged_is_the_cost
                CHECK (charged = earlier_charged + div(rate::numeric * (billed_seconds - earlier_seconds), 3600)),
            ADD CONSTRAINT ck_holds_earlier_is_within
                CHECK (earlier_seconds BETWEEN 0 AND billed_seconds AND earlier_charged BETWEEN 0 AND charged)
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE holds
            DROP CONSTRAINT ck_holds_earlier_is_within,
            DROP CONSTRAINT ck_holds_charged_is_the_cost,
            ADD CONSTRAINT ck_holds_charged_is_the_cost CHECK (charged = div(rate::numeric * billed_seconds, 3600)),
            DROP COLUMN earlier_seconds,
            DROP COLUMN earlier_charged,
            DROP COLUMN rate_changes
    """)
    op.execute("ALTER TABLE transfers DROP COLUMN base_s")
