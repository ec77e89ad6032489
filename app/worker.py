"""The worker process: every reconciler, again and again, for the share of the work that this worker holds.

A heartbeat renews the worker's leases; each reconciler has a task of its own, so that a slow one delays no other. Any
number of workers may run. A worker that is told to stop finishes what it is doing, within 20 seconds, and gives its
leases up, so that the others take them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import Gauge

from app.audit import reconcilers as audit_reconcilers
from app.bootstrap import WorkerState, new_worker_state
from app.catalog.reconcilers import refresh_reconciler, tidy_reconciler
from app.costs import reconcilers as cost_reconcilers
from app.kit.clock import Clock
from app.kit.db import Database
from app.kit.figures import FiguresServer
from app.kit.ids import Id
from app.kit.leases import BUCKETS, LEASE_SECONDS, Holding, bucket_name, hold_share, let_go
from app.kit.log import configure_logs
from app.kit.reconcile import LAG, Reconciler, Round, Runner
from app.ledger import reconcilers as ledger_reconcilers
from app.lots import reconcilers as lot_reconcilers
from app.mail import reconcilers as mail_reconcilers
from app.notifications import reconcilers as notification_reconcilers
from app.policies import reconcilers as policy_reconcilers
from app.refills import reconcilers as refill_reconcilers
from app.rentals.owning import owners_of
from app.rentals.placing import sweeping
from app.rentals.reconcilers import reconcilers as rental_reconcilers
from app.rentals.tools import Tools
from app.reports import reconcilers as report_reconcilers
from app.settings import Settings, read_settings
from app.tenancy import invariants as tenancy_invariants
from app.tenancy.people import reconcilers as people_reconcilers
from app.topups import TopupTools
from app.topups.charging.charging import charging
from app.topups.events import reconcilers as event_reconcilers
from app.topups.payments.auditing import auditing as topup_auditing
from app.topups.payments.refunding import refunding
from app.wallet import reconcilers as wallet_reconcilers
from app.wallet.refilling import refilling
from app.web import reconcilers as web_reconcilers

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5.0
_FINISH_SECONDS = 15.0
_LET_GO_SECONDS = 3.0
_RARE_SECONDS = 60.0
_HELD = Gauge("hourglass_worker_leases_held", "How many leases this worker holds")


class WorkerId(Id):
    """One run of a worker process."""

    prefix = "wrk"


def reconcilers_of(state: WorkerState) -> list[Reconciler]:
    """Return everything that must become true, by hand."""
    tools = state.tools
    return [
        refresh_reconciler(tools.db, tools.providers),
        tidy_reconciler(tools.db),
        *rental_reconcilers(tools),
        *cost_reconcilers.reconcilers(tools),
        *policy_reconcilers.reconcilers(tools.db),
        wallet_reconcilers.metering(tools.db),
        wallet_reconcilers.warnings(tools.db),
        wallet_reconcilers.auditing(tools.db),
        wallet_reconcilers.promo_expiry(tools.db),
        refilling(tools.db),
        lot_reconcilers.auditing(tools.db),
        ledger_reconcilers.sealing(tools.db),
        ledger_reconcilers.auditing(tools.db),
        refill_reconcilers.auditing(tools.db),
        topup_auditing(tools.db),
        *_card_reconcilers(state.topups),
        mail_reconcilers.sending(tools.db, tools.clock, state.outlet, sender=state.sender),
        mail_reconcilers.tidying(tools.db),
        *_notification_reconcilers(state),
        people_reconcilers.pruning(tools.db),
        tenancy_auditing(tools.db),
        *report_reconcilers.reconcilers(tools.db),
        audit_reconcilers.verifying(tools.db),
        web_reconcilers.pruning(tools.db),
    ]


def tenancy_auditing(db: Database) -> Reconciler:
    """Return the reconciler that tells of an account without an owner, and of keys that outlive what they hang on.

    Made here, since tenancy knows nothing of the ledger, whose rounds over all accounts these are.
    """
    return ledger_reconcilers.audit(db, name="tenancy.auditing", check=tenancy_invariants.broken_for, then="tell")


def _notification_reconcilers(state: WorkerState) -> list[Reconciler]:
    """What tells others of what happened."""
    tools = state.tools
    return [
        notification_reconcilers.telling(tools.db, tools.clock, whose=owners_of),
        notification_reconcilers.delivering(tools.db, tools.clock, state.egress, tools.vault),
        notification_reconcilers.tidying(tools.db),
        notification_reconcilers.auditing(tools.db),
    ]


def _card_reconcilers(topups: TopupTools) -> list[Reconciler]:
    """What needs Stripe; nothing where no card is taken."""
    if topups.stripe is None:
        return []
    return [
        event_reconcilers.handling(topups),
        event_reconcilers.sweeping(topups),
        event_reconcilers.looking(topups),
        event_reconcilers.reconciling(topups),
        event_reconcilers.forgetting(topups),
        refunding(topups),
        charging(topups),
    ]


def lease_names(tools: Tools) -> list[str]:
    """Return everything that is held by one worker at a time: 64 buckets of accounts, and each cloud's sweep."""
    return [
        *(bucket_name(bucket) for bucket in range(BUCKETS)),
        *(sweeping.lease_name(name) for name in tools.providers),
    ]


