"""What must become true of costs.

For each: which rows, which sentence becomes true, why twice is harmless, what if it never runs.

- noting, by the worker that holds the first bucket: every machine that is gone has a cost, and none stays open for ever.
  Twice: it is there. Never: margins look better than they are.
- fetching, one item a machine: an open cost is what the cloud's books say. Twice: the same books. Never: after three days
  our own sum stands for it.
- reconciling, one item a day and cloud: every finished day was laid beside the cloud's books, one that differs again while
  they may lag. Twice: the row is written again. Never: a machine that costs us and that we don't know of goes on unseen.
- measuring, by the worker that holds the first bucket: the figures of the last day are shown, and what must hold of costs
  holds or somebody is told. Twice: shown again. Never: figures are old.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from prometheus_client import Gauge

from app.costs import books, fetching, invariants
from app.costs.margins import list_margins, sum_orphans
from app.costs.noting import close_forgotten, note_ended
from app.costs.summing import sum_costs
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.rentals import Tools

log = structlog.get_logger(__name__)

COST = Gauge("hourglass_cost_day_micros", "What machines cost that ended in the last 24 h", ["provider", "certainty"])
MARGIN = Gauge("hourglass_margin_day_micros", "What is left of rentals that ended in the last 24 h", ["provider"])
ORPHANS = Gauge("hourglass_orphan_cost_day_micros", "What machines cost that served no rental, in the last 24 h")
OPEN = Gauge("hourglass_costs_open", "Machines of the last three days whose cost is still asked for", ["provider"])
_BROKEN = Gauge("hourglass_cost_invariants_broken", "Sentences about costs that do not hold right now")
_EVERYTHING: Final = "costs"
_DAY: Final = timedelta(days=1)


def reconcilers(tools: Tools) -> list[Reconciler]:
    """Return the room's reconcilers."""
    return [noting(tools), fetching_costs(tools), reconciling(tools), measuring(tools)]


def noting(tools: Tools) -> Reconciler:
    """What is gone has a cost."""
    return Reconciler(name="costs.noting", every_seconds=60.0, batch=1, find=_everything, step=partial(_note, tools))


def fetching_costs(tools: Tools) -> Reconciler:
    """What is open is asked for."""
    return Reconciler(
        name="costs.fetching",
        every_seconds=60.0,
        batch=50,
        find=partial(fetching.find, tools),
        step=partial(fetching.step, tools),
        concurrency=4,
    )


def reconciling(tools: Tools) -> Reconciler:
    """What is over is compared."""
    return Reconciler(
        name="costs.reconciling",
        every_seconds=900.0,
        batch=20,
        find=partial(books.find, tools),
        step=partial(books.step, tools),
        concurrency=2,
        step_seconds_max=300.0,
    )


def measuring(tools: Tools) -> Reconciler:
    """What it comes to is shown."""
    return Reconciler(
        name="costs.measuring", every_seconds=600.0, batch=1, find=_everything, step=partial(_measure, tools)
    )


async def _everything(this: Round, limit: int) -> Sequence[str]:
    del limit
    return [_EVERYTHING] if this.holding.buckets[:1] == [0] else []


async def _note(tools: Tools, this: Round, item: str) -> str:
    del item
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(0)])
        noted = await note_ended(session, at=this.at)
        closed = await close_forgotten(session, at=this.at)
    return "noted" if noted else "closed" if closed else "nothing_new"


async def _measure(tools: Tools, this: Round, item: str) -> str:
    del item
    since = this.at - _DAY
    async with tools.db.begin_unscoped() as session:
        spent = await sum_costs(session, since=since, until=this.at)
        margins = await list_margins(session, since=since, until=this.at, by="provider")
        orphans = await sum_orphans(session, since=since, until=this.at)
        asked = await sum_costs(session, since=this.at - 3 * _DAY, until=this.at)
        broken = await invariants.broken(session, at=this.at)
    for gauge in (COST, MARGIN, OPEN):
        gauge.clear()
    for one in spent:
        COST.labels(one.provider, "exact").set(one.exact_micros)
        COST.labels(one.provider, "estimate").set(one.estimated_micros)
    for margin in margins:
        MARGIN.labels(margin.key).set(margin.micros)
    for one in asked:
        OPEN.labels(one.provider).set(one.open)
    ORPHANS.set(orphans.cost)
    _BROKEN.set(len(broken))
    for sentence, samples in broken.items():
        log.error("costs.invariant_broken", sentence=sentence, samples=samples)
    return "broken" if broken else "sound"
