"""Many requests at once have the effect that they would have one after the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import asyncssh
import pytest
from sqlalchemy import text

from app import catalog, wallet
from app.kit.leases import BUCKETS, bucket_name, hold_share
from app.kit.reconcile import Round, Runner
from app.kit.vault import Vault
from app.ledger import invariants as ledger_invariants
from app.providers import VastProvider, WireOptions
from app.rentals import Limits, PlatformKey, Tools
from app.rentals.reconcilers import destroying_machines, ending, placing
from app.sandbox import Sandbox, SandboxConfig
from app.wallet import invariants as wallet_invariants

from . import paying
from .conftest import new_world

RATE = 364_000
WISH = {"family": "rtx-4090"}


async def audited(world, *account_ids):
    async with world.databases.worker.begin_unscoped() as session:
        for invariants in (ledger_invariants, wallet_invariants):
            assert await invariants.broken_for(session, list(account_ids)) == []


async def balance(world, tenant):
    async with world.databases.api.begin(tenant.account_id) as session:
        return await wallet.get_balance(session, account_id=tenant.account_id, at=world.clock.now())


@pytest.mark.parametrize("spare", [0, RATE - 1])
async def test_thirty_at_once_with_money_for_seven_make_seven(world, spare) -> None:
    tenant = await world.open(micros=7 * RATE + spare)
    answers = await asyncio.gather(*(tenant.caller.ask("POST", "/v1/rentals", WISH) for _ in range(30)))
    assert Counter(answer.status for answer in answers) == {202: 7, 402: 23}
    now = await balance(world, tenant)
    assert (now.available, now.reserved) == (spare, 7 * RATE)
    listed = (await tenant.caller.ask("GET", "/v1/rentals")).json()["data"]
    made = {answer.json()["id"] for answer in answers if answer.status == 202}
    assert {rental["id"] for rental in listed} == made
    for answer in answers:
        if answer.status == 402:
            assert answer.json()["code"] == "insufficient_balance"
    await audited(world, tenant.account_id)


async def test_one_key_fifty_times_at_once_makes_one_rental_and_one_answer(world) -> None:
    tenant = await world.open()
    answers = await asyncio.gather(*(tenant.caller.ask("POST", "/v1/rentals", WISH, key="one") for _ in range(50)))
    done = [answer for answer in answers if answer.status == 202]
    assert {answer.status for answer in answers} <= {202, 409}
    assert {answer.json()["code"] for answer in answers if answer.status == 409} <= {"idempotency_in_progress"}
    assert len({answer.content for answer in done}) == 1
    assert len(done) - sum("idempotency-replayed" in answer.headers for answer in done) == 1
    assert len((await tenant.caller.ask("GET", "/v1/rentals")).json()["data"]) == 1
    assert (await balance(world, tenant)).reserved == RATE
    again = await tenant.caller.ask("POST", "/v1/rentals", WISH, key="one")
    assert (again.status, again.content) == (202, done[0].content)
    other = await tenant.caller.ask("POST", "/v1/rentals", {"family": "h100"}, key="one")
    assert (other.status, other.json()["code"]) == (422, "idempotency_mismatch")
    await audited(world, tenant.account_id)


async def test_one_key_with_different_bodies_at_once_makes_one_of_them(world) -> None:
    tenant = await world.open()
    answers = await asyncio.gather(
        *(tenant.caller.ask("POST", "/v1/rentals", {**WISH, "name": f"n{n}"}, key="one") for n in range(20))
    )
    assert Counter(answer.status for answer in answers)[202] == 1
    assert {answer.json()["code"] for answer in answers if answer.status != 202} <= {
        "idempotency_mismatch",
        "idempotency_in_progress",
    }
    assert len((await tenant.caller.ask("GET", "/v1/rentals")).json()["data"]) == 1


async def test_ten_stops_at_once_settle_once(world) -> None:
    tenant = await world.open()
    rental = await tenant.caller.made("/v1/rentals", WISH)
    await world.start(tenant, rental["id"])
    world.clock.at += timedelta(seconds=100)
    answers = await asyncio.gather(
        *(tenant.caller.ask("DELETE", f"/v1/rentals/{rental['id']}") for _ in range(5)),
        *(tenant.caller.ask("POST", f"/v1/rentals/{rental['id']}/stop") for _ in range(5)),
    )
    assert Counter(answer.status for answer in answers)[202] >= 1
    assert {answer.status for answer in answers} <= {200, 202}
    assert {answer.json()["cost"]["billed_seconds"] for answer in answers} == {100}
    now = await balance(world, tenant)
    assert (now.available, now.reserved) == (20_000_000 - RATE * 100 // 3600, 0)
    await audited(world, tenant.account_id)


async def test_one_quote_serves_one_of_many(world) -> None:
    tenant = await world.open()
    quote = await tenant.caller.made("/v1/quotes", WISH)
    answers = await asyncio.gather(
        *(tenant.caller.ask("POST", "/v1/rentals", {"quote_id": quote["id"]}) for _ in range(10))
    )
    assert Counter(answer.status for answer in answers) == {202: 1, 409: 9}
    assert {answer.json()["code"] for answer in answers if answer.status == 409} == {"quote_expired"}


async def test_one_key_twenty_times_at_once_opens_one_visit_to_stripe(world) -> None:
    tenant, body = await world.open(), {"amount": "25.00", "save_card": True}
    target = "/v1/billing/checkout-sessions"
    answers = await asyncio.gather(*(tenant.caller.ask("POST", target, body, key="one") for _ in range(20)))
    # Two that ask Stripe at once with one key are told to come again, by Stripe itself.
    assert {answer.status for answer in answers} <= {201, 503}, [answer.text for answer in answers]
    assert len({answer.content for answer in answers if answer.status == 201}) == 1
    assert len((await tenant.caller.ask("GET", target)).json()["data"]) == 1
    sessions = world.sandbox.stripe.books.store.all("checkout.session")
    assert len([one for one in sessions if one["metadata"]["account_id"] == tenant.account_id]) == 1
    customers = world.sandbox.stripe.books.store.all("customer")
    assert len([one for one in customers if one["metadata"]["account_id"] == tenant.account_id]) == 1
    other = await tenant.caller.ask("POST", target, {"amount": "26.00"}, key="one")
    assert (other.status, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_payment_that_many_look_at_at_once_is_credited_once(world) -> None:
    tenant = await world.open(micros=0)
    visit = await tenant.caller.made("/v1/billing/checkout-sessions", {"preset": 25})
    await world.sandbox.stripe.pay(visit["url"].partition("#")[0].rpartition("/")[2])
    target = f"/v1/billing/checkout-sessions/{visit['id']}"
    answers = await asyncio.gather(*(tenant.caller.ask("GET", target) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert (await tenant.caller.ask("GET", target)).json()["status"] == "complete"
    assert (await balance(world, tenant)).available == 25_000_000
    await audited(world, tenant.account_id)


async def test_many_refunds_at_once_give_back_what_was_paid_and_no_more(world) -> None:
    tenant = await world.open(micros=0)
    paid = await paying.deposit(world, tenant)
    wish = {"payment_id": paid["payments"][0], "amount": "4.00"}
    answers = await asyncio.gather(*(tenant.caller.ask("POST", "/v1/billing/refunds", wish) for _ in range(15)))
    assert Counter(answer.status for answer in answers) == {201: 6, 422: 9}
    assert {answer.json()["code"] for answer in answers if answer.status == 422} == {"refund_too_large"}
    now = await balance(world, tenant)
    assert (now.available, now.reserved) == (1_000_000, 24_000_000)
    await audited(world, tenant.account_id)


async def test_many_rentals_and_a_rule_at_once_ask_the_card_once(world) -> None:
    tenant = await world.open(micros=0)
    await paying.deposit(world, tenant)
    rule = paying.RULE | {"threshold": "24.00"}
    assert (await tenant.caller.ask("PUT", "/v1/wallet/auto-topup", rule)).status == 200
    answers = await asyncio.gather(
        *(tenant.caller.ask("POST", "/v1/rentals", WISH) for _ in range(15)),
        *(tenant.caller.ask("PUT", "/v1/wallet/auto-topup", rule) for _ in range(5)),
    )
    assert {answer.status for answer in answers} == {200, 202}
    attempts = (await tenant.caller.ask("GET", "/v1/wallet/auto-topup/attempts")).json()["data"]
    # A rule that is set anew judges anew what was asked for and not sent.
    assert Counter(one["state"] for one in attempts if one["state"] != "canceled") == {"created": 1}
    await audited(world, tenant.account_id)


class Cloud:
    """The worker's side of the application, with a sandbox cloud."""

    def __init__(self, world, tools, holding):
        self.world, self.tools = world, tools
        self.holding = holding
        self.runners = [Runner(make(tools)) for make in (placing, destroying_machines, ending)]

    async def work(self):
        for runner in self.runners:
            await runner.run_once(Round(self.world.clock.now(), self.holding))

    async def resting(self) -> bool:
        async with self.world.databases.worker.begin_unscoped() as session:
            moving = "SELECT count(*) FROM rentals WHERE status IN ('provisioning', 'stopping')"
            machines = "SELECT count(*) FROM attempts WHERE status NOT IN ('gone', 'live')"
            return not sum([(await session.execute(text(sql))).scalar_one() for sql in (moving, machines)])


