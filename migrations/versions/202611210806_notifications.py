"""The feed of events, webhook endpoints with what was sent to them, and who wants which mail."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210806_notifications"
down_revision = "202611210805_rentals_teams"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _feed()
    _webhooks()
    op.execute("""
        CREATE TABLE notification_preferences (
            account_id TEXT NOT NULL,
            holder TEXT NOT NULL,
            kind TEXT NOT NULL,
            wanted BOOLEAN NOT NULL,
            CONSTRAINT pk_notification_preferences PRIMARY KEY (account_id, holder, kind)
        )
    """)
    tenant_table(op, "notification_preferences", api="SELECT, INSERT, DELETE", worker="SELECT")


def downgrade() -> None:
    op.execute("DROP TRIGGER queue_for_telling ON events")
    op.execute("DROP FUNCTION queue_events()")
    for table in (
        "notification_preferences",
        "webhook_attempts",
        "webhook_deliveries",
        "webhook_endpoints",
        "event_feed",
        "event_queue",
    ):
        op.execute(f"DROP TABLE {table}")


def _feed() -> None:
    op.execute("""
        CREATE TABLE event_queue (
            account_id TEXT NOT NULL,
            event_id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            CONSTRAINT pk_event_queue PRIMARY KEY (account_id, event_id)
        )
    """)
    op.execute("CREATE INDEX ix_event_queue_bucket_event_id ON event_queue (bucket, event_id)")
    tenant_table(op, "event_queue", api="INSERT", worker="SELECT, INSERT, DELETE")
    op.execute("""
        CREATE TABLE event_feed (
            account_id TEXT NOT NULL,
            position BIGINT NOT NULL,
            event_id TEXT NOT NULL,
            subject TEXT NOT NULL,
            seq BIGINT NOT NULL,
            type TEXT NOT NULL,
            team_id TEXT,
            made_by TEXT,
            person TEXT,
            CONSTRAINT pk_event_feed PRIMARY KEY (account_id, position),
            CONSTRAINT uq_event_feed_account_id_event_id UNIQUE (account_id, event_id),
            CONSTRAINT ck_event_feed_position CHECK (position > 0)
        )
    """)
    tenant_table(op, "event_feed", api="SELECT", worker="SELECT, INSERT")
    # Whoever writes events, by whatever statement, queues them in the same transaction. The bucket only divides the
    # queue's work; it need not be the one that the account's other rows have.
    op.execute("""
        CREATE FUNCTION queue_events() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO event_queue (account_id, event_id, bucket)
            SELECT account_id, id, get_byte(sha256(convert_to(account_id, 'UTF8')), 0) % 64 FROM written;
            RETURN NULL;
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER queue_for_telling AFTER INSERT ON events REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION queue_events()
    """)
    _take_up_what_there_is()


def _take_up_what_there_is() -> None:
    """Put the events there are into the feed, as they are: nobody is told of them anew."""
    for table in ("events", "rentals", "event_feed"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("""
        INSERT INTO event_feed (account_id, position, event_id, subject, seq, type, team_id, made_by, person)
        SELECT e.account_id, row_number() OVER (PARTITION BY e.account_id ORDER BY e.id), e.id, e.subject, e.seq, e.type,
               r.team_id, r.created_by, r.user_id
        FROM events e LEFT JOIN rentals r ON r.account_id = e.account_id AND r.id = e.subject
    """)
    for table in ("events", "rentals", "event_feed"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _webhooks() -> None:
    op.execute("""
        CREATE TABLE webhook_endpoints (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            version BIGINT NOT NULL,
            url TEXT NOT NULL,
            description TEXT NOT NULL,
            types TEXT[] NOT NULL,
            state TEXT NOT NULL,
            disabled_because TEXT,
            sealed_secret BYTEA NOT NULL,
            sealed_previous BYTEA,
            previous_until TIMESTAMPTZ,
            failing_since TIMESTAMPTZ,
            created_by TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_webhook_endpoints PRIMARY KEY (account_id, id),
            CONSTRAINT ck_webhook_endpoints_state CHECK (state IN ('enabled', 'disabled', 'deleted')),
            CONSTRAINT ck_webhook_endpoints_because CHECK ((state = 'disabled') = (disabled_because IS NOT NULL)),
            CONSTRAINT ck_webhook_endpoints_previous CHECK ((sealed_previous IS NULL) = (previous_until IS NULL))
        )
    """)
    op.execute("CREATE INDEX ix_webhook_endpoints_bucket ON webhook_endpoints (bucket) WHERE state <> 'deleted'")
    tenant_table(op, "webhook_endpoints", api="SELECT, INSERT, UPDATE", worker="SELECT, UPDATE, DELETE")
    op.execute("""
        CREATE TABLE webhook_deliveries (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            endpoint_id TEXT NOT NULL,
            event_id TEXT NOT NULL,
            type TEXT NOT NULL,
            state TEXT NOT NULL,
            tries BIGINT NOT NULL,
            tries_before BIGINT NOT NULL,
            since TIMESTAMPTZ NOT NULL,
            next_at TIMESTAMPTZ,
            trying_until TIMESTAMPTZ,
            created_at TIMESTAMPTZ NOT NULL,
            ended_at TIMESTAMPTZ,
            last_status BIGINT,
            last_error TEXT,
            CONSTRAINT pk_webhook_deliveries PRIMARY KEY (account_id, id),
            CONSTRAINT uq_webhook_deliveries_account_id_endpoint_id_event_id UNIQUE (account_id, endpoint_id, event_id),
            CONSTRAINT fk_webhook_deliveries_account_id_endpoint_id_webhook_endpoints
                FOREIGN KEY (account_id, endpoint_id) REFERENCES webhook_endpoints (account_id, id),
            CONSTRAINT ck_webhook_deliveries_state CHECK (state IN ('pending', 'delivered', 'failed')),
            CONSTRAINT ck_webhook_deliveries_tries CHECK (tries >= tries_before AND tries_before >= 0),
            CONSTRAINT ck_webhook_deliveries_next CHECK ((state = 'pending') = (next_at IS NOT NULL)),
            CONSTRAINT ck_webhook_deliveries_ended CHECK ((state = 'pending') = (ended_at IS NULL))
        )
    """)
    op.execute("""
        CREATE INDEX ix_webhook_deliveries_account_id_endpoint_id_next_at
        ON webhook_deliveries (account_id, endpoint_id, next_at) WHERE state = 'pending'
    """)
    op.execute("""
        CREATE INDEX ix_webhook_deliveries_account_id_endpoint_id_id ON webhook_deliveries (account_id, endpoint_id, id)
    """)
    op.execute("CREATE INDEX ix_webhook_deliveries_ended_at ON webhook_deliveries (ended_at) WHERE state <> 'pending'")
    tenant_table(
        op,
        "webhook_deliveries",
        api="SELECT, INSERT, UPDATE",
        worker="SELECT, INSERT, UPDATE, DELETE",
    )
    op.execute("""
        CREATE TABLE webhook_attempts (
            account_id TEXT NOT NULL,
            delivery_id TEXT NOT NULL,
            number BIGINT NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            milliseconds BIGINT NOT NULL,
            status BIGINT,
            error TEXT,
            answer TEXT NOT NULL,
            CONSTRAINT pk_webhook_attempts PRIMARY KEY (account_id, delivery_id, number),
            CONSTRAINT fk_webhook_attempts_account_id_delivery_id_webhook_deliveries
                FOREIGN KEY (account_id, delivery_id) REFERENCES webhook_deliveries (account_id, id) ON DELETE CASCADE
        )
    """)
    tenant_table(op, "webhook_attempts", api="SELECT", worker="SELECT, INSERT, DELETE")
