"""What the catalog has learnt to remember: sheets' dates, latencies, launches that fail, prices in monthly partitions."""

from alembic import op

from app.kit.rls import WORKER, global_table

revision = "202611210700_catalog_depth"
down_revision = "202611210603_topups"
branch_labels = None
depends_on = None

_WRITES = "SELECT, INSERT, UPDATE, DELETE"
_OLD_INDEX = "ix_listings_family_gpu_count_spot_price_micros_per_hour"
_NEW_INDEX = "ix_listings_cheapest"
_PRICE_COLUMNS = """
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
"""


def upgrade() -> None:
    _listings()
    _machines()
    _months()
    _price_history()


def _listings() -> None:
    op.execute("ALTER TABLE listings ADD COLUMN priced_at TIMESTAMPTZ, ADD COLUMN priced_until TIMESTAMPTZ")
    # Within one provider's listings of a family, count and kind the chance of a launch is the same for all, so that the
    # order by price is the order by expected price there. The walk for the cheapest therefore goes provider by provider.
    op.execute(f"DROP INDEX {_OLD_INDEX}")
    op.execute(f"""
        CREATE INDEX {_NEW_INDEX} ON listings (family, gpu_count, spot, provider, price_micros_per_hour)
            WHERE gone_at IS NULL
    """)
    op.execute("ALTER TABLE listings ALTER COLUMN provider SET (n_distinct = 2)")


def _machines() -> None:
    op.execute("""
        ALTER TABLE machine_facts ADD COLUMN region_id TEXT, ADD COLUMN latency_ms BIGINT,
            ADD CONSTRAINT ck_machine_facts_latency CHECK (latency_ms >= 0)
    """)
    # Summed up from the facts every few minutes: nothing is lost by beginning again.
    op.execute("DELETE FROM machine_health")
    op.execute("""
        ALTER TABLE machine_health ADD COLUMN tries_permille BIGINT NOT NULL,
            ADD CONSTRAINT ck_machine_health_tries CHECK (tries_permille BETWEEN 1000 AND 4000)
    """)
    op.execute("""
        CREATE TABLE place_latencies (
            provider TEXT NOT NULL,
            region_id TEXT NOT NULL,
            latency_ms_p50 BIGINT NOT NULL,
            machines BIGINT NOT NULL,
            CONSTRAINT pk_place_latencies PRIMARY KEY (provider, region_id),
            CONSTRAINT ck_place_latencies_figures CHECK (latency_ms_p50 >= 0 AND machines > 0)
        )
    """)
    global_table(op, "place_latencies", api="SELECT", worker=_WRITES, reason="how far clouds are, summed up")


def _months() -> None:
    # Partitions lie in a schema of their own. The worker may have them made and dropped by these two functions, which
    # are the owner's, and has no right to make or drop a table itself.
    op.execute("CREATE SCHEMA price_months")
    op.execute("""
        CREATE FUNCTION make_price_months(since timestamptz, until timestamptz) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            month timestamp := date_trunc('month', since AT TIME ZONE 'UTC');
            past timestamp := until AT TIME ZONE 'UTC';
            name text;
            made integer := 0;
        BEGIN
            IF past > month + interval '24 months' THEN
                RAISE EXCEPTION 'these are more than 24 months';
            END IF;
            WHILE month <= past LOOP
                name := to_char(month, '"price_months.m"YYYY"_"MM');
                IF to_regclass(name) IS NULL THEN  -- one at a time; whoever waited looks again
                    LOCK TABLE public.price_history IN SHARE UPDATE EXCLUSIVE MODE;
                END IF;
                IF to_regclass(name) IS NULL THEN
                    EXECUTE format('CREATE TABLE %s (LIKE public.price_history) WITH (fillfactor = 90)', name);
                    EXECUTE format('COMMENT ON TABLE %s IS %L', name, 'global: market prices are public');
                    EXECUTE format(
                        'ALTER TABLE public.price_history ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                        name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
                    made := made + 1;
                END IF;
                month := month + interval '1 month';
            END LOOP;
            RETURN made;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION drop_price_months(before timestamptz) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
        DECLARE
            name text;
            dropped integer := 0;
        BEGIN
            FOR name IN
                SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'public.price_history'::regclass
                    AND to_timestamp(c.relname, '"m"YYYY"_"MM')::timestamp + interval '1 month' <= before AT TIME ZONE 'UTC'
                ORDER BY 1
            LOOP
                EXECUTE format('DROP TABLE price_months.%I', name);
                dropped := dropped + 1;
            END LOOP;
            RETURN dropped;
        END $$
    """)
    for function in ("make_price_months(timestamptz, timestamptz)", "drop_price_months(timestamptz)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {WORKER}")


def _price_history() -> None:
    op.execute("ALTER TABLE price_history RENAME TO old_prices")
    op.execute("ALTER TABLE old_prices RENAME CONSTRAINT pk_price_history TO pk_old_prices")
    op.execute(f"CREATE TABLE price_history ({_PRICE_COLUMNS}) PARTITION BY RANGE (hour)")
    global_table(op, "price_history", api="SELECT", worker="SELECT, INSERT, UPDATE", reason="market prices are public")
    op.execute("SELECT make_price_months(min(hour), max(hour)) FROM old_prices HAVING count(*) > 0")
    op.execute("INSERT INTO price_history SELECT * FROM old_prices")
    op.execute("DROP TABLE old_prices")


def downgrade() -> None:
    op.execute("ALTER TABLE price_history RENAME TO new_prices")
    op.execute("ALTER TABLE new_prices RENAME CONSTRAINT pk_price_history TO pk_new_prices")
    op.execute(f"CREATE TABLE price_history ({_PRICE_COLUMNS}) WITH (fillfactor = 90)")
    op.execute("CREATE INDEX ix_price_history_hour ON price_history (hour)")
    global_table(op, "price_history", api="SELECT", worker=_WRITES, reason="market prices are public")
    op.execute("INSERT INTO price_history SELECT * FROM new_prices")
    op.execute("DROP TABLE new_prices")
    op.execute("DROP FUNCTION drop_price_months(timestamptz)")
    op.execute("DROP FUNCTION make_price_months(timestamptz, timestamptz)")
    op.execute("DROP SCHEMA price_months")
    op.execute("DROP TABLE place_latencies")
    op.execute("ALTER TABLE machine_health DROP COLUMN tries_permille")
    op.execute("ALTER TABLE machine_facts DROP COLUMN region_id, DROP COLUMN latency_ms")
    op.execute("ALTER TABLE listings ALTER COLUMN provider RESET (n_distinct)")
    op.execute(f"DROP INDEX {_NEW_INDEX}")
    op.execute(f"""
        CREATE INDEX {_OLD_INDEX} ON listings (family, gpu_count, spot, price_micros_per_hour) WHERE gone_at IS NULL
    """)
    op.execute("ALTER TABLE listings DROP COLUMN priced_at, DROP COLUMN priced_until")
