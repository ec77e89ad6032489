"""An account with teams and policies, in which rentals run without any cloud."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from app import policies, wallet
from app.events import list_events
from app.kit.db import Database, driver
from app.kit.ids import AccountId, RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name
from app.policies import Terms
from app.policies.budgets.telling import look
from app.policies.setting import lock_policy, set_terms
from app.tenancy import add_team


@dataclass
class Ground:
    """What a scene does with one account; every act is a transaction of its own."""

    db: Database
    account: AccountId

    async def team(self, *, at: datetime, zone: str = "UTC") -> str:
        async with self.db.begin_unscoped() as session:
            row = await add_team(session, account_id=self.account, name=RentalId.new(), time_zone=zone, at=at)
            return row.id

    async def set(self, subject: str, *, at: datetime, time_zone: str | None = None, **terms) -> None:
        async with self.db.begin_unscoped() as session:
            before = await lock_policy(session, account_id=self.account, subject=subject)
            await set_terms(
                session,
                before,
                Terms(**terms),
                account_id=self.account,
                time_zone=time_zone,
                actor="test",
                at=at,
            )

    async def run(self, team=None, *, at: datetime, rate: int = 3_600_000, user=None, key=None) -> RentalId:
        rental = RentalId.new()
        async with self.db.begin_unscoped() as session:
            await wallet.hold(session, account_id=self.account, rental_id=rental, rate=rate, at=at, actor="test")
            counted = policies.COUNT_RENTAL.format("$1, $2, $3, $4, $5, 'rtx-4090', 1, $6")
            await driver(session).execute(counted, self.account, rental, team, key, user, at)
            await wallet.start(session, account_id=self.account, rental_id=rental, at=at)
            await policies.recap(session, account_id=self.account, at=at)
        return rental

    async def stop(self, rental: RentalId, *, at: datetime) -> wallet.Settled:
        async with self.db.begin_unscoped() as session:
            settled = await wallet.close(session, account_id=self.account, rental_id=rental, at=at, billable_until=at)
            await policies.recap(session, account_id=self.account, at=at)
            await policies.end(session, account_id=self.account, rental_id=rental, at=at)
        return settled

    async def settle(self, *rentals: RentalId, at: datetime) -> None:
        async with self.db.begin_unscoped() as session:
            await wallet.settle(session, [wallet.Due(self.account, rental, 0) for rental in rentals], at=at)

    async def look(self, *, at: datetime) -> int:
        async with self.db.begin_unscoped() as session:
            return await look(session, account_id=self.account, at=at)

    async def next_look(self) -> datetime | None:
        async with self.db.begin_unscoped() as session:
            return await driver(session).fetchval(
                "SELECT next_at FROM budget_looks WHERE account_id = $1", self.account
            )

    async def meter(self, rental: RentalId) -> wallet.Meter:
        async with self.db.begin_unscoped() as session:
            return (await wallet.find_holds(session, account_id=self.account, rental_ids=[rental]))[rental].meter

    async def told(self, subject: str) -> list[tuple[str, int | None]]:
        """Return what was told of a subject's budgets: what happened, and at how many per cent."""
        return [(event.type.removeprefix("budget."), event.data.get("percent")) for event in await self.events(subject)]

    async def events(self, subject: str):
        async with self.db.begin_unscoped() as session:
            found = await list_events(session, account_id=self.account, subject=subject, limit=1000)
        return [event for event in found if event.type.startswith("budget.")]

    async def policy(self, subject: str) -> policies.Policy:
        async with self.db.begin_unscoped() as session:
            [found] = await policies.get_policies(session, account_id=self.account, subjects=[subject])
        return found


@pytest.fixture
async def ground(worker_db, new_account) -> Ground:
    return Ground(worker_db, await new_account(micros=2_000_000_000))


@pytest.fixture
async def holding(worker_db: Database) -> Holding:
    """Everything there is, held by one worker, under fences higher than any before."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with worker_db.begin_unscoped() as session:
        rows = await driver(session).fetch(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'me', 1, now() FROM unnest($1::text[]) AS n(name) "
            "ON CONFLICT (name) DO UPDATE SET owner = 'me', fence = leases.fence + 1 RETURNING name, fence",
            names,
        )
    return Holding("me", {row["name"]: row["fence"] for row in rows})
