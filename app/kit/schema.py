"""Roles and migrations: what a server needs before Hourglass runs on it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from app.kit.connecting import connect_any, database_name, with_user
from app.kit.rls import API, AUTH, OWNER, ROLES, WORKER

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

_LIMITS = {
    API: {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"},
    AUTH: {"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s"},
    WORKER: {"statement_timeout": "60s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "30s"},
}


def role_password(secret: bytes, role: str) -> str:
    """Return the password of one of our roles, derived from the deployment's secret."""
    return hmac.new(secret, f"postgresql role {role}".encode(), hashlib.sha256).hexdigest()


def role_url(admin_url: str, role: str, *, secret: bytes) -> str:
    """Return the URL by which one of our roles logs in to the same database."""
    return with_user(admin_url, user=role, password=role_password(secret, role))


async def prepare(admin_url: str, *, secret: bytes) -> None:
    """Make the roles and bring the schema to its newest form. Harmless to repeat.

    Raises:
        asyncpg.PostgresError: the URL's user may neither create roles nor finds them made.
    """
    await ensure_roles(admin_url, secret=secret)
    await asyncio.to_thread(upgrade, admin_url)


async def ensure_roles(admin_url: str, *, secret: bytes) -> None:
    """Create the four roles where they are missing, set their limits, and let the owner own the schema."""
    connection = await connect_any(admin_url, application_name="hourglass-migrate")
    try:
        present = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            if role not in present:
                await _create_role(connection, role, password=role_password(secret, role))
        name = database_name(admin_url).replace('"', '""')
        await connection.execute(
            f'GRANT {OWNER} TO CURRENT_USER; GRANT CREATE, CONNECT ON DATABASE "{name}" TO {OWNER}'
        )
        await connection.execute(
            f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER}; GRANT USAGE ON SCHEMA public TO {API}, {WORKER}, {AUTH}"
        )
    finally:
        await connection.close()


async def _create_role(connection: asyncpg.Connection, role: str, *, password: str) -> None:
    login = "NOLOGIN" if role == OWNER else f"LOGIN PASSWORD '{password}'"
    try:
        await connection.execute(f"CREATE ROLE {role} {login} NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        return  # another process made it in the same moment
    for setting, value in _LIMITS.get(role, {}).items():
        await connection.execute(f"ALTER ROLE {role} SET {setting} = '{value}'")


def upgrade(admin_url: str, revision: str = "head") -> None:
    """Run the migrations up to a revision, as the owner. Must not run inside an event loop."""
    from alembic import command  # noqa: PLC0415 - a start that finds the schema current does without it

    command.upgrade(alembic_config(admin_url), revision)


def downgrade(admin_url: str, revision: str) -> None:
    """Run the migrations down to a revision, as the owner. Must not run inside an event loop."""
    from alembic import command  # noqa: PLC0415 - as above

    command.downgrade(alembic_config(admin_url), revision)


def alembic_config(admin_url: str) -> Config:
    """Return Alembic's configuration for a database; nothing is read from an ini file."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["admin_url"] = admin_url
    return config
