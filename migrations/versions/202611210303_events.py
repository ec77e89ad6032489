"""The outbox: what happened, in order per subject."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210303_events"
down_revision = "202611210302_tenancy"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE events (
            account_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            seq BIGINT NOT NULL,
            id TEXT NOT NULL,
            type TEXT NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            actor TEXT NOT NULL,
            data JSONB NOT NULL,
            CONSTRAINT pk_events PRIMARY KEY (account_id, subject, seq)
        )
    """)
    op.execute("CREATE INDEX ix_events_account_id_id ON events (account_id, id)")
    tenant_table(op, "events", api="SELECT, INSERT", worker="SELECT, INSERT")


def downgrade() -> None:
    op.execute("DROP TABLE events")
