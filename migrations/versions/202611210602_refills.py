"""Auto-top-up: rules and attempts."""

revision = "202611210602_refills"
down_revision = "202611210601_mail"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