@pytest.fixture
async def cloud(open_databases):
    config = SandboxConfig(
        boot_seconds=0.02, terminate_seconds=0.02, terminated_seconds=0.02, ssh_port=0, price_step_seconds=0
    )
    key = asyncssh.generate_private_key("ssh-ed25519")
    platform = PlatformKey(key.export_private_key().decode(), key.export_public_key().decode().strip())
    async with open_databases() as databases:
        vault = Vault(b"test")
        world = new_world(databases, vault=vault)
        sandbox = await Sandbox.start(config)
        vast = VastProvider(api_key=config.vast_key, base_url=sandbox.url, options=WireOptions(pace_factor=0))
        limits = Limits(create_seconds=3, boot_seconds=60, check_seconds=30, poll_seconds=0.05, unfound_seconds=40)
        tools = Tools(databases.worker, {"vast": vast}, platform, vault, world.clock, "testtest", limits)
        async with databases.worker.begin_unscoped() as session:
            await catalog.register_providers(session, [vast.capability])
        assert (await catalog.refresh_provider(databases.worker, vast, at=world.clock.now())).status == "refreshed"
        names = [*(bucket_name(n) for n in range(BUCKETS)), "provider:vast"]
        made = Cloud(world, tools, await hold_share(databases.worker, "worker", names))
        made.sandbox = sandbox
        yield made
        await vast.aclose()
        await sandbox.aclose()


