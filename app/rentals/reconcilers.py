"""What must become true of rentals.

For each: which rows, which sentence becomes true, why twice is harmless, what if it never runs.

- placement: rentals in ``provisioning`` whose ``next_at`` has come get a running, checked machine or fail with their
  hold released. Twice: every write checks the state it came from. Never: nothing starts, nothing is billed.
- destroying: ``doomed`` attempts lose their machine and are seen to. Twice: an unknown machine is gone. Never: our cost.
- ending: running rentals past ``stop_at`` or with no money left are stopped. Twice: a stop of the stopped is nothing.
  Never: the capture is clamped to the hold, the rest is our cost.
- watching, one item a cloud: running rentals have a fresh heartbeat, are interrupted, or end as ``host_lost``. Twice: a
  newer pulse. Never: a dead host is billed until its money ends.
- checkpointing: on machines that are about to be taken back the customer's script has run, as far as time allowed, and
  the machine is doomed. Twice: the script runs once, the second waits for it. Never: no checkpoint, no other machine.
- hibernating: rentals on their way into hibernation have a machine that is off, or run on. Twice: every write checks the
  state it came from, a cloud is asked only while the machine runs. Never: the machine's hours are our cost.
- dormant, one item a cloud: what hibernates is still there and off, or ends as ``host_lost``. Twice: a newer pulse.
  Never: a lost disk is billed until its money ends.
- waiting: queued rentals are placed as soon as something fits, the oldest first, or fail when their time is over. Twice:
  every write checks the state it came from. Never: they wait, their hold is kept, nothing is billed.
- sweeping, one item a cloud: no machine with our marker is without an owner. Twice: destroy is idempotent. Never: our cost.
- tending: customers' keys on the machine equal the row's, the startup script's output is in the log. Twice: the same
  file, and pieces keyed by offset. Never: late keys, late logs.
- auditing, by the worker that holds the first bucket: a sentence of ``invariants`` that does not hold is told. Twice:
  told again. Never: a mistake of ours goes on unseen.
- telling, one item a bucket of accounts: the audit tells of every rental what it is. Twice: told again. Never: an act
  that nobody wrote down goes on unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog
from prometheus_client import Gauge

from app.kit.reconcile import Reconciler, Round
from app.ledger.reconcilers import audit
from app.rentals import invariants
from app.rentals.completeness import untold_for
from app.rentals.keeping import hibernating, interrupting, stopping, tending, waiting
from app.rentals.keeping.dormant import look_after
from app.rentals.keeping.watching import Watch, watch
from app.rentals.placing import destroying, placement, sweeping
from app.rentals.tools import Tools

log = structlog.get_logger(__name__)

_BROKEN = Gauge("hourglass_rental_invariants_broken", "Sentences about rentals that do not hold right now")
_EVERYTHING = "rentals"
_AT_ONCE_SECONDS = 0.05
"""How long a new rental may lie unseen: the look is one short walk through an index of what is due."""
_CROWD = 5_000
"""What is found at once: what is in hand at a slow cloud is found as well, and must not crowd out the others."""


def reconcilers(tools: Tools) -> list[Reconciler]:
    """Return the room's reconcilers."""
    return [
        placing(tools),
        destroying_machines(tools),
        ending(tools),
        watching(tools),
        checkpointing(tools),
        hibernation(tools),
        dormancy(tools),
        waitlist(tools),
        sweeps(tools),
        visits(tools),
        auditing(tools),
        audit(tools.db, name="rentals.telling", check=untold_for, then="tell"),
    ]


def placing(tools: Tools) -> Reconciler:
    """Rentals get machines."""
    return Reconciler(
        name="placement",
        every_seconds=_AT_ONCE_SECONDS,
        batch=_CROWD,
        find=partial(placement.find, tools),
        step=partial(placement.step, tools),
        concurrency=32,
        step_seconds_max=240.0,
        lane=_cloud_of,
    )


