"""Before a machine is billed it computes, and does what its customer's own probe asks for."""

import pytest
from sqlalchemy import text

from app.rentals.reconcilers import placing
from app.sandbox.cuda import python_script
from app.sandbox.faults import Fault

HAS_PYTHON = python_script() is not None
pytestmark = pytest.mark.usefixtures("real_machines")
needs_python = pytest.mark.skipif(not HAS_PYTHON, reason="this computer has no Python that sandbox machines could run")


async def rows(stage, query):
    async with stage.databases.worker.begin_unscoped() as session:
        return [tuple(row) for row in (await session.execute(text(query))).all()]


@needs_python
@pytest.mark.parametrize(
    ("kind", "words"),
    [("slow_gpu", "the computation is slow: GPU 0 copies"), ("wrong_sums", "a product of two matrices is wrong")],
)
async def test_gpu_that_computes_badly_is_quarantined_and_the_next_listing_runs(stage, rich, kind, words):
    stage.sandbox.faults.add(Fault(kind))
    account = await rich()
    made = await stage.request(account)
    rental = await stage.until_status(made.rental_id, "running")
    first, second = await stage.attempts(rental.id)
    assert (first.reason, second.status) == ("gpu_check_failed", "live")
    assert words in first.message
    hosts = await rows(stage, "SELECT host_id, reason FROM quarantined_hosts")
    assert hosts == [(first.listing["host_id"], "gpu_check_failed")]
    assert (await stage.balance(account)).total == 50_000_000


@needs_python
async def test_what_a_gpu_can_do_and_how_far_it_is_are_kept(stage, rich):
    made = await stage.request(await rich())
    await stage.until_status(made.rental_id, "running")
    (attempt,) = await stage.attempts(made.rental_id)
    assert attempt.gpus[0]["gb_per_second"] == 856
    assert attempt.gpus[0]["gflops"] == 16_600
    facts = await rows(stage, "SELECT region_id, latency_ms FROM machine_facts WHERE kind = 'launch' AND good")
    assert facts[0][0] == attempt.listing["region_id"]
    assert 0 <= facts[0][1] < 5_000


async def test_rentals_own_probe_decides_before_anything_is_billed(stage, rich):
    account = await rich()
    probe = {"command": 'test "$ROLE" = trainer && nvidia-smi -L', "timeout_seconds": 10}
    made = await stage.request(account, launch={"probe": probe, "env": {"ROLE": "trainer"}})
    await stage.until_status(made.rental_id, "running")


async def test_probe_that_fails_everywhere_is_what_fails(stage, rich):
    """Three machines are tried; no host is kept from others for it, nothing is charged."""
    account = await rich()
    probe = {"command": "echo no weights here >&2; exit 4", "timeout_seconds": 10}
    made = await stage.request(account, launch={"probe": probe})
    rental = await stage.until_status(made.rental_id, "failed")
    attempts = await stage.attempts(rental.id)
    assert [attempt.reason for attempt in attempts] == ["startup_failed"] * 3
    assert attempts[0].message == "the rental's own probe ended with 4: no weights here"
    assert rental.failure["reason"] == "startup_failed"
    assert rental.failure["fault_party"] == "customer"
    assert await rows(stage, "SELECT 1 FROM quarantined_hosts") == []
    assert await rows(stage, "SELECT 1 FROM machine_facts") == []
    assert await rows(stage, "SELECT 1 FROM listing_failures WHERE reason <> 'taken'") == []
    await stage.until_rest()
    assert stage.alive() == []
    assert (await stage.balance(account)).available == 50_000_000


async def test_probe_that_does_not_end_is_given_up(stage, rich):
    probe = {"command": "sleep 60", "timeout_seconds": 1}
    made = await stage.request(await rich(), launch={"probe": probe})
    for _ in range(200):
        await stage.run(placing)
        stage.clock.advance(1)
        if (await stage.attempts(made.rental_id))[0].reason:
            break
    (first, *_) = await stage.attempts(made.rental_id)
    assert (first.reason, first.message) == ("startup_failed", "the rental's own probe did not end within 1 s")
