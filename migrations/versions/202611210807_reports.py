"""What reports are summed from."""

revision = "202611210807_reports"
down_revision = "202611210806_notifications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