def destroying_machines(tools: Tools) -> Reconciler:
    """Doomed machines go."""
    return Reconciler(
        name="destroying",
        every_seconds=0.5,
        batch=_CROWD,
        find=partial(destroying.find, tools),
        step=partial(destroying.step, tools),
        concurrency=16,
        lane=_cloud_of,
    )


def ending(tools: Tools) -> Reconciler:
    """What is over is stopped."""
    return Reconciler(
        name="ending",
        every_seconds=1.0,
        batch=500,
        find=partial(stopping.find_ending, tools),
        step=partial(stopping.end, tools),
        concurrency=8,
    )


def watching(tools: Tools) -> Reconciler:
    """What runs is alive."""
    return Reconciler(
        name="watching",
        every_seconds=30.0,
        batch=100,
        find=partial(_clouds, tools),
        step=partial(watch, tools, Watch()),
    )


def checkpointing(tools: Tools) -> Reconciler:
    """What is about to be taken back has been saved."""
    return Reconciler(
        name="checkpointing",
        every_seconds=1.0,
        batch=200,
        find=partial(interrupting.find, tools),
        step=partial(interrupting.step, tools),
        concurrency=64,
        step_seconds_max=700.0,
    )


def hibernation(tools: Tools) -> Reconciler:
    """What is to hibernate is turned off."""
    return Reconciler(
        name="hibernating",
        every_seconds=0.5,
        batch=200,
        find=partial(hibernating.find, tools),
        step=partial(hibernating.step, tools),
        concurrency=16,
    )


def dormancy(tools: Tools) -> Reconciler:
    """What hibernates is there."""
    return Reconciler(
        name="dormant",
        every_seconds=60.0,
        batch=100,
        find=partial(_clouds, tools),
        step=partial(look_after, tools),
    )


def waitlist(tools: Tools) -> Reconciler:
    """What waits gets its turn."""
    return Reconciler(
        name="waiting",
        every_seconds=2.0,
        batch=200,
        find=partial(waiting.find, tools, waiting.Hopeless()),
        step=partial(waiting.step, tools),
    )


def sweeps(tools: Tools) -> Reconciler:
    """What exists is owned."""
    return Reconciler(
        name="sweeping",
        every_seconds=30.0,
        batch=100,
        find=partial(_my_clouds, tools),
        step=partial(sweeping.sweep, tools),
    )


def visits(tools: Tools) -> Reconciler:
    """What runs has its keys and its log."""
    return Reconciler(
        name="tending",
        every_seconds=2.0,
        batch=100,
        find=partial(tending.find, tools),
        step=partial(tending.step, tools),
        concurrency=16,
    )


def auditing(tools: Tools) -> Reconciler:
    """What must hold of rentals holds, or somebody is told."""
    return Reconciler(
        name="rentals.auditing", every_seconds=600.0, batch=1, find=_everything, step=partial(_audit, tools)
    )


def _cloud_of(item: placement.Item | destroying.Doomed) -> str:
    return item.provider


async def _everything(this: Round, limit: int) -> Sequence[str]:
    del limit
    return [_EVERYTHING] if this.holding.buckets[:1] == [0] else []


async def _audit(tools: Tools, this: Round, item: str) -> str:
    del this, item
    async with tools.db.begin_unscoped() as session:
        broken = await invariants.broken(session)
    _BROKEN.set(len(broken))
    for sentence, samples in broken.items():
        log.error("rentals.invariant_broken", sentence=sentence, samples=samples)
    return "broken" if broken else "sound"


async def _clouds(tools: Tools, this: Round, limit: int) -> Sequence[str]:
    del this
    return sorted(tools.providers)[:limit]


async def _my_clouds(tools: Tools, this: Round, limit: int) -> Sequence[str]:
    return [name for name in sorted(tools.providers) if this.holding.holds(sweeping.lease_name(name))][:limit]
