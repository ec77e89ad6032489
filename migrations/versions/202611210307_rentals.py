"""Rentals: a rental's life, its attempts, and what it is launched with."""

from alembic import op

from app.kit.rls import global_table, tenant_table

revision = "202611210307_rentals"
down_revision = "202611210306_catalog"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE rentals (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            version BIGINT NOT NULL,
            name TEXT,
            tags JSONB NOT NULL,
            created_by TEXT NOT NULL,
            status TEXT NOT NULL,
            stage TEXT,
            status_reason TEXT,
            wanted JSONB NOT NULL,
            launch JSONB NOT NULL,
            sealed_env BYTEA,
            listing JSONB NOT NULL,
            rate BIGINT NOT NULL,
            attempts INTEGER NOT NULL,
            ssh_keys JSONB NOT NULL,
            keys_version BIGINT NOT NULL,
            keys_applied BIGINT NOT NULL,
            max_duration_seconds BIGINT,
            max_spend BIGINT,
            next_at TIMESTAMPTZ,
            deadline_at TIMESTAMPTZ NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            running_at TIMESTAMPTZ,
            heartbeat_at TIMESTAMPTZ,
            stop_at TIMESTAMPTZ,
            ended_at TIMESTAMPTZ,
            settled_at TIMESTAMPTZ,
            end_reason TEXT,
            failure JSONB,
            log_offset BIGINT NOT NULL,
            log_exit INTEGER,
            CONSTRAINT pk_rentals PRIMARY KEY (account_id, id),
            CONSTRAINT ck_rentals_rate_positive CHECK (rate > 0),
            CONSTRAINT ck_rentals_status CHECK (status IN ('provisioning', 'running', 'stopping', 'stopped', 'failed'))
        ) WITH (fillfactor = 80)
    """)
    op.execute("CREATE INDEX ix_rentals_next_at ON rentals (next_at) WHERE next_at IS NOT NULL")
    op.execute("CREATE INDEX ix_rentals_stop_at ON rentals (stop_at) WHERE status = 'running' AND stop_at IS NOT NULL")
    op.execute("CREATE INDEX ix_rentals_bucket ON rentals (bucket) WHERE status = 'running'")
    tenant_table(op, "rentals", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE attempts (
            account_id TEXT NOT NULL,
            rental_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            bucket SMALLINT NOT NULL,
            status TEXT NOT NULL,
            provider TEXT NOT NULL,
            offer_id TEXT NOT NULL,
            listing JSONB NOT NULL,
            marker TEXT NOT NULL,
            machine_id TEXT,
            connection JSONB,
            host_key TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            booting_at TIMESTAMPTZ,
            checking_at TIMESTAMPTZ,
            live_at TIMESTAMPTZ,
            doomed_at TIMESTAMPTZ,
            gone_at TIMESTAMPTZ,
            next_at TIMESTAMPTZ,
            destroy_tries INTEGER NOT NULL,
            reason TEXT,
            message TEXT,
            gpus JSONB,
            CONSTRAINT pk_attempts PRIMARY KEY (account_id, rental_id, number),
            CONSTRAINT fk_attempts_account_id_rental_id_rentals FOREIGN KEY (account_id, rental_id)
                REFERENCES rentals (account_id, id),
            CONSTRAINT ck_attempts_status CHECK (status IN ('creating', 'booting', 'checking', 'live', 'doomed', 'gone')),
            CONSTRAINT ck_attempts_known_machine CHECK (machine_id IS NOT NULL OR status IN ('creating', 'doomed', 'gone'))
        )
    """)
    op.execute(
        "CREATE UNIQUE INDEX uq_attempts_one_alive ON attempts (account_id, rental_id) "
        "WHERE status IN ('creating', 'booting', 'checking', 'live')"
    )
    op.execute("CREATE INDEX ix_attempts_next_at ON attempts (next_at) WHERE status = 'doomed'")
    tenant_table(op, "attempts", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE rental_logs (
            account_id TEXT NOT NULL,
            rental_id TEXT NOT NULL,
            from_offset BIGINT NOT NULL,
            text TEXT NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_rental_logs PRIMARY KEY (account_id, rental_id, from_offset),
            CONSTRAINT fk_rental_logs_account_id_rental_id_rentals FOREIGN KEY (account_id, rental_id)
                REFERENCES rentals (account_id, id)
        )
    """)
    tenant_table(op, "rental_logs", api="SELECT", worker="SELECT, INSERT")
    op.execute("""
        CREATE TABLE quotes (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            wanted JSONB NOT NULL,
            listing JSONB NOT NULL,
            rate BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL,
            used_by TEXT,
            CONSTRAINT pk_quotes PRIMARY KEY (account_id, id)
        )
    """)
    tenant_table(op, "quotes", api="SELECT, INSERT, UPDATE, DELETE", worker="SELECT, DELETE")
    op.execute("""
        CREATE TABLE ssh_keys (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            name TEXT NOT NULL,
            public_key TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_ssh_keys PRIMARY KEY (account_id, id),
            CONSTRAINT uq_ssh_keys_account_id_fingerprint UNIQUE (account_id, fingerprint)
        )
    """)
    tenant_table(op, "ssh_keys", api="SELECT, INSERT, DELETE", worker="SELECT")
    op.execute("""
        CREATE TABLE templates (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            version BIGINT NOT NULL,
            name TEXT NOT NULL,
            launch JSONB NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_templates PRIMARY KEY (account_id, id),
            CONSTRAINT uq_templates_account_id_name UNIQUE (account_id, name)
        )
    """)
    tenant_table(op, "templates", api="SELECT, INSERT, UPDATE, DELETE", worker="SELECT")
    op.execute("""
        CREATE TABLE orphans (
            provider TEXT NOT NULL,
            machine_id TEXT NOT NULL,
            marker TEXT NOT NULL,
            first_seen_at TIMESTAMPTZ NOT NULL,
            last_seen_at TIMESTAMPTZ NOT NULL,
            destroyed_at TIMESTAMPTZ,
            CONSTRAINT pk_orphans PRIMARY KEY (provider, machine_id)
        )
    """)
    global_table(
        op,
        "orphans",
        worker="SELECT, INSERT, UPDATE, DELETE",
        reason="machines with our marker that no attempt owns belong to no account",
    )


def downgrade() -> None:
    for table in ("orphans", "templates", "ssh_keys", "quotes", "rental_logs", "attempts", "rentals"):
        op.execute(f"DROP TABLE {table}")
