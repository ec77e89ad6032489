"""A worker that dies at any point of telling or sending: nothing is lost, and what is repeated is known for the same."""

from __future__ import annotations

import gc
import warnings

import pytest

from app.kit.db import Database
from app.kit.leases import hold_share
from app.kit.reconcile import Round
from app.notifications.reconcilers import delivering, telling
from tests.notifications.conftest import NAMES, VAULT
from tests.rentals.dying import keep_for_ever, stepped
from tests.topups.dying import VICTIM, burying

EVERY = 5
"""How many points lie between two deaths; the soak dies at each."""


@pytest.fixture
def victim(office):
    def dying():
        made = Database.connect(office.databases.urls.worker, role=VICTIM, pool_size=2)
        keep_for_ever(made)
        return made

    yield dying
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the dead close no sockets
        gc.collect()


async def die_everywhere(office, client, account, receiver, reconciler_of, *, every):
    """Let a worker die at one point after the other, each time of another event's way."""
    async with burying(office.databases) as bury:
        return await _die_everywhere(office, client, account, receiver, reconciler_of, bury=bury, every=every)


async def _die_everywhere(office, client, account, receiver, reconciler_of, *, bury, every):
    webhook = await office.webhook(client, receiver.url())
    point, deaths = 1, 0
    while True:
        await office.happen(account, f"rental.n{point}")
        reconciler = reconciler_of()
        if reconciler.name == "notifications.delivering":
            await office.tell()
        this = Round(office.clock.at, await hold_share(office.databases.worker, office.worker, NAMES))
        [item] = await reconciler.find(this, 10)
        died, _ = await stepped(reconciler.step(this, item), dies_at=point)
        await bury()
        office.later(seconds=31)
        while await office.tell() or await office.send():
            pass
        [delivery] = await office.deliveries(client, webhook, limit=1)
        assert (delivery["type"], delivery["state"]) == (f"rental.n{point}", "delivered")
        sent = [request for request in receiver.requests if request.headers["webhook-id"] == delivery["event_id"]]
        assert 1 <= len(sent) <= 2
        assert len({request.body for request in sent}) == 1
        if not died:
            assert len(sent) == 1
            return deaths
        deaths, point = deaths + 1, point + every


@pytest.mark.parametrize("every", [EVERY, pytest.param(1, marks=pytest.mark.soak)])
async def test_a_worker_that_dies_while_it_tells_loses_no_event(office, client, account, receiver, victim, every):
    def dying():
        return telling(victim(), office.clock, whose=office.whose)

    assert await die_everywhere(office, client, account, receiver, dying, every=every) > 1


@pytest.mark.parametrize("every", [EVERY, pytest.param(1, marks=pytest.mark.soak)])
async def test_a_worker_that_dies_while_it_sends_loses_no_message(office, client, account, receiver, victim, every):
    def dying():
        return delivering(victim(), office.clock, office.egress, VAULT)

    deaths = await die_everywhere(office, client, account, receiver, dying, every=every)
    assert deaths > 1
