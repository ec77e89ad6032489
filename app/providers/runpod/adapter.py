"""RunPod as a ``Provider``.

- Our marker is the pod's name, which need not be unique there.
- A pod's keys are its own: the platform's goes along as ``PUBLIC_KEY``. The account's list of keys is never touched,
  since whatever is on it would get into every pod that asks for it.
- Two clouds, ``SECURE`` and ``COMMUNITY``, with data centres each; an offer names both, and the number of GPUs.
- A pod is ready when it is ``RUNNING`` and its container is told of; it costs from its creation on.
- A stopped pod keeps its host but not its GPUs: it starts there again, or not at all while others have them.
- A termination may be answered by an error and have happened. The caller looks.
- The books lag. Until they reach the end, what a pod cost is the larger of books and meter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import httpx

from app.kit.clock import Clock, SystemClock, whole_seconds
from app.kit.money import cost, from_price
from app.providers.contract import Capability, CostLine, Machine, MachineStatus, Offer, Order, RealisedCost
from app.providers.errors import Gone, NoCapacity, NotYet, Unavailable, Unsupported
from app.providers.keys import parse_public_key
from app.providers.offers import parse_offers
from app.providers.orders import check_order
from app.providers.runpod.booting import start_of
from app.providers.runpod.client import RunpodClient
from app.providers.runpod.parsing import (
    ANYWHERE,
    CLOUDS,
    Place,
    gpu_count_of,
    largest_count,
    marker_of,
    parse_booking,
    parse_machine,
    parse_offer,
    pod_id_of,
    read_place,
    stocks,
)
from app.providers.wire import WireOptions

BASE_URL = "https://api.runpod.io"
MIN_CUDA = "12.8"
"""What the usual images need of a host's driver. Older hosts take a pod and never bring it up."""
GPU_COUNTS = (1, 2, 4, 8)
_SSH_PORT = 22
_BOOKS_CLOSED_AFTER = timedelta(days=1)
_SLACK_SECONDS = 10
"""How far the cloud's idea of a pod's end may be from ours: so much, or one part in a hundred."""
_SLACK_PART = 100
_DAY_SECONDS = 86_400