@dataclass
class Worker:
    """Runs reconcilers until it is told to stop."""

    db: Database
    clock: Clock
    reconcilers: Sequence[Reconciler]
    names: Iterable[str]
    owner: str = field(default_factory=WorkerId.new)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    finish_seconds: float = _FINISH_SECONDS

    def __post_init__(self) -> None:
        self._holding = Holding(self.owner, {})
        self._stopping = asyncio.Event()
        self._beaten_at = 0.0
        self._steps: set[asyncio.Task[str]] = set()
        self.runners = [Runner(reconciler) for reconciler in self.reconcilers]

    @property
    def is_alive(self) -> bool:
        """Whether the heartbeat reached the database within the time of a lease."""
        return time.monotonic() - self._beaten_at < LEASE_SECONDS

    def stop(self) -> None:
        """Ask for the end; ``run`` returns within ``finish_seconds`` and a little."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until ``stop``, then finish what is under way and give the leases up."""
        await self._beat()
        tasks = {asyncio.create_task(self._repeat(runner)) for runner in self.runners}
        heart = asyncio.create_task(self._keep_beating())
        log.info("worker.started", owner=self.owner, reconcilers=[runner.reconciler.name for runner in self.runners])
        try:
            await self._stopping.wait()
        finally:
            await _finish(tasks, within_seconds=1.0)
            await _finish(set(self._steps), within_seconds=self.finish_seconds)
            await _finish({heart}, within_seconds=0)
            await self._let_go()
            log.info("worker.stopped", owner=self.owner)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_seconds)
            await self._beat()

    async def _beat(self) -> None:
        """Renew the leases; when that fails for as long as they last, believe in none of them."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(LEASE_SECONDS / 2):
                self._holding = await hold_share(self.db, self.owner, self.names)
            self._beaten_at = began
        except Exception as error:  # noqa: BLE001 - a database that is away comes back
            log.warning("worker.heartbeat_failed", owner=self.owner, error=repr(error))
            if not self.is_alive:
                self._holding = Holding(self.owner, {})
        _HELD.set(len(self._holding.fences))

    async def _repeat(self, runner: Runner) -> None:
        """Run one reconciler at its interval. What is late begins at once and isn't made up for."""
        every = runner.reconciler.every_seconds
        due = time.monotonic() + _pause_before_the_first(every)
        while not await self._waited_until(due):
            LAG.labels(runner.reconciler.name).set(max(0.0, time.monotonic() - due))
            for step in await runner.begin(Round(self.clock.now(), self._holding)):
                self._steps.add(step)
                step.add_done_callback(self._steps.discard)
            due = max(due + every, time.monotonic())

    async def _waited_until(self, due: float) -> bool:
        """Wait and return whether the worker was told to stop meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(_LET_GO_SECONDS):
                await let_go(self.db, self.owner)
        except Exception as error:  # noqa: BLE001 - the leases lapse by themselves
            log.warning("worker.let_go_failed", owner=self.owner, error=repr(error))


def _pause_before_the_first(every_seconds: float) -> float:
    """Return how many seconds to wait, at random so that workers don't beat in step.

    What comes round rarely lets what is waited for go first, such as the first look at the clouds' prices.
    """
    earliest, latest = (1.0, 4.0) if every_seconds >= _RARE_SECONDS else (0.0, min(every_seconds, 1.0) * 0.2)
    return random.uniform(earliest, latest)  # noqa: S311 - no secret


async def _finish(tasks: set[asyncio.Task[Any]], *, within_seconds: float) -> None:
    """Wait for tasks, then cancel those that are left. A COMMIT under way is seen through all the same."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within_seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)


def serve(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    with asyncio.Runner(loop_factory=_uvloop) as runner:
        runner.run(_serve(settings))


def main() -> None:
    """Work by what the environment says."""
    settings = read_settings()
    configure_logs(process="worker", level=settings.log_level)
    serve(settings)


async def _serve(settings: Settings) -> None:
    state = new_worker_state(settings)
    worker = Worker(state.tools.db, state.tools.clock, reconcilers_of(state), lease_names(state.tools))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    figures = None
    if settings.worker_port is not None:
        figures = await FiguresServer.start(settings.host, settings.worker_port, is_alive=lambda: worker.is_alive)
    try:
        await worker.run()
    finally:
        if figures is not None:
            await figures.aclose()
        await state.aclose()


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 - absent on systems that it does not support

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
