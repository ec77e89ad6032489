"""Rentals that are interrupted, hibernate, or wait."""

revision = "202611210702_rentals_recovery"
down_revision = "202611210701_wallet_rates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