class RunpodProvider:
    """One RunPod account."""

    capability = Capability(
        name="runpod",
        title="RunPod",
        pricing="api",
        launch="instance",
        shutdown="stop",
        spot=False,
        interruption="none",
        hibernate=False,
        stop=True,
        billing_granularity_seconds=1,
        min_commitment_seconds=0,
        marker_max_length=60,
        realised_cost="exact",
    )

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = BASE_URL,
        client: httpx.AsyncClient | None = None,
        options: WireOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Speak with the cloud at ``base_url`` (without ``/v2``); a given client stays the caller's to close."""
        self._client = RunpodClient(base_url=base_url, api_key=api_key, client=client, options=options or WireOptions())
        self._clock = clock or SystemClock()

    async def list_offers(self) -> list[Offer]:
        """Return what each cloud has in each data centre: advice only, a create may be refused all the same."""
        return [offer for cloud in CLOUDS for offer in await self._offers(cloud)]

    async def create(self, order: Order) -> str:
        """Create one pod."""
        place = read_place(order.offer_id)
        if place is None:
            raise NoCapacity("no such offer")
        return await self._client.create(_create_body(order, place, self.capability), pod_id_of)

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the oldest pod with this name."""
        found = await self._machines("find_by_marker", lambda its: its == marker)
        return min(found, key=_age, default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every pod whose name starts so. RunPod lists all on one page."""
        return await self._machines("list_machines", lambda its: its.startswith(marker_prefix))

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one pod."""
        machine = await self._client.pod(machine_id, parse_machine)
        if machine.status is MachineStatus.GONE:
            raise Gone("the pod is terminated")
        return machine

    async def stop(self, machine_id: str) -> None:
        """Stop the pod. It keeps its host, and its GPUs are anybody's."""
        try:
            await self._client.act("stop", machine_id, "stop", pod_id_of)
        except NotYet:
            if (await self.get_machine(machine_id)).status is not MachineStatus.STOPPED:
                raise

    async def hibernate(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """RunPod can't."""
        raise Unsupported("RunPod does not hibernate pods")

    async def resume(self, machine_id: str) -> None:
        """Start a stopped pod on its host. One that would come up without GPUs counts as no capacity."""
        try:
            gpus = await self._client.act("resume", machine_id, "start", gpu_count_of)
        except NotYet:
            if (await self.get_machine(machine_id)).status not in {MachineStatus.RUNNING, MachineStatus.PROVISIONING}:
                raise
            return
        if gpus == 0:
            raise NoCapacity("the pod's host has no free GPU")

    async def destroy(self, machine_id: str) -> None:
        """Ask for the pod's end."""
        with suppress(Gone):
            await self._client.delete(machine_id)

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:  # noqa: ARG002 - the contract's
        """Return the key's own name: each pod is created with the platform's key, and the account keeps none."""
        return parse_public_key(public_key).name

    async def remove_ssh_key(self, key_id: str) -> None:
        """There is nothing to remove."""

    async def realised_cost(
        self, machine_id: str, *, start: datetime, end: datetime, price_micros_per_hour: int
    ) -> RealisedCost:
        """Return what the books say, GPUs and disk, in the whole hours that the period touches."""
        rows = await self._client.billing(
            "realised_cost", start=start, end=end, bucket="hour", pod_id=machine_id, row=parse_booking
        )
        booked = _micros(sum((row.dollars for row in rows if row.pod_id == machine_id), Decimal(0)))
        seconds = whole_seconds(start, end)
        slack = max(_SLACK_SECONDS, seconds // _SLACK_PART)
        reached = bool(booked) and booked >= cost(price_micros_per_hour, max(0, seconds - slack))
        if reached or self._clock.now() >= end + _BOOKS_CLOSED_AFTER:
            return RealisedCost(booked, exact=True)
        return RealisedCost(max(booked, cost(price_micros_per_hour, seconds)), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:
        """Return what was booked for each pod. The books know ids alone, no names."""
        days = all(int(at.timestamp()) % _DAY_SECONDS == 0 for at in (start, end))
        rows = await self._client.billing(
            "list_costs", start=start, end=end, bucket="day" if days else "hour", pod_id=None, row=parse_booking
        )
        totals: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            totals[row.pod_id] += row.dollars
        return [CostLine(pod_id, None, _micros(dollars)) for pod_id, dollars in sorted(totals.items())]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _offers(self, cloud: str) -> list[Offer]:
        """Return one cloud's offers, asked for by the number of GPUs as far as its largest machines go."""
        offers: list[Offer] = []
        largest = 1
        for count in GPU_COUNTS:
            if count > largest:
                break
            found, largest = await self._client.gpus(
                cloud=cloud,
                count=count,
                min_cuda=MIN_CUDA,
                shape=partial(_parse_gpus, cloud, count),
            )
            offers += found
        return offers

    async def _machines(self, operation: str, wanted: Callable[[str], bool]) -> list[Machine]:
        def row(value: object) -> Machine | None:
            marker = marker_of(value)
            return parse_machine(value) if marker and wanted(marker) else None

        found = await self._client.pods(operation, row)
        return [machine for machine in found if machine.status is not MachineStatus.GONE]


def _parse_gpus(cloud: str, gpu_count: int, gpus: list[object]) -> tuple[list[Offer], int]:
    """Return the offers among GPU types, and the most GPUs that any pod may have."""
    offers = parse_offers(stocks(gpus, cloud=cloud, gpu_count=gpu_count), parse_offer, provider="runpod")
    return offers, largest_count(gpus, cloud)


def _create_body(order: Order, place: Place, capability: Capability) -> dict[str, object]:
    """Return the body of a create. The number of GPUs always stands in it: without it no host is found."""
    check_order(order, capability)
    ports = dict.fromkeys((_SSH_PORT, *order.ports))
    return {
        "name": order.marker,
        "image": order.image,
        "cloud": place.cloud,
        "gpu": {"id": place.gpu_id, "count": place.gpu_count, "minCudaVersion": MIN_CUDA},
        **({} if place.data_center == ANYWHERE else {"dataCenterIds": [place.data_center]}),
        "disk": order.disk_gb,
        "ports": [f"{port}/tcp" for port in ports],
        "env": {**order.env, "PUBLIC_KEY": parse_public_key(order.platform_public_key).line},
        **start_of(order.image),
    }


def _age(machine: Machine) -> tuple[bool, float, str]:
    at = machine.created_at
    return (at is None, at.timestamp() if at else 0.0, machine.machine_id)


def _micros(dollars: Decimal) -> int:
    try:
        return from_price(max(Decimal(0), dollars))
    except ValueError as error:
        raise Unavailable("costs beyond all bounds") from error
