"""What customers do all day: wish, stop, pay in; and what they were told, to be held against what was done."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ulid import ULID

from app import catalog, tenancy, wallet
from app.kit.errors import AppError
from app.kit.ids import AccountId, RentalId
from app.kit.vault import Vault
from app.rentals.asking.asking import Ask
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import request
from app.rentals.keeping import stopping
from app.rentals.keeping.hibernating import hibernate
from app.rentals.placing.resuming import resume
from tests.simulation.days import Day
from tests.simulation.dying import DiedError, Life

_FAMILIES = ("rtx-4090", "rtx-3090", "a100-80gb", "h100-80gb", "a6000-48gb", "l4", "b300")
_SOLD: Mapping[str, tuple[str, ...]] = {
    "vast": ("rtx-4090", "rtx-3090", "l4"),
    "lambda": ("a10", "a6000-48gb", "h100-80gb"),
    "runpod": ("rtx-4090", "a40", "l4"),
    "hyperstack": ("a6000-48gb", "l40", "h100-80gb"),
    "manual": ("rtx-4090", "a6000-48gb"),
    "modal": ("t4", "l4", "a10"),
}
"""What those ask for who name a cloud: something that it sells."""
_WAITS = (300, 3600)
_CEILINGS = (70, 97, 100)
"""What those would pay at most who wait, in hundredths of the cheapest price now: a market that moves may come down."""
_POINTS_MAX = 25


@dataclass
class Customer:
    """One account."""

    day: Day
    account: AccountId
    chance: random.Random
    first_cloud: str
    """Where its first rental is to be, so that every cloud has its customers."""
    paid_in: int = 0
    rentals: list[RentalId] = field(default_factory=list)
    """Those whose beginning was acknowledged."""
    stopped: dict[RentalId, datetime] = field(default_factory=dict)
    """When the first stop was acknowledged."""
    changed: list[tuple[str, RentalId, datetime]] = field(default_factory=list)
    """What was to hibernate (``ran`` no longer) or to be resumed (``hibernated`` no longer), and since when."""

    @classmethod
    async def opened(cls, day: Day, number: int) -> Customer:
        """Open an account with what the day's options give it."""
        chance = day.chance(f"customer-{number}")
        clouds = sorted(_SOLD)
        first = clouds[(day.seed * day.size.accounts + number) % len(clouds)]
        customer = cls(day, AccountId(f"acct_{ulid(chance)}"), chance, first)
        at = day.timeline.now()
        async with day.databases.worker.begin_unscoped() as session:
            email = f"customer-{number}@example.com"
            await tenancy.open_account(session, name="Test", email=email, at=at, account_id=customer.account)
            await wallet.open_wallet(session, account_id=customer.account, at=at)
        await customer.pay_in(chance.randint(*day.options.money))
        return customer

    async def live(self) -> None:
        """Do something now and then."""
        while not self.day.calm:
            await self.day.timeline.pause(self.chance.expovariate(1 / self.day.size.between_wishes_seconds))
            if self.day.calm:
                return
            deeds = (self.wish, self.stop_one, self.hibernate_one, self.resume_one, self.top_up)
            deed = self.chance.choices(deeds, (6, 2, 2, 2, 1))[0]
            try:
                await deed()
            except DiedError:
                self.day.note("api", "api", "", "died")

    async def wish(self) -> None:
        """Ask for a rental."""
        chance, at = self.chance, self.day.timeline.now()
        rental_id = RentalId(f"rent_{ulid(chance)}")
        wanted, wait_seconds = self._wanted(), None
        if chance.random() < 0.2:
            wait_seconds = chance.choice(_WAITS)
            wanted = replace(wanted, max_price_micros_per_hour=await self._ceiling(wanted, chance.choice(_CEILINGS)))
        script = "echo ready" if chance.random() < 0.2 else None
        saving = "echo saved" if chance.random() < 0.3 else None
        ask = Ask(
            wanted=wanted,
            launch=replace(BUILT_IN[DEFAULT_TEMPLATE], startup_script=script, on_interrupt=saving),
            max_duration_seconds=chance.choice((None, None, 300, 3600)),
            max_spend=chance.choice((None, None, None, 150_000)),
            wait_seconds=wait_seconds,
        )

        async def work(life: Life) -> None:
            async with life.db.begin(self.account) as session:
                await request(
                    session, ask, account_id=self.account, rental_id=rental_id, quoted=None, vault=Vault(b"test"),
                    actor="test", at=at,
                )  # fmt: skip

        if await self._call("request", rental_id, work):
            self.rentals.append(rental_id)
            self.day.hint()

    async def stop_one(self) -> None:
        """Stop one of the rentals, running or not."""
        if self.rentals:
            await self.stop(self.chance.choice(self.rentals))

    async def stop(self, rental_id: RentalId) -> None:
        at = self.day.timeline.now()

        async def work(life: Life) -> None:
            async with life.db.begin(self.account) as session:
                await stopping.stop(
                    session, account_id=self.account, rental_id=rental_id, reason="user", actor="test", at=at
                )

        if await self._call("stop", rental_id, work):
            self.stopped.setdefault(rental_id, at)
            self.day.hint()

    async def seen(self) -> list[RentalId]:
        """Return all rentals that the account's list shows."""
        rows = await self.day.admin.fetch("SELECT id FROM rentals WHERE account_id = $1 ORDER BY id", self.account)
        return [RentalId(row["id"]) for row in rows]

    async def hibernate_one(self) -> None:
        """Let one of those that run hibernate."""
        await self._change("hibernate", hibernate, of="running", ends="ran")

    async def resume_one(self) -> None:
        """Wake one of those that hibernate."""
        await self._change("resume", resume, of="hibernated", ends="hibernated")

    async def top_up(self) -> None:
        await self.pay_in(self.chance.randint(100_000, 5_000_000))

    async def pay_in(self, micros: int) -> None:
        self.paid_in += micros
        async with self.day.databases.worker.begin_unscoped() as session:
            await wallet.credit_adjustment(
                session,
                account_id=self.account,
                amount=micros,
                reference=ulid(self.chance),
                reason="paid in",
                actor="test",
                at=self.day.timeline.now(),
            )

    def _wanted(self) -> catalog.Wanted:
        chance, cloud = self.chance, None
        if chance.random() < 0.35:
            cloud = chance.choice(sorted(_SOLD))
        if not self.rentals:
            cloud, family = self.first_cloud, _SOLD[self.first_cloud][0]
            return catalog.Wanted(families=(family,), providers=(cloud,), gpu_count=1, spot=catalog.Spot.NEVER)
        return catalog.Wanted(
            families=(chance.choice(_SOLD[cloud] if cloud else _FAMILIES),),
            providers=(cloud,) if cloud else None,
            gpu_count=chance.choice((1, 1, 1, 2)),
            spot=chance.choice(list(catalog.Spot)),
        )

    async def _ceiling(self, wanted: catalog.Wanted, hundredths: int) -> int:
        """Return a part of what the cheapest asks now, its disk left out."""
        asked = await self.day.admin.fetchval(
            "SELECT min(price_micros_per_hour) FROM listings WHERE family = ANY($1) AND gpu_count = $2 AND gone_at IS NULL",
            list(wanted.families), wanted.gpu_count,
        )  # fmt: skip
        return max(10_000, (asked or 400_000) * hundredths // 100)

    async def _change(self, what: str, deed: Any, *, of: str, ends: str) -> None:
        rows = await self.day.admin.fetch(
            "SELECT id FROM rentals WHERE account_id = $1 AND status = $2 ORDER BY id", self.account, of
        )
        if not rows:
            return
        rental_id, at = RentalId(self.chance.choice(rows)["id"]), self.day.timeline.now()

        async def work(life: Life) -> None:
            async with life.db.begin(self.account) as session:
                await deed(session, account_id=self.account, rental_id=rental_id, actor="test", at=at)

        if await self._call(what, rental_id, work):
            self.changed.append((ends, rental_id, at))
            self.day.hint()

    async def _call(self, what: str, about: str, work: Any) -> bool:
        """Do what a request of the API does; it may die at it. Say whether it was acknowledged."""
        day, dies_at = self.day, None
        if not day.calm and self.chance.random() < day.options.api_deaths:
            dies_at = self.chance.randint(1, _POINTS_MAX)
        try:
            await day.mortal(day.api(), work(day.api()), dies_at=dies_at)
        except AppError as refused:
            day.note("api", what, about, type(refused).__name__)
            return False
        day.note("api", what, about, "acknowledged")
        return True


def ulid(chance: random.Random) -> str:
    """Return an id's body by chance alone."""
    return str(ULID.from_bytes(chance.randbytes(16)))
