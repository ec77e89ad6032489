"""Idempotency keys: what a caller has asked for once, and the answer it got."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210301_web"
down_revision = "202611210300_kit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE idempotency_keys (
            account_id TEXT NOT NULL,
            route TEXT NOT NULL,
            key TEXT NOT NULL,
            body_hash BYTEA NOT NULL,
            status BIGINT,
            body TEXT,
            headers JSONB,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_idempotency_keys PRIMARY KEY (account_id, route, key),
            CONSTRAINT ck_idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255),
            CONSTRAINT ck_idempotency_keys_hash_length CHECK (octet_length(body_hash) = 32)
        )
    """)
    op.execute("CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)")
    tenant_table(op, "idempotency_keys", api="SELECT, INSERT, UPDATE", worker="SELECT, DELETE")


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_keys")
