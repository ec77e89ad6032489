"""Rentals that are interrupted, hibernate, or wait."""

from alembic import op

from app.kit.rls import tenant_table

revision = "202611210702_rentals_recovery"
down_revision = "202611210701_wallet_rates"
branch_labels = None
depends_on = None

_STATUSES = (
    "'queued', 'provisioning', 'running', 'interrupted', 'hibernating', 'hibernated', 'stopping', 'stopped', 'failed'"
)
_ALIVE = "'creating', 'booting', 'checking', 'live', 'hibernating', 'hibernated', 'resuming'"
_STATUSES_BEFORE = "'provisioning', 'running', 'stopping', 'stopped', 'failed'"
_ALIVE_BEFORE = "'creating', 'booting', 'checking', 'live'"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE rentals
            ADD COLUMN queued_until TIMESTAMPTZ,
            ADD COLUMN searched_before INTEGER NOT NULL DEFAULT 0,
            ADD COLUMN run_since TIMESTAMPTZ,
            ADD COLUMN ran_seconds BIGINT NOT NULL DEFAULT 0,
            ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0,
            ADD COLUMN interrupted_at TIMESTAMPTZ,
            ADD COLUMN hibernated_at TIMESTAMPTZ,
            ADD COLUMN stopped_rate BIGINT,
            ADD COLUMN disk_lost BOOLEAN NOT NULL DEFAULT false,
            ADD COLUMN log_base BIGINT NOT NULL DEFAULT 0,
            ADD CONSTRAINT ck_rentals_ran_seconds_not_negative CHECK (ran_seconds >= 0)
    """)
    op.execute("CREATE INDEX ix_rentals_created_at ON rentals (created_at) WHERE status = 'queued'")
    op.execute("""
        ALTER TABLE attempts
            ADD COLUMN answered_at TIMESTAMPTZ,
            ADD COLUMN preempts_at TIMESTAMPTZ,
            ADD COLUMN hibernated_at TIMESTAMPTZ,
            ADD COLUMN resuming_at TIMESTAMPTZ
    """)
    _allow(rentals=_STATUSES, attempts=_ALIVE)
    op.execute("""
        CREATE TABLE rental_runs (
            account_id TEXT NOT NULL,
            rental_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            kind TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            rate BIGINT NOT NULL,
            began_at TIMESTAMPTZ NOT NULL,
            ended_at TIMESTAMPTZ,
            ended_because TEXT,
            CONSTRAINT pk_rental_runs PRIMARY KEY (account_id, rental_id, number),
            CONSTRAINT fk_rental_runs_account_id_rental_id_rentals FOREIGN KEY (account_id, rental_id)
                REFERENCES rentals (account_id, id),
            CONSTRAINT ck_rental_runs_kind CHECK (kind IN ('ran', 'hibernated')),
            CONSTRAINT ck_rental_runs_ends_after_it_began CHECK (ended_at IS NULL OR ended_at >= began_at)
        )
    """)
    op.execute(
        "CREATE UNIQUE INDEX uq_rental_runs_one_open ON rental_runs (account_id, rental_id) WHERE ended_at IS NULL"
    )
    tenant_table(op, "rental_runs", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    _take_up_what_runs()


def downgrade() -> None:
    op.execute("DROP TABLE rental_runs")
    _allow(rentals=_STATUSES_BEFORE, attempts=_ALIVE_BEFORE)
    op.execute(
        "ALTER TABLE attempts DROP COLUMN answered_at, DROP COLUMN preempts_at, DROP COLUMN hibernated_at, DROP COLUMN resuming_at"
    )
    op.execute("DROP INDEX ix_rentals_created_at")
    op.execute("""
        ALTER TABLE rentals
            DROP COLUMN queued_until,
            DROP COLUMN searched_before,
            DROP COLUMN run_since,
            DROP COLUMN ran_seconds,
            DROP COLUMN interruptions,
            DROP COLUMN interrupted_at,
            DROP COLUMN hibernated_at,
            DROP COLUMN stopped_rate,
            DROP COLUMN disk_lost,
            DROP COLUMN log_base
    """)


def _allow(*, rentals: str, attempts: str) -> None:
    """Set the states that rentals and attempts may be in."""
    op.execute(f"""
        ALTER TABLE rentals DROP CONSTRAINT ck_rentals_status,
            ADD CONSTRAINT ck_rentals_status CHECK (status IN ({rentals}))
    """)
    op.execute(f"""
        ALTER TABLE attempts DROP CONSTRAINT ck_attempts_status,
            ADD CONSTRAINT ck_attempts_status CHECK (status IN ({attempts}, 'doomed', 'gone'))
    """)
    op.execute("DROP INDEX uq_attempts_one_alive")
    op.execute(
        f"CREATE UNIQUE INDEX uq_attempts_one_alive ON attempts (account_id, rental_id) WHERE status IN ({attempts})"
    )


def _take_up_what_runs() -> None:
    """Give what runs already, or ran, its stretch of time."""
    op.execute("ALTER TABLE rentals NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE attempts NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE rental_runs NO FORCE ROW LEVEL SECURITY")
    op.execute("""
        UPDATE rentals SET run_since = CASE WHEN status = 'running' THEN running_at END,
            ran_seconds = CASE WHEN status = 'running' THEN 0
                ELSE greatest(0, floor(extract(epoch FROM ended_at - running_at))) END
        WHERE running_at IS NOT NULL
    """)
    op.execute("""
        INSERT INTO rental_runs (account_id, rental_id, number, kind, attempt, rate, began_at, ended_at, ended_because)
        SELECT r.account_id, r.id, 1, 'ran', a.number, r.rate, r.running_at,
               CASE WHEN r.ended_at IS NOT NULL THEN greatest(r.ended_at, r.running_at) END,
               coalesce(r.end_reason, r.failure->>'reason')
        FROM rentals r JOIN LATERAL (
            SELECT number FROM attempts WHERE account_id = r.account_id AND rental_id = r.id AND live_at IS NOT NULL
            ORDER BY number DESC LIMIT 1) a ON true
        WHERE r.running_at IS NOT NULL
    """)
    for table in ("rentals", "attempts", "rental_runs"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
