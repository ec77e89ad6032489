"""Money from cards: customers, cards, checkouts, payments, refunds, disputes, Stripe's events."""

revision = "202611210603_topups"
down_revision = "202611210602_refills"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
