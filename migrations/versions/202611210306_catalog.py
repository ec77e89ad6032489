"""The catalog: listings of every cloud, how their polls went, prices by the hour, and what to keep away from."""

from alembic import op

from app.kit.rls import global_table

revision = "202611210306_catalog"
down_revision = "202611210305_wallet"
branch_labels = None
depends_on = None

_WRITES = "SELECT, INSERT, UPDATE, DELETE"


def upgrade() -> None:
    _listings()
    _providers()
    _avoided()
    _history()


def _listings() -> None:
    # A refresh updates only what changed, and prices change often: room on each page keeps such updates on it.
    op.execute("""
        CREATE TABLE listings (
            id TEXT NOT NULL,
            provider TEXT NOT NULL,
            offer_id TEXT NOT NULL,
            spot BOOLEAN NOT NULL,
            family TEXT NOT NULL,
            model TEXT NOT NULL,
            gpu_count BIGINT NOT NULL,
            vram_mib BIGINT NOT NULL,
            interconnect TEXT,
            architecture TEXT NOT NULL,
            region_id TEXT NOT NULL,
            region_name TEXT NOT NULL,
            country TEXT,
            price_micros_per_hour BIGINT NOT NULL,
            disk_micros_per_gb_month BIGINT NOT NULL,
            egress_micros_per_gb BIGINT,
            stopped_micros_per_hour BIGINT,
            min_commitment_seconds BIGINT NOT NULL,
            cpu_cores BIGINT,
            ram_mib BIGINT,
            disk_gb_max BIGINT,
            inet_up_mbps BIGINT,
            inet_down_mbps BIGINT,
            cuda_max TEXT,
            cuda_rank BIGINT,
            reliability_ppm BIGINT,
            security_tier TEXT NOT NULL,
            static_ip BOOLEAN NOT NULL,
            host_id TEXT,
            first_seen_at TIMESTAMPTZ NOT NULL,
            changed_at TIMESTAMPTZ NOT NULL,
            gone_at TIMESTAMPTZ,
            CONSTRAINT pk_listings PRIMARY KEY (id),
            CONSTRAINT uq_listings_provider_offer_id_spot UNIQUE (provider, offer_id, spot),
            CONSTRAINT ck_listings_price CHECK (price_micros_per_hour > 0 AND disk_micros_per_gb_month >= 0),
            CONSTRAINT ck_listings_size CHECK (gpu_count BETWEEN 1 AND 64 AND vram_mib > 0)
        ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)
    """)
    op.execute("""
        CREATE INDEX ix_listings_family_gpu_count_spot_price_micros_per_hour
            ON listings (family, gpu_count, spot, price_micros_per_hour) WHERE gone_at IS NULL
    """)
    # The walk for the cheapest goes through this index in order and stops early. The planner sees it only when it knows
    # that one (family, count, kind) may hold thousands of listings, as the popular ones do; the average is far smaller.
    op.execute("ALTER TABLE listings ALTER COLUMN family SET (n_distinct = 2)")
    op.execute("ALTER TABLE listings ALTER COLUMN gpu_count SET (n_distinct = 2)")
    op.execute("CREATE INDEX ix_listings_provider_gone_at ON listings (provider, gone_at)")
    global_table(op, "listings", api="SELECT", worker=_WRITES, reason="what clouds offer is the same for everybody")


def _providers() -> None:
    op.execute("""
        CREATE TABLE provider_states (
            provider TEXT NOT NULL,
            capability JSONB NOT NULL,
            paused BOOLEAN NOT NULL,
            last_attempt_at TIMESTAMPTZ,
            last_success_at TIMESTAMPTZ,
            last_error TEXT,
            consecutive_failures BIGINT NOT NULL,
            polls BIGINT NOT NULL,
            polls_failed BIGINT NOT NULL,
            listings BIGINT NOT NULL,
            left_out JSONB NOT NULL,
            CONSTRAINT pk_provider_states PRIMARY KEY (provider)
        )
    """)
    global_table(op, "provider_states", api="SELECT", worker=_WRITES, reason="one cloud account serves everybody")
    op.execute("""
        CREATE TABLE refresh_requests (
            provider TEXT NOT NULL,
            requested_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT pk_refresh_requests PRIMARY KEY (provider)
        )
    """)
    global_table(
        op, "refresh_requests", api="SELECT, INSERT, UPDATE", worker=_WRITES, reason="a refresh serves everybody"
    )


