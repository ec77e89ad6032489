"""Lots of credit, holds for reversals, and what a transfer refers to."""

revision = "202611210600_lots"
down_revision = "202611210307_rentals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
