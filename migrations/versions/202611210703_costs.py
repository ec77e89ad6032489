"""What machines cost us."""

from alembic import op

from app.kit.rls import global_table

revision = "202611210703_costs"
down_revision = "202611210702_rentals_recovery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE machine_costs (
            provider TEXT NOT NULL,
            machine_id TEXT NOT NULL,
            marker TEXT NOT NULL,
            account_id TEXT,
            rental_id TEXT,
            attempt INTEGER,
            family TEXT,
            price BIGINT NOT NULL,
            began_at TIMESTAMPTZ NOT NULL,
            ran_from TIMESTAMPTZ NOT NULL,
            ended_at TIMESTAMPTZ NOT NULL,
            state TEXT NOT NULL,
            micros BIGINT,
            exact BOOLEAN NOT NULL,
            tries INTEGER NOT NULL,
            next_at TIMESTAMPTZ,
            asked_at TIMESTAMPTZ,
            last_error TEXT,
            CONSTRAINT pk_machine_costs PRIMARY KEY (provider, machine_id),
            CONSTRAINT ck_machine_costs_state CHECK (state IN ('open', 'final')),
            CONSTRAINT ck_machine_costs_open_ones_are_asked_for CHECK ((state = 'open') = (next_at IS NOT NULL)),
            CONSTRAINT ck_machine_costs_final_ones_are_known CHECK (state = 'open' OR micros IS NOT NULL),
            CONSTRAINT ck_machine_costs_not_negative CHECK (micros >= 0 AND price >= 0),
            CONSTRAINT ck_machine_costs_all_of_the_attempt CHECK (num_nonnulls(account_id, rental_id, attempt) IN (0, 3))
        )
    """)
    op.execute("CREATE INDEX ix_machine_costs_next_at ON machine_costs (provider, next_at) WHERE state = 'open'")
    op.execute("CREATE INDEX ix_machine_costs_account_id_rental_id ON machine_costs (account_id, rental_id)")
    op.execute("CREATE INDEX ix_machine_costs_ended_at ON machine_costs (ended_at)")
    global_table(
        op,
        "machine_costs",
        worker="SELECT, INSERT, UPDATE",
        reason="what clouds charge is the operator's affair and no customer's; orphans belong to no account",
    )
    op.execute("""
        CREATE TABLE cost_reconciliations (
            provider TEXT NOT NULL,
            day DATE NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            ok BOOLEAN,
            report JSONB NOT NULL,
            CONSTRAINT pk_cost_reconciliations PRIMARY KEY (provider, day)
        )
    """)
    global_table(
        op,
        "cost_reconciliations",
        worker="SELECT, INSERT, UPDATE",
        reason="a day at a cloud is the operator's affair and spans all accounts",
    )
    op.execute(
        "CREATE INDEX ix_attempts_gone_at ON attempts (gone_at) WHERE status = 'gone' AND machine_id IS NOT NULL"
    )
    op.execute("ALTER TABLE orphans ADD COLUMN price_micros_per_hour BIGINT, ADD COLUMN created_at TIMESTAMPTZ")


def downgrade() -> None:
    op.execute("ALTER TABLE orphans DROP COLUMN price_micros_per_hour, DROP COLUMN created_at")
    op.execute("DROP INDEX ix_attempts_gone_at")
    op.execute("DROP TABLE cost_reconciliations")
    op.execute("DROP TABLE machine_costs")
