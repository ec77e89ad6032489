"""Webhook endpoints, deliveries and preferences."""

revision = "202611210806_notifications"
down_revision = "202611210805_rentals_teams"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
