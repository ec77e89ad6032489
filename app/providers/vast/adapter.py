"""Vast.ai as a ``Provider``.

- Our marker is the instance's label.
- The platform's key is an *account* key: the cloud puts it on every instance that is created afterwards. The other way,
  attaching a key to one instance, needs a second call after the create and so could leave a machine without a key.
- A spot instance that was stopped, by us or by a higher bid, reads ``PREEMPTED``: the cloud doesn't tell them apart.
- An answer about a create that failed may name an instance that was made all the same; the error carries its id.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal

import httpx

from app.kit.clock import whole_seconds
from app.kit.money import MICROS_PER_DOLLAR, cost, from_price
from app.providers.contract import Capability, CostLine, Machine, Offer, Order, RealisedCost
from app.providers.errors import Gone, Rejected, Unavailable, Unsupported
from app.providers.keyring import Keyring, StoredKey
from app.providers.keys import PublicKey, parse_public_key
from app.providers.offers import parse_offers
from app.providers.orders import check_order
from app.providers.vast.client import VastClient
from app.providers.vast.parsing import (
    BID_MAX_MICROS,
    BID_MIN_MICROS,
    Charge,
    label_of,
    parse_charge,
    parse_key,
    parse_machine,
    parse_offer,
)
from app.providers.wire import WireOptions

BASE_URL = "https://console.vast.ai"
OFFERS_LIMIT = 1500
"""Per search, the cheapest first; a full answer stays within the bound on an answer's size."""
STORAGE_GB = 20
DISK_GB_MIN = 8
_CHARGES_LAG = timedelta(minutes=5)
_DAY_SECONDS = 86_400

_FILTERS = {
    "verified": {"eq": True},
    "external": {"eq": False},
    "rentable": {"eq": True},
    "rented": {"eq": False},
    "direct_port_count": {"gte": 1},
    "reliability": {"gte": 0.9},
    "inet_down": {"gt": 128},
    "cuda_max_good": {"gte": 12.8},
    "order": [["dph_total", "asc"]],
    "limit": OFFERS_LIMIT,
    "allocated_storage": STORAGE_GB,
}


