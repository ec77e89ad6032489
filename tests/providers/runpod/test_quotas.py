"""The adapter against quotas that hold."""

from __future__ import annotations

import pytest

from app.providers import RateLimited, RunpodProvider, WireOptions
from app.sandbox import Sandbox, SandboxConfig
from tests.providers.rushing import rush


async def test_at_its_own_pace_an_adapter_is_never_too_fast(tmp_path, order):
    sandbox = await Sandbox.start(SandboxConfig(rate_limits=True, home=tmp_path, ssh_port=0))
    cloud = RunpodProvider(api_key=sandbox.config.runpod_key, base_url=sandbox.url)
    [offer, *_] = await cloud.list_offers()
    for number in range(3):
        machine_id = await cloud.create(order(offer.offer_id, marker=f"own-{number}"))
        await cloud.get_machine(machine_id)
        await cloud.destroy(machine_id)
    statuses = [call.status for call in sandbox.calls if call.provider == "runpod"]
    assert (len(statuses), max(statuses)) == (7 + 9, 204)
    hasty = RunpodProvider(
        api_key=sandbox.config.runpod_key, base_url=sandbox.url, options=WireOptions(pace_factor=0, total_seconds=1)
    )
    with pytest.raises(ExceptionGroup) as caught:
        await rush(lambda: hasty.list_machines("own-"), times=60)
    refused = caught.value.subgroup(RateLimited)
    assert refused is not None
    assert all(1 <= error.retry_after_seconds <= 60 for error in refused.exceptions)
    for each in (cloud, hasty, sandbox):
        await each.aclose()
