from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.kit.ids import AccountId
from app.tenancy import Authenticator
from app.tenancy.authenticating import REMEMBERED_SECONDS
from app.tenancy.keys import revoke_key
from app.tenancy.secrets import new_secret
from app.web.errors import AccountSuspended, IpNotAllowed, KeyDisabled, KeyExpired, Unauthorized

PEPPER = b"pepper for tests"
HERE = "192.0.2.7"


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, db):
        self.db = db
        self.asked = 0
        self.gate = None

    async def fetch_once(self, *args):
        self.asked += 1
        rows = await self.db.fetch_once(*args)
        if self.gate is not None:
            await self.gate.wait()
        return rows


@pytest.fixture
def counting(auth_db):
    return Counting(auth_db)


@pytest.fixture
def remembering(counting):
    return Authenticator(counting, PEPPER)


async def test_a_secret_gives_its_principal(authenticator, open_with_key, at):
    account, key = await open_with_key(scopes={"rentals:read"}, mode="test")
    caller = await authenticator.authenticate(key.secret, at=at, address=HERE)
    assert (caller.account_id, caller.key_id, caller.user_id) == (account.account_id, key.row.id, account.user_id)
    assert (caller.scopes, caller.live, caller.name) == (frozenset({"rentals:read"}), False, "first")


@pytest.mark.parametrize("secret", ["", "x", "hg_live_", "hg_live_" + "0" * 49, "\x00", "é" * 57, "x" * 100_000])
async def test_noise_never_reaches_the_database(remembering, counting, at, secret):
    with pytest.raises(Unauthorized):
        await remembering.authenticate(secret, at=at, address=HERE)
    assert counting.asked == 0


async def test_a_secret_that_was_never_given_out_opens_nothing(authenticator, at):
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(new_secret("live"), at=at, address=HERE)


async def test_another_pepper_knows_no_key(auth_db, open_with_key, at):
    _, key = await open_with_key()
    with pytest.raises(Unauthorized):
        await Authenticator(auth_db, b"other").authenticate(key.secret, at=at, address=HERE)


async def test_a_key_ends_at_its_end_even_when_remembered(authenticator, open_with_key, at):
    _, key = await open_with_key(expires_at=at + timedelta(hours=1))
    await authenticator.authenticate(key.secret, at=at + timedelta(minutes=59), address=HERE)
    with pytest.raises(KeyExpired):
        await authenticator.authenticate(key.secret, at=at + timedelta(hours=1), address=HERE)


@pytest.mark.parametrize(
    ("address", "passes"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("not an address", False),
        (None, False),
    ],
)
async def test_a_key_opens_from_its_networks_only(authenticator, open_with_key, at, address, passes):
    _, key = await open_with_key(allowed_ips=("192.0.2.0/24", "2001:db8::/32"))
    if passes:
        await authenticator.authenticate(key.secret, at=at, address=address)
    else:
        with pytest.raises(IpNotAllowed):
            await authenticator.authenticate(key.secret, at=at, address=address)


async def test_a_suspended_account_is_told_so(authenticator, open_with_key, worker_db, at):
    account, key = await open_with_key()
    async with worker_db.begin_unscoped() as session:
        await session.execute(
            text("UPDATE accounts SET status = 'suspended' WHERE account_id = :a"), {"a": account.account_id}
        )
    with pytest.raises(AccountSuspended):
        await authenticator.authenticate(key.secret, at=at, address=HERE)


async def test_a_key_of_somebody_who_was_removed_opens_nothing(authenticator, open_with_key, worker_db, at):
    account, key = await open_with_key()
    async with worker_db.begin_unscoped() as session:
        await session.execute(text("UPDATE users SET removed_at = now() WHERE id = :u"), {"u": account.user_id})
    with pytest.raises(KeyDisabled):
        await authenticator.authenticate(key.secret, at=at, address=HERE)


async def _revoke(api_db, account, key, at):
    async with api_db.begin(account.account_id) as session:
        await revoke_key(session, key.row.id, account_id=account.account_id, at=at)


async def test_a_remembered_key_asks_the_database_once(remembering, counting, open_with_key, at):
    _, key = await open_with_key()
    for _ in range(5):
        await remembering.authenticate(key.secret, at=at, address=HERE)
    assert counting.asked == 1


