"""The schema: models equal migrations, one head, the newest can be undone, and every table is fenced or says why not."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.kit.rls import ROLES
from app.kit.schema import alembic_config, downgrade, upgrade
from app.tables import metadata

APPEND_ONLY = ("transfers", "ledger_seals", "audit_entries")


@pytest.fixture
async def owner(fresh_databases):
    connection = await asyncpg.connect(fresh_databases.urls.admin)
    yield connection
    await connection.close()


def test_there_is_one_head() -> None:
    script = ScriptDirectory.from_config(alembic_config("postgresql://nowhere"))
    assert len(script.get_heads()) == 1


async def test_models_and_migrations_say_the_same(fresh_databases) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(fresh_databases.urls.admin),
        poolclass=NullPool,
    )
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), metadata)
        )
    await engine.dispose()
    # A table's comment is the reason why it is global; models don't repeat it.
    told = [str(found)[:200] for found in differences if found[0] != "remove_table_comment"]
    assert "\n".join(told) == ""


async def test_the_newest_migration_can_be_undone_and_done_again(fresh_databases) -> None:
    for database in (fresh_databases.api, fresh_databases.worker, fresh_databases.auth):
        await database.aclose()
    await asyncio.to_thread(downgrade, fresh_databases.urls.admin, "-1")
    await asyncio.to_thread(upgrade, fresh_databases.urls.admin)


async def test_every_table_is_fenced_by_account_or_says_why_not(owner) -> None:
    tables = await owner.fetch(
        """
        SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced, obj_description(c.oid) AS told,
               EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id') AS owned,
               (SELECT count(*) FROM pg_policies p WHERE p.tablename = c.relname
                AND p.qual LIKE '%app.account_id%' AND p.with_check LIKE '%app.account_id%') AS fences
        FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
        """
    )
    assert len(tables) > 15
    for table in tables:
        if (table["told"] or "").startswith("global: "):
            continue
        assert table["owned"], f"{table['name']} has neither an account nor a reason"
        assert table["forced"], f"{table['name']} does not force row-level security"
        assert table["fences"] == 1, f"{table['name']} has no policy for the API"


async def test_every_key_of_a_tenants_table_begins_with_the_account(owner) -> None:
    rows = await owner.fetch(
        """
        SELECT t.relname AS name, i.relname AS index,
               (SELECT attname FROM pg_attribute WHERE attrelid = x.indrelid AND attnum = x.indkey[0]) AS first
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE x.indisunique AND t.relnamespace = 'public'::regnamespace
          AND coalesce(obj_description(t.oid), '') NOT LIKE 'global: %' AND t.relname <> 'alembic_version'
        """
    )
    assert rows
    assert {row["index"] for row in rows if row["first"] != "account_id"} == set()


async def test_our_roles_own_nothing_they_use_and_can_bypass_nothing(owner) -> None:
    roles = await owner.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = ANY($1)",
        list(ROLES),
    )
    assert len(roles) == len(ROLES)
    assert [row["rolname"] for row in roles if any(tuple(row)[1:])] == []
    owners = await owner.fetch(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    assert [row["tableowner"] for row in owners] == ["hourglass_owner"]


async def test_the_past_can_be_changed_by_nobody(owner) -> None:
    for table in APPEND_ONLY:
        for role in ("hourglass_api", "hourglass_worker", "hourglass_auth"):
            for right in ("UPDATE", "DELETE", "TRUNCATE"):
                assert not await owner.fetchval("SELECT has_table_privilege($1, $2, $3)", role, table, right)


async def test_limits_stand_on_the_roles(owner) -> None:
    for role in ("hourglass_api", "hourglass_worker", "hourglass_auth"):
        told = await owner.fetchval("SELECT rolconfig FROM pg_roles WHERE rolname = $1", role)
        settings = {entry.partition("=")[0] for entry in told}
        assert settings >= {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}


async def test_without_an_account_the_api_sees_no_row_of_any_table(fresh_databases, new_account, owner) -> None:
    await new_account(micros=5_000_000, db=fresh_databases.worker)
    tables = await owner.fetch(
        "SELECT tablename FROM pg_policies WHERE policyname = 'same_account' AND schemaname = 'public'"
    )
    from sqlalchemy import text

    async with fresh_databases.api.begin_unscoped() as session:
        for row in tables:
            if await owner.fetchval("SELECT has_table_privilege('hourglass_api', $1, 'SELECT')", row["tablename"]):
                assert (await session.execute(text(f"SELECT count(*) FROM {row['tablename']}"))).scalar() == 0
