from __future__ import annotations

import asyncpg
import pytest

from app.catalog import models

TABLES = [mapper.local_table for mapper in models.Base.registry.mappers if mapper.class_.__module__ == models.__name__]
_TYPES = {
    "TEXT": "text",
    "BIG_INTEGER": "bigint",
    "BOOLEAN": "boolean",
    "DATETIME": "timestamp with time zone",
    "JSONB": "jsonb",
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_a_model_is_its_table(fresh_databases, table):
    connection = await asyncpg.connect(fresh_databases.urls.admin)
    columns = await connection.fetch(
        "SELECT column_name, data_type, is_nullable = 'YES' AS nullable FROM information_schema.columns "
        "WHERE table_name = $1 ORDER BY ordinal_position",
        table.name,
    )
    indexes = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = $1", table.name)
    await connection.close()
    expected = [(column.name, _TYPES[column.type.__visit_name__.upper()], column.nullable) for column in table.columns]
    assert [tuple(column) for column in columns] == expected
    named = {index.name for index in table.indexes}
    assert {row["indexname"] for row in indexes if row["indexname"].startswith("ix_")} == named
