"""A hold whose rate may change."""

revision = "202611210701_wallet_rates"
down_revision = "202611210700_catalog_depth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
