"""The outbox of e-mails."""

revision = "202611210601_mail"
down_revision = "202611210600_lots"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