def _avoided() -> None:
    op.execute("""
        CREATE TABLE listing_failures (
            provider TEXT NOT NULL,
            offer_id TEXT NOT NULL,
            until TIMESTAMPTZ NOT NULL,
            reason TEXT NOT NULL,
            CONSTRAINT pk_listing_failures PRIMARY KEY (provider, offer_id)
        )
    """)
    global_table(op, "listing_failures", api="SELECT", worker=_WRITES, reason="an offer fails for everybody")
    op.execute("""
        CREATE TABLE quarantined_hosts (
            provider TEXT NOT NULL,
            host_id TEXT NOT NULL,
            reason TEXT NOT NULL,
            quarantined_at TIMESTAMPTZ NOT NULL,
            until TIMESTAMPTZ,
            CONSTRAINT pk_quarantined_hosts PRIMARY KEY (provider, host_id)
        )
    """)
    global_table(op, "quarantined_hosts", api="SELECT", worker=_WRITES, reason="a host is broken for everybody")


def _history() -> None:
    op.execute("""
        CREATE TABLE price_history (
            family TEXT NOT NULL,
            provider TEXT NOT NULL,
            region_id TEXT NOT NULL,
            spot BOOLEAN NOT NULL,
            hour TIMESTAMPTZ NOT NULL,
            min_micros BIGINT NOT NULL,
            median_micros BIGINT NOT NULL,
            p90_micros BIGINT NOT NULL,
            listings BIGINT NOT NULL,
            CONSTRAINT pk_price_history PRIMARY KEY (family, provider, region_id, spot, hour)
        ) WITH (fillfactor = 90)
    """)
    op.execute("CREATE INDEX ix_price_history_hour ON price_history (hour)")
    global_table(op, "price_history", api="SELECT", worker=_WRITES, reason="market prices are public")
    op.execute("""
        CREATE TABLE machine_facts (
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            provider TEXT NOT NULL,
            family TEXT NOT NULL,
            spot BOOLEAN NOT NULL,
            at TIMESTAMPTZ NOT NULL,
            good BOOLEAN NOT NULL,
            seconds BIGINT NOT NULL,
            CONSTRAINT pk_machine_facts PRIMARY KEY (id, kind),
            CONSTRAINT ck_machine_facts_kind CHECK (kind IN ('launch', 'run') AND seconds >= 0)
        )
    """)
    op.execute("CREATE INDEX ix_machine_facts_at ON machine_facts (at)")
    global_table(op, "machine_facts", worker=_WRITES, reason="how clouds behave, without whose machine it was")
    op.execute("""
        CREATE TABLE machine_health (
            provider TEXT NOT NULL,
            family TEXT NOT NULL,
            spot BOOLEAN NOT NULL,
            launches BIGINT NOT NULL,
            launch_success_ppm BIGINT,
            provision_seconds_p50 BIGINT,
            interruptions_per_hour_ppm BIGINT,
            CONSTRAINT pk_machine_health PRIMARY KEY (provider, family, spot)
        )
    """)
    global_table(op, "machine_health", api="SELECT", worker=_WRITES, reason="how clouds behave, summed up")


def downgrade() -> None:
    for table in (
        "machine_health",
        "machine_facts",
        "price_history",
        "quarantined_hosts",
        "listing_failures",
        "refresh_requests",
        "provider_states",
        "listings",
    ):
        op.execute(f"DROP TABLE {table}")
