"""Alembic's environment: connects with the administrator's URL and acts as the owner role.

It knows no models, whose import would take longer than all migrations: a test compares them with what these have made.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.kit.connecting import connect_any
from app.kit.rls import OWNER


def run(connection: Connection) -> None:
    """Run the chosen migrations, each in a transaction of its own, with bounded waits for locks."""
    connection.execute(text(f"SET ROLE {OWNER}"))
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("SET statement_timeout = '10min'"))
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


async def main() -> None:
    """Connect and run."""
    url = context.config.attributes["admin_url"]

    async def creator() -> object:
        return await connect_any(url, application_name="hourglass-migrate")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
