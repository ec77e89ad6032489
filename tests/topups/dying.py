"""Stop a process dead at one suspension point of an operation after the other, and see each time what it left behind."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from app.kit.db import Database
from app.kit.ids import AccountId
from app.ledger import invariants as ledger_invariants
from app.topups import Stripe, TopupTools
from app.wallet import invariants as wallet_invariants
from tests.rentals.dying import keep_for_ever, stepped

VICTIM = "victim"


@contextmanager
def mortal_hands(
    tools: TopupTools, *, url: str, stripe_key: str, stripe_url: str
) -> Iterator[Callable[[], TopupTools]]:
    """Give a function that makes the hands of a process that is about to die: connections and a client of its own."""

    def hands() -> TopupTools:
        made = replace(
            tools,
            db=Database.connect(url, role=VICTIM, pool_size=4),
            stripe=Stripe(stripe_key, base_url=stripe_url, deployment=tools.deployment),
        )
        keep_for_ever(made)
        return made

    yield hands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the dead close no sockets
        gc.collect()


@dataclass(frozen=True)
class Dying:
    """How a scene is set, what the victim does in it, what it may change, and how all must be in the end."""

    prepare: Callable[[], Awaitable[tuple[AccountId, Any]]]
    """Open a new account, bring it to where the operation begins, and return what the operation is given."""
    operate: Callable[[TopupTools, AccountId, Any], Coroutine[Any, Any, Any]]
    state_of: Callable[[AccountId], Awaitable[object]]
    audit: Callable[[AccountId, Any], Awaitable[None]]
    hands: Callable[[], TopupTools]
    databases: Any

    async def everywhere(self, *, every: int) -> int:
        """Die at points 1, 1 + every, … until the operation comes through alive. Returns how many deaths there were.

        A death that changed nothing leaves the scene as it was set: it is used again.
        """
        async with burying(self.databases) as bury:
            return await self._everywhere(bury, every=every)

    async def _everywhere(self, bury: Callable[[], Awaitable[None]], *, every: int) -> int:
        deaths, point = 0, 1
        account, given = await self.prepare()
        before = await self.state_of(account)
        while True:
            died, passed = await stepped(self.operate(self.hands(), account, given), dies_at=point)
            await bury()
            assert await self._broken(account) == []
            if not died:
                await self.audit(account, given)
                assert passed < point
                assert deaths > 1
                return deaths
            deaths, point = deaths + 1, point + every
            if await self.state_of(account) != before:
                await self.audit(account, given)
                assert await self._broken(account) == []
                account, given = await self.prepare()
                before = await self.state_of(account)

    async def _broken(self, account: AccountId) -> list[Any]:
        async with self.databases.worker.begin_unscoped() as session:
            found = [await room.broken_for(session, [account]) for room in (ledger_invariants, wallet_invariants)]
        return [one for room in found for one in room]


@asynccontextmanager
async def burying(databases: Any) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Give what cuts the victim's sockets."""
    admin = await asyncpg.connect(databases.urls.admin)

    async def bury() -> None:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 "
            "AND datname = current_database()",
            f"hourglass-{VICTIM}",
        )

    yield bury
    await admin.close()
