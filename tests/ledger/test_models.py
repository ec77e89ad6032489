"""What the ledger's tables refuse by themselves, whoever writes."""

from __future__ import annotations

import asyncpg
import pytest

from app.kit.ids import AccountId

_ROW = {
    "seq": 1,
    "debit": "available",
    "credit": "reserved",
    "amount": 5,
    "available_after": 0,
    "reserved_after": 5,
    "owed_after": 0,
}


@pytest.fixture
async def admin(databases):
    connection = await asyncpg.connect(databases.urls.admin)
    yield connection
    await connection.close()


async def _insert(admin: asyncpg.Connection, **changed: object) -> None:
    row = {**_ROW, **changed}
    account_id = AccountId.new()
    await admin.execute(
        f"""
        INSERT INTO transfers (account_id, id, kind, effective_at, actor, description, idempotency_key, {", ".join(row)})
        VALUES ($1, 'led_x', 'reserve', now(), 'test', '', 'key', {", ".join(f"${n}" for n in range(2, len(row) + 2))})
        """,
        account_id,
        *row.values(),
    )


async def test_a_sound_transfer_is_taken(admin) -> None:
    await _insert(admin)
    await _insert(admin, available_after=0, owed_after=7)


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": 0},
        {"amount": 0},
        {"amount": -5},
        {"credit": "available"},
        {"available_after": -1},
        {"available_after": -1, "owed_after": -1},
        {"reserved_after": -1},
        {"owed_after": -1},
        {"available_after": 1, "owed_after": 1},
    ],
    ids=str,
)
async def test_an_unsound_transfer_is_refused(admin, changed: dict[str, object]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await _insert(admin, **changed)


@pytest.mark.parametrize("column", ["seq", "amount", "available_after", "reserved_after", "owed_after"])
async def test_a_transfer_leaves_none_of_its_numbers_out(admin, column: str) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await _insert(admin, **{column: None})


@pytest.mark.parametrize(
    ("available", "reserved", "owed"), [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-1, 0, -1), (1, 0, 1), (None, 0, 0)]
)
async def test_a_wallet_holds_no_debt_beside_money_and_nothing_below_zero(
    admin, account, available: int | None, reserved: int, owed: int
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await admin.execute(
            "UPDATE wallets SET available = $2, reserved = $3, owed = $4 WHERE account_id = $1",
            account,
            available,
            reserved,
            owed,
        )
