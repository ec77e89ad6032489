"""A real PostgreSQL for every test that asks: DATABASE_URL if set, else a container where an engine answers, else embedded."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app import tenancy, wallet
from app.kit.connecting import with_database
from app.kit.db import Database
from app.kit.embedded_postgres import EmbeddedPostgres
from app.kit.ids import AccountId
from app.kit.rls import API, AUTH, WORKER
from app.kit.schema import ensure_roles, role_url, upgrade
from app.ledger import invariants as ledger_invariants
from app.lots import invariants as lot_invariants
from app.notifications import invariants as notification_invariants
from app.policies import invariants as policy_invariants
from app.refills import invariants as refill_invariants
from app.reports import invariants as report_invariants
from app.tenancy import invariants as tenancy_invariants
from app.topups.payments import invariants as topup_invariants
from app.wallet import invariants as wallet_invariants
from tests.emptied import own_databases, shelf

__all__ = ["own_databases", "shelf"]

SECRET = b"a secret for tests alone"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


_HASTE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}
_COLLECT_AFTER = (50_000, 20, 50)


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later collections, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


@dataclass(frozen=True)
class Urls:
    """One migrated database, by role."""

    admin: str

    @property
    def api(self) -> str:
        return role_url(self.admin, API, secret=SECRET)

    @property
    def worker(self) -> str:
        return role_url(self.admin, WORKER, secret=SECRET)

    @property
    def auth(self) -> str:
        return role_url(self.admin, AUTH, secret=SECRET)


@dataclass(frozen=True)
class Databases:
    """One migrated database, opened as each role."""

    urls: Urls
    api: Database
    worker: Database
    auth: Database


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of a server's administrator."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
    elif _docker_answers():
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:18") as container:
            yield container.get_connection_url(driver=None)
    else:
        home = tmp_path_factory.mktemp("postgres", numbered=True)
        # Nobody kills this server or the machine under it; scenes that do have servers of their own, with fsync on.
        embedded = await EmbeddedPostgres.start(home / "server", settings=_HASTE)
        yield embedded.admin_url
        await embedded.stop()


@pytest.fixture(scope="session")
async def template(server: str) -> AsyncIterator[str]:
    """The name of a migrated database that others are cloned from."""
    async with _database(server) as name:
        url = with_database(server, name)
        await ensure_roles(url, secret=SECRET)
        await asyncio.to_thread(upgrade, url)
        yield name


@pytest.fixture(scope="session")
def open_databases(server: str, template: str) -> Callable[[], AbstractAsyncContextManager[Databases]]:
    """Open a database of a room's own, for as long as the room's tests want it."""
    return lambda: _opened(server, template)


@pytest.fixture(scope="session")
async def databases(server: str, template: str) -> AsyncIterator[Databases]:
    """A database shared by a whole session: tests keep apart by accounts of their own."""
    async with _opened(server, template) as opened:
        yield opened


@pytest.fixture
async def fresh_databases(server: str, template: str) -> AsyncIterator[Databases]:
    """A database of this test's own."""
    async with _opened(server, template) as opened:
        yield opened


@pytest.fixture
def database_urls(databases: Databases) -> Urls:
    return databases.urls


@pytest.fixture
def api_db(databases: Databases) -> Database:
    return databases.api


@pytest.fixture
def worker_db(databases: Databases) -> Database:
    return databases.worker


@pytest.fixture
def auth_db(databases: Databases) -> Database:
    return databases.auth


@pytest.fixture
def at() -> datetime:
    return START


NewAccount = Callable[..., Awaitable[AccountId]]

INVARIANTS = (
    ledger_invariants,
    wallet_invariants,
    lot_invariants,
    refill_invariants,
    topup_invariants,
    notification_invariants,
    policy_invariants,
    report_invariants,
    tenancy_invariants,
)
"""Every room's, by hand."""


@pytest.fixture
async def new_account(worker_db: Database, at: datetime) -> AsyncIterator[NewAccount]:
    """Open accounts through the rooms' doors: ``await new_account(micros=10_000_000)``.

    The test ends with every invariant for them. A scene that breaks one on purpose says ``audited=False``.
    """
    opened: list[AccountId] = []

    async def opening(*, micros: int = 0, db: Database = worker_db, audited: bool = True) -> AccountId:
        account_id = await open_account(db, at=at, micros=micros)
        if audited and db is worker_db:
            opened.append(account_id)
        return account_id

    yield opening
    async with worker_db.begin_unscoped() as session:
        for invariants in INVARIANTS:
            assert await invariants.broken_for(session, opened) == []


@pytest.fixture
async def account(new_account: NewAccount) -> AccountId:
    """A fresh account with an empty wallet."""
    return await new_account()


async def open_account(worker_db: Database, *, at: datetime, micros: int = 0) -> AccountId:
    """Open an account through the rooms' doors, with some money."""
    async with worker_db.begin_unscoped() as session:
        opened = await tenancy.open_account(session, name="Test", email=f"{uuid4().hex}@example.com", at=at)
        account_id = opened.account_id
        await wallet.open_wallet(session, account_id=account_id, at=at)
        if micros:
            await wallet.credit_adjustment(
                session,
                account_id=account_id,
                amount=micros,
                reference="opening",
                reason="opening credit",
                actor="test",
                at=at,
            )
    return account_id


@asynccontextmanager
async def _database(server: str, *, template: str | None = None) -> AsyncIterator[str]:
    name = f"hourglass_test_{uuid4().hex[:12]}"
    source = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"{source}')
        yield name
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@asynccontextmanager
async def _opened(server: str, template: str) -> AsyncIterator[Databases]:
    async with _database(server, template=template) as name:
        urls = Urls(with_database(server, name))
        opened = Databases(
            urls,
            Database.connect(urls.api, role="api"),
            Database.connect(urls.worker, role="worker"),
            Database.connect(urls.auth, role="auth"),
        )
        yield opened
        for database in (opened.api, opened.worker, opened.auth):
            await database.aclose()


def _docker_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=5, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def shared() -> Path:
    """Facts that lie beside the checkout on some machines; a test that needs them skips elsewhere."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("no shared facts beside this checkout")
    return path
