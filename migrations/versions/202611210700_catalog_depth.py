"""What the catalog has learnt to remember."""

revision = "202611210700_catalog_depth"
down_revision = "202611210603_topups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
