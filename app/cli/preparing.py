"""Getting a database ready: its schema at the newest revision, its roles able to log in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from app.bootstrap import administrator_url, database_url, secret_of
from app.cli.errors import UpError
from app.kit.connecting import connect_any
from app.kit.rls import API, AUTH, WORKER
from app.kit.schema import prepare
from app.settings import Settings

_VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"


async def prepare_database(settings: Settings) -> None:
    """Bring the database that ``DATABASE_URL`` names to the newest schema, and see that every role can log in.

    A database that is there already costs one look.

    Raises:
        UpError: it can't be reached or prepared; the message says what to do.
    """
    url = administrator_url(settings)
    async with database_told_plainly():
        revision = await _revision(url)
        known = {file.stem for file in _VERSIONS.glob("*.py")}
        if revision is not None and revision not in known:
            raise UpError(
                f"The database is at revision {revision}, which this version of Hourglass does not know: a newer one has "
                "migrated it. Install that version."
            )
        if revision != max(known):
            await prepare(url, secret=secret_of(settings))
        for role in (API, WORKER, AUTH):
            await (await connect_any(database_url(settings, role), application_name="hourglass-up")).close()


async def _revision(url: str) -> str | None:
    """Return the schema's revision; None when there is no schema."""
    connection = await connect_any(url, application_name="hourglass-up")
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    else:
        return found
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def database_told_plainly() -> AsyncIterator[None]:
    """Turn what a database says when it can't be used into a message that says what to do.

    Raises:
        UpError: an error of that kind in the block.
    """
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise UpError(
            f"The database refuses a login ({error}). If its hourglass_… roles were made by another deployment, set "
            "HOURGLASS_SECRET to that deployment's secret, or give each role's URL in DATABASE_URL_API, "
            "DATABASE_URL_WORKER and DATABASE_URL_AUTH."
        ) from None
    except asyncpg.DiskFullError:
        raise UpError("The database has no room on its disk. Free some and start again; nothing is broken.") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise UpError(
            f"The user of DATABASE_URL may not prepare the database ({error}). Give it CREATEROLE and make it the owner of "
            "the database, or have an administrator run `hourglass migrate`."
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UpError(f"The database of DATABASE_URL does not answer: {error or type(error).__name__}.") from None
