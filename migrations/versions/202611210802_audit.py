"""Who changed what: append-only, hash-chained per account."""

revision = "202611210802_audit"
down_revision = "202611210801_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
