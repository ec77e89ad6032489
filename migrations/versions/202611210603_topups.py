"""Money from cards: customers, cards, checkouts, payments, refunds, disputes, Stripe's events."""

from alembic import op

from app.kit.rls import global_table, tenant_table

revision = "202611210603_topups"
down_revision = "202611210602_refills"
branch_labels = None
depends_on = None

_OWNERS = {
    "customer_owners": ("customer_id", "", "a customer at Stripe belongs to one account, whichever asks first"),
    "payment_method_owners": (
        "id",
        "",
        "a card at Stripe belongs to one account, also after Stripe has forgotten whose",
    ),
    "payment_owners": (
        "payment_intent_id",
        "payment_id TEXT NOT NULL,",
        "a payment at Stripe is counted for one account, once",
    ),
}


def upgrade() -> None:
    _create_customers()
    _create_checkouts()
    _create_payments()
    _create_reversals()
    for table, (key, more, reason) in _OWNERS.items():
        op.execute(f"""
            CREATE TABLE {table} (
                {key} TEXT NOT NULL,
                account_id TEXT NOT NULL,
                {more}
                CONSTRAINT pk_{table} PRIMARY KEY ({key})
            )
        """)
        global_table(op, table, reason=reason)
        # Fenced all the same: the API may only claim what it claims for the account it works for.
        tenant_table(op, table, api="INSERT", worker="SELECT, INSERT")
    _create_events()


