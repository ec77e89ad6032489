"""Every cloud, misbehaving at a create: it is sent once, and whatever becomes of it, one machine or none is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.providers import (
    HyperstackProvider,
    LambdaProvider,
    ManualProvider,
    ModalProvider,
    Order,
    RunpodProvider,
    VastProvider,
)
from app.rentals.reconcilers import sweeps, watching
from app.sandbox import Fault, Sandbox, SandboxConfig
from tests.rentals.conftest import FAST, HandClock, Stage, on_stage
from tests.rentals.test_faults import nothing_is_left, running
from tests.simulation.paper import Street

CLOUDS = ("vast", "lambda", "runpod", "hyperstack", "manual", "modal")

AMBIGUOUS = {
    "done, and the connection was cut": Fault("timeout_after_success", operation="create", mode="drop"),
    "done, and answered with 500": Fault("server_error", operation="create", after_effect=True),
    "done, and answered with half an answer": Fault("malformed", operation="create", mode="truncated"),
    "done, and answered with a page": Fault("malformed", operation="create", mode="html"),
    "not done, and answered with 503": Fault("server_error", operation="create", status=503),
}


@pytest.fixture
async def every_cloud(own_databases: Any, platform_key: Any, at: Any) -> AsyncIterator[Stage]:
    """A stage with every cloud, and machines on paper."""
    pytest.importorskip("modal")
    config = SandboxConfig(
        boot_seconds=0.05, terminate_seconds=0.05, terminated_seconds=0.05, ssh_port=0, price_step_seconds=0
    )
    street = Street(public_key=platform_key.public)
    sandbox = await Sandbox.start(config, start_machine=street.start)
    url, port = sandbox.url, sandbox.config.ssh_port
    clouds = {
        "vast": VastProvider(api_key=config.vast_key, base_url=url, options=FAST),
        "lambda": LambdaProvider(api_key=config.lambda_key, base_url=url, options=FAST, ssh_port=port),
        "runpod": RunpodProvider(api_key=config.runpod_key, base_url=url, options=FAST),
        "hyperstack": HyperstackProvider(
            api_key=config.hyperstack_key, base_url=f"{url}/v1", options=FAST, ssh_port=port
        ),
        "manual": ManualProvider(
            sheet=sandbox.price_sheet, token=config.desk_token, base_url=f"{url}/desk", options=FAST
        ),
        "modal": ModalProvider(
            token_id=config.modal_token_id,
            token_secret=config.modal_token_secret,
            server_url=sandbox.modal_url,
            options=FAST,
        ),
    }
    async with on_stage(own_databases, sandbox, clouds, platform_key, HandClock(at), street) as stage:
        yield stage


async def test_an_ambiguous_create_leaves_exactly_one_machine_at_every_cloud(
    every_cloud: Stage, new_account: Any
) -> None:
    for cloud in CLOUDS:
        await survive(every_cloud, new_account, cloud, AMBIGUOUS["done, and the connection was cut"])


@pytest.mark.soak
@pytest.mark.parametrize("what", AMBIGUOUS)
async def test_any_ambiguous_create_leaves_exactly_one_machine_at_every_cloud(
    what: str, every_cloud: Stage, new_account: Any
) -> None:
    for cloud in CLOUDS:
        await survive(every_cloud, new_account, cloud, AMBIGUOUS[what])


async def test_a_second_machine_of_one_create_goes_while_the_first_runs_on(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    attempt = (await stage.attempts(made.rental_id))[-1]
    twin = await stage.tools.providers["vast"].create(order(stage, attempt.marker))

    assert (await stage.run(sweeps))["watching"] == 1
    stage.clock.advance(30)
    assert (await stage.run(sweeps))["destroyed"] == 1

    await asyncio.sleep(0.2)
    assert [truth.id for truth in stage.alive()] == [attempt.machine_id]
    assert twin != attempt.machine_id
    assert (await stage.rental(made.rental_id)).status == "running"
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)


@pytest.mark.parametrize("retry_after", ["0", "999999999", "Sun, 01 Mar 2037 12:00:00 GMT", "in a while", "-5", None])
async def test_whatever_a_cloud_says_of_its_pace_the_rental_is_not_held_up(
    retry_after: str | None, stage: Any, rich: Any
) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("rate_limited", operation="create", retry_after=retry_after))
    made = await stage.request(account)
    began = stage.clock.now()

    rental = await stage.until_status(made.rental_id, "running", "failed")

    assert rental.status == "running"
    assert rental.running_at - began < timedelta(seconds=120)


BURSTS = {
    "of 500": {"status": 500},
    "of a gateway's pages": {"status": 502},
    "of a gateway's time-outs": {"status": 504},
    "of 503 with an hour to wait": {"status": 503, "retry_after": "3600"},
}


@pytest.mark.parametrize("what", BURSTS)
async def test_a_burst_of_errors_on_every_call_is_outlived(what: str, stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("server_error", operation="*", times=12, **BURSTS[what]))
    made = await stage.request(account)

    await stage.until_status(made.rental_id, "running", "failed")

    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)
    assert (await stage.balance(account)).reserved == 0


async def test_garbage_in_answer_to_anything_is_outlived(stage: Any, rich: Any) -> None:
    account = await rich()
    for mode in ("truncated", "html", "types", "empty", "duplicate_keys", "huge"):
        for operation in ("create", "get_machine", "list_machines"):
            stage.sandbox.faults.add(Fault("malformed", operation=operation, mode=mode))
        made = await stage.request(account)

        rental = await stage.until_status(made.rental_id, "running", "failed")

        assert rental.status == "running", mode
        await stage.run(watching)
        await stage.stop(account, made.rental_id)
        await stage.until_rest()
        await forget_failures(stage)
    await nothing_is_left(stage)


NO_WAY = {
    "a name that nobody knows": "http://no-such-cloud.invalid",
    "a server that speaks no TLS": "https",
    "a port that is closed": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("what", NO_WAY)
async def test_a_cloud_to_which_no_connection_leads_costs_nothing_and_holds_up_no_other(
    what: str, stage: Any, rich: Any
) -> None:
    account = await rich()
    url = NO_WAY[what] if "//" in NO_WAY[what] else stage.sandbox.url.replace("http:", "https:")
    lost = VastProvider(api_key="any", base_url=url, options=FAST)
    await stage.tools.providers["vast"].aclose()
    stage.tools = replace(stage.tools, providers={**stage.tools.providers, "vast": lost})
    in_vain = await stage.request(account, wanted={"providers": ("vast",)})
    elsewhere = await stage.request(account, family="h100-80gb", wanted={"providers": ("lambda",)})

    assert (await stage.until_status(elsewhere.rental_id, "running", "failed")).status == "running"
    rental = await stage.until_status(in_vain.rental_id, "failed")

    assert rental.failure["fault_party"] != "customer"
    assert (await stage.balance(account)).reserved == elsewhere.rate
    assert [truth.provider for truth in stage.alive()] == ["lambda"]
    await stage.stop(account, elsewhere.rental_id)


async def test_a_machine_that_comes_ten_minutes_late_goes_and_the_other_runs_on(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("server_error", operation="create", status=504))
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    first, second = await stage.attempts(made.rental_id)
    stage.clock.advance(600)
    await stage.until_rest()
    late = await stage.tools.providers["vast"].create(order(stage, first.marker))

    await stage.run(sweeps)
    await stage.until_rest()

    assert [truth.id for truth in stage.alive()] == [second.machine_id]
    assert late in {truth.id for truth in stage.sandbox.truth if truth.ended_at is not None}
    assert (await stage.rental(made.rental_id)).status == "running"
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)


LABELS = {"dropped": Fault("marker_lost"), "cut": Fault("marker_lost", mode="cut")}


@pytest.mark.parametrize("what", LABELS)
async def test_a_label_that_the_cloud_loses_costs_no_machine_whose_id_is_known(
    what: str, stage: Any, rich: Any
) -> None:
    account = await rich()
    stage.sandbox.faults.add(LABELS[what])
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running", "failed")
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)


async def survive(stage: Stage, new_account: Any, cloud: str, fault: Fault) -> None:
    """Rent at a cloud whose first create is ambiguous; no attempt ever has two machines, and none is left."""
    account = await new_account(micros=50_000_000, db=stage.databases.worker)
    number = stage.sandbox.faults.add(replace(fault, provider=cloud))
    made = await stage.request(account, family="h100-80gb", wanted={"providers": (cloud,)})
    rental = await stage.until_status(made.rental_id, "running", "failed")
    stage.sandbox.faults.remove(number)
    assert (rental.status == "running") == (len(stage.alive()) == 1), (cloud, rental.failure)
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    markers = [truth.marker for truth in stage.sandbox.truth if truth.provider == cloud]
    assert len(markers) == len(set(markers)), cloud
    await forget_failures(stage)
    await nothing_is_left(stage)


async def forget_failures(stage: Stage) -> None:
    """Let the market be as it was: each scene begins with all of it."""
    stage.clock.advance(stage.tools.limits.avoid_seconds + 1)
    await stage.refresh()


def order(stage: Any, marker: str) -> Order:
    free = [one for one in stage.sandbox.offers() if one["provider"] == "vast" and one["gpu_count"] == 1]
    return Order(
        marker=marker,
        offer_id=str(free[-1]["id"]),
        region_id="any",
        spot=False,
        bid_micros_per_hour=None,
        image="ubuntu:24.04",
        disk_gb=20,
        platform_public_key=stage.tools.platform_key.public,
    )
