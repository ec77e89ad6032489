"""What was told of budgets, and requests for other policies."""

revision = "202611210804_budgets"
down_revision = "202611210803_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
