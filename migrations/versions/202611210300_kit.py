"""Leases: who works on what, and the fence that a late worker meets."""

from alembic import op

from app.kit.rls import global_table

revision = "202611210300_kit"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE leases (
            name TEXT NOT NULL,
            owner TEXT NOT NULL,
            fence BIGINT NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_leases PRIMARY KEY (name)
        )
    """)
    global_table(op, "leases", worker="SELECT, INSERT, UPDATE, DELETE", reason="divides work among workers")
    op.execute("""
        CREATE TABLE workers (
            owner TEXT NOT NULL,
            seen_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_workers PRIMARY KEY (owner)
        )
    """)
    global_table(op, "workers", worker="SELECT, INSERT, UPDATE, DELETE", reason="tells workers how many they are")


def downgrade() -> None:
    op.execute("DROP TABLE workers")
    op.execute("DROP TABLE leases")
