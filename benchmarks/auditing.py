"""What the audit costs: the transaction that begins a rental with its entry and without, and how fast a chain is read."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, tenancy, wallet
from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.rls import API, WORKER
from app.kit.vault import Vault
from app.rentals.asking.composing import begin
from app.rentals.asking.wishes import RentalCreate
from app.web import SCOPES
from app.web.principal import Principal
from benchmarks import market
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

_FUNDS = 10**14
_TURNS = 60
_CHAIN = 5_000
_VAULT = Vault(b"bench")
_WISH = RentalCreate.model_validate({"family": "rtx-4090"})


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await ground.new_database("audited")
    await market.fill(ground, url, at=SystemClock().now())
    told: list[float] = []
    untold: list[float] = []
    async with opened(url, WORKER) as worker, opened(url, API) as api:
        for _ in range(budget.rounds):
            caller = await _caller(worker)
            for _ in range(_TURNS):  # in turns, so that whatever else the machine does is shared
                untold.append(await _rent(api, caller, is_told=False))
                told.append(await _rent(api, caller, is_told=True))
        speed = await _read_speed(worker)
    await ground.drop_database(url)
    ratio = _median(told) / _median(untold)
    said = f"{_median(told):.2f} ms with, {_median(untold):.2f} ms without, {len(told)} rentals each"
    return [
        Row("a rental's transaction with its audit entry ÷ without", ratio, 1.15, is_ceiling=True, said=said),
        Row("entries of a chain verified in a second", speed, 3_000, unit="/s", said=f"{_CHAIN} entries"),
    ]


async def _rent(api: Database, caller: Principal, *, is_told: bool) -> float:
    began = time.perf_counter()
    async with api.begin(caller.account_id) as session:
        await begin(session, _WISH, principal=caller, vault=_VAULT, at=SystemClock().now())
        if not is_told:
            _forget(session)
    return (time.perf_counter() - began) * 1_000


def _forget(session: AsyncSession) -> None:
    """Leave out what would be done before the commit."""
    cast("Any", session).deeds.clear()


async def _read_speed(db: Database) -> float:
    caller, at = await _caller(db), SystemClock().now()
    async with db.begin_unscoped() as session:
        await audit.write(session, *(_entry(caller.account_id, number, at) for number in range(_CHAIN)))
    began = time.perf_counter()
    async with db.begin_unscoped() as session:
        found = await audit.verify(session, account_id=caller.account_id)
    if not found.ok:
        raise AssertionError(found)
    return found.reached.seq / (time.perf_counter() - began)


def _entry(account_id: AccountId, number: int, at: datetime) -> audit.Entry:
    details = audit.changes({"status": "provisioning", "name": "before"}, {"status": "running", "name": "after"})
    return audit.Entry(account_id, "thing.changed", f"thing_{number}", at, details=details)


async def _caller(db: Database) -> Principal:
    at = SystemClock().now()
    async with db.begin_unscoped() as session:
        email = f"{uuid4().hex}@example.com"
        account_id = (await tenancy.open_account(session, name="Bench", email=email, at=at)).account_id
        await wallet.open_wallet(session, account_id=account_id, at=at)
        await wallet.credit_adjustment(
            session, account_id=account_id, amount=_FUNDS, reference="bench", reason="bench", actor="bench", at=at
        )
    return Principal(account_id, None, None, SCOPES, live=True, name="bench")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
