"""An account whose rentals run, move between clouds, sleep and end, through the wallet's doors and without any cloud."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.db import Database, driver
from app.kit.ids import AccountId, RentalId, TeamId
from app.kit.leases import bucket_of
from app.rentals.models import AttemptRow, RentalRow, RunRow
from app.reports.counting import count
from app.tenancy.models import TeamRow

NEVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Ran:
    """A rental as the test knows it."""

    id: RentalId
    rate: int
    attempts: int = 0
    runs: int = 0
    is_running: bool = False
    moves: int = 0
    """Below zero once it is over."""
    began: datetime = NEVER


@dataclass
class Books:
    """Moves an account's money as rentals do."""

    db: Database
    account: AccountId
    rentals: list[Ran] = field(default_factory=list)

    async def team(self, name: str, at: datetime) -> TeamId:
        team = TeamId.new()
        values = {"account_id": self.account, "id": team, "name": name, "time_zone": "UTC", "created_at": at}
        async with self.db.begin_unscoped() as session:
            await session.execute(insert(TeamRow).values(**values))
        return team

    async def rent(self, at: datetime, *, rate: int = 3_600_000, family: str = "rtx-4090", provider: str = "vast", gpus: int = 1, **whose: Any) -> Ran:  # fmt: skip
        """Hold an hour and write the rental; it has no machine yet."""
        ran = Ran(RentalId.new(), rate)
        listing = _listing(family, provider, gpus)
        async with self.db.begin_unscoped() as session:
            await wallet.hold(session, account_id=self.account, rental_id=ran.id, rate=rate, at=at, actor="test")
            await session.execute(insert(RentalRow).values(**_rental(self.account, ran, at, listing) | whose))
        self.rentals.append(ran)
        return ran

    async def start(self, ran: Ran, at: datetime, *, family: str = "rtx-4090", provider: str = "vast", gpus: int = 1) -> None:  # fmt: skip
        """Let it run from ``at`` on, on a new machine."""
        ran.attempts += 1
        values = _attempt(self.account, ran, at, _listing(family, provider, gpus))
        async with self.db.begin_unscoped() as session:
            await wallet.start(session, account_id=self.account, rental_id=ran.id, at=at)
            await session.execute(insert(AttemptRow).values(**values))
            await self._begin_run(session, ran, at, kind="ran")
            await session.execute(
                update(RentalRow).where(RentalRow.id == ran.id).values(status="running", run_since=at, running_at=at)
            )

    async def settle(self, ran: Ran, at: datetime) -> None:
        due = wallet.Due(self.account, ran.id, bucket_of(self.account))
        async with self.db.begin_unscoped() as session:
            await wallet.settle(session, [due], at=at)

    async def interrupt(self, ran: Ran, at: datetime, *, last_well: datetime) -> None:
        """The machine is gone since a moment ago; what it was charged since is the next one's."""
        async with self.db.begin_unscoped() as session:
            await wallet.pause(session, account_id=self.account, rental_id=ran.id, at=at, billable_until=last_well)
            await self._end_run(session, ran, last_well)

    async def sleep(self, ran: Ran, at: datetime, *, rate: int) -> None:
        """Go on at another rate, on the same machine."""
        async with self.db.begin_unscoped() as session:
            await wallet.change_rate(session, account_id=self.account, rental_id=ran.id, rate=rate, at=at)
            await self._end_run(session, ran, at)
            await self._begin_run(session, ran, at, kind="hibernated")

    async def end(self, ran: Ran, at: datetime, *, good_until: datetime | None = None) -> int:
        """Stop it; return what was given back, when the host is to blame."""
        async with self.db.begin_unscoped() as session:
            await wallet.close(session, account_id=self.account, rental_id=ran.id, at=at, billable_until=at)
            if ran.is_running:
                await self._end_run(session, ran, at)
            await session.execute(
                update(RentalRow).where(RentalRow.id == ran.id).values(status="stopped", ended_at=at, settled_at=at)
            )
            if good_until is None:
                return 0
            return await wallet.refund_host_fault(
                session, account_id=self.account, rental_id=ran.id, at=at, reason="test", good_until=good_until
            )

    async def count(self, at: datetime) -> int:
        async with self.db.begin_unscoped() as session:
            return await count(session, [self.account], at=at)

    async def rows(self) -> list[Any]:
        """Return the ledger's rows that touch ``spend``."""
        async with self.db.begin_unscoped() as session:
            return await driver(session).fetch(
                "SELECT * FROM transfers WHERE account_id = $1 AND 'spend' IN (debit, credit) ORDER BY seq",
                self.account,
            )

    async def _begin_run(self, session: AsyncSession, ran: Ran, at: datetime, *, kind: str) -> None:
        ran.runs += 1
        ran.is_running, ran.began = True, at
        values = {"account_id": self.account, "rental_id": ran.id, "number": ran.runs, "kind": kind,
                  "attempt": ran.attempts, "rate": ran.rate, "began_at": at}  # fmt: skip
        await session.execute(insert(RunRow).values(**values))

    async def _end_run(self, session: AsyncSession, ran: Ran, at: datetime) -> None:
        ran.is_running = False
        await session.execute(
            update(RunRow)
            .where(RunRow.rental_id == ran.id, RunRow.number == ran.runs)
            .values(ended_at=at, ended_because="test")
        )
        await session.execute(
            update(AttemptRow)
            .where(AttemptRow.rental_id == ran.id, AttemptRow.number == ran.attempts)
            .values(status="gone", gone_at=at)
        )


def day(text: str, **time: int) -> datetime:
    """Return a moment of a day of UTC."""
    return datetime.fromisoformat(f"{text}T00:00:00+00:00") + timedelta(**time)


def _listing(family: str, provider: str, gpus: int) -> dict[str, Any]:
    return {"family": family, "provider": provider, "gpu_count": gpus}


def _rental(account: AccountId, ran: Ran, at: datetime, listing: dict[str, Any]) -> dict[str, Any]:
    return {
        "account_id": account, "id": ran.id, "bucket": bucket_of(account), "version": 1, "tags": {},
        "created_by": "test", "status": "provisioning", "wanted": {}, "launch": {}, "listing": listing,
        "rate": ran.rate, "attempts": 0, "ssh_keys": [], "keys_version": 0, "keys_applied": 0, "deadline_at": at,
        "created_at": at, "log_offset": 0,
    }  # fmt: skip


def _attempt(account: AccountId, ran: Ran, at: datetime, listing: dict[str, Any]) -> dict[str, Any]:
    return {
        "account_id": account, "rental_id": ran.id, "number": ran.attempts, "bucket": bucket_of(account),
        "status": "live", "provider": listing["provider"], "offer_id": "offer", "listing": listing,
        "marker": f"hg-test-{ran.id}-{ran.attempts}", "machine_id": f"{ran.id}-{ran.attempts}", "created_at": at,
        "live_at": at, "destroy_tries": 0,
    }  # fmt: skip
