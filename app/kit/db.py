"""The database as one role sees it: transactions that carry their account, end surely, and are retried whole.

SQLAlchemy's connections run in its AUTOCOMMIT mode and the boundaries of a transaction are drawn here, for two
reasons: BEGIN and the account travel in one message, and a COMMIT once sent is never cancelled.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar, cast

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from app.kit.connecting import connect_any
from app.kit.ids import AccountId

T = TypeVar("T")
Driver = asyncpg.Connection
Deed = Callable[[AsyncSession], Awaitable[None]]

_TRIES_MAX = 5
_COMMIT_WAIT_SECONDS = 10.0
_RETRYABLE_STATES = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "25006"})


class CommitRefusedError(Exception):
    """The transaction had failed inside: its COMMIT was answered with ROLLBACK."""


class Database:
    """One PostgreSQL, seen as one role. Every method owns its transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def connect(cls, url: str, *, role: str, pool_size: int = 10) -> Database:
        """Return a database for a ``postgresql://`` URL; connections are made when first needed.

        Several hosts may be named (``h1:5432,h2:5432``); each is tried with a time-out of its own.
        """

        async def creator() -> Driver:
            """Connect to the first host that answers."""
            return await connect_any(url, application_name=f"hourglass-{role}")

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=creator,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_reset_on_return=None,
            skip_autocommit_rollback=True,
            hide_parameters=True,
        )
        return cls(engine)

    def begin(self, account_id: AccountId) -> AbstractAsyncContextManager[AsyncSession]:
        """Open one transaction in which row-level security sees this account only."""
        # A parsed id has no character that could end the literal; SET takes no bound parameter.
        account = AccountId.parse(account_id)
        return self._transaction(f"BEGIN; SET LOCAL app.account_id = '{account}'")

    def begin_unscoped(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open one transaction without an account: for roles whose own policies say what they see."""
        return self._transaction("BEGIN")

    async def run(self, work: Callable[[AsyncSession], Awaitable[T]], *, account_id: AccountId | None = None) -> T:
        """Run ``work`` in a transaction, the whole of it again on a passing failure, at most five times.

        ``work`` must carry a stable reference (an idempotency key, a unique id): a connection lost during COMMIT
        leaves open whether the first try stands.
        """
        for attempt in range(_TRIES_MAX):
            try:
                async with self.begin(account_id) if account_id else self.begin_unscoped() as session:
                    return await work(session)
            except Exception as error:
                if attempt == _TRIES_MAX - 1 or not is_transient(error):
                    raise
                await asyncio.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter, no secret
        raise AssertionError("unreachable")

    async def fetch_once(self, statement: str, *args: object) -> list[asyncpg.Record]:
        """Run one statement on its own, without a transaction block: one round trip, for look-ups by a key."""
        async with self._engine.connect() as connection:
            raw = await _alive(connection)
            try:
                return await raw.fetch(statement, *args)
            except BaseException:
                await _drop(connection, raw)
                raise

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self, opening: str) -> AsyncIterator[AsyncSession]:
        async with self._engine.connect() as connection:
            raw = await _alive(connection)
            session = _Session(bind=connection, expire_on_commit=False, autoflush=False)
            session.raw, session.deeds = raw, []
            try:
                try:
                    await raw.execute(opening)
                    yield session
                    if session.knows_objects and (session.new or session.dirty or session.deleted):
                        await session.flush()
                    for deed in session.deeds:
                        await deed(session)
                except BaseException:
                    await _end(connection, raw, "ROLLBACK")
                    raise
                await _end(connection, raw, "COMMIT")
            finally:
                if session.knows_objects:
                    session.sync_session.expunge_all()


class _Session(AsyncSession):
    """A session that knows its driver connection."""

    raw: Driver
    deeds: list[Deed]

    @property
    def knows_objects(self) -> bool:
        """Whether any object of the ORM was read or added: most transactions hand their statements to the driver."""
        return bool(len(self.sync_session.identity_map) or self.sync_session.new)


def driver(session: AsyncSession) -> Driver:
    """Return the asyncpg connection inside this very transaction, for the few hottest statements."""
    return cast("_Session", session).raw


def before_commit(session: AsyncSession, deed: Deed) -> None:
    """Let something be done at the very end of a transaction, after everything else and just before its COMMIT.

    It works with the driver's connection, and adds no objects: they are flushed by then.
    """
    cast("_Session", session).deeds.append(deed)


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE that an error carries, whichever layer raised it."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return cast("str | None", getattr(origin, "sqlstate", None))


def is_transient(error: BaseException) -> bool:
    """Say whether the same transaction, tried again whole, may well succeed."""
    state = sqlstate(error)
    if state is not None:
        return state in _RETRYABLE_STATES or state.startswith("08")
    if isinstance(error, DBAPIError):
        return bool(error.connection_invalidated) or isinstance(error.orig, OSError | asyncpg.InterfaceError)
    return isinstance(error, OSError | asyncpg.InterfaceError) and not isinstance(error, PoolTimeoutError)


def _raw(connection: AsyncConnection) -> Driver:
    """Return the driver's connection. It was checked out with this one, so there is nothing to wait for."""
    checked_out = cast("Connection", connection.sync_connection)
    return cast("Driver", checked_out.connection.driver_connection)


async def _alive(connection: AsyncConnection) -> Driver:
    """Return the driver's connection, passing over pooled ones that were closed while they lay idle."""
    raw = _raw(connection)
    while raw.is_closed():  # ends with the pool's last one: what is opened then is new
        await connection.invalidate()
        raw = cast("Driver", (await connection.get_raw_connection()).driver_connection)
    return raw


async def _end(connection: AsyncConnection, raw: Driver, statement: str) -> None:
    """Send COMMIT or ROLLBACK and see it through even when cancelled; on doubt the connection is dropped."""
    ending = asyncio.ensure_future(raw.execute(statement))
    try:
        status = await asyncio.shield(ending)
    except asyncio.CancelledError:
        await _see_through(ending)
        if not ending.done() or ending.exception() is not None:
            await _drop(connection, raw)
        raise
    except Exception:
        await _drop(connection, raw)
        if statement == "COMMIT":
            raise
        return
    if status != statement:
        raise CommitRefusedError(f"{statement} was answered with {status}")


async def _see_through(ending: asyncio.Future[T]) -> None:
    """Wait for the end whatever comes: a task group's cancellation is delivered again at every await until it is over."""
    loop = asyncio.get_running_loop()
    patience = loop.time() + _COMMIT_WAIT_SECONDS
    while not ending.done() and loop.time() < patience:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({ending}, timeout=patience - loop.time())


async def _drop(connection: AsyncConnection, raw: Driver) -> None:
    raw.terminate()
    dropping = asyncio.ensure_future(connection.invalidate())
    await _see_through(dropping)
    if dropping.done():
        dropping.exception()  # whatever it is, the connection is closed
