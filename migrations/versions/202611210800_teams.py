"""Teams, members, roles, invitations, and what a key may spend."""

revision = "202611210800_teams"
down_revision = "202611210703_costs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