async def test_a_revoked_key_is_refused_at_once_here_and_within_two_seconds_elsewhere(
    authenticator, auth_db, api_db, open_with_key, at
):
    account, key = await open_with_key()
    elsewhere = Authenticator(auth_db, PEPPER)
    for process in (authenticator, elsewhere):
        await process.authenticate(key.secret, at=at, address=HERE)
    await _revoke(api_db, account, key, at)
    authenticator.forget(key.row.id)
    with pytest.raises(KeyDisabled):
        await authenticator.authenticate(key.secret, at=at, address=HERE)
    await asyncio.sleep(REMEMBERED_SECONDS)
    with pytest.raises(KeyDisabled):
        await elsewhere.authenticate(key.secret, at=at, address=HERE)


async def test_a_look_up_that_began_before_the_revocation_is_not_remembered(
    remembering, counting, api_db, open_with_key, at
):
    account, key = await open_with_key()
    counting.gate = asyncio.Event()
    early = asyncio.create_task(remembering.authenticate(key.secret, at=at, address=HERE))
    await asyncio.sleep(0.05)
    await _revoke(api_db, account, key, at)
    remembering.forget(key.row.id)
    counting.gate.set()
    await early
    with pytest.raises(KeyDisabled):
        await remembering.authenticate(key.secret, at=at, address=HERE)


async def _last_used(worker_db, key):
    async with worker_db.begin_unscoped() as session:
        return await session.scalar(text("SELECT last_used_at FROM api_keys WHERE id = :id"), {"id": key.row.id})


async def test_the_last_use_is_written_in_batches_and_once_a_minute(auth_db, worker_db, open_with_key, at):
    _, key = await open_with_key()
    _, other = await open_with_key()

    async def use(moment):
        fresh = Authenticator(auth_db, PEPPER)
        await fresh.authenticate(key.secret, at=moment, address=HERE)
        await fresh.authenticate(other.secret, at=moment, address=HERE)
        return await fresh.write_last_used()

    assert await use(at) == 2
    assert await _last_used(worker_db, key) == at
    assert await use(at + timedelta(seconds=59)) == 0
    assert await use(at + timedelta(seconds=60)) == 2
    assert await _last_used(worker_db, other) == at + timedelta(seconds=60)


async def test_the_last_uses_are_written_by_a_task_that_outlives_a_failure(auth_db, worker_db, open_with_key, at):
    _, key = await open_with_key()
    failing = Counting(auth_db)
    authenticator = Authenticator(failing, PEPPER)
    await authenticator.authenticate(key.secret, at=at, address=HERE)
    failing.db = None
    task = asyncio.create_task(authenticator.keep_last_used(every_seconds=0.01))
    await asyncio.sleep(0.05)
    failing.db = auth_db
    later = at + timedelta(minutes=5)
    authenticator.forget(key.row.id)
    await authenticator.authenticate(key.secret, at=later, address=HERE)
    async with asyncio.timeout(5):
        while await _last_used(worker_db, key) != later:  # noqa: ASYNC110 - the row is the event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})


async def test_the_database_holds_no_secret(worker_db, auth_db, open_with_key):
    _, key = await open_with_key()
    async with worker_db.begin_unscoped() as session:
        row = (
            await session.execute(text("SELECT api_keys::text FROM api_keys WHERE id = :id"), {"id": key.row.id})
        ).scalar_one()
    hashes = await auth_db.fetch_once("SELECT key_hashes::text AS t FROM key_hashes WHERE key_id = $1", key.row.id)
    assert key.secret not in row + hashes[0]["t"]
    assert key.secret not in repr(key)


async def test_the_api_can_tie_a_hash_to_its_own_account_only(api_db, open_with_key):
    victim, key = await open_with_key()
    attacker, _ = await open_with_key()
    statement = text("INSERT INTO key_hashes (hash, account_id, key_id) VALUES (:h, :a, :k)")
    with pytest.raises(Exception, match="row-level security"):
        async with api_db.begin(attacker.account_id) as session:
            await session.execute(statement, {"h": b"x" * 32, "a": victim.account_id, "k": key.row.id})


async def test_the_api_reads_no_hash_and_no_stranger(api_db, open_with_key):
    await open_with_key()
    async with api_db.begin(AccountId.new()) as session:
        for table in ("accounts", "users", "api_keys"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    with pytest.raises(Exception, match="permission denied"):
        async with api_db.begin(AccountId.new()) as session:
            await session.execute(text("SELECT * FROM key_hashes"))
