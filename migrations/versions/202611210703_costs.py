"""What machines cost us."""

revision = "202611210703_costs"
down_revision = "202611210702_rentals_recovery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
