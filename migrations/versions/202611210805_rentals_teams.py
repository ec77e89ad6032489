"""Whose a rental is."""

revision = "202611210805_rentals_teams"
down_revision = "202611210804_budgets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
