import asyncio
import time

import httpx
import pytest

from app.bootstrap import new_worker_state
from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.figures import FiguresServer
from app.kit.leases import BUCKETS, bucket_name
from app.kit.reconcile import Reconciler
from app.settings import Settings
from app.worker import Worker, lease_names, reconcilers_of

NAMES = [bucket_name(bucket) for bucket in range(BUCKETS)]


class Seen:
    """A reconciler that notes its rounds."""

    def __init__(self, *, every_seconds=0.02, step_seconds=0.0, fails=False):
        self.rounds = []
        self.finished = 0
        self.cancelled = 0
        self._step_seconds = step_seconds
        self._fails = fails
        self.reconciler = Reconciler("seen", every_seconds, 10, self._find, self._step)

    async def _find(self, this, _batch):
        self.rounds.append(this)
        if self._fails:
            raise RuntimeError("find fails")
        return ["item"]

    async def _step(self, _this, _item):
        try:
            await asyncio.sleep(self._step_seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return "done"

    async def until(self, count):
        async with asyncio.timeout(10):
            while len(self.rounds) < count:  # noqa: ASYNC110 - the worker is looked at from outside
                await asyncio.sleep(0.01)


@pytest.fixture
def db(fresh_databases):
    return fresh_databases.worker


def worker_of(db, *seen, **options):
    return Worker(db, SystemClock(), [one.reconciler for one in seen], NAMES, **options)


async def ended(running):
    async with asyncio.timeout(15):
        await running


async def test_lone_worker_holds_everything_from_its_first_round(db):
    seen = Seen()
    worker = worker_of(db, seen)
    running = asyncio.create_task(worker.run())
    await seen.until(2)
    worker.stop()
    await ended(running)
    assert seen.rounds[0].holding.buckets == list(range(BUCKETS))
    assert seen.rounds[0].at.tzinfo is not None
    assert seen.finished >= 1


async def test_two_workers_share_and_the_one_left_takes_all(db):
    seen = Seen(), Seen()
    workers = [worker_of(db, one, heartbeat_seconds=0.05) for one in seen]
    running = [asyncio.create_task(worker.run()) for worker in workers]

    async def held(index, count):
        async with asyncio.timeout(10):
            while not seen[index].rounds or len(seen[index].rounds[-1].holding.buckets) != count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)

    await held(0, BUCKETS // 2)
    await held(1, BUCKETS // 2)
    assert not set(seen[0].rounds[-1].holding.buckets) & set(seen[1].rounds[-1].holding.buckets)
    workers[0].stop()
    await ended(running[0])
    await held(1, BUCKETS)
    workers[1].stop()
    await ended(running[1])


async def test_slow_and_failing_reconcilers_hold_up_no_other(db):
    slow, failing, quick = Seen(step_seconds=30), Seen(fails=True), Seen()
    worker = worker_of(db, slow, failing, quick, finish_seconds=0.1)
    running = asyncio.create_task(worker.run())
    await quick.until(5)
    await failing.until(2)
    worker.stop()
    await ended(running)
    assert slow.cancelled == 1


async def test_stopping_finishes_what_is_under_way(db):
    seen = Seen(step_seconds=0.3)
    worker = worker_of(db, seen)
    running = asyncio.create_task(worker.run())
    await seen.until(1)
    await asyncio.sleep(0.05)
    worker.stop()
    await ended(running)
    assert (seen.finished, seen.cancelled) == (1, 0)


async def test_stopped_worker_holds_nothing_and_is_forgotten(db):
    seen = Seen()
    worker = worker_of(db, seen)
    running = asyncio.create_task(worker.run())
    await seen.until(1)
    worker.stop()
    await ended(running)
    assert not await db.fetch_once("SELECT 1 FROM workers WHERE owner = $1", worker.owner)
    assert not await db.fetch_once("SELECT 1 FROM leases WHERE owner = $1 AND expires_at > now()", worker.owner)


async def test_worker_without_a_database_lives_holds_nothing_and_stops():
    nowhere = Database.connect("postgresql://nobody@127.0.0.1:1/none", role="worker")
    seen = Seen()
    worker = worker_of(nowhere, seen, heartbeat_seconds=0.05)
    running = asyncio.create_task(worker.run())
    await seen.until(2)
    assert seen.rounds[-1].holding.buckets == []
    worker.stop()
    began = time.monotonic()
    await ended(running)
    assert time.monotonic() - began < 10
    await nowhere.aclose()


async def test_reconcilers_have_names_of_their_own_and_every_cloud_a_lease(tmp_path):
    settings = Settings(
        secret="s" * 40, database_url="postgresql://u@127.0.0.1:1/none", vast_api_key="k", home=tmp_path
    )
    state = new_worker_state(settings)
    names = [reconciler.name for reconciler in reconcilers_of(state)]
    assert len(names) == len(set(names)) > 0
    assert len(lease_names(state.tools)) == BUCKETS + 1


async def test_figures_and_health_are_told_on_a_port_of_their_own():
    alive = [True]
    server = await FiguresServer.start("127.0.0.1", 0, is_alive=lambda: alive[0])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert "hourglass_reconciler_lag_seconds" in (await client.get("/metrics")).text
        assert (await client.get("/healthz")).status_code == 200
        alive[0] = False
        assert (await client.get("/healthz")).status_code == 503
        assert (await client.get("/other")).status_code == 404
        assert (await client.post("/metrics")).status_code == 404
    await server.aclose()
