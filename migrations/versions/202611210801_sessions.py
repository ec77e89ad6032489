"""People who sign in, and their sessions."""

revision = "202611210801_sessions"
down_revision = "202611210800_teams"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
