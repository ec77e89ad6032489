"""What must become true of what Stripe tells.

- handling: every stored event has been looked into. Twice: the object is looked at again and agrees. Never: the sweep of
  payments and the daily comparison come to the same, later.
- sweeping: every event that Stripe lists is stored. Twice: it is there. Never: what no message brought is found by the
  daily comparison alone.
- looking: visits to Stripe's page that nobody asks about are looked at from time to time. Twice: they stand where they
  stood. Never: an event brings the same, if it comes.
- reconciling: every day and every month that is over was compared with Stripe. Twice: the row is written again. Never:
  what slipped through everything else goes on unseen.
- forgetting: handled events older than 90 days are gone. Twice: nothing is left. Never: the table grows.

Handling and looking are divided by buckets; the others are for the worker that holds the first of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import is_transient
from app.kit.ids import AccountId
from app.kit.leases import StaleFenceError, bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.topups.books import reconciliations
from app.topups.events import queue as event_queue
from app.topups.events.handling import Group, grouped, look_at
from app.topups.events.sweeping import sweep
from app.topups.gateway.errors import StripeBusy, StripeUnauthorized, StripeUnavailable, StripeUnknown
from app.topups.tools import TopupTools
from app.topups.visits import queries as checkout_queries
from app.topups.visits import syncing
from app.web.problems import whence

log = structlog.get_logger(__name__)

FIRST_BUCKET: Final = bucket_name(0)
KEPT: Final = timedelta(days=90)
"""How long a handled event can still be looked up."""

_OUTAGES = (StripeUnavailable, StripeBusy, StripeUnauthorized, StripeUnknown)


def handling(tools: TopupTools) -> Reconciler:
    """Return the reconciler that looks into what Stripe told."""

    async def find(this: Round, limit: int) -> list[Group]:
        async with tools.db.begin_unscoped() as session:
            due = await event_queue.find_due(session, at=this.at, buckets=this.holding.buckets, limit=limit)
        return grouped(due)

    async def step(this: Round, group: Group) -> str:
        try:
            handled = await look_at(tools, group.pointer, at=this.at)
        except StaleFenceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the event stays in the queue
            return await _again(tools, this, group, error)

        async def note(session: AsyncSession) -> None:
            for event in group.events:
                await event_queue.end(session, event, state=handled.state, outcome=handled.outcome, at=this.at)

        await _note(tools, this, group, note)
        return handled.outcome

    return Reconciler(name="topups.events", every_seconds=1.0, batch=500, find=find, step=step)


def sweeping(tools: TopupTools) -> Reconciler:
    """Return the reconciler that reads Stripe's own list of events."""

    async def find(this: Round, _limit: int) -> list[str]:
        return ["events"] if tools.stripe is not None and this.holding.holds(FIRST_BUCKET) else []

    async def step(this: Round, _item: str) -> str:
        if tools.stripe is None:
            return "not_set_up"
        swept = await sweep(tools.db, tools.stripe, at=this.at)
        return "found_missed" if swept.new else "nothing_missed"

    return Reconciler(
        name="topups.sweeping",
        every_seconds=300.0,
        batch=1,
        find=find,
        step=step,
        concurrency=1,
        step_seconds_max=1800.0,
    )


def looking(tools: TopupTools) -> Reconciler:
    """Return the reconciler that looks after visits to Stripe's page which are neither over nor asked about."""

    async def find(this: Round, limit: int) -> list[tuple[AccountId, str]]:
        if tools.stripe is None:
            return []
        async with tools.db.begin_unscoped() as session:
            return list(await checkout_queries.find_due(session, at=this.at, buckets=this.holding.buckets, limit=limit))

    async def step(this: Round, visit: tuple[AccountId, str]) -> str:
        account_id, checkout_id = visit
        row = await syncing.sync_checkout(tools, account_id=account_id, checkout_id=checkout_id, at=this.at)
        return row.state

    return Reconciler(name="topups.looking", every_seconds=10.0, batch=200, find=find, step=step)


def reconciling(tools: TopupTools) -> Reconciler:
    """Return the reconciler that compares what is over with Stripe, a day and a month at a time."""

    async def find(this: Round, limit: int) -> list[tuple[str, date]]:
        if not this.holding.holds(FIRST_BUCKET):
            return []
        async with tools.db.begin_unscoped() as session:
            return (await reconciliations.find_due(session, at=this.at))[:limit]

    async def step(this: Round, due: tuple[str, date]) -> str:
        kind, day = due
        if kind == reconciliations.MONTH:
            ok = (await reconciliations.compare_month(tools.db, day, at=this.at))["ok"]
        else:
            ok = (await reconciliations.compare_day(tools, day, at=this.at)).ok
        return f"{kind}_agrees" if ok else f"{kind}_differs"

    return Reconciler(
        name="topups.reconciling",
        every_seconds=600.0,
        batch=40,
        find=find,
        step=step,
        concurrency=1,
        step_seconds_max=3600,
    )


def forgetting(tools: TopupTools) -> Reconciler:
    """Return the reconciler that forgets old events, some at a time so that no lock lasts, and counts what waits."""

    async def find(this: Round, _limit: int) -> list[str]:
        return ["events"] if this.holding.holds(FIRST_BUCKET) else []

    async def step(this: Round, _item: str) -> str:
        async with tools.db.begin_unscoped() as session:
            event_queue.WAITING.set(await event_queue.count_waiting(session))
        while True:
            async with tools.db.begin_unscoped() as session:
                if await event_queue.prune(session, before=this.at - KEPT, limit=1000) < 1000:  # noqa: PLR2004 - the same
                    return "forgotten"

    return Reconciler(name="topups.forgetting", every_seconds=60.0, batch=1, find=find, step=step)


async def _again(tools: TopupTools, this: Round, group: Group, error: Exception) -> str:
    """Put a group back into the queue: at once after an outage, with growing pauses after anything else."""
    reason = f"{type(error).__name__} {error}" if isinstance(error, _OUTAGES) else type(error).__name__
    outage = isinstance(error, _OUTAGES) or is_transient(error)
    log.warning("stripe.event_failed", pointer=str(group), reason=reason, **({} if outage else whence(error)))
    given_up: list[bool] = []

    async def note(session: AsyncSession) -> None:
        given_up.clear()
        for event in group.events:
            if outage:
                await event_queue.put_off(session, event, reason=reason, at=this.at)
            else:
                given_up.append(await event_queue.note_failure(session, event, reason=reason, at=this.at))

    await _note(tools, this, group, note)
    return "put_off" if outage else "given_up" if any(given_up) else "failed"


async def _note(tools: TopupTools, this: Round, group: Group, note: Callable[[AsyncSession], Awaitable[None]]) -> None:
    """Write what came of a group, if this worker still holds it."""

    async def work(session: AsyncSession) -> None:
        await fenced(session, this.holding, {bucket_name(event.bucket) for event in group.events})
        await note(session)

    await tools.db.run(work)
