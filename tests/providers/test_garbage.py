"""Whatever a cloud answers, nothing leaves an adapter but a value or an error that the contract names."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from app.providers import (
    Gone,
    HyperstackProvider,
    LambdaProvider,
    NoCapacity,
    NotYet,
    Order,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    RunpodProvider,
    Unauthorized,
    Unavailable,
    Unsupported,
    VastProvider,
    WireOptions,
)

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
ALWAYS = (Unauthorized, RateLimited, Unavailable)
RAISES = {
    "list_offers": ALWAYS,
    "create": (*ALWAYS, NoCapacity, Rejected, QuotaExceeded, OutcomeUnknown),
    "find_by_marker": ALWAYS,
    "list_machines": ALWAYS,
    "get_machine": (*ALWAYS, Gone),
    "stop": (*ALWAYS, Gone, NotYet, OutcomeUnknown, Unsupported),
    "hibernate": (*ALWAYS, Gone, NotYet, OutcomeUnknown, Unsupported),
    "resume": (*ALWAYS, Gone, NotYet, NoCapacity, QuotaExceeded, OutcomeUnknown, Unsupported),
    "destroy": (*ALWAYS, NotYet, OutcomeUnknown),
    "ensure_ssh_key": (*ALWAYS, Rejected, OutcomeUnknown),
    "remove_ssh_key": (*ALWAYS, OutcomeUnknown),
    "realised_cost": ALWAYS,
    "list_costs": (*ALWAYS, Unsupported),
}

WORDS = st.sampled_from(
    [
        "own-1",
        "own-",
        "running",
        "stopped",
        "created",
        "exited",
        "active",
        "booting",
        "terminated",
        "auth_error",
        "no_such_ask",
        "no_such_instance",
        "missing_billing",
        "invalid_price",
        "global/quota-exceeded",
        "global/object-does-not-exist",
        "RTX-4090",
        "22/tcp",
        "40022",
        "198.51.100.7",
        "(80",
        "GB)",
        "gpu_1x_h100_pcie",
        "us-east-1",
        "ACTIVE",
        "HIBERNATED",
        "SHUTOFF",
        "DELETED",
        "ATTACHED",
        "default-CANADA-1",
        "CANADA-1",
        "H100-80G-PCIe",
        "n3-H100x1",
        "bad_request",
        "already_exist",
        "not_found",
        "0.50",
        "2026-01-01T00:00:00",
        "Ubuntu Server 22.04 LTS R535 CUDA 12.2",
        "RUNNING",
        "EXITED",
        "NVIDIA L4",
        "US-KS-2",
        "2026-06-01T12:00:00Z",
    ]
)
KEYS = st.sampled_from(
    [
        "instances",
        "offers",
        "results",
        "data",
        "error",
        "msg",
        "code",
        "message",
        "success",
        "new_contract",
        "next_token",
        "id",
        "label",
        "name",
        "status",
        "actual_status",
        "intended_status",
        "cur_state",
        "next_state",
        "is_bid",
        "ports",
        "22/tcp",
        "HostPort",
        "public_ipaddr",
        "ssh_host",
        "ssh_port",
        "start_date",
        "dph_total",
        "dph_base",
        "min_bid",
        "gpu_name",
        "num_gpus",
        "gpu_ram",
        "storage_cost",
        "geolocation",
        "cpu_ram",
        "cpu_cores",
        "cpu_cores_effective",
        "reliability",
        "cuda_max_good",
        "key",
        "public_key",
        "instance_ids",
        "terminated_instances",
        "instance_type",
        "regions_with_capacity_available",
        "specs",
        "gpus",
        "price_cents_per_hour",
        "gpu_description",
        "tags",
        "value",
        "source",
        "start",
        "end",
        "amount",
        "gpu_1x_h100_pcie",
        "error_reason",
        "environments",
        "keypairs",
        "images",
        "environment",
        "region",
        "region_name",
        "instance",
        "gpu_count",
        "stock_available",
        "features",
        "no_hibernation",
        "flavors",
        "stocks",
        "models",
        "model",
        "configurations",
        "1x",
        "floating_ip",
        "floating_ip_status",
        "security_rules",
        "port_range_min",
        "port_range_max",
        "direction",
        "created_at",
        "billing_history_vm",
        "billing_history_vm_details",
        "billing_history",
        "attributes",
        "metrics",
        "infrahub_id",
        "resource_name",
        "incurred_bill",
        "pods",
        "gpus",
        "runtime",
        "private",
        "public",
        "type",
        "ip",
        "ssh",
        "direct",
        "gpu",
        "count",
        "cost",
        "createdAt",
        "manufacturer",
        "memory",
        "secure",
        "price",
        "maxCount",
        "dataCenters",
        "availability",
        "records",
        "metadata",
        "recordCount",
        "podId",
        "totalAmount",
        "detail",
        "title",
        "errors",
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.integers(0, 3000)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([1e308, 1e-308, 0.31, 5e-324])
    | WORDS
    | st.text(max_size=20)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=8),
    max_leaves=30,
)
ENVELOPES = st.builds(lambda key, value: {key: value, "success": True}, KEYS, VALUES)
BODIES = (
    st.binary(max_size=100)
    | (VALUES | ENVELOPES).map(lambda value: json.dumps(value).encode())
    | VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")[:-1])
)
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 502, 503])
RETRY_AFTER = st.sampled_from(["0", "5", "1e9", "soon", "-1", "9" * 400, "Sun, 01 Mar 2099 12:00:00 GMT", "\x7f", ""])
ANSWERS = st.tuples(STATUSES, BODIES, RETRY_AFTER)


BUILDS = [VastProvider, LambdaProvider, RunpodProvider, HyperstackProvider]
SPARING = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=25, **SPARING)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
async def test_any_answer_gives_a_value_or_an_error_of_the_contract(public_key, build, answers):
    await _ask_everything(public_key, build, answers)


@pytest.mark.soak
@pytest.mark.parametrize("build", BUILDS)
@settings(max_examples=1_000, **SPARING)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=3))
async def test_any_of_a_thousand_answers_gives_a_value_or_an_error_of_the_contract(public_key, build, answers):
    await _ask_everything(public_key, build, answers)


async def _ask_everything(public_key, build, answers) -> None:
    """Let every operation have the same answers: to make them up takes longer than to ask."""
    for operation in RAISES:
        note(operation)
        await _ask(public_key, build, operation, answers)


async def _ask(public_key, build, operation, answers) -> None:
    waiting = list(answers)

    def answer(_request: httpx.Request) -> httpx.Response:
        status, body, retry_after = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return httpx.Response(status, content=body, headers={"Retry-After": retry_after})

    offers = {
        VastProvider: "1001",
        LambdaProvider: "gpu_1x_h100_pcie:us-east-1",
        HyperstackProvider: "n3-H100x1:CANADA-1",
    }
    offer = offers.get(build, "SECURE:US-KS-2:1:NVIDIA L4")
    order = Order(
        marker="own-1",
        offer_id=offer,
        region_id="x",
        spot=False,
        bid_micros_per_hour=None,
        image="ubuntu",
        disk_gb=10,
        platform_public_key=public_key,
    )
    calls = {
        "list_offers": lambda cloud: cloud.list_offers(),
        "create": lambda cloud: cloud.create(order),
        "find_by_marker": lambda cloud: cloud.find_by_marker("own-1"),
        "list_machines": lambda cloud: cloud.list_machines("own-"),
        "ensure_ssh_key": lambda cloud: cloud.ensure_ssh_key("name", public_key),
        "realised_cost": lambda cloud: cloud.realised_cost("1", start=START, end=END, price_micros_per_hour=1),
        "list_costs": lambda cloud: cloud.list_costs(start=START, end=END),
    }
    impatient = WireOptions(total_seconds=0.1, first_retry_seconds=0.0001, pace_factor=0)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        cloud = build(api_key="k", base_url="http://cloud.test", client=client, options=impatient)
        with suppress(*RAISES[operation]):
            await calls.get(operation, lambda cloud: getattr(cloud, operation)("1"))(cloud)
