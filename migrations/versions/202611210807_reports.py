"""What reports are summed from."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210807_reports"
down_revision = "202611210806_notifications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE report_spend (
            account_id TEXT NOT NULL,
            day DATE NOT NULL,
            rental_id TEXT NOT NULL,
            provider TEXT NOT NULL,
            family TEXT NOT NULL,
            team_id TEXT,
            user_id TEXT,
            key_id TEXT,
            tags JSONB NOT NULL,
            seconds BIGINT NOT NULL,
            charged BIGINT NOT NULL,
            refunded BIGINT NOT NULL,
            CONSTRAINT pk_report_spend PRIMARY KEY (account_id, day, rental_id, provider, family),
            CONSTRAINT ck_report_spend_not_negative CHECK (seconds >= 0 AND charged >= 0 AND refunded >= 0)
        ) WITH (fillfactor = 80)
    """)
    tenant_table(op, "report_spend", api="SELECT", worker="SELECT, INSERT, UPDATE, DELETE")
    op.execute("""
        CREATE TABLE report_counted (
            account_id TEXT NOT NULL,
            seq BIGINT NOT NULL,
            counted_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_report_counted PRIMARY KEY (account_id),
            CONSTRAINT ck_report_counted_seq CHECK (seq >= 0)
        ) WITH (fillfactor = 80)
    """)
    tenant_table(op, "report_counted", api="SELECT", worker="SELECT, INSERT, UPDATE, DELETE")
    op.execute("""
        CREATE TABLE gpu_use (
            account_id TEXT NOT NULL,
            day DATE NOT NULL,
            rental_id TEXT NOT NULL,
            gpu INTEGER NOT NULL,
            samples INTEGER NOT NULL,
            seconds BIGINT NOT NULL,
            idle_seconds BIGINT NOT NULL,
            percent_seconds BIGINT NOT NULL,
            last_percent INTEGER NOT NULL,
            sampled_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_gpu_use PRIMARY KEY (account_id, day, rental_id, gpu),
            CONSTRAINT fk_gpu_use_account_id_rental_id_rentals FOREIGN KEY (account_id, rental_id)
                REFERENCES rentals (account_id, id),
            CONSTRAINT ck_gpu_use_idle_within_seconds CHECK (idle_seconds BETWEEN 0 AND seconds),
            CONSTRAINT ck_gpu_use_percent CHECK (percent_seconds BETWEEN 0 AND 100 * seconds AND last_percent BETWEEN 0 AND 100)
        ) WITH (fillfactor = 80)
    """)
    tenant_table(op, "gpu_use", api="SELECT", worker="SELECT, INSERT, UPDATE")


def downgrade() -> None:
    op.execute("DROP TABLE gpu_use")
    op.execute("DROP TABLE report_counted")
    op.execute("DROP TABLE report_spend")