async def test_a_stop_that_races_with_placement_leaves_no_machine_and_no_debt(cloud) -> None:
    world = cloud.world
    tenant = await world.open(micros=50_000_000)
    rentals = [(await tenant.caller.made("/v1/rentals", WISH))["id"] for _ in range(8)]

    async def stop(rental_id, after):
        await asyncio.sleep(after)
        answer = await tenant.caller.ask("DELETE", f"/v1/rentals/{rental_id}")
        assert answer.status in (200, 202), answer.text

    stops = [asyncio.create_task(stop(rental_id, n * 0.08)) for n, rental_id in enumerate(rentals)]
    for _ in range(300):
        await cloud.work()
        world.clock.at += timedelta(seconds=1)
        if all(task.done() for task in stops) and await cloud.resting():
            break
        await asyncio.sleep(0.01)
    await asyncio.gather(*stops)
    assert await cloud.resting()
    for rental_id in rentals:
        shown = (await tenant.caller.ask("GET", f"/v1/rentals/{rental_id}")).json()
        assert (shown["status"], shown["end_reason"]) == ("stopped", "user")
    assert [truth for truth in cloud.sandbox.truth if truth.ended_at is None] == []
    assert (await balance(world, tenant)).reserved == 0
    await audited(world, tenant.account_id)
