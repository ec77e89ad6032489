"""Policies, what is committed under them, and what was spent."""

revision = "202611210803_policies"
down_revision = "202611210802_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