class VastProvider:
    """One Vast.ai account."""

    capability = Capability(
        name="vast",
        title="Vast.ai",
        pricing="api",
        launch="instance",
        shutdown="stop",
        spot=True,
        interruption="outbid",
        hibernate=False,
        stop=True,
        billing_granularity_seconds=1,
        min_commitment_seconds=0,
        marker_max_length=256,
        realised_cost="exact",
    )

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = BASE_URL,
        client: httpx.AsyncClient | None = None,
        options: WireOptions | None = None,
    ) -> None:
        """Speak with the cloud at ``base_url``; a client that is given stays the caller's to close."""
        self._client = VastClient(base_url=base_url, api_key=api_key, client=client, options=options or WireOptions())
        self._keyring = Keyring(self._stored_keys, self._add_key)

    async def list_offers(self) -> list[Offer]:
        """Return what is on offer on demand and by bid."""
        asked = await self._client.search(
            {**_FILTERS, "type": "on-demand"},
            lambda items: parse_offers(items, lambda item: parse_offer(item, spot=False), provider="vast"),
        )
        bids = await self._client.search(
            {**_FILTERS, "type": "bid"},
            lambda items: parse_offers(items, lambda item: parse_offer(item, spot=True), provider="vast"),
        )
        return asked + bids

    async def create(self, order: Order) -> str:
        """Rent an offer, having made sure that the account holds the platform's key."""
        body = _create_body(order)
        check_order(order, self.capability)
        await self._keyring.ensure_for_create(parse_public_key(order.platform_public_key))
        return await self._client.accept(order.offer_id, body)

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the oldest instance with this label."""
        found = await self._client.list_instances(
            "find_by_marker",
            {"label": {"eq": marker}},
            lambda row: parse_machine(row) if label_of(row) == marker else None,
        )
        return min(found, key=lambda machine: int(machine.machine_id), default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every instance whose label starts so."""
        found = await self._client.list_instances(
            "list_machines",
            {},
            lambda row: parse_machine(row) if (label_of(row) or "").startswith(marker_prefix) else None,
        )
        return list({machine.machine_id: machine for machine in found}.values())

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one instance."""
        machine = await self._client.show(machine_id, parse_machine)
        if machine is None:
            raise Gone("no such instance")
        return machine

    async def stop(self, machine_id: str) -> None:
        """Stop the instance; its disk is kept and charged."""
        await self._client.set_state("stop", machine_id, "stopped")

    async def hibernate(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """Vast.ai can't."""
        raise Unsupported("Vast.ai does not hibernate")

    async def resume(self, machine_id: str) -> None:
        """Start the instance again.

        The cloud takes this on even where the GPU has another customer or the bid no longer holds: then the instance
        stays ``PROVISIONING`` or ``PREEMPTED``, for as long as the caller waits.
        """
        await self._client.set_state("resume", machine_id, "running")

    async def destroy(self, machine_id: str) -> None:
        """Ask for the instance's end."""
        with suppress(Gone):
            await self._client.destroy(machine_id)

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:
        """Add an account key unless it is there; Vast.ai keys have no names."""
        return (await self._keyring.ensure(name, parse_public_key(public_key))).key_id

    async def remove_ssh_key(self, key_id: str) -> None:
        """Remove an account key."""
        self._keyring.forget(key_id)
        with suppress(Gone):
            await self._client.delete_key(key_id)

    async def realised_cost(
        self, machine_id: str, *, start: datetime, end: datetime, price_micros_per_hour: int
    ) -> RealisedCost:
        """Return what the cloud's books say. They lag: until they reach the end, the larger of books and meter."""
        rows = await self._client.charges(
            "realised_cost", parse_charge, first_second=_midnight(start), last_second=_midnight(end) + _DAY_SECONDS
        )
        ours = [row for row in rows if row.machine_id == machine_id and row.start <= end and row.end >= start]
        booked = _micros(sum((row.dollars for row in ours), Decimal(0)))
        if ours and max(row.end for row in ours) >= end - _CHARGES_LAG:
            return RealisedCost(booked, exact=True)
        return RealisedCost(max(booked, cost(price_micros_per_hour, whole_seconds(start, end))), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:
        """Return what the cloud's books say of every instance. They are by whole days in UTC, and so is the period."""
        rows = await self._client.charges(
            "list_costs",
            parse_charge,
            first_second=_midnight(start),
            last_second=_midnight(end - timedelta(microseconds=1)),
        )
        lines: dict[str, list[Charge]] = {}
        for row in rows:
            if row.machine_id is not None:
                lines.setdefault(row.machine_id, []).append(row)
        return [
            CostLine(machine_id, charges[-1].label, _micros(sum((charge.dollars for charge in charges), Decimal(0))))
            for machine_id, charges in lines.items()
        ]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _stored_keys(self) -> list[StoredKey]:
        return await self._client.keys(parse_key)

    async def _add_key(self, name: str, key: PublicKey) -> StoredKey:
        return StoredKey(await self._client.add_key(key.line), name, key)


def _create_body(order: Order) -> dict[str, object]:
    return {
        "client_id": "me",
        "image": order.image,
        "env": {**order.env, **{f"-p {port}:{port}": "1" for port in order.ports}},
        "price": _bid(order) if order.spot else None,
        "disk": max(order.disk_gb, DISK_GB_MIN),
        "label": order.marker,
        "runtype": "ssh_direc ssh_proxy",
        "target_state": "running",
        "cancel_unavail": True,
        "force": False,
    }


def _bid(order: Order) -> float:
    """Return the bid as the wire's JSON number: a float only there, and exact, since it has at most six decimals."""
    micros = order.bid_micros_per_hour
    if micros is None or not BID_MIN_MICROS <= micros <= BID_MAX_MICROS:
        raise Rejected("a bid is from 0.001 to 128 dollars per hour")
    return float(Decimal(micros) / MICROS_PER_DOLLAR)


def _micros(dollars: Decimal) -> int:
    try:
        return from_price(max(Decimal(0), dollars))
    except ValueError as error:
        raise Unavailable("charges beyond all bounds") from error


def _midnight(at: datetime) -> int:
    second = int(at.timestamp())
    return second - second % _DAY_SECONDS