def _create_customers() -> None:
    op.execute("""
        CREATE TABLE customers (
            account_id TEXT NOT NULL,
            customer_id TEXT,
            email TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_customers PRIMARY KEY (account_id)
        )
    """)
    tenant_table(op, "customers", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    op.execute("""
        CREATE TABLE payment_methods (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            customer_id TEXT NOT NULL,
            brand TEXT NOT NULL,
            last4 TEXT NOT NULL,
            exp_month SMALLINT NOT NULL,
            exp_year SMALLINT NOT NULL,
            fingerprint TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            detached_at TIMESTAMPTZ,
            CONSTRAINT pk_payment_methods PRIMARY KEY (account_id, id)
        )
    """)
    tenant_table(op, "payment_methods", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _create_checkouts() -> None:
    op.execute("""
        CREATE TABLE checkouts (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            mode TEXT NOT NULL,
            purpose TEXT NOT NULL,
            amount BIGINT,
            save_card BOOLEAN NOT NULL,
            idempotency_key TEXT NOT NULL,
            params JSONB NOT NULL,
            state TEXT NOT NULL,
            session_id TEXT,
            url TEXT,
            payment_intent_id TEXT,
            setup_intent_id TEXT,
            payment_method_id TEXT,
            payment_id TEXT,
            attempt_id TEXT,
            created_by TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            expires_at TIMESTAMPTZ NOT NULL,
            completed_at TIMESTAMPTZ,
            next_at TIMESTAMPTZ,
            CONSTRAINT pk_checkouts PRIMARY KEY (account_id, id),
            CONSTRAINT uq_checkouts_account_id_idempotency_key UNIQUE (account_id, idempotency_key),
            CONSTRAINT ck_checkouts_mode CHECK (mode IN ('payment', 'setup')),
            CONSTRAINT ck_checkouts_purpose CHECK (purpose IN ('deposit', 'save_card', 'confirm_topup')),
            CONSTRAINT ck_checkouts_state
                CHECK (state IN ('created', 'open', 'processing', 'complete', 'expired', 'failed')),
            CONSTRAINT ck_checkouts_a_payment_has_an_amount CHECK ((mode = 'payment') = (amount IS NOT NULL)),
            CONSTRAINT ck_checkouts_amount_positive CHECK (amount > 0),
            CONSTRAINT ck_checkouts_an_open_one_has_a_session CHECK (state <> 'open' OR session_id IS NOT NULL)
        )
    """)
    op.execute(
        "CREATE UNIQUE INDEX uq_checkouts_account_id_session_id ON checkouts (account_id, session_id) "
        "WHERE session_id IS NOT NULL"
    )
    op.execute("CREATE INDEX ix_checkouts_account_id ON checkouts (account_id) WHERE state = 'processing'")
    op.execute("CREATE INDEX ix_checkouts_next_at ON checkouts (next_at) WHERE next_at IS NOT NULL")
    tenant_table(op, "checkouts", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _create_payments() -> None:
    op.execute("""
        CREATE TABLE payments (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            payment_intent_id TEXT NOT NULL,
            source TEXT NOT NULL,
            checkout_id TEXT,
            attempt_id TEXT,
            amount BIGINT NOT NULL,
            tax BIGINT NOT NULL,
            credited BIGINT NOT NULL,
            refunded BIGINT NOT NULL,
            disputed BIGINT NOT NULL,
            status TEXT NOT NULL,
            charge_id TEXT,
            receipt_url TEXT,
            payment_method_id TEXT,
            brand TEXT,
            last4 TEXT,
            fingerprint TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            succeeded_at TIMESTAMPTZ,
            checked_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_payments PRIMARY KEY (account_id, id),
            CONSTRAINT uq_payments_account_id_payment_intent_id UNIQUE (account_id, payment_intent_id),
            CONSTRAINT fk_payments_account_id_checkout_id_checkouts
                FOREIGN KEY (account_id, checkout_id) REFERENCES checkouts (account_id, id),
            CONSTRAINT ck_payments_source CHECK (source IN ('checkout', 'auto_topup')),
            CONSTRAINT ck_payments_amounts_not_negative
                CHECK (amount >= 0 AND tax >= 0 AND credited >= 0 AND refunded >= 0 AND disputed >= 0)
        )
    """)
    tenant_table(op, "payments", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _create_reversals() -> None:
    op.execute("""
        CREATE TABLE refunds (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            payment_id TEXT NOT NULL,
            amount BIGINT NOT NULL,
            reason TEXT,
            source TEXT NOT NULL,
            status TEXT NOT NULL,
            stripe_refund_id TEXT,
            failure_reason TEXT,
            idempotency_key TEXT,
            created_by TEXT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            submitted_at TIMESTAMPTZ,
            resolved_at TIMESTAMPTZ,
            tries BIGINT NOT NULL,
            next_at TIMESTAMPTZ,
            CONSTRAINT pk_refunds PRIMARY KEY (account_id, id),
            CONSTRAINT fk_refunds_account_id_payment_id_payments
                FOREIGN KEY (account_id, payment_id) REFERENCES payments (account_id, id),
            CONSTRAINT ck_refunds_source CHECK (source IN ('ours', 'external')),
            CONSTRAINT ck_refunds_status CHECK (
                status IN ('held', 'submitted', 'pending', 'succeeded', 'failed', 'canceled', 'unknown')),
            CONSTRAINT ck_refunds_amount_positive CHECK (amount > 0)
        )
    """)
    for column in ("idempotency_key", "stripe_refund_id"):
        op.execute(
            f"CREATE UNIQUE INDEX uq_refunds_account_id_{column} ON refunds (account_id, {column}) "
            f"WHERE {column} IS NOT NULL"
        )
    op.execute("CREATE INDEX ix_refunds_account_id_payment_id ON refunds (account_id, payment_id)")
    op.execute("CREATE INDEX ix_refunds_next_at ON refunds (next_at) WHERE next_at IS NOT NULL")
    op.execute("""
        CREATE TABLE disputes (
            account_id TEXT NOT NULL,
            id TEXT NOT NULL,
            payment_id TEXT NOT NULL,
            stripe_dispute_id TEXT NOT NULL,
            amount BIGINT NOT NULL,
            reason TEXT NOT NULL,
            status TEXT NOT NULL,
            phase TEXT NOT NULL,
            due_by TIMESTAMPTZ,
            withdrawn BIGINT NOT NULL,
            reinstated BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL,
            closed_at TIMESTAMPTZ,
            CONSTRAINT pk_disputes PRIMARY KEY (account_id, id),
            CONSTRAINT uq_disputes_account_id_stripe_dispute_id UNIQUE (account_id, stripe_dispute_id),
            CONSTRAINT fk_disputes_account_id_payment_id_payments
                FOREIGN KEY (account_id, payment_id) REFERENCES payments (account_id, id),
            CONSTRAINT ck_disputes_amounts_not_negative CHECK (amount >= 0 AND withdrawn >= 0 AND reinstated >= 0)
        )
    """)
    op.execute("CREATE INDEX ix_disputes_account_id_payment_id ON disputes (account_id, payment_id)")
    tenant_table(op, "refunds", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")
    tenant_table(op, "disputes", api="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE")


def _create_events() -> None:
    op.execute("""
        CREATE TABLE stripe_events (
            id TEXT NOT NULL,
            bucket SMALLINT NOT NULL,
            type TEXT NOT NULL,
            api_version TEXT,
            created_at TIMESTAMPTZ NOT NULL,
            livemode BOOLEAN NOT NULL,
            payload BYTEA NOT NULL,
            object_id TEXT,
            received_at TIMESTAMPTZ NOT NULL,
            source TEXT NOT NULL,
            state TEXT NOT NULL,
            outcome TEXT,
            tries BIGINT NOT NULL,
            next_at TIMESTAMPTZ,
            handled_at TIMESTAMPTZ,
            CONSTRAINT pk_stripe_events PRIMARY KEY (id),
            CONSTRAINT ck_stripe_events_source CHECK (source IN ('webhook', 'sweep')),
            CONSTRAINT ck_stripe_events_state CHECK (state IN ('new', 'done', 'ignored', 'dead'))
        )
    """)
    op.execute("CREATE INDEX ix_stripe_events_next_at ON stripe_events (next_at) WHERE state = 'new'")
    op.execute("""
        CREATE TABLE stripe_cursors (
            name TEXT NOT NULL,
            position TEXT,
            at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_stripe_cursors PRIMARY KEY (name)
        )
    """)
    op.execute("""
        CREATE TABLE reconciliations (
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            ok BOOLEAN NOT NULL,
            report JSONB NOT NULL,
            CONSTRAINT pk_reconciliations PRIMARY KEY (id)
        )
    """)
    op.execute("CREATE INDEX ix_reconciliations_kind_at ON reconciliations (kind, at)")
    every = "SELECT, INSERT, UPDATE, DELETE"
    global_table(
        op, "stripe_events", api="INSERT", worker=every, reason="what Stripe tells, before it is known whom it concerns"
    )
    global_table(op, "stripe_cursors", worker=every, reason="how far Stripe's own lists were read")
    global_table(op, "reconciliations", worker=every, reason="comparisons of all accounts' money with Stripe's")


def downgrade() -> None:
    for table in (
        "reconciliations",
        "stripe_cursors",
        "stripe_events",
        *_OWNERS,
        "disputes",
        "refunds",
        "payments",
        "checkouts",
        "payment_methods",
        "customers",
    ):
        op.execute(f"DROP TABLE {table}")
