"""The outbox of e-mails."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210601_mail"
down_revision = "202611210600_lots"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE mails (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            to_address TEXT NOT NULL,
            template TEXT NOT NULL,
            data JSONB NOT NULL,
            dedupe_key TEXT NOT NULL,
            state TEXT NOT NULL,
            tries BIGINT NOT NULL,
            next_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            sent_at TIMESTAMPTZ,
            message_id TEXT,
            last_error TEXT,
            CONSTRAINT pk_mails PRIMARY KEY (account_id, id),
            CONSTRAINT uq_mails_account_id_dedupe_key_to_address UNIQUE (account_id, dedupe_key, to_address),
            CONSTRAINT ck_mails_state CHECK (state IN ('queued', 'sent', 'logged', 'failed')),
            CONSTRAINT ck_mails_tries CHECK (tries >= 0),
            CONSTRAINT ck_mails_sent CHECK ((state IN ('sent', 'logged')) = (sent_at IS NOT NULL))
        )
    """)
    op.execute("CREATE INDEX ix_mails_bucket_next_at ON mails (bucket, next_at) WHERE state = 'queued'")
    # The API writes mails and never reads them.
    tenant_table(op, "mails", api="INSERT", worker="SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.execute("DROP TABLE mails")
